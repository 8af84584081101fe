import { BullModule } from '@nestjs/bullmq';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import { ServiceJobsModule } from 'nestjs-service-auth/bullmq';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { MAIL_QUEUE } from '../setup/mail-order.js';
import type { MailIntake } from './mail-intake.js';
import { MailProcessor } from './mail.processor.js';

const REDIS = Symbol('REDIS');

/** Closes the connection of the replay store. */
@Injectable()
class RedisEnding implements OnApplicationShutdown {
  constructor(@Inject(REDIS) private readonly redis: Redis) {}

  onApplicationShutdown(): void {
    this.redis.disconnect();
  }
}

/** Mails come from BullMQ. What was used is remembered in the same Redis, so that a courier that was killed knows it too. */
export function redisMailIntake(port: number): MailIntake {
  const connection = { host: '127.0.0.1', port };
  const redis = new Redis(connection);
  redis.on('error', () => {}); // The replay store reports what it cannot decide.
  return {
    transport: 'jobs',
    replayStore: new RedisReplayStore({ client: redis }),
    imports: [
      BullModule.forRoot({ connection }),
      BullModule.registerQueue({ name: MAIL_QUEUE }),
      ServiceJobsModule,
    ],
    providers: [MailProcessor, RedisEnding, { provide: REDIS, useValue: redis }],
  };
}
