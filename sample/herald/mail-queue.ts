import type { DynamicModule } from '@nestjs/common';
import type { ServiceIdentity } from 'nestjs-service-auth';
import type { Environment } from '../setup/environment.js';
import type { MailOrder } from '../setup/mail-order.js';

/** Where mails wait for the courier. */
export abstract class MailQueue {
  /**
   * Queues a mail. It may be sent while the caller has no answer yet, or an hour later.
   *
   * @param caller whose user has the mail sent: the verified identity that `@ServiceCaller()` gives
   */
  abstract add(mail: MailOrder, caller: ServiceIdentity): Promise<void>;
}

/** Provides the {@link MailQueue} of the environment. Loads BullMQ only where mails wait in Redis. */
export async function mailQueueModule({
  keys,
  mailQueue: { kind, port },
}: Pick<Environment, 'keys' | 'mailQueue'>): Promise<DynamicModule> {
  if (kind === 'redis') {
    const { RedisMailQueueModule } = await import('./redis-mail-queue.module.js');
    return RedisMailQueueModule.register(port);
  }
  const { MemoryMailQueueModule } = await import('./memory-mail-queue.module.js');
  return MemoryMailQueueModule.register(port, keys);
}
