import { Inject, Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import type { ServiceIdentity } from 'nestjs-service-auth';
import { SERVICE_URIS } from '../setup/services.js';
import { CensusClient } from './census.client.js';
import { Mailer } from './mailer.js';
import type { NotificationOrder } from './notification-order.pipe.js';

export interface Notification extends NotificationOrder {
  readonly uri: string;
}

@Injectable()
export class NotificationService {
  private readonly sent = new Map<string, Notification>();

  constructor(
    @Inject(CensusClient) private readonly census: CensusClient,
    @Inject(Mailer) private readonly mailer: Mailer,
  ) {}

  /** Who may notify whom is for Census to say: it is asked on behalf of the caller's user. */
  async send(order: NotificationOrder, caller: ServiceIdentity): Promise<Notification> {
    const user = await this.census.findUser(order.user, caller);
    await this.mailer.welcome(user);
    const id = randomUUID();
    const notification = { uri: `${SERVICE_URIS.herald}notification/${id}/`, ...order };
    this.sent.set(id, notification);
    return notification;
  }

  find(id: string): Notification | undefined {
    return this.sent.get(id);
  }
}
