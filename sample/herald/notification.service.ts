import { Inject, Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import type { ServiceIdentity } from 'nestjs-service-auth';
import { SERVICE_URIS } from '../setup/services.js';
import { CensusClient } from './census.client.js';
import { MailQueue } from './mail-queue.js';
import type { NotificationOrder } from './notification-order.pipe.js';

export interface Notification extends NotificationOrder {
  readonly uri: string;
}

@Injectable()
export class NotificationService {
  private readonly queued = new Map<string, Notification>();

  constructor(
    @Inject(CensusClient) private readonly census: CensusClient,
    @Inject(MailQueue) private readonly mails: MailQueue,
  ) {}

  /** Who may notify whom is for Census to say: it is asked on behalf of the caller's user. Then the mail is queued. */
  async send(order: NotificationOrder, caller: ServiceIdentity): Promise<Notification> {
    const { uri: user } = await this.census.findUser(order.user, caller);
    const id = randomUUID();
    await this.mails.add({ id, user }, caller);
    const notification = { uri: `${SERVICE_URIS.herald}notification/${id}/`, ...order };
    this.queued.set(id, notification);
    return notification;
  }

  find(id: string): Notification | undefined {
    return this.queued.get(id);
  }
}
