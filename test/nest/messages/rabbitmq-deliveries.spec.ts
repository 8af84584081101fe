import { jest } from '@jest/globals';
import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  Injectable,
  type NestInterceptor,
  type Type,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import {
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  type RmqContext,
  type RmqOptions,
  RmqRecord,
} from '@nestjs/microservices';
import {
  actingAsItself,
  MemoryReplayStore,
  onBehalfOf,
  ServiceAuth,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import type { LeasingReplayStore } from 'nestjs-service-auth/core';
import { EventConsumer, serviceMessage } from 'nestjs-service-auth/microservices';
import { connect } from 'amqplib';
import { lastValueFrom, retry, throwError } from 'rxjs';
import { createKey } from '../../support/keys/keys.js';
import { jwkOf, type KeyServer, serveKeys, startKeyServer } from '../../support/keys/key-server.js';
import { whereThereIs } from '../../support/processes/where-there-is.js';
import {
  INSTALLED_TRANSPORTS,
  type MeetingPlace,
  TRANSPORTS,
} from '../../support/messages/brokers.js';
import {
  CENSUS,
  CensusService,
  type CensusSetup,
  HERALD,
  heraldKey,
  HeraldService,
  USER,
} from '../../support/messages/messaging-services.js';

jest.setTimeout(90_000);

const PREFETCH = 4;
const DEAD = 'dead-letters';

/** What a handler did, and lets tests wait for it. */
class Notes<T> {
  readonly list: T[] = [];
  private waiting: (() => void)[] = [];

  add(note: T): void {
    this.list.push(note);
    for (const wake of this.waiting.splice(0)) wake();
  }

  async reach(count: number): Promise<T[]> {
    while (this.list.length < count) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    return this.list;
  }

  clear(): void {
    this.list.length = 0;
  }
}

const handled = new Notes<unknown>();
const dead = new Notes<unknown>();
const closedChannels = new Set<object>();
const watchedChannels = new WeakSet<object>();

type Behaviour = (settle: Settling, data: unknown) => unknown;

/** The methods with which a handler settles its message. */
interface Settling {
  readonly ack: (allUpTo?: boolean) => void;
  readonly nack: (requeue: boolean) => void;
  readonly reject: (requeue: boolean) => void;
  readonly ackAll: () => void;
  readonly nackAll: (requeue: boolean) => void;
}

let behave: Behaviour;
let onError: (settle: Settling) => void;

/** A JSON text that no function of few lines walks to its end. */
function nested(open: string): string {
  const [depth, close] = [20_000, open === '[' ? ']' : '}'];
  return `${open.repeat(depth)}1${close.repeat(depth)}`;
}

const acknowledge: Behaviour = ({ ack }) => ack();

function settlingOf(context: RmqContext): Settling {
  const channel = context.getChannelRef() as {
    ack(message: object, allUpTo?: boolean): void;
    nack(message: object, allUpTo: boolean, requeue: boolean): void;
    reject(message: object, requeue: boolean): void;
    ackAll(): void;
    nackAll(requeue: boolean): void;
    once(event: string, listener: () => void): void;
  };
  if (!watchedChannels.has(channel)) {
    watchedChannels.add(channel);
    channel.once('error', () => closedChannels.add(channel));
  }
  const message = context.getMessage();
  return {
    ack: (allUpTo) => channel.ack(message, allUpTo),
    nack: (requeue) => channel.nack(message, false, requeue),
    reject: (requeue) => channel.reject(message, requeue),
    ackAll: () => channel.ackAll(),
    nackAll: (requeue) => channel.nackAll(requeue),
  };
}

@Catch()
class SettlingFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost) {
    onError(settlingOf(host.switchToRpc().getContext<RmqContext>()));
    return throwError(() => error);
  }
}

@Controller()
@UseGuards(ServiceJwtGuard)
@UseFilters(SettlingFilter)
class WorkController {
  @EventPattern<string>('work')
  async work(@Payload() data: unknown, @Ctx() context: RmqContext) {
    handled.add(data);
    await behave(settlingOf(context), data);
  }
}

@Controller()
class DeadLetterController {
  @EventPattern<string>('work')
  take(@Payload() data: unknown) {
    dead.add(data);
  }
}

const isThere = INSTALLED_TRANSPORTS.some(({ name }) => name === 'RabbitMQ');
const describeRabbitMq = whereThereIs(isThere, 'a rabbitmq-server', describe);

describeRabbitMq('Events of RabbitMQ that are delivered again', () => {
  let broker: MeetingPlace;
  const running: { close(): Promise<void> | void }[] = [];
  let queues = 0;

  beforeAll(async () => {
    const rabbitMq = TRANSPORTS.find(({ name }) => name === 'RabbitMQ');
    if (!rabbitMq) throw new Error('no RabbitMQ');
    broker = await rabbitMq.start();
  }, 240_000);

  afterAll(async () => await broker?.close());

  beforeEach(() => {
    handled.clear();
    dead.clear();
    closedChannels.clear();
    behave = acknowledge;
    onError = ({ nack }) => nack(false);
  });

  afterEach(async () => {
    for (const service of running.splice(0).toReversed()) await service.close();
  });

  /** A queue of its own for each test, with what is dead-lettered beside it. */
  function placeOf(options: Partial<NonNullable<RmqOptions['options']>> = {}): MeetingPlace {
    const withOptions = (given: object): never => {
      const { options: own, ...rest } = given as RmqOptions;
      const queueOptions = {
        durable: false,
        arguments: {
          'x-dead-letter-exchange': '',
          'x-dead-letter-routing-key': `${own?.queue}-${DEAD}`,
        },
      };
      return { ...rest, options: { ...own, queueOptions, ...options } } as never;
    };
    return {
      ...broker,
      server: (queue) => withOptions(broker.server(queue)),
      client: (queue) => withOptions(broker.client(queue)),
    };
  }

  /** Each service has a queue of its own at one exchange. */
  function fanOutPlace(exchange: string, nextQueue: () => string): MeetingPlace {
    const withExchange = (given: unknown): never => {
      const { options, ...rest } = given as RmqOptions;
      const own = { queue: nextQueue(), exchange, exchangeType: 'fanout' } as const;
      const queueOptions = { durable: false, exclusive: true };
      return { ...rest, options: { ...options, ...own, queueOptions } } as never;
    };
    return {
      ...broker,
      server: (queue) => withExchange(broker.server(queue)),
      client: (queue) => withExchange(broker.client(queue)),
    };
  }

  interface Pair {
    readonly place: MeetingPlace;
    readonly queue: string;
    readonly census: CensusService;
    readonly herald: HeraldService;
    readonly unsigned: ClientProxy;
  }

  async function start(setup: Partial<CensusSetup> = {}, prefetchCount = PREFETCH): Promise<Pair> {
    const queue = `census-${(queues += 1)}`;
    const place = setup.place ?? placeOf({ prefetchCount });
    const deadLetters = await CensusService.start({
      place: {
        ...broker,
        server: (name) => {
          const options = broker.server(name) as RmqOptions;
          return { ...options, options: { ...options.options, noAck: true } };
        },
      },
      queue: `${queue}-${DEAD}`,
      controllers: [DeadLetterController],
    });
    running.push(deadLetters);
    const census = await startCensus({ ...setup, place, queue });
    const herald = await HeraldService.start({ place, queue });
    running.push(herald);
    const unsigned = ClientProxyFactory.create(place.client(queue));
    running.push(unsigned as { close(): void });
    return { place, queue, census, herald, unsigned };
  }

  async function startCensus(setup: CensusSetup): Promise<CensusService> {
    const census = await CensusService.start({ controllers: [WorkController], ...setup });
    running.push(census);
    return census;
  }

  /** One signed message, which can be sent several times. */
  async function sign(herald: HeraldService, data: unknown, route = 'work') {
    const { token } = await herald.app
      .get(ServiceAuth, { strict: false })
      .signMessage(
        { verb: 'EMIT', route, text: JSON.stringify(data), subject: undefined, wantsAnswer: false },
        { audience: CENSUS, grants: 'never' },
      );
    return new RmqRecord(data, { headers: { JWT: token } });
  }

  async function emit(client: ClientProxy, data: unknown, pattern = 'work'): Promise<void> {
    await lastValueFrom(client.emit<unknown, unknown>(pattern, data), { defaultValue: undefined });
  }

  /** Signed by the client. */
  async function tell(herald: HeraldService, data: unknown, pattern?: string): Promise<void> {
    await emit(herald.census, serviceMessage(data, actingAsItself()), pattern);
  }

  /** Resolves when so many events of a kind were observed. */
  async function observed(
    { events }: CensusService,
    type: 'duplicate_dropped' | 'lease_lost' | 'request_refused',
    count = 1,
  ) {
    while (events.of(type).length < count) await events.next(type);
    return events.of(type);
  }

  it('dead-letters unsigned messages, which do not stop the consumer', async () => {
    const { herald, unsigned } = await start();
    for (let at = 0; at < 3 * PREFETCH; at++) await emit(unsigned, at);
    await tell(herald, 'good');
    expect(await handled.reach(1)).toEqual(['good']);
    expect((await dead.reach(3 * PREFETCH)).length).toBe(3 * PREFETCH);
  });

  it.each<[string, string, object]>([
    ['no JSON', 'no JSON', {}],
    ['null', 'null', {}],
    ['no pattern', '{"data":1}', {}],
    ['an unknown pattern', '{"pattern":"unknown","data":1}', {}],
    ['a pattern that is nested too deeply', `{"pattern":${nested('{"a":')},"data":1}`, {}],
    ['data that is nested too deeply', `{"pattern":"work","data":${nested('[')}}`, {}],
    ['an id, though nobody waits', '{"pattern":"work","data":1,"id":"x"}', {}],
    [
      'an answer wanted in a queue that does not exist',
      '{"pattern":"work","data":1,"id":"x"}',
      { replyTo: 'nowhere' },
    ],
    ['a token that is no text', '{"pattern":"work","data":1}', { headers: { JWT: { a: [1] } } }],
  ])('is not stopped by messages with %s', async (_, content, options) => {
    const { herald, queue } = await start();
    const connection = await connect(`amqp://guest:guest@127.0.0.1:${broker.port}`);
    const channel = await connection.createConfirmChannel();
    for (let at = 0; at <= PREFETCH; at++) {
      channel.sendToQueue(queue, Buffer.from(content), options);
    }
    await channel.waitForConfirms();
    await tell(herald, 'good');
    expect(await handled.reach(1)).toEqual(['good']);
    await connection.close();
  });

  describe.each<[string, (settle: Settling) => void]>([
    ['acknowledges', ({ ack }) => ack()],
    ['returns to the queue', ({ nack }) => nack(true)],
    ['settles later', ({ ack }) => void setImmediate(ack)],
  ])('A filter that %s what was refused', (_, settle) => {
    it('changes nothing, and closes no channel', async () => {
      onError = settle;
      const { herald, unsigned } = await start();
      await emit(unsigned, 'bad');
      await tell(herald, 'good');
      await handled.reach(1);
      await dead.reach(1);
      await tell(herald, 'better');
      expect(await handled.reach(2)).toEqual(['good', 'better']);
      expect(dead.list).toEqual(['bad']);
      expect(closedChannels.size).toBe(0);
    });
  });

  it('runs again what its handler returns to the queue, without a word of a lost lease', async () => {
    const { herald, census } = await start();
    behave = ({ ack, nack }) => (handled.list.length === 1 ? nack(true) : ack());
    await tell(herald, 'twice');
    expect(await handled.reach(2)).toEqual(['twice', 'twice']);
    expect(census.events.of('lease_lost')).toEqual([]);
  });

  it.each([0, PREFETCH + 1])(
    'MS-53 handles each event after the lookup of users has failed %d times',
    async (failures) => {
      let left = failures;
      const resolveUser = (user: string): string => {
        if (left-- > 0) throw new Error('no database');
        return user;
      };
      const { herald } = await start({ options: { userResolver: { resolveUser } } });
      onError = () => undefined;
      const count = PREFETCH + 1;
      for (let at = 0; at < count; at++) {
        await emit(herald.census, serviceMessage(at, onBehalfOf(USER)));
      }
      const all = await handled.reach(count);
      expect(new Set(all).size).toBe(count);
      expect(dead.list).toEqual([]);
      expect(closedChannels.size).toBe(0);
    },
  );

  it.each<[string, (settle: Settling) => void]>([
    ['acknowledges', ({ ack }) => ack()],
    ['dead-letters', ({ nack }) => nack(false)],
    ['settles nothing', () => undefined],
  ])(
    'MS-75 handles an event after a failed lookup of users, where a filter %s',
    async (_, settle) => {
      let isFailing = true;
      const resolveUser = (user: string): string => {
        if (!isFailing) return user;
        isFailing = false;
        throw new Error('no database');
      };
      const { herald } = await start({ options: { userResolver: { resolveUser } } });
      onError = settle;
      await emit(herald.census, serviceMessage('kept', onBehalfOf(USER)));
      expect(await handled.reach(1)).toEqual(['kept']);
      expect(dead.list).toEqual([]);
      expect(closedChannels.size).toBe(0);
    },
  );

  it.each([
    ['service', 1],
    ['instance', 2],
  ] as const)(
    'takes queues without a name as one unit, whose event the %s handles',
    async (consumer, count) => {
      @Controller()
      @UseGuards(ServiceJwtGuard)
      class FlushController {
        @EventPattern<string>('flush')
        @EventConsumer(consumer)
        flush(@Payload() data: unknown, @Ctx() context: RmqContext) {
          handled.add(data);
          settlingOf(context).ack();
        }
      }
      const place = fanOutPlace(`news-${consumer}`, () => '');
      const options = { replayStore: new MemoryReplayStore() };
      const setup = { place, controllers: [FlushController], options };
      const replicas = [await CensusService.start(setup), await CensusService.start(setup)];
      const herald = await HeraldService.start({ place });
      running.push(...replicas, herald);
      await herald.tell('flush', serviceMessage('all', actingAsItself()));
      const dropped = (): number =>
        replicas.flatMap(({ events }) => events.of('duplicate_dropped')).length;
      while (handled.list.length + dropped() < 2) await new Promise(setImmediate);
      expect([handled.list.length, dropped()]).toEqual([count, 2 - count]);
    },
  );

  it.each([
    [1, false],
    [2, true],
  ])('MS-76 answers a request once that %d replicas get from an exchange', async (_, haveBoth) => {
    const wake = new Notes<number>();
    @Controller()
    @UseGuards(ServiceJwtGuard)
    class AskController {
      @MessagePattern('ask')
      async ask(@Payload() data: unknown, @Ctx() context: RmqContext) {
        settlingOf(context).ack();
        handled.add(data);
        // The other replica has dropped it before this one answers.
        await wake.reach(1);
        return data;
      }
    }
    const place = fanOutPlace(`ask-${haveBoth}`, () => `replica-${(queues += 1)}`);
    const options = { replayStore: new MemoryReplayStore() };
    const setup = { place, controllers: [AskController], options };
    const replicas = [await CensusService.start(setup)];
    if (haveBoth) replicas.push(await CensusService.start(setup));
    const herald = await HeraldService.start({ place });
    running.push(...replicas, herald);
    const answer = herald.ask('ask', serviceMessage('who', actingAsItself()));
    if (haveBoth) {
      const all = replicas.map(async (replica) => await observed(replica, 'duplicate_dropped'));
      await Promise.race([answer, ...all]);
    }
    wake.add(1);
    expect(await answer).toBe('who');
    expect(handled.list).toEqual(['who']);
  });

  it('runs again what failed, where a filter returns it to the queue', async () => {
    const { herald } = await start();
    onError = ({ nack }) => nack(true);
    behave = ({ ack }) => {
      if (handled.list.length < 3) throw new Error('not yet');
      ack();
    };
    await tell(herald, 'thrice');
    expect(await handled.reach(3)).toEqual(['thrice', 'thrice', 'thrice']);
    expect(dead.list).toEqual([]);
  });

  it('settles once what a handler and a filter settle', async () => {
    const { herald } = await start();
    behave = ({ ack }) => {
      ack();
      throw new Error('after it was acknowledged');
    };
    await tell(herald, 1);
    await handled.reach(1);
    behave = acknowledge;
    await tell(herald, 2);
    await handled.reach(2);
    await tell(herald, 3);
    expect(await handled.reach(3)).toEqual([1, 2, 3]);
    expect(dead.list).toEqual([]);
    expect(closedChannels.size).toBe(0);
  });

  it('delivers again what was not acknowledged when its channel closed', async () => {
    const { herald, census, place, queue } = await start();
    behave = () => undefined;
    await tell(herald, 'kept');
    await handled.reach(1);
    await census.close();
    behave = acknowledge;
    await startCensus({ place, queue });
    expect(await handled.reach(2)).toEqual(['kept', 'kept']);
  });

  it('drops and acknowledges what was handled before', async () => {
    const { herald, census, unsigned } = await start();
    const message = await sign(herald, 'once');
    await emit(unsigned, message);
    await handled.reach(1);
    await emit(unsigned, message);
    await observed(census, 'duplicate_dropped');
    await tell(herald, 'other');
    expect(await handled.reach(2)).toEqual(['once', 'other']);
    expect(dead.list).toEqual([]);
  });

  it('commits all that one acknowledgement is for', async () => {
    const { herald, census, unsigned } = await start();
    const messages = [await sign(herald, 1), await sign(herald, 2), await sign(herald, 3)];
    behave = ({ ack }) => (handled.list.length === 3 ? ack(true) : undefined);
    for (const message of messages) await emit(unsigned, message);
    await handled.reach(3);
    behave = acknowledge;
    for (const message of messages) await emit(unsigned, message);
    await observed(census, 'duplicate_dropped', 3);
    await tell(herald, 4);
    expect(await handled.reach(4)).toEqual([1, 2, 3, 4]);
    expect(closedChannels.size).toBe(0);
  });

  it('keeps a message while the replay store cannot decide, and handles it later', async () => {
    const store = new FaultyStore();
    store.isDown = true;
    const { herald, census } = await start({ options: { replayStore: store } });
    await tell(herald, 'patient');
    await observed(census, 'request_refused');
    store.isDown = false;
    expect(await handled.reach(1)).toEqual(['patient']);
    expect(census.events.of('request_refused')[0]).toMatchObject({
      transport: 'messages',
      code: 'replay_store_unavailable',
      status: 503,
    });
    expect(dead.list).toEqual([]);
  });

  describe('A message of an issuer whose keys are fetched', () => {
    let keyServer: KeyServer;

    beforeEach(async () => {
      keyServer = await startKeyServer(serveKeys([jwkOf(heraldKey)]));
      running.push({ close: async () => await keyServer.close() });
    });

    const startFetching = async () =>
      await start({ options: { trustedIssuers: [{ issuer: HERALD, jwksUri: keyServer.url }] } });

    it('is kept while the key server is down, and handled later', async () => {
      await keyServer.down();
      const { herald, census } = await startFetching();
      await tell(herald, 'patient');
      await observed(census, 'request_refused');
      await keyServer.resume();
      expect(await handled.reach(1)).toEqual(['patient']);
      expect(census.events.of('request_refused')[0]).toMatchObject({
        code: 'key_unavailable',
        status: 503,
      });
      expect(dead.list).toEqual([]);
    });

    it('is dead-lettered where the key server does not know its key', async () => {
      keyServer.respond = serveKeys([jwkOf(createKey())]);
      const { herald, census } = await startFetching();
      await tell(herald, 'strange');
      expect(await dead.reach(1)).toEqual(['strange']);
      expect(census.events.of('request_refused')).toMatchObject([{ code: 'key_unknown' }]);
      expect(handled.list).toEqual([]);
    });
  });

  describe('While a message is handled for longer than a lease', () => {
    let finish: () => void;

    /** The handler of `slow` waits for `finish`. */
    async function startSlow(setup: Partial<CensusSetup>) {
      const pair = await start(setup);
      const ended = new Promise<void>((resolve) => (finish = resolve));
      behave = async ({ ack }, data) => {
        if (data === 'slow') await ended;
        ack();
      };
      const message = await sign(pair.herald, 'slow');
      await emit(pair.unsigned, message);
      await handled.reach(1);
      return { ...pair, message };
    }

    it('a copy waits for a lease and returns to the queue, again and again, until it is dropped', async () => {
      const { census, herald, unsigned, message } = await startSlow({
        reception: { leaseSeconds: 1 },
      });
      await emit(unsigned, message);
      const refused = await observed(census, 'request_refused', 2);
      const busy = { code: 'message_busy', status: 503 };
      expect(refused).toMatchObject([busy, busy]);
      finish();
      await observed(census, 'duplicate_dropped');
      await tell(herald, 'next');
      expect(await handled.reach(2)).toEqual(['slow', 'next']);
      expect(census.events.of('lease_lost')).toEqual([]);
      expect(dead.list).toEqual([]);
    });

    it.each([
      [PREFETCH / 2, 0],
      [PREFETCH / 2 + 1, 1],
    ])('of %i copies at once %i do not wait', async (copies, atOnce) => {
      const { census, herald, unsigned, message } = await startSlow({});
      for (let copy = 0; copy < copies; copy++) await emit(unsigned, message);
      if (atOnce > 0) await observed(census, 'request_refused', atOnce);
      // Where none returns to the queue, there is room for another message.
      else {
        await tell(herald, 'quick');
        await handled.reach(2);
      }
      expect(census.events.of('request_refused').length).toBe(atOnce);
      finish();
      await observed(census, 'duplicate_dropped', copies);
      await tell(herald, 'last');
      await handled.reach(atOnce > 0 ? 2 : 3);
      expect(handled.list.filter((data) => data === 'slow')).toEqual(['slow']);
      expect(dead.list).toEqual([]);
    });
  });

  it('runs again what its handler rejects into the queue', async () => {
    const { herald } = await start();
    behave = ({ ack, reject }) => (handled.list.length === 1 ? reject(true) : ack());
    await tell(herald, 'twice');
    expect(await handled.reach(2)).toEqual(['twice', 'twice']);
    expect(dead.list).toEqual([]);
    expect(closedChannels.size).toBe(0);
  });

  it('dead-letters what its handler rejects, and lets its token be used again', async () => {
    const { herald, unsigned } = await start();
    const message = await sign(herald, 'failed');
    behave = ({ reject }) => reject(false);
    await emit(unsigned, message);
    expect(await dead.reach(1)).toEqual(['failed']);
    behave = acknowledge;
    await emit(unsigned, message);
    expect(await handled.reach(2)).toEqual(['failed', 'failed']);
    expect(closedChannels.size).toBe(0);
  });

  describe('A handler that settles all messages of its channel', () => {
    /** Three messages, the last of whose handlers settles all. */
    async function startThree(settleAll: (settle: Settling) => void, setup = {}) {
      const pair = await start(setup);
      const { herald, unsigned } = pair;
      const messages = [await sign(herald, 1), await sign(herald, 2), await sign(herald, 3)];
      behave = (settle) => (handled.list.length === 3 ? settleAll(settle) : undefined);
      for (const message of messages) await emit(unsigned, message);
      await handled.reach(3);
      behave = acknowledge;
      return { ...pair, messages };
    }

    it('has done them with ackAll()', async () => {
      const { herald, census, unsigned, messages } = await startThree(({ ackAll }) => ackAll());
      for (const message of messages) await emit(unsigned, message);
      await observed(census, 'duplicate_dropped', 3);
      await tell(herald, 4);
      expect(await handled.reach(4)).toEqual([1, 2, 3, 4]);
      expect(closedChannels.size).toBe(0);
    });

    it('gets them again after nackAll(true)', async () => {
      const { herald, census } = await startThree(({ nackAll }) => nackAll(true));
      await handled.reach(6);
      await tell(herald, 4);
      await handled.reach(7);
      expect(handled.list.slice(0, 3)).toEqual([1, 2, 3]);
      expect(new Set(handled.list.slice(3, 6))).toEqual(new Set([1, 2, 3]));
      expect(census.events.of('duplicate_dropped')).toEqual([]);
      expect(closedChannels.size).toBe(0);
    });

    it('dead-letters them with nackAll(false), and their tokens can be used again', async () => {
      const { unsigned, messages } = await startThree(({ nackAll }) => nackAll(false));
      expect(new Set(await dead.reach(3))).toEqual(new Set([1, 2, 3]));
      for (const message of messages) await emit(unsigned, message);
      await handled.reach(6);
      expect(new Set(handled.list.slice(3))).toEqual(new Set([1, 2, 3]));
      expect(closedChannels.size).toBe(0);
    });

    it.each<[string, (settle: Settling) => void]>([
      ['ackAll()', ({ ackAll }) => ackAll()],
      ['nackAll(false)', ({ nackAll }) => nackAll(false)],
      ['ack(message, true)', ({ ack }) => ack(true)],
    ])('leaves alone with %s what the guard still verifies', async (_, settleAll) => {
      const store = new FaultyStore();
      const { herald, unsigned } = await start({ options: { replayStore: store } });
      const held = await sign(herald, 'held');
      const asked = store.hold();
      await emit(unsigned, held);
      await asked;
      behave = settleAll;
      await tell(herald, 'all');
      await handled.reach(1);
      behave = acknowledge;
      store.letGo();
      expect(await handled.reach(2)).toEqual(['all', 'held']);
      await tell(herald, 'next');
      await handled.reach(3);
      expect(dead.list.filter((data) => data !== 'all')).toEqual([]);
      expect(closedChannels.size).toBe(0);
    });
  });

  it('lets a copy wait while the message is handled', async () => {
    const { herald, census, unsigned } = await start();
    const message = await sign(herald, 'slow');
    let finish: () => void = () => undefined;
    behave = async ({ ack }) => {
      await new Promise<void>((resolve) => (finish = resolve));
      ack();
    };
    await emit(unsigned, message);
    await handled.reach(1);
    await emit(unsigned, message);
    behave = acknowledge;
    await tell(herald, 'quick');
    await handled.reach(2);
    finish();
    await observed(census, 'duplicate_dropped');
    expect(handled.list).toEqual(['slow', 'quick']);
  });

  it('dead-letters what has expired when it comes again', async () => {
    let passed = 0;
    const now = () => Date.now() + passed;
    const { herald, census } = await start({ options: { now } });
    behave = ({ nack }) => {
      passed = 700_000;
      nack(true);
    };
    await tell(herald, 'late');
    expect(await dead.reach(1)).toEqual(['late']);
    expect(census.events.of('request_refused')).toMatchObject([{ code: 'token_expired' }]);
    expect(handled.list).toEqual(['late']);
  });

  it('lets a handler end whose channel was closed meanwhile, and drops the next delivery', async () => {
    const replayStore = new MemoryReplayStore();
    const options = { replayStore };
    const { herald, census, place, queue } = await start({ options });
    let finish: () => void = () => undefined;
    behave = async ({ ack }) => {
      await new Promise<void>((resolve) => (finish = resolve));
      ack();
    };
    await tell(herald, 'interrupted');
    await handled.reach(1);
    await census.close();
    const next = await startCensus({ place, queue, options });
    finish();
    await observed(next, 'duplicate_dropped');
    expect(handled.list).toEqual(['interrupted']);
  });

  it('counts a handler that is retried inside as one use', async () => {
    @Injectable()
    class Retrying implements NestInterceptor {
      intercept(...[, next]: Parameters<NestInterceptor['intercept']>) {
        return next.handle().pipe(retry(2));
      }
    }
    @UseInterceptors(Retrying)
    @Controller()
    class RetriedController extends WorkController {}
    const { herald, census } = await start({ controllers: [RetriedController] });
    behave = ({ ack }) => {
      if (handled.list.length < 3) throw new Error('not yet');
      ack();
    };
    await tell(herald, 'stubborn');
    await handled.reach(3);
    await tell(herald, 'last');
    expect(await handled.reach(4)).toEqual(['stubborn', 'stubborn', 'stubborn', 'last']);
    expect(census.events.of('request_accepted').length).toBe(2);
  });

  it('takes several handlers of one event as one unit', async () => {
    @Controller()
    @UseGuards(ServiceJwtGuard)
    class SecondController {
      @EventPattern<string>('work')
      work(@Payload() data: unknown) {
        handled.add(`second ${String(data)}`);
      }
    }
    const controllers: Type[] = [WorkController, SecondController];
    const { herald, census, unsigned } = await start({ controllers });
    const message = await sign(herald, 'both');
    await emit(unsigned, message);
    await handled.reach(2);
    await emit(unsigned, message);
    await observed(census, 'duplicate_dropped');
    await tell(herald, 'next');
    await handled.reach(4);
    expect(handled.list).toHaveLength(4);
    expect(new Set(handled.list)).toEqual(new Set(['both', 'next', 'second both', 'second next']));
  });

  it('dead-letters what one of several handlers refuses, and does not run the others again', async () => {
    @Controller()
    class OpenController {
      @EventPattern<string>('work')
      work(@Payload() data: unknown) {
        handled.add(`open ${String(data)}`);
      }
    }
    const { unsigned, herald } = await start({ controllers: [OpenController, WorkController] });
    await emit(unsigned, 'bad');
    await dead.reach(1);
    await tell(herald, 'good');
    await handled.reach(3);
    expect(handled.list).toHaveLength(3);
    expect(new Set(handled.list)).toEqual(new Set(['good', 'open bad', 'open good']));
  });

  it('serves wildcards, and the exact pattern beside them once', async () => {
    @Controller()
    @UseGuards(ServiceJwtGuard)
    class WildController {
      @EventPattern<string>('user.*')
      any(@Payload() data: unknown, @Ctx() context: RmqContext) {
        handled.add(['user.*', data]);
        settlingOf(context).ack();
      }
      @EventPattern<string>('user.created')
      created(@Payload() data: unknown, @Ctx() context: RmqContext) {
        handled.add(['user.created', data]);
        settlingOf(context).ack();
      }
    }
    const place = placeOf({ prefetchCount: PREFETCH, wildcards: true, exchange: 'users' });
    const { herald, census, unsigned } = await start({ place, controllers: [WildController] });
    await tell(herald, 1, 'user.created');
    await tell(herald, 2, 'user.removed');
    await handled.reach(2);
    expect(handled.list).toEqual([
      ['user.created', 1],
      ['user.*', 2],
    ]);
    const message = await sign(herald, 3, 'user.removed');
    await emit(unsigned, message, 'user.renamed');
    await observed(census, 'request_refused');
    await emit(unsigned, message, 'user.removed');
    expect((await handled.reach(3)).at(-1)).toEqual(['user.*', 3]);
  });

  it('tells of a lease that was lost while the handler ran', async () => {
    const store = new FaultyStore();
    store.losesLeases = true;
    const { herald, census } = await start({ options: { replayStore: store } });
    await tell(herald, 'long');
    expect(await observed(census, 'lease_lost')).toMatchObject([
      { transport: 'messages', route: 'work' },
    ]);
  });

  it.each([true, undefined])('does not start where events are lost (noAck: %s)', async (noAck) => {
    const starting = startCensus({ place: placeOf({ noAck }), queue: 'forgotten' });
    await expect(starting).rejects.toMatchObject({
      name: 'ServiceAuthConfigError',
      problems: [expect.stringMatching(/^noAck: write noAck: false.*WorkController\.work\(\)/)],
    });
  });

  it('starts there where its module says so, and handles at most once', async () => {
    const place = placeOf({ noAck: true });
    behave = () => undefined;
    const { herald, unsigned, census } = await start({
      place,
      reception: { delivery: 'at-most-once' },
    });
    const message = await sign(herald, 'once');
    await emit(unsigned, message);
    await handled.reach(1);
    await emit(unsigned, message);
    expect(await observed(census, 'request_refused')).toMatchObject([{ code: 'token_replayed' }]);
    expect(handled.list).toEqual(['once']);
  });
});

describe('A memory replay store', () => {
  const start = async (maxMessageLifetimeSeconds: number) => {
    const { createServiceAuth } = await import('nestjs-service-auth/core');
    const { heraldKey, HERALD } = await import('../../support/messages/messaging-services.js');
    const service = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
      maxMessageLifetimeSeconds,
    });
    service.close();
  };

  it('is enough for messages that live for an hour', async () => {
    await expect(start(3600)).resolves.toBeUndefined();
  });

  it('is refused for messages that live longer', async () => {
    await expect(start(3601)).rejects.toMatchObject({
      name: 'ServiceAuthConfigError',
      problems: [expect.stringMatching(/^maxMessageLifetimeSeconds: write 3600 or less/)],
    });
  });
});

/** A store in memory whose faults tests switch on. */
class FaultyStore implements LeasingReplayStore {
  isDown = false;
  losesLeases = false;
  private held: Promise<void> | undefined;
  private heldUse: (() => void) | undefined;
  letGo: () => void = () => undefined;
  private readonly inner = new MemoryReplayStore();

  recordUse: LeasingReplayStore['recordUse'] = (use) => this.reached().recordUse(use);
  reserve: LeasingReplayStore['reserve'] = async (...use) => {
    const { held, heldUse } = this;
    this.held = undefined;
    heldUse?.();
    await held;
    return this.reached().reserve(...use);
  };
  renew: LeasingReplayStore['renew'] = (...use) => this.reached().renew(...use);
  release: LeasingReplayStore['release'] = (...use) => this.reached().release(...use);

  /** The next reservation waits for `letGo`. Resolves when it is asked for. */
  async hold(): Promise<void> {
    this.held = new Promise((resolve) => (this.letGo = resolve));
    await new Promise<void>((resolve) => (this.heldUse = resolve));
  }

  commit(...use: Parameters<LeasingReplayStore['commit']>): boolean {
    const isOwned = this.reached().commit(...use);
    return isOwned && !this.losesLeases;
  }

  private reached(): MemoryReplayStore {
    if (this.isDown) throw new Error('down');
    return this.inner;
  }
}
