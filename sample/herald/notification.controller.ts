import {
  Body,
  Controller,
  Get,
  Inject,
  NotFoundException,
  Param,
  Post,
  Res,
  UseGuards,
} from '@nestjs/common';
import type { Response } from 'express';
import {
  RequireSubject,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { ApiCreateNotification, ApiFindNotification } from './documentation.js';
import { type NotificationOrder, NotificationOrderPipe } from './notification-order.pipe.js';
import { NotificationService } from './notification.service.js';

@Controller('notification')
@UseGuards(ServiceJwtGuard)
@RequireSubject()
export class NotificationController {
  constructor(@Inject(NotificationService) private readonly notifications: NotificationService) {}

  @Post()
  @ApiCreateNotification()
  async create(
    @Body(NotificationOrderPipe) order: NotificationOrder,
    @ServiceCaller() caller: ServiceIdentity,
    @Res({ passthrough: true }) response: Response,
  ) {
    const notification = await this.notifications.send(order, caller);
    response.location(notification.uri);
    return notification;
  }

  @Get(':id')
  @ApiFindNotification()
  find(@Param('id') id: string) {
    const notification = this.notifications.find(id);
    if (!notification) throw new NotFoundException('There is no such notification.');
    return notification;
  }
}
