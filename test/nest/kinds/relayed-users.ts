import { randomUUID } from 'node:crypto';
import { HttpService } from '@nestjs/axios';
import { BullModule, getQueueToken } from '@nestjs/bullmq';
import {
  Controller,
  type DynamicModule,
  Get,
  type INestApplicationContext,
  Inject,
  Injectable,
  Module,
  Param,
  type Provider,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type ClientProxy,
  ClientsModule,
  Ctx,
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
} from '@nestjs/microservices';
import type { Job, Queue } from 'bullmq';
import {
  MemoryReplayStore,
  onBehalfOf,
  RequireSubjectProof,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  ServiceGrant,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
  type VerifiedGrant,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceJobsModule, ServiceProcessor, ServiceWorkerHost } from 'nestjs-service-auth/bullmq';
import { serviceMessage, ServiceMessagesModule } from 'nestjs-service-auth/microservices';
import { lastValueFrom } from 'rxjs';
import { call } from '../../support/http/http.js';
import { createKey, type TestKey } from '../../support/keys/keys.js';
import { acknowledge } from '../../support/messages/messaging-services.js';
import type { MeetingPlace } from '../../support/messages/brokers.js';
import { ObservedEvents } from '../../support/observed/observed-events.js';
import { startService, type TestService } from '../../support/services/service.js';
import {
  CENSUS,
  DOMAIN,
  edge,
  grantFor,
  headersFor,
  HERALD,
  originators,
} from '../../for-whom/granting-edge.js';

export const RELAY = 'https://relay.service/';

const NEST_OPTIONS = {
  logger: process.env['TEST_LOGS'] ? undefined : (false as const),
  abortOnError: false,
};
const heraldKey = createKey();
const relayKey = createKey();

/** How herald and relay say for whom they call. */
export type Propagation = 'explicit' | 'ambient';
/** Which of their calls name the user: those of both, of neither, or of herald alone. */
export type Naming = 'named' | 'unnamed' | 'half-named';
/** How herald passes its user on to relay. */
export type Way = 'send' | 'emit' | 'job';

/** What relay is given, and what it calls census with. */
interface Errand {
  readonly id: string;
  readonly naming: Naming;
}

/** What the last service of the chain has verified. */
export interface Arrived {
  readonly id: string;
  readonly caller: ServiceIdentity;
  readonly grant: VerifiedGrant | undefined;
}

/** Where herald and relay meet: a broker or a server of messages, or the Redis of a queue. */
export type Crossing =
  | { readonly place: MeetingPlace; readonly redisPort?: undefined }
  | { readonly place?: undefined; readonly redisPort: number };

type Send = (way: Way, errand: Errand, caller: ServiceIdentity) => Promise<unknown>;
const SEND = Symbol('SEND');

/** What a call said that was not made; what it answered otherwise. */
async function codeOr<T>(make: () => Promise<T>): Promise<T | { code: string }> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof ServiceSigningError) return { code: error.code };
    throw error;
  }
}

@Controller()
@UseGuards(ServiceJwtGuard)
class HeraldController {
  constructor(@Inject(SEND) private readonly send: Send) {}

  @Get('pass/:way/:naming/:id')
  async pass(
    @Param() { way, ...errand }: Errand & { way: Way },
    @ServiceCaller() caller: ServiceIdentity,
  ) {
    return await codeOr(async () => ({ passed: await this.send(way, errand, caller) }));
  }
}

@Injectable()
class Errands {
  readonly failed: unknown[] = [];
  wake: (() => void) | undefined;

  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  async run({ id, naming }: Errand, identity: ServiceIdentity): Promise<unknown> {
    const words = naming === 'named' ? onBehalfOf(identity) : {};
    const answer = await codeOr(
      async () => (await lastValueFrom(this.http.get<object>(`/kept/${id}`, words))).data,
    );
    if ('code' in answer) {
      this.failed.push(answer.code);
      this.wake?.();
    }
    return answer;
  }
}

@Controller()
@UseGuards(ServiceJwtGuard)
class RelayController {
  constructor(@Inject(Errands) private readonly errands: Errands) {}

  @MessagePattern('errand.run')
  async run(
    @Payload() errand: Errand,
    @ServiceCaller() caller: ServiceIdentity,
    @Ctx() context: object,
  ) {
    const answer = await this.errands.run(errand, caller);
    acknowledge(context);
    return answer;
  }

  @EventPattern<string>('errand.noted')
  async noted(
    @Payload() errand: Errand,
    @ServiceCaller() caller: ServiceIdentity,
    @Ctx() context: object,
  ) {
    await this.errands.run(errand, caller);
    acknowledge(context);
  }
}

@ServiceProcessor('errands', { concurrency: 50 })
class RelayProcessor extends ServiceWorkerHost {
  constructor(@Inject(Errands) private readonly errands: Errands) {
    super();
  }

  async process(job: Job<Errand>, identity: ServiceIdentity) {
    return await this.errands.run(job.data, identity);
  }
}

/** Three services: herald is called over HTTP, passes its user on to relay, and relay calls census over HTTP. */
export class Chain {
  readonly arrived: Arrived[] = [];
  private readonly closing: (() => Promise<unknown>)[] = [];
  private herald: TestService | undefined;
  private census: TestService | undefined;
  private errands: Errands | undefined;
  private wake: (() => void) | undefined;
  readonly heraldEvents = new ObservedEvents();
  /** Stands still while a test runs: on a busy machine tokens would expire. */
  private now = Date.now();

  static async start(crossing: Crossing, propagation: Propagation): Promise<Chain> {
    const chain = new Chain();
    await chain.startCensus();
    await chain.startRelay(crossing, propagation);
    await chain.startHerald(crossing, propagation);
    return chain;
  }

  /** What relay could not call. */
  get failed(): readonly unknown[] {
    return this.errands?.failed ?? [];
  }

  /** Asks herald, for a user whose grant goes along. */
  async ask(way: Way, { id, naming }: Errand, subject: string) {
    const target = `/pass/${way}/${naming}/${id}`;
    const transaction = randomUUID();
    const iat = Math.floor(this.now / 1000);
    const grant = grantFor(subject, { iat, txn: transaction });
    const headers = headersFor({ target, subject, claims: { iat, exp: iat + 60 } }, grant);
    return { transaction, answer: await call(this.herald?.port ?? 0, { target, headers }) };
  }

  /** Resolves when so many calls have arrived at census, or were not made by relay. */
  async ended(count: number): Promise<void> {
    while (this.arrived.length + this.failed.length < count) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  forget(): void {
    this.now = Date.now();
    this.arrived.splice(0);
    this.errands?.failed.splice(0);
    this.heraldEvents.decisions.splice(0);
  }

  async close(): Promise<void> {
    for (const close of this.closing.toReversed()) await close();
  }

  private clocks() {
    const now = (): number => this.now;
    return { now, replayStore: new MemoryReplayStore({ monotonicNow: now }) };
  }

  private async startCensus(): Promise<void> {
    const arrive = (arrived: Arrived): void => {
      this.arrived.push(arrived);
      this.wake?.();
    };

    @Controller('kept')
    @UseGuards(ServiceJwtGuard)
    class KeptController {
      @Get(':id')
      @RequireSubjectProof()
      kept(
        @Param('id') id: string,
        @ServiceCaller() caller: ServiceIdentity,
        @ServiceGrant() grant: VerifiedGrant,
      ) {
        arrive({ id, caller, grant });
        return { kept: id, for: caller.subject };
      }
    }

    const auth = ServiceAuthModule.forRoot({
      issuer: CENSUS,
      trustDomain: DOMAIN,
      originators,
      trustedIssuers: [
        {
          issuer: RELAY,
          publicKey: relayKey.publicPem,
          subjectProof: { mode: 'required', withoutSubject: 'refused' },
        },
      ],
      ...this.clocks(),
    });
    this.census = await startService({
      adapter: 'express',
      imports: [auth],
      controllers: [KeptController],
    });
    const { census } = this;
    this.closing.push(async () => await census.close());
  }

  private async startRelay(
    { place, redisPort }: Crossing,
    propagation: Propagation,
  ): Promise<void> {
    const { url = '' } = this.census ?? {};
    const auth = authOf(RELAY, relayKey, {
      trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
      targets: [{ baseUrl: `${url}/`, audience: CENSUS }],
      subjectPropagation: propagation,
      ...this.clocks(),
    });
    const imports = [auth, ServiceHttpModule.register({ baseURL: url })];
    const module = place
      ? moduleOf([...imports, ServiceMessagesModule], [Errands], [RelayController])
      : moduleOf([...imports, ...bullOf(redisPort), ServiceJobsModule], [Errands, RelayProcessor]);
    const app = place
      ? await startMicroservice(module, place)
      : await NestFactory.createApplicationContext(module, NEST_OPTIONS);
    const errands = app.get(Errands);
    errands.wake = () => this.wake?.();
    this.errands = errands;
    this.closing.push(async () => await app.close());
  }

  private async startHerald(
    { place, redisPort }: Crossing,
    propagation: Propagation,
  ): Promise<void> {
    const auth = authOf(HERALD, heraldKey, {
      trustedIssuers: [edge.trusted],
      subjectPropagation: propagation,
      observer: this.heraldEvents,
      ...this.clocks(),
    });
    const client = { client: 'RELAY', audience: RELAY, publicKey: relayKey.publicPem };
    const imports = place
      ? [
          ClientsModule.register([{ name: 'RELAY', ...place.client('relay') }]),
          ServiceMessagesModule.forClients([client]),
        ]
      : [
          ...bullOf(redisPort),
          ServiceJobsModule.forQueues([{ queue: 'errands', audience: RELAY }]),
        ];
    this.herald = await startService({
      adapter: 'fastify',
      imports: [auth, ...imports],
      controllers: [HeraldController],
      providers: [place ? sendingMessages : addingJobs],
    });
    const { herald } = this;
    this.closing.push(async () => await herald.close());
  }
}

/** What herald passes on: its user in words, or nothing. */
function addressed(errand: Errand, caller: ServiceIdentity): unknown {
  return errand.naming !== 'unnamed' ? serviceMessage(errand, onBehalfOf(caller)) : errand;
}

const sendingMessages: Provider = {
  provide: SEND,
  inject: ['RELAY'],
  useFactory:
    (relay: ClientProxy): Send =>
    async (way, errand, caller) => {
      const pattern = way === 'send' ? 'errand.run' : 'errand.noted';
      const data = addressed(errand, caller);
      const answers =
        way === 'send' ? relay.send<unknown>(pattern, data) : relay.emit<unknown>(pattern, data);
      return await lastValueFrom(answers, { defaultValue: undefined });
    },
};

const addingJobs: Provider = {
  provide: SEND,
  inject: [getQueueToken('errands')],
  useFactory:
    (queue: Queue): Send =>
    async (_way, errand, caller) =>
      (await queue.add('errand', addressed(errand, caller))).id,
};

function authOf(
  issuer: string,
  key: TestKey,
  options: Partial<ServiceAuthModuleOptions>,
): DynamicModule {
  return ServiceAuthModule.forRoot({
    issuer,
    signingKey: { privateKey: key.privatePem },
    trustDomain: DOMAIN,
    ...options,
  });
}

function bullOf(port: number): DynamicModule[] {
  const connection = { host: '127.0.0.1', port };
  return [BullModule.forRoot({ connection }), BullModule.registerQueue({ name: 'errands' })];
}

async function startMicroservice(
  module: Type,
  place: MeetingPlace,
): Promise<INestApplicationContext> {
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
    ...place.server('relay'),
    ...NEST_OPTIONS,
  });
  await app.listen();
  return app;
}

function moduleOf(
  imports: NonNullable<Parameters<typeof Module>[0]['imports']>,
  providers: Provider[],
  controllers: Type[] = [],
): Type {
  class RelayModule {}
  Module({ imports, providers, controllers })(RelayModule);
  return RelayModule;
}
