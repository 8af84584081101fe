import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type Job, Queue, QueueEvents } from 'bullmq';
import type { ServiceIdentity } from 'nestjs-service-auth';
import { ServiceJobsModule, ServiceProcessor, ServiceWorkerHost } from 'nestjs-service-auth/bullmq';
import {
  type Flaw,
  MESSAGE_FLAWS,
  ServiceAuthTesting,
  type TestCaller,
  type TestJob,
} from 'nestjs-service-auth/testing';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import { startService } from '../support/services/service.js';

const MAIL = 'https://mail.service/';
const USER = 'https://census.service/user/21/';
/** A job that is not yet valid comes again until it is. */
const flaws = (Object.entries(MESSAGE_FLAWS) as [Flaw, string][]).filter(
  ([flaw]) => flaw !== 'not-yet-valid',
);

describe('messages of the kit', () => {
  it('does not sign before there is an application', async () => {
    const caller = new ServiceAuthTesting().actingAsItself();
    const signed = caller.messageHeadersFor('SEND', 'user.get', {});
    await expect(signed).rejects.toThrow('No application under test was made yet');
  });

  it.each(['replayed', 'tampered-method', 'tampered-content-type'] as const)(
    'knows that %s is no flaw of a message',
    async (flaw) => {
      const auth = new ServiceAuthTesting();
      const service = await startService({ adapter: 'express', imports: [auth.module()] });
      const caller = auth.actingAsItself();
      const flawed = caller.but(flaw).messageHeadersFor('EMIT', 'user.changed', { id: 1 });
      await expect(flawed).rejects.toThrow(`'${flaw}' is no flaw of a message`);
      const good = await caller.messageHeadersFor('EMIT', 'user.changed', { id: 1 });
      expect(Object.keys(good)).toEqual(['JWT']);
      await service.close();
    },
  );

  it('refuses data that JSON does not hold', async () => {
    const auth = new ServiceAuthTesting();
    const service = await startService({ adapter: 'express', imports: [auth.module()] });
    const signed = auth.actingAsItself().messageHeadersFor('SEND', 'user.get', { id: 1n });
    await expect(signed).rejects.toMatchObject({ code: 'message_unsignable' });
    await service.close();
  });
});

describeRedis('jobs of the kit', () => {
  const auth = new ServiceAuthTesting();
  const done: object[] = [];
  let redis: RedisServer;
  let queue: Queue;
  let events: QueueEvents;
  let close: () => Promise<void>;

  beforeAll(async () => {
    redis = await RedisServer.start();
    const connection = { host: '127.0.0.1', port: redis.port };

    @ServiceProcessor('mail')
    class MailProcessor extends ServiceWorkerHost {
      async process({ name, data }: Job, { issuer, subject }: ServiceIdentity) {
        done.push({ name, data: data as unknown, issuer, subject });
        return await Promise.resolve('done');
      }
    }
    const trustedIssuers = [{ issuer: MAIL, transports: ['jobs'] as const }];
    @Module({
      imports: [
        auth.module({ issuer: MAIL, trustedIssuers, targets: [] }),
        BullModule.forRoot({ connection }),
        BullModule.registerQueue({ name: 'mail' }),
        ServiceJobsModule.forQueues([{ queue: 'mail' }]),
      ],
      providers: [MailProcessor],
    })
    class MailModule {}

    const app = await NestFactory.createApplicationContext(MailModule, { logger: false });
    queue = new Queue('mail', { connection });
    events = new QueueEvents('mail', { connection });
    await events.waitUntilReady();
    close = async () => {
      await events.close();
      await queue.close();
      await app.close();
      await redis.close();
    };
  });
  beforeEach(() => done.splice(0));
  afterAll(async () => await close());

  async function run(caller: TestCaller, more: Partial<TestJob> = {}): Promise<unknown> {
    const data = { id: 42 };
    const options = await caller.jobOptionsFor({ queue: 'mail', name: 'welcome', data, ...more });
    const job = await queue.add('welcome', data, options);
    return await job.waitUntilFinished(events);
  }
  const mail = auth.actingAs(USER);

  it('does a signed job for its user', async () => {
    expect(await run(mail)).toBe('done');
    expect(await run(auth.actingAsItself())).toBe('done');
    const job = { name: 'welcome', data: { id: 42 }, issuer: MAIL };
    expect(done).toEqual([
      { ...job, subject: USER },
      { ...job, subject: undefined },
    ]);
  });

  it.each(flaws)('refuses a job: %s', async (flaw, code) => {
    await expect(run(mail.but(flaw))).rejects.toThrow(code);
    expect(done).toEqual([]);
    expect(await run(mail)).toBe('done');
  });

  it('binds queue, name and prefix', async () => {
    for (const more of [{ queue: 'other' }, { name: 'other' }, { prefix: 'other' }]) {
      await expect(run(mail, more)).rejects.toThrow('request_mismatch');
    }
    expect(done).toEqual([]);
  });
});
