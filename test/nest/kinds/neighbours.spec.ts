import { BullModule, getQueueToken } from '@nestjs/bullmq';
import {
  Controller,
  type DynamicModule,
  type INestApplicationContext,
  type INestMicroservice,
  Module,
  type ModuleMetadata,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  BaseRpcContext,
  Ctx,
  type CustomTransportStrategy,
  MessagePattern,
  type MicroserviceOptions,
  Server,
} from '@nestjs/microservices';
import { type Job, type Queue, QueueEvents } from 'bullmq';
import {
  actingAsItself,
  onBehalfOf,
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { ServiceJobsModule, ServiceProcessor, ServiceWorkerHost } from 'nestjs-service-auth/bullmq';
import { serviceMessage, ServiceMessagesModule } from 'nestjs-service-auth/microservices';
import { lastValueFrom, type Observable } from 'rxjs';
import { createKey } from '../../support/keys/keys.js';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import {
  acknowledge,
  HERALD,
  heraldKey,
  HeraldService,
  USER,
} from '../../support/messages/messaging-services.js';
import { LogRecorder } from '../../support/observed/log-recorder.js';
import { ObservedEvents } from '../../support/observed/observed-events.js';
import { describeRedis, RedisServer } from '../../support/redis/redis-server.js';

const ARCHIVE = 'https://archive.service/';
const REGISTRY = 'https://registry.service/';
const archiveKey = createKey();
const registryKey = createKey();
const clerkKey = createKey();
const CLERK = 'https://clerk.service/';

const herald = { issuer: HERALD, publicKey: heraldKey.publicPem };
const clerk = { issuer: CLERK, publicKey: clerkKey.publicPem };

/** Archive trusts herald, registry trusts clerk. */
const archiveOptions = {
  issuer: ARCHIVE,
  signingKey: { privateKey: archiveKey.privatePem },
  trustedIssuers: [herald],
};
const registryOptions = {
  issuer: REGISTRY,
  signingKey: { privateKey: registryKey.privatePem },
  trustedIssuers: [clerk],
};

@Controller()
@UseGuards(ServiceJwtGuard)
class ArchiveController {
  @MessagePattern('archive.get')
  get(@ServiceCaller() caller: ServiceIdentity, @Ctx() context: object) {
    acknowledge(context);
    return `${caller.audience} for ${caller.issuer}`;
  }
}

@Controller()
@UseGuards(ServiceJwtGuard)
class RegistryController {
  @MessagePattern('registry.get')
  get(@ServiceCaller() caller: ServiceIdentity, @Ctx() context: object) {
    acknowledge(context);
    return `${caller.audience} for ${caller.issuer}`;
  }
}

function named(name: string, metadata: ModuleMetadata): Type {
  const type = { [name]: class {} }[name] as Type;
  Module(metadata)(type);
  return type;
}

type Options = Parameters<typeof ServiceAuthModule.forRoot>[0];
type Auth = (options: Partial<Options>) => DynamicModule;
const archiveAuth: Auth = (more) => ServiceAuthModule.forRoot({ ...archiveOptions, ...more });
const registryAuth: Auth = (more) => ServiceAuthModule.forRoot({ ...registryOptions, ...more });

async function microservice(
  place: MeetingPlace,
  queue: string,
  module: Type,
  logger: LogRecorder | false = false,
): Promise<INestMicroservice> {
  const options = { ...place.server(queue), logger, abortOnError: false };
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(module, options);
  await app.listen();
  return app;
}

const NAMES = ['TCP', 'RabbitMQ', 'NATS'];

describe.each(INSTALLED_TRANSPORTS.filter(({ name }) => NAMES.includes(name)))(
  'services that receive messages over $name',
  (transport) => {
    let place: MeetingPlace;
    const closing: (() => Promise<unknown>)[] = [];
    const running = <T extends { close(): Promise<unknown> }>(it: T): T => {
      closing.push(async () => await it.close());
      return it;
    };
    beforeAll(async () => void (place = await transport.start()), 300_000);
    afterEach(async () => {
      for (const close of closing.splice(0).toReversed()) await close();
    });
    afterAll(async () => await place?.close());

    /** Sends as herald or as clerk, to archive or to registry. */
    async function outcome(
      sender: 'herald' | 'clerk',
      audience: string,
      pattern: string,
      queue: string,
    ) {
      const isHerald = sender === 'herald';
      const options = isHerald
        ? {}
        : { issuer: CLERK, signingKey: { privateKey: clerkKey.privatePem } };
      const { publicPem } = audience === ARCHIVE ? archiveKey : registryKey;
      const service = running(
        await HeraldService.start({ place, queue, options }, { audience, publicKey: publicPem }),
      );
      try {
        return await service.ask(pattern, serviceMessage({}, actingAsItself()));
      } catch (error) {
        return (error as Error).message.match(/answered (\w+)/)?.[1] ?? error;
      }
    }

    /** Each by its own: who is trusted by one is a stranger to the other, and a token is for one of them. */
    async function expectEachToJudge(
      queues: readonly [archive: string, registry: string],
    ): Promise<void> {
      const [forArchive, forRegistry] = queues;
      expect(await outcome('herald', ARCHIVE, 'archive.get', forArchive)).toBe(
        `${ARCHIVE} for ${HERALD}`,
      );
      expect(await outcome('clerk', REGISTRY, 'registry.get', forRegistry)).toBe(
        `${REGISTRY} for ${CLERK}`,
      );
      expect(await outcome('clerk', ARCHIVE, 'archive.get', forArchive)).toBe('issuer_unknown');
      expect(await outcome('herald', REGISTRY, 'registry.get', forRegistry)).toBe('issuer_unknown');
      expect(await outcome('herald', REGISTRY, 'archive.get', forArchive)).toBe(
        'audience_mismatch',
      );
      expect(await outcome('clerk', ARCHIVE, 'registry.get', forRegistry)).toBe(
        'audience_mismatch',
      );
    }

    it.each([
      ['both local', false],
      ['one of them global', true],
    ])('in one application, %s: each handler is judged by its own', async (_title, isGlobal) => {
      const events = [new ObservedEvents(), new ObservedEvents()] as const;
      const archive = archiveAuth({ isGlobal, observer: events[0] });
      const registry = registryAuth({ isGlobal: false, observer: events[1] });
      const ofArchive = named('ArchiveModule', {
        imports: [archive, ServiceMessagesModule.forRoot({}, [archive])],
        controllers: [ArchiveController],
      });
      const ofRegistry = named('RegistryModule', {
        imports: [registry, ServiceMessagesModule.forRoot({}, [registry])],
        controllers: [RegistryController],
      });
      const logger = new LogRecorder();
      running(
        await microservice(
          place,
          'both',
          named('BothModule', { imports: [ofArchive, ofRegistry] }),
          logger,
        ),
      );
      await expectEachToJudge(['both', 'both']);
      const routes = events.map(
        (each) => new Set(each.decisions.map((event) => 'route' in event && event.route)),
      );
      expect(routes).toEqual([new Set(['archive.get']), new Set(['registry.get'])]);
      expect(logger.texts('warn').filter((line) => line.includes('(option coverage)'))).toEqual([]);
    });

    it('MS-70 in one application, of which one does not import ServiceMessagesModule: refused, and named at start', async () => {
      const archive = archiveAuth({ isGlobal: false });
      const registry = registryAuth({ isGlobal: false });
      const ofArchive = named('ArchiveModule', {
        imports: [archive, ServiceMessagesModule.forRoot({}, [archive])],
        controllers: [ArchiveController],
      });
      const ofRegistry = named('RegistryModule', {
        imports: [registry],
        controllers: [RegistryController],
      });
      const logger = new LogRecorder();
      running(
        await microservice(
          place,
          'half',
          named('HalfModule', { imports: [ofArchive, ofRegistry] }),
          logger,
        ),
      );
      expect(await outcome('herald', ARCHIVE, 'archive.get', 'half')).toBe(
        `${ARCHIVE} for ${HERALD}`,
      );
      expect(await outcome('clerk', REGISTRY, 'registry.get', 'half')).toBe('context_unsupported');
      const lines = logger.texts('warn').filter((line) => line.includes('(option coverage)'));
      expect(lines).toEqual([
        expect.stringMatching(
          /refuses every message to RegistryController\.get\(\) \[message\]: .*ServiceMessagesModule/,
        ),
      ]);
    });

    it('in two applications of one process', async () => {
      const places =
        transport.name === 'TCP'
          ? ([place, running(await transport.start())] as const)
          : ([place, place] as const);
      const archive = named('ArchiveModule', {
        imports: [archiveAuth({}), ServiceMessagesModule],
        controllers: [ArchiveController],
      });
      const registry = named('RegistryModule', {
        imports: [registryAuth({}), ServiceMessagesModule],
        controllers: [RegistryController],
      });
      running(await microservice(places[0], 'archive', archive));
      const second = await microservice(places[1], 'registry', registry);
      if (transport.name !== 'TCP') {
        await expectEachToJudge(['archive', 'registry']);
      } else {
        expect(await outcome('herald', ARCHIVE, 'archive.get', 'archive')).toBe(
          `${ARCHIVE} for ${HERALD}`,
        );
        expect(await outcome('clerk', ARCHIVE, 'archive.get', 'archive')).toBe('issuer_unknown');
      }
      // The end of one is nothing to the other.
      await second.close();
      expect(await outcome('herald', ARCHIVE, 'archive.get', 'archive')).toBe(
        `${ARCHIVE} for ${HERALD}`,
      );
      expect(await outcome('clerk', ARCHIVE, 'archive.get', 'archive')).toBe('issuer_unknown');
    });
  },
);

/** A transport of the application's own, which this library does not know. */
class OwnTransport extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('own');
  listen(callback: () => void): void {
    callback();
  }
  close(): void {
    return;
  }
  override on(): void {
    return;
  }
  override unwrap<T>(): T {
    return undefined as T;
  }
}

describe('a transport that carries no token', () => {
  it('MS-71 is refused, whatever the handler says', async () => {
    @Controller()
    @UseGuards(ServiceJwtGuard)
    class OwnController {
      @MessagePattern('guarded')
      guarded() {
        return 'answered';
      }
      @MessagePattern('skipped')
      @SkipServiceAuth()
      skipped() {
        return 'answered';
      }
    }
    @Controller()
    class OpenController {
      @MessagePattern('open')
      open() {
        return 'answered';
      }
    }
    const strategy = new OwnTransport();
    const module = named('OwnModule', {
      imports: [archiveAuth({}), ServiceMessagesModule],
      controllers: [OwnController, OpenController],
    });
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
      strategy,
      logger: false,
      abortOnError: false,
    });
    await app.listen();
    const outcomeOf = async (pattern: string): Promise<unknown> => {
      const handler = strategy.getHandlerByPattern(pattern);
      const answers = await (handler?.({}, new BaseRpcContext([])) as Promise<Observable<unknown>>);
      return await lastValueFrom(strategy.transformToObservable(answers)).catch(
        (error: { code?: unknown }) => error.code,
      );
    };
    expect(await outcomeOf('guarded')).toBe('context_unsupported');
    expect(await outcomeOf('skipped')).toBe('context_unsupported');
    expect(await outcomeOf('open')).toBe('answered');
    await app.close();
  });
});

describeRedis('services that do jobs in one application', () => {
  let redis: RedisServer;
  beforeAll(async () => void (redis = await RedisServer.start()));
  afterAll(async () => await redis.close());

  const processorOf = (queue: string) => {
    @ServiceProcessor(queue)
    class OwnProcessor extends ServiceWorkerHost {
      async process(_job: Job, identity: ServiceIdentity) {
        return await Promise.resolve(`${identity.audience} for ${identity.issuer}`);
      }
    }
    return OwnProcessor;
  };

  it('judge each job by their own', async () => {
    const connection = { host: '127.0.0.1', port: redis.port };
    const services = [
      ['archive', archiveAuth({ isGlobal: false })],
      ['registry', registryAuth({ isGlobal: false })],
    ] as const;
    const workers = services.map(([queue, auth]) =>
      named(`${queue}Module`, {
        imports: [
          auth,
          BullModule.registerQueue({ name: queue }),
          ServiceJobsModule.forQueues([], [auth]),
        ],
        providers: [processorOf(queue)],
      }),
    );
    const bull = BullModule.forRoot({ connection });
    const app = await NestFactory.createApplicationContext(
      named('WorkersModule', { imports: [bull, ...workers] }),
      { logger: false, abortOnError: false },
    );
    const senderOf = async (issuer: string, key: string, audiences: Record<string, string>) => {
      const auth = ServiceAuthModule.forRoot({
        issuer,
        signingKey: { privateKey: key },
      });
      const queues = Object.entries(audiences).map(([queue, audience]) => ({ queue, audience }));
      const registered = queues.map(({ queue }) => BullModule.registerQueue({ name: queue }));
      const module = named('SenderModule', {
        imports: [auth, bull, ...registered, ServiceJobsModule.forQueues(queues)],
      });
      return await NestFactory.createApplicationContext(module, {
        logger: false,
        abortOnError: false,
      });
    };
    const right = { archive: ARCHIVE, registry: REGISTRY };
    const senders = {
      herald: await senderOf(HERALD, heraldKey.privatePem, right),
      clerk: await senderOf(CLERK, clerkKey.privatePem, right),
      mistaken: await senderOf(HERALD, heraldKey.privatePem, { archive: REGISTRY }),
    };
    const outcome = async (sender: INestApplicationContext, name: string): Promise<unknown> => {
      const events = new QueueEvents(name, { connection, lastEventId: '0-0' });
      const job = await sender
        .get<Queue>(getQueueToken(name), { strict: false })
        .add('work', serviceMessage({}, onBehalfOf(USER)));
      try {
        return await job.waitUntilFinished(events);
      } catch (error) {
        return (error as Error).message.split(':')[0];
      } finally {
        await events.close();
      }
    };
    try {
      expect(await outcome(senders.herald, 'archive')).toBe(`${ARCHIVE} for ${HERALD}`);
      expect(await outcome(senders.clerk, 'registry')).toBe(`${REGISTRY} for ${CLERK}`);
      expect(await outcome(senders.clerk, 'archive')).toBe('issuer_unknown');
      expect(await outcome(senders.herald, 'registry')).toBe('issuer_unknown');
      expect(await outcome(senders.mistaken, 'archive')).toBe('audience_mismatch');
    } finally {
      for (const each of [...Object.values(senders), app]) await each.close();
    }
  });
});
