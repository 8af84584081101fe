import { Controller, Inject, UseGuards } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import {
  RequireSubject,
  RequireSubjectProof,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import {
  MAIL_LIFETIME_SECONDS,
  MAIL_PATTERN,
  type MailOutcome,
  readMailOrder,
} from '../setup/mail-order.js';
import { MailService } from './mail.service.js';

/** Takes mails over TCP. The answer is signed, and it says that Herald may forget the mail. */
@Controller()
@UseGuards(ServiceJwtGuard)
@RequireSubject()
export class MailController {
  constructor(@Inject(MailService) private readonly mails: MailService) {}

  @MessagePattern(MAIL_PATTERN)
  @RequireSubjectProof({ maxAgeSeconds: MAIL_LIFETIME_SECONDS })
  async send(
    @Payload() order: unknown,
    @ServiceCaller() caller: ServiceIdentity,
  ): Promise<MailOutcome> {
    return await this.mails.send(readMailOrder(order), caller);
  }
}
