import { OnWorkerEvent } from '@nestjs/bullmq';
import { Inject } from '@nestjs/common';
import type { Job } from 'bullmq';
import { RequireSubject, RequireSubjectProof, type ServiceIdentity } from 'nestjs-service-auth';
import { ServiceProcessor, ServiceWorkerHost } from 'nestjs-service-auth/bullmq';
import {
  MAIL_LIFETIME_SECONDS,
  MAIL_QUEUE,
  type MailOutcome,
  readMailOrder,
} from '../setup/mail-order.js';
import { reportJob } from '../story/report-mail.js';
import { MailService } from './mail.service.js';

/** A job of a courier that was killed comes again after `lockDuration`, however often that happens. */
const WORKER = {
  concurrency: 5,
  lockDuration: 5000,
  stalledInterval: 1000,
  maxStalledCount: Number.MAX_SAFE_INTEGER,
};

/** Takes mails from BullMQ. */
@ServiceProcessor(MAIL_QUEUE, WORKER)
@RequireSubject()
@RequireSubjectProof({ maxAgeSeconds: MAIL_LIFETIME_SECONDS })
export class MailProcessor extends ServiceWorkerHost {
  constructor(@Inject(MailService) private readonly mails: MailService) {
    super();
  }

  async process(job: Job, caller: ServiceIdentity): Promise<MailOutcome> {
    return await this.mails.send(readMailOrder(job.data), caller);
  }

  /** FOR THE DEMONSTRATION ONLY. */
  @OnWorkerEvent('active')
  report(job: Job): void {
    reportJob(job);
  }
}
