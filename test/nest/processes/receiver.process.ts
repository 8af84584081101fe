// A guarded application in a process of its own, so that a test can stop it, stall it, fill it, or move
// its wall clock. Arguments: the adapter, the trusted issuers as JSON. Does what messages ask.
import { pbkdf2 } from 'node:crypto';
import type { Server } from 'node:net';
import { Body, Controller, Get, HttpCode, Post, UseGuards } from '@nestjs/common';
import {
  MemoryReplayStore,
  ServiceAuth,
  ServiceAuthModule,
  ServiceJwtGuard,
  type TokenUse,
  type TokenUseVerdict,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth';
import type { ReceiverState, ReceiverTask } from '../../support/processes/receiver-process.js';
import { createKey } from '../../support/keys/keys.js';
import { CENSUS } from '../../support/services/receiver.js';
import { type Adapter, startService } from '../../support/services/service.js';

const [adapter = 'express', issuers = '[]'] = process.argv.slice(2);

const unhandled: string[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(String(reason)));
process.on('uncaughtException', (error) => unhandled.push(String(error)));

/** Only the wall clock steps: timers and the monotonic clock go on, as they do under NTP. */
let steppedMilliseconds = 0;
const wallClock = Date.now.bind(Date);
Date.now = () => wallClock() + steppedMilliseconds;

@Controller('thing')
@UseGuards(ServiceJwtGuard)
class ThingController {
  @Get(':id')
  find() {
    return 'found';
  }

  @Post()
  @HttpCode(201)
  create(@Body() body: unknown) {
    return { body };
  }
}

/** Remembers for real, unless it is told to fail in one of the ways in which stores do. */
class BreakableStore extends MemoryReplayStore {
  isBroken = false;
  private failures = 0;

  override recordUse(use: TokenUse): TokenUseVerdict {
    if (!this.isBroken) return super.recordUse(use);
    const ways: (() => unknown)[] = [
      () => undefined,
      async () => await Promise.reject(new Error('away')),
      () => {
        throw new TypeError('broken');
      },
    ];
    return ways[this.failures++ % ways.length]?.() as TokenUseVerdict;
  }
}

const replayStore = new BreakableStore();
const service = await startService({
  adapter: adapter as Adapter,
  imports: [
    ServiceAuthModule.forRoot({
      issuer: CENSUS,
      trustedIssuers: JSON.parse(issuers) as TrustedIssuerOptions[],
      signingKey: { privateKey: createKey().privateKey },
      targets: [{ baseUrl: CENSUS }],
      replayStore,
    }),
  ],
  controllers: [ThingController],
});
const serviceAuth = service.app.get(ServiceAuth);

let busyJobs = 0;
/** Gives the threads of libuv, which verify signatures too, so many jobs of some milliseconds each. */
function keepThreadsBusy(jobs: number): void {
  for (let job = 0; job < jobs; job++) {
    busyJobs++;
    pbkdf2('password', 'salt', 20_000, 32, 'sha256', () => busyJobs--);
  }
}

function stall(seconds: number): void {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end);
}

async function sign(): Promise<string> {
  const request = { method: 'GET', url: `${CENSUS}thing/1`, headers: {}, body: new Uint8Array() };
  return (await serviceAuth.sign(request)) ?? '';
}

async function state(): Promise<ReceiverState> {
  globalThis.gc?.();
  return {
    heapUsed: process.memoryUsage().heapUsed,
    rememberedUses: replayStore.size,
    knownKeyIds: [...serviceAuth.keyHealth().values()].flatMap(({ keyIds }) => keyIds),
    connections: await new Promise((resolve) => {
      const server = service.app.getHttpServer() as Server;
      server.getConnections((_error, count) => resolve(count));
    }),
    busyJobs,
    unhandled,
    nowSeconds: Date.now() / 1000,
  };
}

async function perform(task: ReceiverTask): Promise<unknown> {
  switch (task.do) {
    case 'step':
      return (steppedMilliseconds += task.seconds * 1000);
    case 'break-store':
      return (replayStore.isBroken = task.isBroken);
    case 'keep-threads-busy':
      return keepThreadsBusy(task.jobs);
    case 'sign':
      return await sign();
    case 'stall-and-sign': {
      const before = await sign();
      stall(task.seconds);
      return [before, await sign()];
    }
    case 'tell':
      return await state();
    case 'stall':
      throw new Error('answered before it is done');
  }
}

process.on('message', (message: { id: number; task: ReceiverTask }) => {
  const { id, task } = message;
  const reply = (result?: unknown, done?: () => void): void =>
    void process.send?.({ id, result: result ?? null }, undefined, undefined, done);
  if (task.do === 'stall') reply(undefined, () => stall(task.seconds));
  else void perform(task).then(reply);
});
process.on('disconnect', () => process.exit());
process.send?.({ port: service.port });
