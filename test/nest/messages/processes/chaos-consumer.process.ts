import { randomInt } from 'node:crypto';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { argv, pid } from 'node:process';
import { setTimeout as passes } from 'node:timers/promises';
import { Controller, UseGuards } from '@nestjs/common';
import {
  Ctx,
  EventPattern,
  type RmqContext,
  type RmqOptions,
  Transport,
} from '@nestjs/microservices';
import { Redis } from 'ioredis';
import { ServiceCaller, type ServiceIdentity, ServiceJwtGuard } from 'nestjs-service-auth';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { CensusService, HERALD } from '../../../support/messages/messaging-services.js';

/** What `scripts/test-message-chaos.mjs` tells a consumer. */
interface Instructions {
  readonly amqpPort: number;
  readonly redisPort: number;
  readonly queue: string;
  readonly publicKey: string;
  readonly log: string;
  readonly failurePercent: number;
  /** How many handlers of a hundred outlast their lease. */
  readonly slowPercent: number;
}

const LEASE_SECONDS = 2;
const its = JSON.parse(argv[2] ?? '') as Instructions;
const file = openSync(its.log, 'a');
process.on('exit', () => closeSync(file));

/** On disk before it returns: a process that is killed has written it, or has not come so far. */
function note(what: 'effect' | 'owned' | 'lost', id: string): void {
  writeSync(file, `${JSON.stringify({ what, id, pid })}\n`);
  fsyncSync(file);
}

class NotingStore extends RedisReplayStore {
  override async commit(...[use, owner]: Parameters<RedisReplayStore['commit']>): Promise<boolean> {
    const isOwned = await super.commit(use, owner);
    note(isOwned ? 'owned' : 'lost', use.tokenId.split(' ').at(-1) ?? '');
    return isOwned;
  }
}

@Controller()
@UseGuards(ServiceJwtGuard)
class WorkController {
  @EventPattern<string>('work')
  async work(@ServiceCaller() { tokenId = '' }: ServiceIdentity, @Ctx() context: RmqContext) {
    const channel = context.getChannelRef() as {
      ack(message: object): void;
      nack(message: object, allUpTo: boolean, requeue: boolean): void;
    };
    process.send?.('handles');
    const isSlow = randomInt(100) < its.slowPercent;
    await passes(isSlow ? 1500 * LEASE_SECONDS : randomInt(5, 30));
    if (randomInt(100) < its.failurePercent) return channel.nack(context.getMessage(), false, true);
    note('effect', tokenId);
    await passes(randomInt(3));
    channel.ack(context.getMessage());
  }
}

const client = new Redis({ port: its.redisPort, retryStrategy: () => 50 });
await CensusService.start({
  place: {
    port: its.amqpPort,
    server: (queue): RmqOptions => ({
      transport: Transport.RMQ,
      options: {
        urls: [`amqp://guest:guest@127.0.0.1:${its.amqpPort}`],
        queue,
        queueOptions: { durable: false },
        noAck: false,
        prefetchCount: 10,
      },
    }),
    client: () => {
      throw new Error('a consumer sends nothing');
    },
    close: async () => await Promise.resolve(),
  },
  queue: its.queue,
  controllers: [WorkController],
  reception: { leaseSeconds: LEASE_SECONDS },
  options: {
    trustedIssuers: [{ issuer: HERALD, publicKey: its.publicKey }],
    replayStore: new NotingStore({ client, timeoutMilliseconds: 5000 }),
  },
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
