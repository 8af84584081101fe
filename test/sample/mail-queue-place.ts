import { ClientProxy } from '@nestjs/microservices';
import type { MailQueuePlace } from '../../sample/setup/environment.js';
import { findFreePort, startRedis } from '../../sample/story/redis-server.js';

/** Where mails wait for the courier. */
export interface OpenMailQueue {
  readonly place: MailQueuePlace;
  readonly close: () => Promise<void>;
}

/** Before Nest 12.0.4, messages over TCP carry no token, so mails cannot wait in the memory of Herald. */
export const HAS_MEMORY_QUEUE = 'createPacket' in ClientProxy.prototype;

/** A queue in the memory of Herald; where that cannot be, one of BullMQ. */
export async function openMailQueue(): Promise<OpenMailQueue> {
  if (HAS_MEMORY_QUEUE) {
    const place = { kind: 'memory', port: await findFreePort() } as const;
    return { place, close: async () => await Promise.resolve() };
  }
  const { port, close } = await startRedis();
  return { place: { kind: 'redis', port }, close };
}
