import { HttpService } from '@nestjs/axios';
import { Body, Controller, Inject, Post, Res, UseGuards } from '@nestjs/common';
import type { Response } from 'express';
import {
  RequireSubject,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { type Welcome, WelcomePipe } from '../setup/welcome.pipe.js';

/** Has Herald welcome a user, for the user of the call. */
@Controller('welcome')
@UseGuards(ServiceJwtGuard)
@RequireSubject()
export class WelcomeController {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  @Post()
  async welcome(
    @Body(WelcomePipe) { user }: Welcome,
    @ServiceCaller() caller: ServiceIdentity,
    @Res({ passthrough: true }) response: Response,
  ): Promise<unknown> {
    const order = { user, type: 'welcome-message' };
    const { data, headers } = await firstValueFrom(
      this.http.post<unknown>('notification/', order, onBehalfOf(caller)),
    );
    response.location(String(headers['location']));
    return data;
  }
}
