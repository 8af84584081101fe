import { Controller, type INestMicroservice, Logger, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type ClientProxy,
  ClientProxyFactory,
  type CustomTransportStrategy,
  EventPattern,
  MessagePattern,
  Payload,
  RpcException,
  Server,
} from '@nestjs/microservices';
import {
  actingAsItself,
  ServiceAuthModule,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import {
  EventConsumer,
  serviceMessage,
  ServiceMessagesModule,
} from 'nestjs-service-auth/microservices';
import { lastValueFrom, type Observable } from 'rxjs';
import { describeTcp, type MeetingPlace, TRANSPORTS } from '../../support/messages/brokers.js';
import {
  CENSUS,
  CensusService,
  HERALD,
  heraldKey,
  HeraldService,
} from '../../support/messages/messaging-services.js';
import { LogRecorder } from '../../support/observed/log-recorder.js';

const own = (data: unknown): object => serviceMessage(data, actingAsItself());
const COUNT = 200;

@Controller()
@UseGuards(ServiceJwtGuard)
class HouseController {
  @EventPattern('house.changed')
  changed(@Payload() data: unknown) {
    throw new RpcException(`no house ${String(data)}`);
  }

  @MessagePattern('house.get')
  get(@Payload() data: unknown) {
    return data;
  }

  @SkipServiceAuth()
  @MessagePattern('house.open')
  open() {
    return 'open';
  }
}

/** What the handlers of events have handled. */
const handled: string[] = [];

@Controller()
@UseGuards(ServiceJwtGuard)
class CacheController {
  @EventPattern('cache.shared')
  @EventConsumer('instance')
  shared(@Payload() _data: unknown) {
    handled.push('shared');
  }

  @EventPattern('cache.torn')
  torn(@Payload() _data: unknown) {
    handled.push('torn');
  }
}

/** Takes the same events in the same application. */
@Controller()
@UseGuards(ServiceJwtGuard)
@EventConsumer('instance')
class NeighbourController {
  @EventPattern('cache.shared')
  shared(@Payload() _data: unknown) {
    handled.push('shared by a neighbour');
  }

  @EventPattern('cache.torn')
  torn(@Payload() _data: unknown) {
    handled.push('torn by a neighbour');
  }
}

@Controller()
class OpenController {
  @MessagePattern('open')
  open() {
    return 'open';
  }
}

describeTcp('Events over TCP', () => {
  const log = new LogRecorder();
  let place: MeetingPlace;
  let census: CensusService;
  let herald: HeraldService;
  let unsigned: ClientProxy;

  beforeAll(async () => {
    const tcp = TRANSPORTS.find(({ name }) => name === 'TCP');
    if (!tcp) throw new Error('no TCP');
    place = await tcp.start();
    const controllers = [HouseController, CacheController, NeighbourController];
    census = await CensusService.start({ place, controllers, logger: log });
    herald = await HeraldService.start({ place });
    Logger.overrideLogger(log);
    unsigned = ClientProxyFactory.create(place.client('census'));
  }, 120_000);

  afterAll(async () => {
    Logger.overrideLogger(false);
    await unsigned?.close();
    await herald?.close();
    await census?.close();
    await place?.close();
  });

  beforeEach(() => {
    log.entries.splice(0);
    handled.splice(0);
  });

  const lines = (): string[] => [...log.texts('error'), ...log.texts('warn')];

  it('MS-54 fill no log, however many are refused', async () => {
    for (let at = 0; at < COUNT; at++) unsigned.emit('house.changed', at);
    await census.events.reach(COUNT);
    expect(census.events.of('request_refused')).toHaveLength(COUNT);
    expect(lines()).toEqual([]);
  });

  it('MS-54 are logged by Nest, where their handler fails', async () => {
    await herald.tell('house.changed', own(7));
    while (lines().length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(lines()).toEqual([expect.stringContaining('no house 7')]);
  });

  it('MS-57 are for each replica where all their handlers say so', async () => {
    await herald.tell('cache.shared', own(1));
    while (handled.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(handled.toSorted()).toEqual(['shared', 'shared by a neighbour']);
    expect(lines()).toEqual([]);
  });

  it('MS-57 fail where their handlers disagree', async () => {
    await herald.tell('cache.torn', own(1));
    while (lines().length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(lines()).toEqual([expect.stringContaining('write the same @EventConsumer()')]);
    expect(handled).toEqual(['torn']);
  });
});

/** A transport of an application's own. */
class OwnStrategy extends Server implements CustomTransportStrategy {
  constructor(override readonly transportId: symbol | undefined) {
    super();
  }
  listen(callback: () => void): void {
    callback();
  }
  close(): void {
    return undefined;
  }
  on(): void {
    return undefined;
  }
  unwrap<T>(): T {
    return undefined as T;
  }

  /** What its caller gets. */
  async deliver(pattern: string): Promise<unknown> {
    const handler = this.getHandlerByPattern(pattern);
    const answer = (await handler?.(1, { getMetadata: () => ({}) })) as Observable<unknown>;
    return await lastValueFrom(this.transformToObservable(answer));
  }
}

describe.each([Symbol('own'), undefined])('A transport of its own: %p', (transportId) => {
  const strategy = new OwnStrategy(transportId);
  let app: INestMicroservice;

  beforeAll(async () => {
    @Module({
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
          coverage: 'off',
        }),
        ServiceMessagesModule,
      ],
      controllers: [HouseController, OpenController],
    })
    class OwnModule {}
    app = await NestFactory.createMicroservice(OwnModule, {
      strategy,
      logger: false,
      abortOnError: false,
    });
    await app.listen();
  }, 120_000);

  afterAll(async () => await app?.close());

  it.each(['house.get', 'house.open'])('MS-55 is refused by a guard: %s', async (pattern) => {
    await expect(strategy.deliver(pattern)).rejects.toMatchObject({ code: 'context_unsupported' });
  });

  it('MS-55 reaches handlers without a guard', async () => {
    expect(await strategy.deliver('open')).toBe('open');
  });
});
