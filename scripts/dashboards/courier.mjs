// Courier queues jobs for itself and does them, with a Redis of its own: deliveries that come again, and one that is lost.
import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { Queue, QueueEvents } from 'bullmq';
import { actingAsItself } from 'nestjs-service-auth';
import {
  serviceMessage,
  ServiceJobsModule,
  ServiceProcessor,
  ServiceWorkerHost,
} from 'nestjs-service-auth/bullmq';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { setTimeout as wait } from 'node:timers/promises';
import { newKey, startService } from './services.mjs';

/** @typedef {import('./load.mjs').Kind} Kind */

const COURIER = 'https://courier.service/';
const WORK_MILLISECONDS = 300;

/** @param {string} name @param {import('ioredis').Redis} redis */
function processorOf(name, redis) {
  class MailProcessor extends ServiceWorkerHost {
    /** @param {import('bullmq').Job<{ loses: boolean }>} job */
    async process({ data: { loses } }) {
      await wait(WORK_MILLISECONDS);
      const held = loses ? await redis.keys(`used:${name}:*`) : [];
      if (held.length > 0) await redis.del(held);
      return 'done';
    }
  }
  ServiceProcessor(name, { concurrency: 50 })(MailProcessor);
  return MailProcessor;
}

/**
 * @param {'careful' | 'forgetful'} name of its queue: the store of the forgetful one loses its reservations
 * @param {import('./exporters.mjs').Exporter} exporter
 * @param {import('ioredis').Redis} redis
 */
export async function startCourier(name, exporter, redis) {
  const { privateKey, publicKey } = newKey();
  const { host, port } = redis.options;
  const connection = { host, port };
  const service = await startService(exporter, {
    options: {
      issuer: COURIER,
      signingKey: { privateKey },
      trustedIssuers: [{ issuer: COURIER, publicKey, transports: ['jobs'] }],
      replayStore: new RedisReplayStore({ client: redis, keyPrefix: `used:${name}:` }),
    },
    adapter: 'express',
    imports: [
      BullModule.forRoot({ connection }),
      BullModule.registerQueue({ name: name }),
      ServiceJobsModule.forQueues([{ queue: name }]),
    ],
    providers: [processorOf(name, redis)],
  });
  /** @type {Queue} */
  const queue = service.app.get(getQueueToken(name), { strict: false });
  const stranger = new Queue(name, { connection });
  const ends = new QueueEvents(name, { connection });
  await ends.waitUntilReady();

  queue.setMaxListeners(0);
  stranger.setMaxListeners(0);

  /** @param {boolean} loses */
  const add = async (loses) =>
    await queue.add('mail', serviceMessage({ loses, at: Math.random() }, actingAsItself()));
  /** @param {import('bullmq').Job} job */
  const endOf = async (job) => {
    const result = /** @type {unknown} */ (await job.waitUntilFinished(ends));
    return typeof result === 'string' ? result : JSON.stringify(result);
  };
  const queuedTwice = async () => {
    const job = await add(false);
    const stored = await stranger.getJob(job.id ?? '');
    // Its options hold the token.
    const again = await stranger.add('mail', stored?.data, { ...stored?.opts, jobId: undefined });
    return [await endOf(job), await endOf(again)].join(' ');
  };
  /** @satisfies {Record<string, Kind>} */
  const kinds = {
    careful: ['a job that is queued twice', 'done {"duplicate":true}', queuedTwice],
    forgetful: [
      'a job whose reservation is lost',
      'done',
      async () => await endOf(await add(true)),
    ],
  };
  const close = async () => {
    await ends.close();
    await stranger.close();
    await service.close();
  };
  return { metricsPort: service.metricsPort, kind: kinds[name], close };
}
