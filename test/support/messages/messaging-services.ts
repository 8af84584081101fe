import {
  Controller,
  type INestMicroservice,
  type LoggerService,
  Module,
  type ModuleMetadata,
  UseGuards,
} from '@nestjs/common';
import type { INestApplicationContext, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type ClientProxy,
  ClientsModule,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
} from '@nestjs/microservices';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import {
  type MessageClientOptions,
  type MessageReceptionOptions,
  ServiceMessagesModule,
} from 'nestjs-service-auth/microservices';
import { lastValueFrom } from 'rxjs';
import { createKey } from '../keys/keys.js';
import { ObservedEvents } from '../observed/observed-events.js';
import type { MeetingPlace } from './brokers.js';

export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';
export const USER = 'https://census.service/user/21/';
export const heraldKey = createKey();
export const censusKey = createKey();

const logger = process.env['TEST_LOGS'] ? undefined : (false as const);

/** What a handler was called with. */
export interface Handled {
  readonly pattern: string;
  readonly data: unknown;
  readonly caller: ServiceIdentity | undefined;
}

/** How a receiving service is made. */
export interface CensusSetup {
  readonly place: MeetingPlace;
  readonly queue?: string;
  readonly options?: Partial<ServiceAuthModuleOptions>;
  readonly reception?: MessageReceptionOptions;
  /** Default: none. */
  readonly logger?: LoggerService;
  /** More imports of its module. */
  readonly imports?: NonNullable<ModuleMetadata['imports']>;
  /** Of its own handlers. Default: `user.get`, `user.changed`. */
  readonly controllers?: readonly Type[];
}

export const QUEUE = 'census';

/** What the default handlers have handled, of the service that was started last. */
export const inbox: Handled[] = [];

/** Acknowledges where the transport wants it. */
export function acknowledge(context: object): void {
  const [channel, message] = ['getChannelRef', 'getMessage'].map((name) => {
    const method: unknown = Reflect.get(context, name);
    return typeof method === 'function'
      ? (Reflect.apply(method, context, []) as unknown)
      : undefined;
  }) as [{ ack(message: unknown): void } | undefined, unknown];
  channel?.ack(message);
}

@Controller()
@UseGuards(ServiceJwtGuard)
export class CensusController {
  @MessagePattern('user.get')
  get(@Payload() data: unknown, @ServiceCaller() caller: ServiceIdentity, @Ctx() context: object) {
    inbox.push({ pattern: 'user.get', data, caller });
    acknowledge(context);
    return { got: data, for: caller.subject };
  }

  @EventPattern<string>('user.changed')
  changed(
    @Payload() data: unknown,
    @ServiceCaller() caller: ServiceIdentity,
    @Ctx() context: object,
  ) {
    inbox.push({ pattern: 'user.changed', data, caller });
    acknowledge(context);
  }
}

/** A service that serves signed messages. */
export class CensusService {
  private constructor(
    readonly app: INestMicroservice,
    readonly events: ObservedEvents,
  ) {}

  static async start({ place, queue = QUEUE, ...setup }: CensusSetup): Promise<CensusService> {
    const events = new ObservedEvents();
    const auth = ServiceAuthModule.forRoot({
      issuer: CENSUS,
      signingKey: { privateKey: censusKey.privatePem },
      trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
      observer: events,
      ...setup.options,
    });
    const controllers = [...(setup.controllers ?? [CensusController])];
    const module = moduleOf({
      imports: [auth, ServiceMessagesModule.forRoot(setup.reception), ...(setup.imports ?? [])],
      controllers,
    });
    const app = await NestFactory.createMicroservice(module, {
      ...place.server(queue),
      logger: setup.logger ?? logger,
      abortOnError: false,
    });
    app.enableShutdownHooks([]);
    await app.listen();
    return new CensusService(app, events);
  }

  async close(): Promise<void> {
    await this.app.close();
  }
}

/** A service that sends signed messages. */
export class HeraldService {
  private constructor(
    readonly app: INestApplicationContext,
    readonly events: ObservedEvents,
  ) {}

  static async start(
    { place, queue = QUEUE, options }: Pick<CensusSetup, 'place' | 'queue' | 'options'>,
    client: Partial<MessageClientOptions> = {},
  ): Promise<HeraldService> {
    const events = new ObservedEvents();
    const auth = ServiceAuthModule.forRoot({
      issuer: HERALD,
      signingKey: { privateKey: heraldKey.privatePem },
      observer: events,
      ...options,
    });
    const clients = ClientsModule.register([{ name: 'CENSUS', ...place.client(queue) }]);
    const signed = ServiceMessagesModule.forClients([
      { client: 'CENSUS', audience: CENSUS, publicKey: censusKey.publicPem, ...client },
    ]);
    const app = await NestFactory.createApplicationContext(
      moduleOf({ imports: [auth, clients, signed] }),
      { logger, abortOnError: false },
    );
    return new HeraldService(app, events);
  }

  get census(): ClientProxy {
    return this.app.get<ClientProxy>('CENSUS', { strict: false });
  }

  /** Sends and waits for the last answer. */
  async ask(pattern: string, data: unknown): Promise<unknown> {
    return await lastValueFrom(this.census.send<unknown, unknown>(pattern, data));
  }

  async tell(pattern: string, data: unknown): Promise<void> {
    await lastValueFrom(this.census.emit<unknown, unknown>(pattern, data), {
      defaultValue: undefined,
    });
  }

  async close(): Promise<void> {
    await this.app.close();
  }
}

function moduleOf(metadata: ModuleMetadata): Type {
  class TestModule {}
  Module(metadata)(TestModule);
  return TestModule;
}
