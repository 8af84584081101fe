import { BullModule } from '@nestjs/bullmq';
import { type DynamicModule, Module } from '@nestjs/common';
import { ServiceJobsModule } from 'nestjs-service-auth/bullmq';
import { MAIL_LIFETIME_SECONDS, MAIL_QUEUE } from '../setup/mail-order.js';
import { SERVICE_URIS } from '../setup/services.js';
import { MailQueue } from './mail-queue.js';
import { RedisMailQueue } from './redis-mail-queue.js';

/** Mails wait in BullMQ, each signed for the courier. */
@Module({})
export class RedisMailQueueModule {
  static register(port: number): DynamicModule {
    return {
      module: RedisMailQueueModule,
      imports: [
        BullModule.forRoot({ connection: { host: '127.0.0.1', port } }),
        BullModule.registerQueue({ name: MAIL_QUEUE }),
        ServiceJobsModule.forQueues([
          {
            queue: MAIL_QUEUE,
            audience: SERVICE_URIS.courier,
            lifetimeSeconds: MAIL_LIFETIME_SECONDS,
          },
        ]),
      ],
      providers: [{ provide: MailQueue, useClass: RedisMailQueue }],
      exports: [MailQueue],
    };
  }
}
