import { InjectQueue } from '@nestjs/bullmq';
import { Injectable } from '@nestjs/common';
import type { Queue } from 'bullmq';
import { onBehalfOf, type ServiceIdentity } from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/bullmq';
import {
  MAIL_JOB,
  MAIL_LIFETIME_SECONDS,
  MAIL_QUEUE,
  type MailOrder,
} from '../setup/mail-order.js';
import { MailQueue } from './mail-queue.js';

/** Once a second, for as long as the job is good. */
const ATTEMPTS = { attempts: MAIL_LIFETIME_SECONDS, backoff: { type: 'fixed', delay: 1000 } };

/** Mails wait in Redis: neither a crash of the courier nor one of Herald loses any. */
@Injectable()
export class RedisMailQueue extends MailQueue {
  constructor(@InjectQueue(MAIL_QUEUE) private readonly queue: Queue) {
    super();
  }

  async add(mail: MailOrder, caller: ServiceIdentity): Promise<void> {
    const data = serviceMessage(mail, onBehalfOf(caller));
    await this.queue.add(MAIL_JOB, data, { jobId: mail.id, removeOnComplete: true, ...ATTEMPTS });
  }
}
