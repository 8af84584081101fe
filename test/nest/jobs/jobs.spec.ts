import { BullModule, InjectQueue, Processor, WorkerHost } from '@nestjs/bullmq';
import type { Job, Queue } from 'bullmq';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import type { ModuleRef } from '@nestjs/core';
import {
  AllowIssuers,
  onBehalfOf,
  RequireSubject,
  ServiceAuth,
  ServiceAuthModule,
  ServiceCallContext,
} from 'nestjs-service-auth';
import { serviceMessage } from 'nestjs-service-auth/bullmq';
import { JOB_QUEUES, JobQueues } from '../../../lib/nest/jobs/job-queues.provider.js';
import { TurnableClock } from '../../support/clocks/turnable-clock.js';
import {
  HERALD,
  heraldKey,
  JobService,
  type JobServiceSetup,
  MAIL,
  strangersQueue,
  tokenOf,
  USER,
} from '../../support/jobs/job-services.js';
import { createKey } from '../../support/keys/keys.js';
import { setCoverageListener } from '../../support/observed/coverage-listener.js';
import { describeRedis, RedisServer } from '../../support/redis/redis-server.js';

const DATA = { to: 21, lines: ['Welcome', 'é'] };
const forUser = (data: unknown = DATA) => serviceMessage(data, onBehalfOf(USER));
const FAST = { lockDuration: 1500 };

describeRedis('ServiceJobsModule', () => {
  let redis: RedisServer;
  let stranger: Queue;
  const services: JobService[] = [];

  const start = async (setup: Omit<JobServiceSetup, 'port'> = {}): Promise<JobService> => {
    const process = setup.process ?? (() => 'done');
    const service = await JobService.start({ port: redis.port, worker: FAST, ...setup, process });
    services.push(service);
    return service;
  };

  // The first application of a process takes long to load.
  beforeAll(async () => {
    const first = await RedisServer.start();
    await (await JobService.start({ port: first.port })).close();
    await first.close();
  }, 120_000);

  beforeEach(async () => {
    redis = await RedisServer.start();
    stranger = strangersQueue(redis.port);
  });

  afterEach(async () => {
    for (const service of services.splice(0)) await service.close();
    await stranger.close();
    await redis.close();
  });

  /** Signs a job without handing it to the worker, as Redis would hold it. */
  const signedBy = async (service: JobService, name = 'welcome', opts: object = {}) => {
    await service.queue.pause();
    const job = await service.queue.add(name, forUser(), opts);
    const signed = { data: job.data as unknown, serviceAuth: tokenOf(job) };
    await job.remove();
    await service.queue.resume();
    return signed;
  };

  const addForeign = async (data: unknown, opts: object, name = 'welcome'): Promise<Job> =>
    await stranger.add(name, data, opts);

  it('does a signed job for its user, and keeps the token from the processor', async () => {
    let seen: unknown;
    const process = (job: Job): string => {
      seen = { ...job.opts };
      return 'done';
    };
    const service = await start({ process });
    const job = await service.queue.add('welcome', forUser());
    expect(await service.result(job)).toBe('done');
    expect(service.handled).toMatchObject([
      { name: 'welcome', data: DATA, identity: { subject: USER, issuer: MAIL, audience: MAIL } },
    ]);
    expect(seen).not.toHaveProperty('serviceAuth');
    expect(service.events.of('request_accepted')).toMatchObject([
      { transport: 'jobs', route: 'mail' },
    ]);
    expect(service.events.of('request_signed')).toMatchObject([{ transport: 'jobs' }]);
  });

  it('signs each job of addBulk()', async () => {
    const service = await start();
    const jobs = await service.queue.addBulk([
      { name: 'one', data: forUser(1) },
      { name: 'two', data: forUser(2) },
    ]);
    for (const job of jobs) expect(await service.result(job)).toBe('done');
    expect(new Set(service.handled.map(({ data }) => data))).toEqual(new Set([1, 2]));
  });

  it.each<[flaw: string, code: string, change: (signed: Signed) => Partial<Signed>]>([
    ['other data', 'body_mismatch', () => ({ data: { ...DATA, to: 22 } })],
    ['another name', 'request_mismatch', () => ({ name: 'delete' })],
    ['no token', 'token_missing', () => ({ serviceAuth: undefined })],
    ['a token that is no text', 'token_malformed', () => ({ serviceAuth: { JWT: 1 } })],
    [
      'two tokens in two spellings',
      'token_repeated',
      ({ serviceAuth }) => ({ serviceAuth: { ...serviceAuth, jwt: jwtOf(serviceAuth) } }),
    ],
    [
      'a list of tokens',
      'token_repeated',
      ({ serviceAuth }) => ({ serviceAuth: { JWT: [jwtOf(serviceAuth), jwtOf(serviceAuth)] } }),
    ],
    [
      'another spelling of the name',
      '',
      ({ serviceAuth }) => ({ serviceAuth: { jwt: jwtOf(serviceAuth) } }),
    ],
    ['nothing else', '', () => ({})],
  ])('JB-01 refuses a job with %s: %s', async (_flaw, code, change) => {
    const service = await start();
    const signed = { name: 'welcome', ...(await signedBy(service)) };
    const { name, data, serviceAuth } = { ...signed, ...change(signed) };
    const job = await addForeign(data, { serviceAuth, attempts: 5 }, name);
    const result = service.result(job);
    if (code === '') {
      expect(await result).toBe('done');
      return;
    }
    await expect(result).rejects.toThrow(code);
    expect(service.handled).toEqual([]);
    expect((await stranger.getJob(job.id ?? ''))?.attemptsMade).toBe(1);
    expect(service.events.of('request_refused')).toMatchObject([{ code, route: 'mail' }]);
  });

  it("JB-01 refuses another job's token", async () => {
    const service = await start();
    const one = await signedBy(service);
    await service.queue.pause();
    const job = await service.queue.add('welcome', forUser({ to: 22 }));
    await service.queue.resume();
    expect(await service.result(job)).toBe('done');
    const mixed = await addForeign({ to: 22 }, { serviceAuth: one.serviceAuth });
    await expect(service.result(mixed)).rejects.toThrow('body_mismatch');
  });

  it.each(['mail', 'other'])('takes the token of queue mail in queue %s', async (name) => {
    const sender = await start();
    const { data, serviceAuth } = await signedBy(sender);
    const service = name === 'mail' ? sender : await start({ name });
    const target = strangersQueue(redis.port, { name });
    const job = await target.add('welcome', data, { serviceAuth } as object);
    const result = service.result(job);
    if (name === 'mail') expect(await result).toBe('done');
    else await expect(result).rejects.toThrow('request_mismatch');
    await target.close();
  });

  it.each(['bull', 'apart'])('takes the token of prefix bull under %s', async (prefix) => {
    const sender = await start();
    const { data, serviceAuth } = await signedBy(sender);
    const service = prefix === 'bull' ? sender : await start({ prefix });
    const target = strangersQueue(redis.port, { prefix });
    const job = await target.add('welcome', data, { serviceAuth } as object);
    const result = service.result(job);
    if (prefix === 'bull') expect(await result).toBe('done');
    else await expect(result).rejects.toThrow('request_mismatch');
    await target.close();
  });

  it('JB-02 does a job once, however often it is queued', async () => {
    const service = await start();
    const { data, serviceAuth } = await signedBy(service);
    expect(await service.result(await addForeign(data, { serviceAuth }))).toBe('done');
    const again = await addForeign(data, { serviceAuth });
    expect(await service.result(again)).toEqual({ duplicate: true });
    expect(service.handled).toHaveLength(1);
    expect(service.events.of('duplicate_dropped')).toMatchObject([
      { transport: 'jobs', issuer: MAIL, route: 'mail' },
    ]);
  });

  it('JB-02 lets a delivery wait while another one of the same job runs, and burns no attempt', async () => {
    let end: (() => void) | undefined;
    const begun = new Promise<void>((begin) => {
      end = begin;
    });
    let finish: () => void = () => undefined;
    const service = await start({
      worker: { ...FAST, concurrency: 2 },
      process: async () => {
        end?.();
        await new Promise<void>((resolve) => (finish = resolve));
        return 'done';
      },
    });
    const { data, serviceAuth } = await signedBy(service);
    const first = await addForeign(data, { serviceAuth });
    await begun;
    const second = await addForeign(data, { serviceAuth });
    while (!(await second.isDelayed())) await service.events.reach(1);
    finish();
    expect(await service.result(first)).toBe('done');
    expect(await service.result(second)).toEqual({ duplicate: true });
    expect((await stranger.getJob(second.id ?? ''))?.attemptsMade).toBe(1);
  });

  it('JB-03 runs a job again that failed, with the same token, until it succeeds', async () => {
    const service = await start({
      process: ({ attemptsMade }) => {
        if (attemptsMade < 5) throw new Error('not yet');
        return attemptsMade;
      },
    });
    const backoff = { type: 'exponential', delay: 10 };
    const job = await service.queue.add('welcome', forUser(), { attempts: 6, backoff });
    expect(await service.result(job)).toBe(5);
    expect(service.handled.map(({ identity }) => identity?.subject)).toEqual(Array(6).fill(USER));
  });

  it.each([0, 3600])(
    'JB-04 does a job delayed by an hour when %d s have passed',
    async (seconds) => {
      const clock = new TurnableClock();
      const service = await start({ options: { now: clock.now } });
      const job = await service.queue.add('welcome', forUser(), { delay: 3_600_000 });
      clock.turnBy(seconds);
      const refused = service.events.next('request_refused');
      await job.promote();
      if (seconds === 0) {
        expect(await refused).toMatchObject({ code: 'token_not_yet_valid' });
        expect(service.handled).toEqual([]);
        clock.turnBy(3600);
      }
      expect(await service.result(job)).toBe('done');
    },
  );

  it.each<[seconds: number, lifetime: object, isGood: boolean]>([
    [3540, {}, true],
    [3610, {}, false],
    [3610, { serviceAuth: { lifetimeSeconds: 7200 } }, true],
  ])('JB-04 does a job after %d s with %j: %p', async (seconds, opts, isGood) => {
    const clock = new TurnableClock();
    const options = { now: clock.now, maxMessageLifetimeSeconds: 7200 };
    const service = await start({ options });
    await service.queue.pause();
    const job = await service.queue.add('welcome', forUser(), opts);
    clock.turnBy(seconds);
    await service.queue.resume();
    const result = service.result(job);
    if (isGood) expect(await result).toBe('done');
    else await expect(result).rejects.toThrow('token_expired');
  });

  it.each(['refuse', 'act-as-itself'] as const)(
    'JB-05 does the jobs of schedulers: %s',
    async (schedulers) => {
      const service = await start({ worker: { ...FAST, schedulers } });
      const decided = service.events.reach(1);
      const job = await service.queue.upsertJobScheduler(
        'nightly',
        { every: 3_600_000 },
        { name: 'clean', data: DATA },
      );
      await decided;
      if (schedulers === 'refuse') {
        expect(service.events.decisions).toMatchObject([{ code: 'token_missing' }]);
        expect(service.handled).toEqual([]);
      } else {
        expect(await service.result(job)).toBe('done');
        expect(service.handled).toEqual([{ name: 'clean', data: DATA, identity: undefined }]);
      }
      // A job that no scheduler made needs a token all the same.
      for (const opts of [{}, { repeat: { every: 3_600_000 } }]) {
        const unsigned = await addForeign(DATA, opts);
        await expect(service.result(unsigned)).rejects.toThrow('token_missing');
      }
    },
  );

  it('JB-05 signs a job with the old option repeat, of which BullMQ makes no scheduler', async () => {
    const service = await start({ worker: { ...FAST, schedulers: 'act-as-itself' } });
    const opts = { repeat: { every: 3_600_000 } } as object;
    expect(await service.result(await service.queue.add('send', forUser(), opts))).toBe('done');
    expect(service.handled).toMatchObject([{ identity: { subject: USER } }]);
  });

  it('JB-05 puts no user into the template of a scheduler', async () => {
    const service = await start();
    const every = { every: 3_600_000 };
    const upsert = async (data: unknown) =>
      await service.queue.upsertJobScheduler('nightly', every, { name: 'clean', data });
    await expect(upsert(forUser())).rejects.toThrow(/runActingAsItself/);
    const context = service.app.get(ServiceCallContext, { strict: false });
    await expect(context.runOnBehalfOf(USER, () => upsert(DATA))).rejects.toMatchObject({
      code: 'message_unsignable',
    });
    await context.runActingAsItself(() => upsert(DATA));
  });

  it.each(['shared', 'over', 'outside'])(
    'JB-05 makes no scheduler for the service itself where a user is lost: %s',
    async (where) => {
      const service = await start({ options: { subjectPropagation: 'ambient' } });
      const context = service.app.get(ServiceCallContext, { strict: false });
      const upsert = async (): Promise<unknown> =>
        await service.queue.upsertJobScheduler('nightly', { every: 3_600_000 }, { data: DATA });
      const ended = {
        verification: { verifier: {}, isReport: false, previous: undefined },
        endedAt: 0,
      };
      const run = {
        shared: async () => await context.runShared(upsert),
        over: async () => await context.runForRequest(ended, upsert),
        outside: upsert,
      }[where] as () => Promise<unknown>;
      if (where === 'outside') await run();
      else await expect(run()).rejects.toMatchObject({ code: 'subject_undecided' });
      expect(await service.queue.getJobSchedulersCount()).toBe(where === 'outside' ? 1 : 0);
    },
  );

  it('signs the jobs of a flow, each for itself', async () => {
    const service = await start({ options: { maxMessageLifetimeSeconds: 7200 } });
    const context = service.app.get(ServiceCallContext, { strict: false });
    const { job } = await context.runOnBehalfOf(USER, () =>
      service.flows.add({
        name: 'report',
        queueName: 'mail',
        data: { id: 1 },
        opts: { serviceAuth: { lifetimeSeconds: 7200 } } as object,
        children: [{ name: 'page', queueName: 'mail', data: { page: 1 } }],
      }),
    );
    const parent = await service.queue.getJob(job.id ?? '');
    expect(await service.result(parent as Job)).toBe('done');
    const seconds = service.handled.map(({ identity }) => {
      const { expiresAtSeconds = 0, issuedAtSeconds = 0 } = identity ?? {};
      return expiresAtSeconds - issuedAtSeconds;
    });
    expect(service.handled.map(({ name }) => name)).toEqual(['page', 'report']);
    expect(seconds).toEqual([3600, 7200]);
  });

  it.each([undefined, {}])(
    'JB-08 keeps the user that a flow names, with a second forQueues(): %j',
    async (again) => {
      const service = await start({ again });
      const flow = { name: 'report', queueName: 'mail', data: forUser() };
      const { job } = await service.flows.add(flow);
      expect(await service.result((await service.queue.getJob(job.id ?? '')) as Job)).toBe('done');
      expect(service.handled).toMatchObject([{ data: DATA, identity: { subject: USER } }]);
    },
  );

  it.each([
    [{ queue: 'mail' }, ''],
    [{ queue: 'mail', lifetimeSeconds: 60 }, 'queues[0].queue: name it once'],
  ])('JB-08 starts only where a second forQueues() says the same: %j', async (options, problem) => {
    const { app } = await start();
    const get = (token: unknown, terms: object): unknown =>
      token === JOB_QUEUES ? [options] : app.get(token as string, terms);
    const [serviceAuth, context] = [ServiceAuth, ServiceCallContext].map((type) =>
      app.get<unknown>(type, { strict: false }),
    ) as [ServiceAuth, ServiceCallContext];
    const second = new JobQueues(serviceAuth, context, { get } as unknown as ModuleRef);
    if (problem === '') expect(() => second.onModuleInit()).not.toThrow();
    else expect(() => second.onModuleInit()).toThrow(problem);
  });

  it('JB-09 signs what a module deep below queues in its onModuleInit', async () => {
    const queued: Job[] = [];
    @Injectable()
    class EarlySender implements OnModuleInit {
      constructor(@InjectQueue('mail') private readonly mail: Queue) {}
      async onModuleInit(): Promise<void> {
        queued.push(await this.mail.add('welcome', DATA));
      }
    }
    @Module({ imports: [BullModule.registerQueue({ name: 'mail' })], providers: [EarlySender] })
    class FeatureModule {}
    @Module({ imports: [FeatureModule] })
    class AreaModule {}
    const options = { subjectOutsideRequest: 'act-as-itself' } as const;
    const service = await start({ options, imports: [AreaModule] });
    const [job] = queued;
    if (!job) throw new Error('queued nothing');
    expect(tokenOf(job)).toMatchObject({ JWT: expect.any(String) as string });
    expect(await service.result(job)).toBe('done');
  });

  it('lets a processor change no data that is signed', async () => {
    const service = await start({ process: async (job) => await job.updateData({ to: 22 }) });
    const job = await service.queue.add('welcome', forUser());
    await expect(service.result(job)).rejects.toThrow(/updateProgress/);
  });

  it.each([
    [AllowIssuers(MAIL), ''],
    [AllowIssuers(HERALD), 'issuer_not_allowed'],
  ])('applies the decorators of the class: %#', async (decorator, code) => {
    const service = await start({ decorators: [decorator] });
    const job = await service.queue.add('welcome', forUser());
    const result = service.result(job);
    if (code === '') expect(await result).toBe('done');
    else await expect(result).rejects.toThrow(code);
  });

  it('asks for a user where the class does', async () => {
    const service = await start({ decorators: [RequireSubject()] });
    const context = service.app.get(ServiceCallContext, { strict: false });
    const own = await context.runActingAsItself(() => service.queue.add('welcome', DATA));
    await expect(service.result(own)).rejects.toThrow('subject_missing');
    expect(await service.result(await service.queue.add('welcome', forUser()))).toBe('done');
  });

  it.each(['report', 'enforce'] as const)(
    'JB-07 serves an unsigned job: %s',
    async (enforcement) => {
      const reportUntil = new Date(Date.now() + 86_400_000);
      const service = await start({ options: { enforcement, reportUntil } });
      const result = service.result(await addForeign(DATA, {}));
      if (enforcement === 'enforce') {
        await expect(result).rejects.toThrow('token_missing');
        return;
      }
      expect(await result).toBe('done');
      expect(service.handled).toEqual([{ name: 'welcome', data: DATA, identity: undefined }]);
      expect(service.events.of('request_would_be_refused')).toMatchObject([
        { code: 'token_missing', route: 'mail' },
      ]);
    },
  );

  it.each([true, false])(
    'finds a processor without a guard that a factory has made: %p',
    async (isGuarded) => {
      @Processor('mail')
      class OpenProcessor extends WorkerHost {
        async process(): Promise<string> {
          return await Promise.resolve('done');
        }
      }
      const made = isGuarded ? {} : new OpenProcessor();
      const providers = [{ provide: 'made', useFactory: () => made }];
      let table: readonly { handler: string; verdict: string }[] = [];
      setCoverageListener((handlers) => (table = handlers as typeof table));
      await start({ providers });
      setCoverageListener(undefined);
      const open = table.filter(({ verdict }) => verdict === 'open');
      const wanted = isGuarded ? [] : ['OpenProcessor.process() [job]'];
      expect(open.map(({ handler }) => handler)).toEqual(wanted);
    },
  );

  it.each([true, false])(
    'lets no other service of the application act for itself in a job: %p',
    async (isInJob) => {
      const archive = ServiceAuthModule.forRoot({
        issuer: 'https://archive.service/',
        signingKey: { privateKey: createKey().privatePem },
        trustDomain: 'census.example',
        originate: { subjects: ['https://census.service/user/'] },
        subjectOutsideRequest: 'act-as-itself',
        isGlobal: false,
      });
      const contexts: ServiceCallContext[] = [];
      class ArchiveModule {}
      const noted = {
        provide: 'noted',
        inject: [ServiceCallContext],
        useFactory: (context: ServiceCallContext) => contexts.push(context),
      };
      Module({ imports: [archive], providers: [noted] })(ArchiveModule);
      const seen: unknown[] = [];
      const act = (): void => {
        for (const context of contexts) {
          seen.push(context.current());
          context.runOnBehalfOf(USER, () => seen.push('vouched'), { originate: true });
        }
      };
      const process = isInJob ? act : () => 'done';
      const service = await start({ imports: [ArchiveModule], process });
      const job = await service.queue.add('welcome', forUser());
      const result = service.result(job);
      if (isInJob) await expect(result).rejects.toThrow(/came from another service/);
      else await result.then(act);
      expect(seen).toEqual(isInJob ? [undefined] : [{ subject: undefined }, 'vouched']);
    },
  );

  it('does a job of another service that it trusts', async () => {
    const service = await start();
    const herald = await JobService.start({
      port: redis.port,
      options: {
        issuer: HERALD,
        signingKey: { privateKey: heraldKey.privatePem },
        trustedIssuers: undefined,
      },
      queue: { audience: MAIL },
    });
    services.push(herald);
    expect(await service.result(await herald.queue.add('welcome', forUser()))).toBe('done');
    expect(service.handled[0]?.identity).toMatchObject({ issuer: HERALD, subject: USER });
  });
});

const jwtOf = (serviceAuth: object | undefined): unknown => Reflect.get({ ...serviceAuth }, 'JWT');

interface Signed {
  readonly name: string;
  readonly data: unknown;
  readonly serviceAuth: object | undefined;
}
