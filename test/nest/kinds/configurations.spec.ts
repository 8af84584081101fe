import { Controller, Injectable, Module, Scope, UseGuards } from '@nestjs/common';
import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { NestFactory } from '@nestjs/core';
import { Ctx, MessagePattern, type MicroserviceOptions } from '@nestjs/microservices';
import { type Job, type Queue, QueueEvents } from 'bullmq';
import {
  onBehalfOf,
  RequireSubjectProof,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { ServiceJobsModule, ServiceProcessor, ServiceWorkerHost } from 'nestjs-service-auth/bullmq';
import { serviceMessage, ServiceMessagesModule } from 'nestjs-service-auth/microservices';
import { ALICE, DOMAIN, grantFor, originators } from '../../for-whom/granting-edge.js';
import {
  HERALD,
  heraldKey,
  JobService,
  MAIL,
  mailKey,
  strangersQueue,
} from '../../support/jobs/job-services.js';
import { jwkOf, serveKeys, serveText, startKeyServer } from '../../support/keys/key-server.js';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import * as messaging from '../../support/messages/messaging-services.js';
import { describeRedis, RedisServer } from '../../support/redis/redis-server.js';

const { acknowledge, CENSUS, censusKey, CensusService, HeraldService } = messaging;
const proof = { mode: 'required', withoutSubject: 'refused' } as const;
const NEST = { logger: false, abortOnError: false } as const;

@Controller({ scope: Scope.REQUEST })
@UseGuards(ServiceJwtGuard)
class ScopedController {
  private calls = 0;

  @MessagePattern('scoped.get')
  get(@ServiceCaller() { issuer, subject }: ServiceIdentity, @Ctx() context: object) {
    acknowledge(context);
    this.calls += 1;
    return { calls: this.calls, issuer, subject };
  }

  @MessagePattern('proved.get')
  @RequireSubjectProof()
  proved(@ServiceCaller() { grant }: ServiceIdentity, @Ctx() context: object) {
    acknowledge(context);
    return grant?.originator;
  }
}

const codeOf = (error: unknown): unknown => {
  const { code, message } = error as { code?: unknown; message: string };
  return /answered (\w+)/.exec(message)?.[1] ?? code;
};

describe.each(
  INSTALLED_TRANSPORTS.filter(({ name }) => ['TCP', 'RabbitMQ', 'NATS'].includes(name)),
)('messages over $name', (transport) => {
  let place: MeetingPlace;
  beforeAll(async () => void (place = await transport.start()), 300_000);
  afterAll(async () => await place?.close());

  it('a service of a factory, and a controller for each message: signed and not', async () => {
    const auth = ServiceAuthModule.forRootAsync({
      useFactory: async () =>
        await Promise.resolve({
          issuer: CENSUS,
          signingKey: { privateKey: censusKey.privatePem },
          trustedIssuers: [{ issuer: HERALD, publicKey: messaging.heraldKey.publicPem }],
        }),
    });
    class AsyncModule {}
    Module({ imports: [auth, ServiceMessagesModule], controllers: [ScopedController] })(
      AsyncModule,
    );
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(AsyncModule, {
      ...place.server('factory'),
      ...NEST,
    });
    await app.listen();
    const sender = { place, queue: 'factory' };
    const herald = await HeraldService.start(sender);
    const mistaken = await HeraldService.start(sender, { audience: 'https://another.service/' });
    const message = serviceMessage({}, onBehalfOf(ALICE));
    for (let count = 0; count < 2; count++) {
      const answer = { calls: 1, issuer: HERALD, subject: ALICE };
      expect(await herald.ask('scoped.get', message)).toEqual(answer);
    }
    expect(await mistaken.ask('scoped.get', message).catch(codeOf)).toBe('audience_mismatch');
    for (const each of [mistaken, herald, app]) await each.close();
  }, 60_000);

  it('a proof that the user asked: what is not there is neither sent nor taken', async () => {
    const census = await CensusService.start({
      place,
      queue: 'proofs',
      controllers: [ScopedController],
      options: {
        trustDomain: DOMAIN,
        originators,
        trustedIssuers: [
          { issuer: HERALD, publicKey: messaging.heraldKey.publicPem, subjectProof: proof },
        ],
      },
    });
    const sender = { place, queue: 'proofs', options: { trustDomain: DOMAIN } };
    const strict = await HeraldService.start(sender, { grants: 'required' });
    const lax = await HeraldService.start(sender, { grants: 'never' });
    const ask = async (herald: messaging.HeraldService, grant?: string) => {
      const context = herald.app.get(ServiceCallContext, { strict: false });
      const options = grant === undefined ? {} : { grant };
      return await context
        .runOnBehalfOf(ALICE, async () => await herald.ask('proved.get', {}), options)
        .catch(codeOf);
    };
    expect(await ask(strict, grantFor(ALICE))).toBe('https://login.service/');
    expect(await ask(strict)).toBe('grant_unusable');
    expect(await ask(lax, grantFor(ALICE))).toBe('grant_missing');
    for (const each of [lax, strict, census]) await each.close();
  }, 60_000);
});

describeRedis('jobs', () => {
  let redis: RedisServer;
  beforeEach(async () => void (redis = await RedisServer.start()));
  afterEach(async () => await redis.close());

  const heraldOptions = {
    issuer: HERALD,
    signingKey: { privateKey: heraldKey.privatePem },
    trustedIssuers: undefined,
  };
  const startHerald = async (queue: object = {}, options: object = {}): Promise<JobService> =>
    await JobService.start({
      port: redis.port,
      options: { ...heraldOptions, ...options },
      queue: { audience: MAIL, ...queue },
    });

  it('wait while the keys of their issuer are out of reach, and burn no attempt', async () => {
    const keys = await startKeyServer(serveText(503, 'down'));
    let nowMilliseconds = Date.now();
    const now = () => nowMilliseconds;
    const worker = await JobService.start({
      port: redis.port,
      process: () => 'done',
      worker: { lockDuration: 1500 },
      options: {
        trustedIssuers: [{ issuer: HERALD, jwksUri: keys.url }],
        allowInsecureKeyUrls: true,
        now,
      },
    });
    const herald = await startHerald();
    const job = await herald.queue.add('welcome', serviceMessage({}, onBehalfOf(ALICE)));
    const refused = await worker.events.next('request_refused');
    expect(refused).toMatchObject({ code: 'key_unavailable', status: 503, route: 'mail' });
    await worker.events.next('request_refused');
    expect(worker.handled).toEqual([]);
    keys.respond = serveKeys([jwkOf(heraldKey)]);
    nowMilliseconds += 31_000;
    expect(await herald.result(job)).toBe('done');
    const stranger = strangersQueue(redis.port);
    expect((await stranger.getJob(job.id ?? ''))?.attemptsMade).toBe(1);
    for (const each of [stranger, herald, worker, keys]) await each.close();
  }, 60_000);

  it('a proof that the user asked: what is not there is neither queued nor done', async () => {
    const worker = await JobService.start({
      port: redis.port,
      process: (_job, identity) => identity?.grant?.originator,
      decorators: [RequireSubjectProof()],
      options: {
        trustDomain: DOMAIN,
        originators,
        trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem, subjectProof: proof }],
      },
    });
    const options = { trustDomain: DOMAIN };
    const strict = await startHerald({ grants: 'required' }, options);
    const lax = await startHerald({ grants: 'never' }, options);
    const run = async (herald: JobService, grant?: string): Promise<unknown> => {
      const context = herald.app.get(ServiceCallContext, { strict: false });
      const given = grant === undefined ? {} : { grant };
      const add = async () => await herald.queue.add('welcome', {});
      try {
        return await herald.result(await context.runOnBehalfOf(ALICE, add, given));
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        return code ?? message.split(':')[0];
      }
    };
    expect(await run(strict, grantFor(ALICE))).toBe('https://login.service/');
    expect(await run(strict)).toBe('grant_unusable');
    expect(await run(lax, grantFor(ALICE))).toBe('grant_missing');
    for (const each of [lax, strict, worker]) await each.close();
  }, 60_000);

  it('a service of a factory, and a processor for each job: signed and not', async () => {
    @Injectable({ scope: Scope.REQUEST })
    @ServiceProcessor({ name: 'mail', scope: Scope.REQUEST })
    class ScopedProcessor extends ServiceWorkerHost {
      private jobs = 0;
      async process(_job: Job, { subject }: ServiceIdentity) {
        this.jobs += 1;
        return await Promise.resolve({ jobs: this.jobs, subject });
      }
    }
    const connection = { host: '127.0.0.1', port: redis.port };
    const auth = ServiceAuthModule.forRootAsync({
      useFactory: () => ({
        issuer: MAIL,
        signingKey: { privateKey: mailKey.privatePem },
        trustedIssuers: [
          { issuer: MAIL, publicKey: mailKey.publicPem, transports: ['jobs' as const] },
        ],
      }),
    });
    class MailModule {}
    Module({
      imports: [
        auth,
        BullModule.forRoot({ connection }),
        BullModule.registerQueue({ name: 'mail' }),
        ServiceJobsModule.forQueues([{ queue: 'mail' }]),
      ],
      providers: [ScopedProcessor],
    })(MailModule);
    const app = await NestFactory.createApplicationContext(MailModule, NEST);
    const events = new QueueEvents('mail', { connection, lastEventId: '0-0' });
    const queue = app.get<Queue>(getQueueToken('mail'), { strict: false });
    for (let count = 0; count < 2; count++) {
      const job = await queue.add('welcome', serviceMessage({}, onBehalfOf(ALICE)));
      expect(await job.waitUntilFinished(events)).toEqual({ jobs: 1, subject: ALICE });
    }
    const stranger = strangersQueue(redis.port);
    const unsigned = await stranger.add('welcome', {});
    await expect(unsigned.waitUntilFinished(events)).rejects.toThrow('token_missing');
    await events.close();
    for (const each of [stranger, app]) await each.close();
  }, 60_000);
});
