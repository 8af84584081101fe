import { BullModule, getFlowProducerToken, getQueueToken } from '@nestjs/bullmq';
import { HttpService } from '@nestjs/axios';
import {
  type INestApplicationContext,
  Injectable,
  Module,
  type ModuleMetadata,
  type Provider,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type FlowProducer, type Job, Queue, QueueEvents } from 'bullmq';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  type ServiceIdentity,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import {
  type JobQueueOptions,
  ServiceJobsModule,
  ServiceProcessor,
  type ServiceProcessorOptions,
  ServiceWorkerHost,
} from 'nestjs-service-auth/bullmq';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { Redis } from 'ioredis';
import { lastValueFrom } from 'rxjs';
import { createKey } from '../keys/keys.js';
import { ObservedEvents } from '../observed/observed-events.js';

export const MAIL = 'https://mail.service/';
export const HERALD = 'https://herald.service/';
export const USER = 'https://census.service/user/21/';
export const mailKey = createKey();
export const heraldKey = createKey();

const logger = process.env['TEST_LOGS'] ? undefined : (false as const);

/** What a processor was called with. */
export interface Handled {
  readonly name: string;
  readonly data: unknown;
  readonly identity: ServiceIdentity | undefined;
}

/** How a service that queues or does jobs is made. */
export interface JobServiceSetup {
  readonly port: number;
  /** Its options of ServiceAuthModule, over those of the mail service. */
  readonly options?: Partial<ServiceAuthModuleOptions>;
  /** Of the queue `mail`, over its defaults. */
  readonly queue?: Partial<JobQueueOptions>;
  /** The name of its queue. Default `mail`. */
  readonly name?: string;
  /** The prefix of its keys in Redis. Default `bull`. */
  readonly prefix?: string;
  /** What its processors do; none: it only queues. */
  readonly process?: (job: Job, identity: ServiceIdentity | undefined) => unknown;
  readonly worker?: ServiceProcessorOptions;
  /** Stand on the class of the processor. */
  readonly decorators?: readonly ClassDecorator[];
  /** In a second `forQueues()`, what it says of the queue. */
  readonly again?: Partial<JobQueueOptions>;
  /** More imports of its module. */
  readonly imports?: NonNullable<ModuleMetadata['imports']>;
  /** More providers of its module. */
  readonly providers?: readonly Provider[];
  /** Whether the processor calls services with the `HttpService` that signs. */
  readonly calls?: boolean;
}

/** The service `mail`: it queues jobs for itself, and does them. */
export class JobService {
  readonly handled: Handled[];
  private queueEvents: QueueEvents | undefined;

  private constructor(
    readonly app: INestApplicationContext,
    readonly events: ObservedEvents,
    private readonly setup: JobServiceSetup & { handled: Handled[]; redis: Redis },
  ) {
    this.handled = setup.handled;
  }

  static async start(setup: JobServiceSetup): Promise<JobService> {
    const events = new ObservedEvents();
    const handled: Handled[] = [];
    const redis = new Redis({ host: '127.0.0.1', port: setup.port });
    const itself = { issuer: MAIL, publicKey: mailKey.publicPem, transports: ['jobs'] } as const;
    const auth = ServiceAuthModule.forRoot({
      issuer: MAIL,
      signingKey: { privateKey: mailKey.privatePem },
      trustedIssuers: [itself, { issuer: HERALD, publicKey: heraldKey.publicPem }],
      observer: events,
      // The memory of a process is refused for tokens that live longer than an hour.
      replayStore: new RedisReplayStore({ client: redis }),
      ...setup.options,
    });
    const { prefix, port, name = 'mail' } = setup;
    const bull = [
      BullModule.forRoot({ connection: { host: '127.0.0.1', port }, prefix }),
      BullModule.registerQueue({ name }),
      BullModule.registerFlowProducer({ name: 'flows' }),
    ];
    const jobs = [ServiceJobsModule.forQueues([{ queue: name, ...setup.queue }])];
    const another = [{ queue: name, ...setup.again }];
    if (setup.again) jobs.push(ServiceJobsModule.forQueues(another, [class OtherModule {}]));
    const module = class {};
    Module({
      imports: [
        auth,
        ...bull,
        ...jobs,
        ...(setup.calls ? [ServiceHttpModule.register()] : []),
        ...(setup.imports ?? []),
      ],
      providers: [
        ...(setup.process ? [processorOf(setup, handled)] : []),
        ...(setup.providers ?? []),
      ],
    })(module);
    const app = await NestFactory.createApplicationContext(module, { logger, abortOnError: false });
    app.enableShutdownHooks([]);
    return new JobService(app, events, { ...setup, handled, redis });
  }

  get queue(): Queue {
    return this.app.get<Queue>(getQueueToken(this.setup.name ?? 'mail'), { strict: false });
  }

  get flows(): FlowProducer {
    return this.app.get<FlowProducer>(getFlowProducerToken('flows'), { strict: false });
  }

  /** Resolves with the result of a job, fails with its error. */
  async result(job: Job): Promise<unknown> {
    const { port, prefix, name = 'mail' } = this.setup;
    this.queueEvents ??= new QueueEvents(name, {
      connection: { host: '127.0.0.1', port },
      prefix: prefix ?? 'bull',
      // From the first event on: a job may end before the stream is read.
      lastEventId: '0-0',
    });
    await this.queueEvents.waitUntilReady();
    return (await job.waitUntilFinished(this.queueEvents)) as unknown;
  }

  async close(): Promise<void> {
    await this.queueEvents?.close();
    await this.app.close();
    this.setup.redis.disconnect();
  }
}

function processorOf(
  { process, worker, name = 'mail', decorators = [] }: JobServiceSetup,
  handled: Handled[],
) {
  class MailProcessor extends ServiceWorkerHost {
    async process(job: Job, identity: ServiceIdentity | undefined): Promise<unknown> {
      handled.push({ name: job.name, data: job.data, identity });
      return await process?.(job, identity);
    }
  }
  for (const decorate of decorators) decorate(MailProcessor);
  ServiceProcessor(name, worker)(MailProcessor);
  Injectable()(MailProcessor);
  return MailProcessor as Type;
}

/** A queue as somebody has it who can write to Redis, and nothing of this library. */
export function strangersQueue(port: number, { name = 'mail', prefix = 'bull' } = {}): Queue {
  return new Queue(name, { connection: { host: '127.0.0.1', port }, prefix });
}

/** What a job in Redis is signed with. */
export function tokenOf(job: Job): object {
  return Reflect.get(job.opts, 'serviceAuth') as object;
}

/** Calls a URL with the client that signs. */
export async function call(service: JobService, url: string): Promise<void> {
  await lastValueFrom(service.app.get(HttpService, { strict: false }).get(url));
}
