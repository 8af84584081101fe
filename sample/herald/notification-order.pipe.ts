import { BadRequestException, Injectable, type PipeTransform } from '@nestjs/common';
import { isUserUri } from '../setup/services.js';

/** The wish to notify a user. */
export interface NotificationOrder {
  /** The URI of a census user. */
  readonly user: string;
  readonly type: 'welcome-message';
}

/** Lets nothing else through to the handler than what a {@link NotificationOrder} is; others get 400. */
@Injectable()
export class NotificationOrderPipe implements PipeTransform<unknown, NotificationOrder> {
  transform(body: unknown): NotificationOrder {
    const { user, type } = Object(body) as Record<string, unknown>;
    if (!isUserUri(user)) throw new BadRequestException('user: write the URI of a census user.');
    if (type !== 'welcome-message') {
      throw new BadRequestException("type: write 'welcome-message', the only one there is.");
    }
    return { user, type };
  }
}
