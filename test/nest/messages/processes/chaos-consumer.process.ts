import { randomInt } from 'node:crypto';
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
import { NotingStore } from '../../../support/chaos/noting-store.js';
import { LineWriter, sharedNow } from '../../../support/chaos/run-lines.js';
import { whenToldToWork } from '../../../support/chaos/told-to-work.js';
import { CensusService, HERALD } from '../../../support/messages/messaging-services.js';

/** What `scripts/test-message-chaos.mjs` tells a consumer. */
interface Instructions {
  readonly redisPort: number;
  readonly server: RmqOptions['options'];
  readonly publicKey: string;
  readonly log: string;
  readonly leaseSeconds: number;
  readonly failurePercent: number;
  /** How many handlers of a hundred outlast their lease. */
  readonly slowPercent: number;
  /** Of the others, between which they last. */
  readonly handlerMilliseconds: readonly [number, number];
}

const its = JSON.parse(argv[2] ?? '') as Instructions;
const leaseMilliseconds = its.leaseSeconds * 1000;
const lines = new LineWriter(its.log);

@Controller()
@UseGuards(ServiceJwtGuard)
class WorkController {
  @EventPattern<string>('work')
  async work(@ServiceCaller() { tokenId = '' }: ServiceIdentity, @Ctx() context: RmqContext) {
    const run = { use: tokenId, owner: store.ownerOf(tokenId), pid };
    const channel = context.getChannelRef() as {
      ack(message: object): void;
      nack(message: object, allUpTo: boolean, requeue: boolean): void;
    };
    process.send?.('begun');
    const isSlow = randomInt(100) < its.slowPercent;
    await passes(isSlow ? 1.5 * leaseMilliseconds : randomInt(...its.handlerMilliseconds));
    if (randomInt(100) < its.failurePercent) return channel.nack(context.getMessage(), false, true);
    lines.note({ step: 'effect', ...run, at: sharedNow() });
    await passes(randomInt(3));
    channel.ack(context.getMessage());
  }
}

await whenToldToWork();
lines.watchTheLoop(leaseMilliseconds / 2);
const client = new Redis({ port: its.redisPort, host: '127.0.0.1', retryStrategy: () => 50 });
const store = new NotingStore({ client, timeoutMilliseconds: 5000 }, lines);
await CensusService.start({
  place: {
    port: 0,
    server: () => ({ transport: Transport.RMQ, options: { ...its.server } }),
    client: () => {
      throw new Error('a consumer sends nothing');
    },
    close: async () => await Promise.resolve(),
  },
  controllers: [WorkController],
  reception: { leaseSeconds: its.leaseSeconds },
  options: {
    trustedIssuers: [{ issuer: HERALD, publicKey: its.publicKey }],
    replayStore: store,
    observer: {
      observe: ({ type }) => {
        if (type === 'lease_lost') lines.note({ step: 'lease_lost', pid, at: sharedNow() });
      },
    },
  },
});
process.send?.('ready');
