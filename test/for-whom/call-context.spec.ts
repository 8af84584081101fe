import { jest } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Inject, Injectable } from '@nestjs/common';
import type { AxiosError, InternalAxiosRequestConfig } from 'axios';
import {
  MemoryReplayStore,
  type ServiceAuthModuleOptions,
  type ServiceCallContext,
  type ServiceIdentity,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf, ServiceSigningInterceptor } from 'nestjs-service-auth/axios';
import {
  BehaviorSubject,
  connectable,
  defer,
  EMPTY,
  firstValueFrom,
  from,
  isObservable,
  lastValueFrom,
  mergeMap,
  type Observable,
  range,
  ReplaySubject,
  retry,
  share,
  shareReplay,
  Subject,
  take,
} from 'rxjs';
import { decodeClaims } from '../support/tokens/forge.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { axiosOfNest } from '../support/services/sending-service.js';
import { ADAPTERS } from '../support/services/service.js';
import { takeSubjects, type Turn, TurnService } from './turns.js';

const userUri = (name: string): string => `https://census.service/user/${name}/`;
const [ALICE, BOB, CAROL, DAVE] = ['alice', 'bob', 'carol', 'dave'].map(userUri) as [
  string,
  string,
  string,
  string,
];

/** Answers 500 where the path says so. */
const wire = new RecordingServer(({ target }, response) => {
  response.statusCode = target.startsWith('/broken') ? 500 : 200;
  response.end('{}');
});

/** Only goes forward: the library has seen the later time. */
let elapsed = 0;
const realNow = performance.now.bind(performance);
beforeAll(async () => {
  await wire.start();
  jest.spyOn(performance, 'now').mockImplementation(() => realNow() + elapsed);
});
afterAll(async () => {
  jest.restoreAllMocks();
  await wire.close();
});

/** Why a call was refused: the error's message. Whatever else happens is thrown. */
async function refusalOf(sending: () => Promise<unknown>): Promise<string> {
  const sent = wire.requests.length;
  try {
    await sending();
  } catch (error) {
    expect(wire.requests).toHaveLength(sent);
    if (error instanceof ServiceSigningError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error(`Sent for ${takeSubjects(wire).join(' and ')}`);
}

const UNNAMED = /^subject_undecided: .*onBehalfOf\(caller\)/;
const NO_REQUEST = /^subject_undecided: .*no request is being served/;
const OVER = /^subject_undecided: .*has been answered\)$/;
const OTHER_REQUEST = /^subject_undecided: .*another request/;
const DEFER =
  /^subject_undecided: .*created where no request.*defer\(\(\) => http\.get\(\.\.\.\)\)/;
const TWO = /^subject_undecided: .*another user/;
const SHARED = /^subject_undecided: .*runShared\(\)/;
const LOST = /^subject_undecided: .*interceptor replaced/;
const EXPIRED = /^subject_undecided: .*more than 60 seconds ago/;

type Send = () => Promise<unknown>;

/** What a function gives back, made of a call, and how it is used up. */
type Kind = readonly [name: string, calls: number, make: (send: Send) => unknown];

const THEN = 'then' as const;

/** Begins when it is awaited, as a query builder does. */
class LazyThenable {
  constructor(private readonly begin: Send) {}

  [THEN](...callbacks: Parameters<Promise<unknown>['then']>): unknown {
    return this.begin().then(...callbacks);
  }
}

/** The same, and a promise, as those of some database clients are. */
class LazyPromise extends Promise<unknown> {
  private begin: Send = async () => await Promise.resolve();

  static of(begin: Send): LazyPromise {
    const lazy = new LazyPromise(() => undefined);
    lazy.begin = begin;
    return lazy;
  }

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  override [THEN]<A, B>(
    ...callbacks: [
      done?: ((value: unknown) => A | PromiseLike<A>) | null,
      failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
    ]
  ): Promise<A | B> {
    return this.begin().then(...callbacks);
  }
}

const KINDS: readonly Kind[] = [
  ['a promise', 1, (send) => send()],
  [
    'a promise, later',
    1,
    async (send) => {
      await new Promise((resolve) => setImmediate(resolve));
      return await send();
    },
  ],
  ['an Observable', 1, (send) => defer(send)],
  ['an Observable with a pipe', 2, (send) => defer(send).pipe(mergeMap(send))],
  ['an Observable of Observables', 2, (send) => from([1, 2]).pipe(mergeMap(() => defer(send)))],
  ['a promise of an Observable', 1, async (send) => await Promise.resolve(defer(send))],
  ['a Subject with a pipe', 1, (send) => new BehaviorSubject(1).pipe(take(1), mergeMap(send))],
  ['a shared Observable', 1, (send) => defer(send).pipe(share())],
  [
    'a ConnectableObservable',
    1,
    (send) => connectable(defer(send), { connector: () => new ReplaySubject() }),
  ],
  [
    'a generator',
    2,
    function* (send) {
      yield send();
      yield send();
    },
  ],
  [
    'an async generator',
    2,
    async function* (send) {
      await send();
      yield await send();
    },
  ],
  ['a promise of an async generator', 1, async (send) => await Promise.resolve(generate(send))],
  ['a thenable that begins when it is awaited', 1, (send) => new LazyThenable(send)],
  ['a promise that begins when it is awaited', 1, (send) => LazyPromise.of(send)],
  [
    'a thenable of an Observable',
    1,
    (send) => new LazyThenable(async () => await Promise.resolve(defer(send))),
  ],
];

async function* generate(send: Send): AsyncGenerator<unknown> {
  yield await send();
}

/** Awaits, subscribes to, or steps through whatever it gets, to its end. */
async function useUp(given: unknown): Promise<void> {
  const result: unknown = await given;
  if (isObservable(result)) {
    if ('connect' in result) (result as { connect(): unknown }).connect();
    await lastValueFrom(result);
  } else if (isIterable(result)) {
    for await (const step of result) await step;
  }
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return Symbol.asyncIterator in value || Symbol.iterator in value;
}

describe.each(ADAPTERS)('ServiceCallContext on %s', (adapter) => {
  const start = async (options: Partial<ServiceAuthModuleOptions>, providers: never[] = []) => {
    // With a clock of its own: a store refuses to decide where its two clocks disagree.
    const replayStore = new MemoryReplayStore({ monotonicNow: realNow });
    return await TurnService.start(adapter, wire, { replayStore, ...options }, providers);
  };
  let service: TurnService;
  let context: ServiceCallContext;
  let explicit: TurnService;
  let alice: Turn;
  let bob: Turn;
  /** A call without words. */
  const send = async () => await firstValueFrom(service.http.get(wire.url));
  beforeAll(async () => {
    service = await start({ subjectPropagation: 'ambient' });
    explicit = await start({});
    ({ context } = service);
  });
  beforeEach(async () => {
    alice = await service.openFor(ALICE);
    bob = await service.openFor(BOB);
  });
  afterEach(async () => {
    await Promise.all([alice.close(), bob.close()]);
    expect(wire.takeAll()).toEqual([]);
  });
  afterAll(async () => await Promise.all([service.close(), explicit.close()]));

  describe.each(KINDS)('FW-04 what a function returns, %s, belongs to', (_kind, calls, make) => {
    it('the user of runOnBehalfOf()', async () => {
      await bob.run(async () => await useUp(context.runOnBehalfOf(CAROL, () => make(send))));
      expect(takeSubjects(wire)).toEqual(Array(calls).fill(CAROL));
    });

    it('nobody in runActingAsItself()', async () => {
      await bob.run(async () => await useUp(context.runActingAsItself(() => make(send))));
      expect(takeSubjects(wire)).toEqual(Array(calls).fill(undefined));
    });

    it('nobody in runShared(), so that its calls are refused', async () => {
      const run = async () => await useUp(context.runShared(() => make(send)));
      expect(await bob.run(async () => await refusalOf(run))).toMatch(SHARED);
    });

    it('the request in which it was bound', async () => {
      const bound = await alice.run(() => context.bind(() => make(send)));
      await bob.run(async () => await useUp(bound()));
      expect(takeSubjects(wire)).toEqual(Array(calls).fill(ALICE));
    });

    it('the request being served, without any of them', async () => {
      await bob.run(async () => await useUp(make(send)));
      expect(takeSubjects(wire)).toEqual(Array(calls).fill(BOB));
    });
  });

  it('FW-04 an Observable belongs to the user each time that it is subscribed to', async () => {
    const made = context.runOnBehalfOf(CAROL, () => ({ calls: defer(send) }));
    const calls = context.runOnBehalfOf(CAROL, () => defer(send));
    await bob.run(async () => await lastValueFrom(calls));
    await alice.run(async () => await lastValueFrom(calls));
    await alice.run(async () => await lastValueFrom(made.calls));
    expect(takeSubjects(wire)).toEqual([CAROL, CAROL, ALICE]);
  });

  describe('FW-05 what goes on with the result of runOnBehalfOf() is the request again', () => {
    const CONTINUED: readonly (readonly [
      string,
      (of: TurnService, fn: Send) => Promise<unknown>,
    ])[] = [
      [
        'in an operator',
        async ({ context: place, http }, fn) =>
          await lastValueFrom(
            place.runOnBehalfOf(CAROL, () => http.get(wire.url)).pipe(mergeMap(fn)),
          ),
      ],
      [
        'in a subscriber',
        async ({ context: place, http }, fn) =>
          await new Promise((resolve, reject) => {
            place
              .runOnBehalfOf(CAROL, () => http.get(wire.url))
              .subscribe(() => void fn().then(resolve, reject));
          }),
      ],
      [
        'in then()',
        async ({ context: place, http }, fn) =>
          await place.runOnBehalfOf(CAROL, () => http.axiosRef.get(wire.url)).then(fn),
      ],
      [
        'in then() of a thenable',
        async ({ context: place, http }, fn) => {
          const lazy = place.runOnBehalfOf(
            CAROL,
            () => new LazyThenable(async () => await http.axiosRef.get(wire.url)),
          );
          await new Promise((resolve, reject) => {
            lazy.then(() => void fn().then(resolve, reject), reject);
          });
        },
      ],
      [
        'after await',
        async ({ context: place, http }, fn) => {
          await place.runOnBehalfOf(CAROL, async () => await http.axiosRef.get(wire.url));
          return await fn();
        },
      ],
    ];

    it.each(CONTINUED)('%s', async (_name, go) => {
      await bob.run(async () => await go(service, send));
      expect(takeSubjects(wire)).toEqual([CAROL, BOB]);
    });

    it.each(CONTINUED)('%s: refused without words, in an explicit service', async (_name, go) => {
      const turn = await explicit.openFor(BOB);
      const plain = async () => await lastValueFrom(explicit.http.get(wire.url));
      const refused = turn.run(async () => await go(explicit, plain));
      await expect(refused).rejects.toMatchObject({ code: 'subject_undecided' });
      expect(takeSubjects(wire)).toEqual([CAROL]);
      await turn.run(async () => {
        const named = async () =>
          await lastValueFrom(explicit.http.get(wire.url, onBehalfOf(DAVE)));
        await go(explicit, named);
      });
      expect(takeSubjects(wire)).toEqual([CAROL, DAVE]);
      await turn.close();
    });

    it('with the end of what it came from', async () => {
      const numbers = context.runOnBehalfOf(CAROL, () => range(1, 1_000_000_000));
      expect(await lastValueFrom(numbers.pipe(take(3)))).toBe(3);
      const failing = context.runOnBehalfOf(CAROL, () =>
        defer(() => Promise.reject(new Error('x'))),
      );
      await expect(lastValueFrom(failing)).rejects.toThrow('x');
      expect(
        await lastValueFrom(
          context.runOnBehalfOf(CAROL, () => EMPTY),
          { defaultValue: 0 },
        ),
      ).toBe(0);
      const source = new Subject<number>();
      const subscription = context.runOnBehalfOf(CAROL, () => source).subscribe();
      expect(source.observed).toBe(true);
      subscription.unsubscribe();
      expect(source.observed).toBe(false);
    });
  });

  it('FW-06 a user is a URI or a verified identity, and one without a user is the service itself', async () => {
    const nobody = await service.openFor(undefined);
    for (const [user, subject] of [
      [CAROL, CAROL],
      [alice.caller, ALICE],
      [nobody.caller, undefined],
    ] as const) {
      const who = user ?? '';
      await context.runOnBehalfOf(who, send);
      await bob.run(async () => await context.runOnBehalfOf(who, send));
      await bob.run(async () => await service.http.axiosRef.get(wire.url, onBehalfOf(who)));
      await service.fetch(wire.url, onBehalfOf(who));
      expect(takeSubjects(wire)).toEqual(Array(4).fill(subject));
    }
    await nobody.close();
  });

  const COPIES: readonly (readonly [string, (identity: ServiceIdentity) => unknown])[] = [
    ['a spread', (identity) => ({ ...identity })],
    ['Object.assign', (identity) => Object.assign({}, identity)],
    ['JSON', (identity) => JSON.parse(JSON.stringify(identity)) as unknown],
    ['structuredClone', (identity) => structuredClone(identity)],
    ['a Proxy', (identity) => new Proxy(identity, {})],
    ['Object.create', (identity) => Object.create(identity) as unknown],
    ['{}', () => ({})],
    ['{ subject }', ({ subject }) => ({ subject })],
    ['null', () => null],
    ['a number', () => 21],
    ['a symbol', () => Symbol('alice')],
    ['a list', ({ subject }) => [subject]],
    ['a String object', ({ subject }) => Object(subject) as unknown],
    ['a URL', ({ subject }) => new URL(subject ?? '')],
  ];

  it('FW-06 undefined is a user who is not known: calls for it are refused', async () => {
    const call = async (words?: object): Promise<unknown> =>
      await firstValueFrom(service.http.get(wire.url, words));
    const undecided = { code: 'subject_undecided' };
    await expect(call(onBehalfOf(undefined))).rejects.toMatchObject(undecided);
    await expect(context.runOnBehalfOf(undefined, call)).rejects.toMatchObject(undecided);
    const nobody = await service.openFor(undefined);
    await nobody.run(async () => {
      const itself = service.http.get(wire.url);
      const subscribe = async () => await firstValueFrom(itself);
      await expect(context.runOnBehalfOf(undefined, subscribe)).rejects.toMatchObject(undecided);
      expect(takeSubjects(wire)).toEqual([]);
      await subscribe();
      expect(takeSubjects(wire)).toEqual([undefined]);
    });
    await nobody.close();
    await call(onBehalfOf(ALICE));
    expect(takeSubjects(wire)).toEqual([ALICE]);
  });

  it.each(COPIES)('FW-06 an identity is not one that was made by %s', async (_name, copy) => {
    const { caller } = alice;
    if (!caller) throw new Error('not verified');
    const fake = copy(caller) as ServiceIdentity;
    const message = /URI or the identity that @ServiceCaller\(\) gives, not a copy/;
    const runs = jest.fn();
    expect(() => onBehalfOf(fake)).toThrow(TypeError);
    expect(() => onBehalfOf(fake)).toThrow(message);
    expect(() => context.runOnBehalfOf(fake, runs)).toThrow(TypeError);
    expect(() => context.runOnBehalfOf(fake, runs)).toThrow(message);
    expect(runs).not.toHaveBeenCalled();
    await service.fetch(wire.url, onBehalfOf(caller));
    expect(takeSubjects(wire)).toEqual([ALICE]);
  });

  it('FW-06 an identity is not one that another service of the process verified', async () => {
    const turn = await explicit.openFor(ALICE);
    const foreign = turn.caller;
    if (!foreign) throw new Error('not verified');
    const message = /verified by another service/;
    const runs = jest.fn();
    expect(() => context.runOnBehalfOf(foreign, runs)).toThrow(TypeError);
    expect(() => context.runOnBehalfOf(foreign, runs)).toThrow(message);
    expect(runs).not.toHaveBeenCalled();
    for (const call of [
      async () => await lastValueFrom(service.http.get(wire.url, onBehalfOf(foreign))),
      async () => await service.http.axiosRef.get(wire.url, onBehalfOf(foreign)),
      async () => await service.fetch(wire.url, onBehalfOf(foreign)),
    ]) {
      await expect(call()).rejects.toThrow(TypeError);
      await expect(call()).rejects.toThrow(message);
    }
    expect(wire.takeAll()).toEqual([]);
    await explicit.fetch(wire.url, onBehalfOf(foreign));
    expect(takeSubjects(wire)).toEqual([ALICE]);
    await turn.close();
  });

  it('FW-07 the innermost choice counts, and the one around it again afterwards', async () => {
    await bob.run(async () => {
      await context.runOnBehalfOf(CAROL, async () => {
        await context.runOnBehalfOf(DAVE, send);
        await send();
        await context.runActingAsItself(send);
        await context.runActingAsItself(async () => await context.runOnBehalfOf(DAVE, send));
        await firstValueFrom(service.http.get(wire.url, onBehalfOf(ALICE)));
        await firstValueFrom(service.http.get(wire.url, actingAsItself()));
        await send();
      });
      await send();
    });
    const inside = [DAVE, CAROL, undefined, DAVE, ALICE, undefined, CAROL];
    expect(takeSubjects(wire)).toEqual([...inside, BOB]);
  });

  it('FW-07 a call that was created for one user is not made for another who is chosen where it is subscribed to', async () => {
    const ofBob = await bob.run(() => ({ call: service.http.get(wire.url) }));
    const there = async (run: (call: Observable<unknown>) => Observable<unknown>) =>
      await bob.run(async () => await lastValueFrom(run(ofBob.call)));
    const forCarol = async () => await there((call) => context.runOnBehalfOf(CAROL, () => call));
    expect(await refusalOf(forCarol)).toMatch(TWO);
    const forItself = async () => await there((call) => context.runActingAsItself(() => call));
    expect(await refusalOf(forItself)).toMatch(TWO);
    await there((call) => context.runOnBehalfOf(BOB, () => call));
    await there((call) => call);
    expect(takeSubjects(wire)).toEqual([BOB, BOB]);
  });

  it('FW-08 work that requests share says for whom in each call, or is refused', async () => {
    const batch = async (users: readonly string[]) =>
      await context.runShared(async () => {
        await send().catch((error: ServiceSigningError) =>
          expect(error.code).toBe('subject_undecided'),
        );
        for (const user of users) await service.http.axiosRef.get(wire.url, onBehalfOf(user));
        for (const user of users) await context.runOnBehalfOf(user, send);
        await service.fetch(wire.url, actingAsItself());
      });
    await bob.run(async () => await batch([ALICE, BOB]));
    await context.runOnBehalfOf(CAROL, async () => await batch([ALICE, BOB]));
    const once = [ALICE, BOB, ALICE, BOB, undefined];
    expect(takeSubjects(wire)).toEqual([...once, ...once]);
  });

  it('FW-08 shared work is nobody’s where a service acts as itself outside of requests too', async () => {
    const keeper = await start({ subjectOutsideRequest: 'act-as-itself' });
    const plain = async () => await lastValueFrom(keeper.http.get(wire.url));
    expect(await refusalOf(async () => await keeper.context.runShared(plain))).toMatch(SHARED);
    await plain();
    expect(takeSubjects(wire)).toEqual([undefined]);
    await keeper.close();
  });

  describe('FW-09 a bound function', () => {
    it('runs as where it was bound, with this, arguments, result and error', async () => {
      const counter = { by: 2 };
      const bound = await alice.run(() =>
        context.bind(async function (this: { by: number }, a: number, b: number) {
          await send();
          if (a === 0) throw new Error('zero');
          return this.by * (a + b);
        }),
      );
      expect(await bob.run(async () => await bound.call(counter, 3, 4))).toBe(14);
      await expect(bob.run(async () => await bound.call(counter, 0, 4))).rejects.toThrow('zero');
      const thrower = await alice.run(() =>
        context.bind(() => {
          throw new Error('at once');
        }),
      );
      expect(() => thrower()).toThrow('at once');
      await bob.run(send);
      expect(takeSubjects(wire)).toEqual([ALICE, ALICE, BOB]);
    });

    it('makes a task of its own for a limiter that another user’s request drains', async () => {
      const tasks: Send[] = [];
      const drain = async () => {
        for (const task of tasks.splice(0)) await task();
      };
      await alice.run(() => void tasks.push(context.bind(send)));
      await bob.run(() => void tasks.push(context.bind(send)));
      await bob.run(drain);
      await alice.run(() => void tasks.push(send));
      await bob.run(drain);
      expect(takeSubjects(wire)).toEqual([ALICE, BOB, BOB]);
    });

    it('hears a bus that another request feeds', async () => {
      const bus = new Subject<number>();
      const heard = alice.run(
        async () => await firstValueFrom(bus.pipe(mergeMap(context.bind(send)))),
      );
      await alice.run(() => undefined);
      await bob.run(() => bus.next(1));
      await heard;
      expect(takeSubjects(wire)).toEqual([ALICE]);
    });

    it('ends with its request', async () => {
      const bound = await alice.run(() => context.bind(send));
      await bob.run(async () => await bound());
      await alice.end();
      expect(await refusalOf(async () => await bob.run(async () => await bound()))).toMatch(OVER);
      expect(takeSubjects(wire)).toEqual([ALICE]);
    });

    it.each<[string, (by: TurnService) => unknown]>([
      ['an Observable', ({ http }) => http.get(wire.url)],
      ['axiosRef', ({ http }) => http.axiosRef.get(wire.url)],
      ['fetch', ({ fetch }) => fetch(wire.url)],
    ])('goes on after it with afterEnd, for any time, by %s', async (_name, call) => {
      const bound = await alice.run(() => context.bind(() => call(service), { afterEnd: true }));
      await alice.end();
      await useUp(bound());
      elapsed += 60_001;
      await useUp(bound());
      await bob.run(async () => await useUp(bound()));
      expect(takeSubjects(wire)).toEqual([ALICE, ALICE, ALICE]);
    });

    it('gets no user back that was lost before it was bound', async () => {
      await alice.end();
      for (const options of [{}, { afterEnd: true }]) {
        const bound = await alice.run(() => context.bind(send, options));
        expect(await refusalOf(async () => await bound())).toMatch(OVER);
      }
    });

    it('is nobody’s in a request where it was bound outside of any', async () => {
      const bound = context.bind(send);
      expect(await refusalOf(async () => await alice.run(async () => await bound()))).toMatch(
        NO_REQUEST,
      );
      await alice.run(send);
      expect(takeSubjects(wire)).toEqual([ALICE]);
    });

    it('keeps the choice around it', async () => {
      const bound = await alice.run(() => context.runOnBehalfOf(CAROL, () => context.bind(send)));
      const itself = context.runActingAsItself(() => context.bind(send));
      const shared = context.runShared(() => context.bind(send));
      await alice.end();
      await bob.run(async () => await bound());
      await bob.run(async () => await itself());
      expect(takeSubjects(wire)).toEqual([CAROL, undefined]);
      expect(await refusalOf(async () => await bob.run(async () => await shared()))).toMatch(
        SHARED,
      );
    });

    it('does not say for whom it calls in an explicit service', async () => {
      const turn = await explicit.openFor(ALICE);
      const call = async (config?: object) => await explicit.http.axiosRef.get(wire.url, config);
      const bound = await turn.run(() => explicit.context.bind(call));
      expect(await refusalOf(async () => await bound())).toMatch(UNNAMED);
      await bound(onBehalfOf(DAVE));
      expect(takeSubjects(wire)).toEqual([DAVE]);
      await turn.close();
    });
  });

  describe('FW-10 a call that is made again', () => {
    const broken = () => `${wire.url}/broken`;
    const tokensOf = () => {
      const requests = wire.requests.map((recorded) =>
        decodeClaims(valuesOf(recorded, 'jwt')[0] ?? ''),
      );
      return { ids: new Set(requests.map(({ jti }) => jti)).size, subjects: takeSubjects(wire) };
    };
    const failureOf = async (sending: Promise<unknown>): Promise<InternalAxiosRequestConfig> => {
      const error = await sending.then(
        () => undefined,
        (reason: AxiosError) => reason,
      );
      if (!error?.config)
        throw new Error('It did not fail with a configuration.', { cause: error });
      return error.config;
    };
    const failed = async () =>
      await alice.run(async () => await failureOf(service.http.axiosRef.get(broken())));

    it('by retry() has a token of its own, and its user', async () => {
      const sending = alice.run(
        async () => await lastValueFrom(service.http.get(broken()).pipe(retry(2))),
      );
      await expect(sending).rejects.toMatchObject({ response: { status: 500 } });
      expect(tokensOf()).toEqual({ ids: 3, subjects: [ALICE, ALICE, ALICE] });
    });

    it('by its configuration has a token of its own, and its user, up to 60 seconds after the answer', async () => {
      const again = async (config: InternalAxiosRequestConfig) =>
        await failureOf(service.http.axiosRef.request(config));
      let config = await failed();
      config = await alice.run(async () => await again(config));
      config = await again(config);
      await alice.end();
      config = await again(config);
      config = await alice.run(async () => await again(config));
      elapsed += 59_000;
      config = await again(config);
      expect(tokensOf()).toEqual({ ids: 6, subjects: Array(6).fill(ALICE) });
      elapsed += 1_001;
      expect(await refusalOf(async () => await service.http.axiosRef.request(config))).toMatch(
        EXPIRED,
      );
    });

    it('is made for no other user', async () => {
      const config = await failed();
      wire.takeAll();
      const again = await service.openFor(ALICE);
      for (const turn of [bob, again]) {
        for (const call of [
          async () => await service.http.axiosRef.request(config),
          async () => await lastValueFrom(service.http.request(config)),
        ]) {
          expect(await refusalOf(async () => await turn.run(call))).toMatch(OTHER_REQUEST);
        }
        const created = await turn.run(() => ({ call: service.http.request(config) }));
        expect(await refusalOf(async () => await lastValueFrom(created.call))).toMatch(
          OTHER_REQUEST,
        );
      }
      await again.close();
    });

    it('keeps the words that name its user', async () => {
      const named = await bob.run(
        async () => await failureOf(service.http.axiosRef.get(broken(), onBehalfOf(CAROL))),
      );
      await alice.run(async () => await failureOf(service.http.axiosRef.request(named)));
      expect(tokensOf()).toEqual({ ids: 2, subjects: [CAROL, CAROL] });
    });
  });

  describe('FW-11 an interceptor of the application', () => {
    /** An instance of its own, with an interceptor that was there before signing, or came after it. */
    const withInterceptor = (
      when: string,
      change: (config: InternalAxiosRequestConfig) => unknown,
    ): HttpService => {
      const http = new HttpService(axiosOfNest.create());
      const use = () =>
        http.axiosRef.interceptors.request.use(
          (config) => change(config) as InternalAxiosRequestConfig,
        );
      if (when === 'before') use();
      service.get(ServiceSigningInterceptor).attach(http);
      if (when === 'after') use();
      return http;
    };

    it.each(['before', 'after'])(
      'that copies the configuration keeps its user (%s)',
      async (when) => {
        const http = withInterceptor(when, (config) => ({ ...config }));
        await alice.run(async () => await lastValueFrom(http.get(wire.url)));
        await alice.run(async () => await http.axiosRef.get(wire.url));
        await bob.run(async () => await http.axiosRef.get(wire.url, onBehalfOf(CAROL)));
        expect(takeSubjects(wire)).toEqual([ALICE, ALICE, CAROL]);
      },
    );

    it.each(['before', 'after'])('that names a user is taken at its word (%s)', async (when) => {
      const http = withInterceptor(when, (config) => onBehalfOf(CAROL, config));
      await alice.run(async () => await lastValueFrom(http.get(wire.url)));
      await http.axiosRef.get(wire.url);
      expect(takeSubjects(wire)).toEqual([CAROL, CAROL]);
    });

    it('that makes a configuration from nothing loses its user', async () => {
      const http = withInterceptor('after', ({ url, method, headers }) => ({
        url,
        method,
        headers,
      }));
      for (const call of [
        async () => await lastValueFrom(http.get(wire.url)),
        async () => await http.axiosRef.get(wire.url),
        async () => await http.axiosRef.get(wire.url, onBehalfOf(CAROL)),
      ]) {
        expect(await refusalOf(async () => await alice.run(call))).toMatch(LOST);
      }
    });
  });

  describe('FW-12 a field of a class that is a call', () => {
    it('is refused with what to write, and deferred it is made for each user', async () => {
      @Injectable()
      class Towns {
        readonly list: Observable<unknown>;
        readonly shared: Observable<unknown>;
        readonly deferred: Observable<unknown>;
        constructor(@Inject(HttpService) http: HttpService) {
          this.list = http.get(wire.url);
          this.shared = http.get(wire.url).pipe(shareReplay(1));
          this.deferred = defer(() => http.get(wire.url));
        }
      }
      for (const subjectOutsideRequest of ['refuse', 'act-as-itself'] as const) {
        const options = { subjectPropagation: 'ambient', subjectOutsideRequest } as const;
        const town = await start(options, [Towns] as never[]);
        const turns = [await town.openFor(ALICE), await town.openFor(BOB)];
        const { list, shared, deferred } = town.get(Towns);
        for (const turn of turns) {
          for (const call of [list, shared]) {
            const run = async () => await turn.run(async () => await lastValueFrom(call));
            expect(await refusalOf(run)).toMatch(DEFER);
          }
          await turn.run(async () => await lastValueFrom(deferred));
        }
        expect(takeSubjects(wire)).toEqual([ALICE, BOB]);
        await Promise.all(turns.map(async (turn) => await turn.close()));
        await town.close();
      }
    });

    it('is no second call of one that a request created, where its answer is shared', async () => {
      const shared = await alice.run(() => ({
        call: service.http.get(wire.url).pipe(shareReplay(1)),
        cold: service.http.get(wire.url),
      }));
      await alice.run(async () => await lastValueFrom(shared.call));
      await bob.run(async () => await lastValueFrom(shared.call));
      expect(takeSubjects(wire)).toEqual([ALICE]);
      const run = async () => await bob.run(async () => await lastValueFrom(shared.cold));
      expect(await refusalOf(run)).toMatch(OTHER_REQUEST);
    });
  });

  it('FW-13 an instance that is made from one that signs is not signed for, until it is attached', async () => {
    const child = service.http.axiosRef.create();
    const refused = async () => await alice.run(async () => await child.get(wire.url));
    expect(await refusalOf(refused)).toMatch(LOST);
    await expect(child.get(wire.url, onBehalfOf(CAROL))).rejects.toThrow(/Nothing was sent/);
    expect(wire.takeAll()).toEqual([]);
    service.get(ServiceSigningInterceptor).attach(new HttpService(child));
    await alice.run(async () => await child.get(wire.url));
    await child.get(wire.url, onBehalfOf(CAROL));
    expect(takeSubjects(wire)).toEqual([ALICE, CAROL]);
  });

  it('FW-13 words among the defaults of a client are kept, and those of a call go before them', async () => {
    const http = new HttpService(axiosOfNest.create(actingAsItself({ timeout: 5000 })));
    service.get(ServiceSigningInterceptor).attach(http);
    await alice.run(async () => await lastValueFrom(http.get(wire.url)));
    await alice.run(async () => await http.axiosRef.get(wire.url));
    await alice.run(async () => await lastValueFrom(http.get(wire.url, onBehalfOf(CAROL))));
    expect(takeSubjects(wire)).toEqual([undefined, undefined, CAROL]);
  });

  it('FW-13 a member that is undefined does not put off for whom a call is made', async () => {
    const [member = ''] = Object.keys(onBehalfOf(CAROL));
    const created = await alice.run(() => ({
      call: service.http.get(wire.url, { [member]: undefined } as object),
    }));
    const run = async () => await bob.run(async () => await lastValueFrom(created.call));
    expect(await refusalOf(run)).toMatch(OTHER_REQUEST);
    await alice.run(async () => await lastValueFrom(created.call));
    expect(takeSubjects(wire)).toEqual([ALICE]);
  });

  it('FW-14 words are not sent unsigned to a target that is not known', async () => {
    const stranger = await new RecordingServer().start();
    const open = await start({ subjectPropagation: 'ambient', unknownTargets: 'send-unsigned' });
    for (const words of [onBehalfOf(CAROL), actingAsItself()]) {
      for (const call of [
        async () => await lastValueFrom(open.http.get(stranger.url, words)),
        async () => await open.http.axiosRef.get(stranger.url, words),
        async () => await open.fetch(stranger.url, words as RequestInit),
      ]) {
        expect(await refusalOf(call)).toMatch(/^target_unknown: .*never sent unsigned/);
        expect(stranger.takeAll()).toEqual([]);
      }
    }
    const turn = await open.openFor(ALICE);
    await turn.run(async () => await lastValueFrom(open.http.get(stranger.url)));
    await turn.run(async () => await open.fetch(stranger.url));
    const sent = stranger.takeAll();
    expect(sent.map((recorded) => valuesOf(recorded, 'jwt'))).toEqual([[], []]);
    await turn.close();
    await Promise.all([open.close(), stranger.close()]);
  });

  it('FW-15 another request of the same user is another request', async () => {
    const again = await service.openFor(ALICE);
    const created = await alice.run(() => ({ call: service.http.get(wire.url) }));
    const run = async () => await again.run(async () => await lastValueFrom(created.call));
    expect(await refusalOf(run)).toMatch(OTHER_REQUEST);
    await alice.end();
    await again.end();
    await run();
    expect(takeSubjects(wire)).toEqual([ALICE]);
    elapsed += 60_001;
    expect(await refusalOf(async () => await lastValueFrom(created.call))).toMatch(EXPIRED);
    await again.close();
  });
});
