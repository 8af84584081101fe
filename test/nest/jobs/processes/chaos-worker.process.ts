import { randomInt } from 'node:crypto';
import { argv, pid } from 'node:process';
import { setTimeout as passes } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RequireSubjectProof } from 'nestjs-service-auth';
import { NotingStore } from '../../../support/chaos/noting-store.js';
import { LineWriter, sharedNow } from '../../../support/chaos/run-lines.js';
import { whenToldToWork } from '../../../support/chaos/told-to-work.js';
import {
  chaosOptions,
  type ChaosPlace,
  GRANT_SECONDS,
} from '../../../support/jobs/chaos-options.js';
import { call, JobService } from '../../../support/jobs/job-services.js';

/** What `scripts/test-job-chaos.mjs` tells a worker. */
interface Instructions extends ChaosPlace {
  readonly redisPort: number;
  readonly log: string;
  readonly lockMilliseconds: number;
  readonly handlerMilliseconds: number;
}

const its = JSON.parse(argv[2] ?? '') as Instructions;
const lines = new LineWriter(its.log);
await whenToldToWork();
lines.watchTheLoop(its.lockMilliseconds / 2);
const client = new Redis({ port: its.redisPort, host: '127.0.0.1' });
const store = new NotingStore({ client, timeoutMilliseconds: 5000 }, lines);
const started: { service?: JobService } = {};

/** The effect of a job is a call to another service, which writes it down. */
async function work(tokenId: string): Promise<void> {
  const run = new URLSearchParams({ use: tokenId, owner: store.ownerOf(tokenId), pid: `${pid}` });
  process.send?.('begun');
  await passes(randomInt(its.handlerMilliseconds));
  if (!started.service) throw new Error('not started');
  await call(started.service, `${its.censusUrl}/mails?${run.toString()}`);
  await passes(randomInt(3));
}

started.service = await JobService.start({
  port: its.redisPort,
  calls: true,
  decorators: [RequireSubjectProof({ maxAgeSeconds: GRANT_SECONDS })],
  process: async (_, identity) => await work(identity?.tokenId ?? ''),
  worker: {
    concurrency: 4,
    lockDuration: its.lockMilliseconds,
    stalledInterval: its.lockMilliseconds / 2,
    maxStalledCount: 1_000_000,
  },
  options: {
    ...chaosOptions(its),
    replayStore: store,
    observer: {
      observe: ({ type }) => {
        if (type === 'lease_lost') lines.note({ step: 'lease_lost', pid, at: sharedNow() });
      },
    },
  },
});
process.send?.('ready');
