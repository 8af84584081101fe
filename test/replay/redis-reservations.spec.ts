import { Cluster } from 'ioredis';
import type { TokenUse } from 'nestjs-service-auth/core';
import { RedisReplayStore, type RedisReplayStoreOptions } from 'nestjs-service-auth/redis';
import { Clocks } from '../support/clocks/clocks.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { CLIENTS, openClient, type OpenClient } from '../support/redis/redis-clients.js';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import { startCluster } from '../support/redis/redis-cluster.js';
import { TcpProxy } from '../support/redis/tcp-proxy.js';
import {
  answerOf,
  describeLeasingStore,
  leaseOf,
} from '../support/replay/leasing-store-contract.js';
import { NOW_SECONDS, tokenUse } from '../support/replay/token-use.js';
import { closeAfterEach } from '../support/services/receiver.js';

const PATIENTLY = { timeoutMilliseconds: 5000 };
const OWNER = 'a';

describeRedis.each(CLIENTS)('reservations in Redis, over %s', (name) => {
  let redis: RedisServer;
  let open: OpenClient;
  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(async () => await redis.close());
  beforeEach(async () => {
    await redis.command('FLUSHALL');
    open = openClient(name, redis.port);
    await open.ready();
  });
  afterEach(() => open.close());

  const storeWith = (options: Partial<RedisReplayStoreOptions> = {}): RedisReplayStore =>
    new RedisReplayStore({ client: open.client, ...PATIENTLY, ...options });

  /** Brings the end of every key nearer, as if the time had passed. */
  async function pass(seconds: number): Promise<void> {
    for (const key of await redis.keys()) {
      const left = (await redis.command('PTTL', key)) as number;
      await redis.command('PEXPIRE', key, `${left - seconds * 1000}`);
    }
  }

  describeLeasingStore(`RedisReplayStore over ${name}`, () => {
    const clocks = new Clocks();
    clocks.wallSeconds = Date.now() / 1000;
    return {
      store: storeWith({ monotonicNow: clocks.monotonicNow }),
      nowSeconds: () => clocks.wallSeconds,
      pass: async (seconds) => {
        clocks.pass(seconds);
        await pass(seconds);
      },
      step: (seconds) => clocks.step(seconds),
      marginSeconds: 60,
      hasServer: true,
    };
  });

  const timeLeft = async (): Promise<number> => {
    const [key = ''] = await redis.keys();
    return (await redis.command('PTTL', key)) as number;
  };

  it('RF-09 end with their lease, and what is done with its token and a margin', async () => {
    const one = tokenUse({ forgetAtSeconds: NOW_SECONDS + 600 });
    const store = storeWith();
    const expectLeft = async (milliseconds: number): Promise<void> => {
      const left = await timeLeft();
      expect(left).toBeLessThanOrEqual(milliseconds);
      expect(left).toBeGreaterThan(milliseconds - 20_000);
    };
    await store.reserve(one, leaseOf(OWNER, 30));
    await expectLeft(30_000);
    await store.renew(one, leaseOf(OWNER, 90));
    await expectLeft(90_000);
    await store.commit(one, OWNER);
    await expectLeft(660_000);
  });

  it('RF-10 have the keys of recordUse, behind a prefix of the client too', async () => {
    const prefixed = openClient(name, redis.port, { keyPrefix: 'app:' });
    await prefixed.ready();
    const store = storeWith({ client: prefixed.client });
    const one = tokenUse();
    expect(await store.reserve(one, leaseOf(OWNER))).toBe('first');
    expect(await redis.keys()).toEqual([
      expect.stringMatching(/^app:service-auth:replay:[\w-]{43}$/),
    ]);
    expect(await store.recordUse(one)).toBe('seen');
    prefixed.close();
  });

  it('are shared by every store of the prefix', async () => {
    const [one, other] = [tokenUse(), storeWith()];
    expect(await storeWith().reserve(one, leaseOf(OWNER))).toBe('first');
    expect(await other.reserve(one, leaseOf('b'))).toBe('busy');
    expect(await storeWith({ keyPrefix: 'other:' }).reserve(one, leaseOf('b'))).toBe('first');
    expect(await other.commit(one, OWNER)).toBe(true);
    expect(await storeWith().reserve(one, leaseOf('b'))).toBe('seen');
  });

  it('are committed once more with the same answer, as after an answer that was lost', async () => {
    const store = storeWith();
    const [owned, lost] = [tokenUse(), tokenUse()];
    await store.reserve(owned, leaseOf(OWNER));
    expect(await store.commit(owned, OWNER)).toBe(true);
    expect(await store.commit(owned, OWNER)).toBe(true);
    expect(await store.commit(owned, 'b')).toBe(false);
    expect(await store.commit(lost, OWNER)).toBe(false);
    expect(await store.commit(lost, OWNER)).toBe(false);
  });

  it('RF-08 need the right to call EVAL and what the scripts call', async () => {
    const rules = ['on', '>a-password', '~*', '+@connection', '+info', '+set'];
    await redis.command('ACL', 'SETUSER', 'service', 'reset', ...rules);
    const limited = openClient(name, redis.port, { username: 'service', password: 'a-password' });
    await limited.ready();
    const store = storeWith({ client: limited.client });
    const one = tokenUse();
    expect(await store.recordUse(tokenUse())).toBe('first');
    expect(await answerOf(() => store.reserve(one, leaseOf(OWNER)))).toMatch(
      /^replay_store_unavailable: NOPERM/,
    );
    await redis.command('ACL', 'SETUSER', 'service', '+eval', '+get', '+pexpire', '+del');
    expect(await store.reserve(one, leaseOf(OWNER))).toBe('first');
    expect(await store.renew(one, leaseOf(OWNER))).toBe(true);
    await store.release(one, OWNER);
    expect(await store.reserve(one, leaseOf(OWNER))).toBe('first');
    expect(await store.commit(one, OWNER)).toBe(true);
    limited.close();
  });
});

describeRedis.each(CLIENTS)('reservations in a Redis in trouble, over %s', (name) => {
  const closing = closeAfterEach();

  async function openThroughProxy(options: Partial<RedisReplayStoreOptions> = {}) {
    const redis = closing(await RedisServer.start());
    const proxy = closing(await TcpProxy.start(redis.port));
    const open = closing(openClient(name, proxy.port));
    await open.ready();
    const store = new RedisReplayStore({ client: open.client, ...PATIENTLY, ...options });
    const events = new ObservedEvents();
    await store.start(events);
    return { redis, proxy, open, store, events };
  }

  /** Each of the four questions, about one use. */
  const questions = (
    store: RedisReplayStore,
    one: TokenUse,
  ): readonly (() => Promise<unknown>)[] => [
    async () => await store.reserve(one, leaseOf(OWNER)),
    async () => await store.renew(one, leaseOf(OWNER)),
    async () => await store.commit(one, OWNER),
    async () => await store.release(one, OWNER),
  ];

  it.each(['refuse', 'accept-unchecked'] as const)(
    'RF-02, CF-12 are not decided while it is gone, with onUnavailable: %s',
    async (onUnavailable) => {
      const { store, open, proxy, events } = await openThroughProxy({ onUnavailable });
      const one = tokenUse();
      proxy.refuse();
      proxy.reset();
      for (const ask of questions(store, one)) {
        expect(await answerOf(ask)).toMatch(/^replay_store_unavailable: ./);
      }
      expect(events.of('replay_store_failed')).toHaveLength(1);
      expect(events.of('token_accepted_unchecked')).toEqual([]);
      const isLoose = onUnavailable === 'accept-unchecked';
      const expected: unknown = isLoose
        ? 'first'
        : expect.stringMatching(/^replay_store_unavailable/);
      expect(await answerOf(async () => await store.recordUse(tokenUse()))).toEqual(expected);

      const ready = open.readyAgain();
      proxy.pass();
      await ready;
      expect(await store.reserve(one, leaseOf(OWNER))).toBe('first');
    },
  );

  it('RF-03 are not decided while it stands still', async () => {
    const { store, redis } = await openThroughProxy({ timeoutMilliseconds: 100 });
    redis.freeze();
    for (const ask of questions(store, tokenUse())) {
      expect(await answerOf(ask)).toBe('replay_store_unavailable: no answer within 100 ms');
    }
    redis.thaw();
    const one = tokenUse();
    let answer = 'replay_store_unavailable';
    // A machine may be too busy for 100 ms, and then the reservation may have been made.
    while (answer.startsWith('replay_store_unavailable')) {
      answer = await answerOf(async () => await store.reserve(one, leaseOf(OWNER)));
    }
    expect(['first', 'busy']).toContain(answer);
  });

  it('RF-04 are not decided by an answer that comes over another connection; a commit finds its own', async () => {
    const { store, open, proxy } = await openThroughProxy();
    const [one, other] = [tokenUse(), tokenUse()];
    await store.reserve(one, leaseOf(OWNER));
    const swallow = async (ask: () => Promise<unknown>): Promise<unknown> => {
      proxy.swallowReplies();
      const answer = answerOf(ask);
      await proxy.nextSwallowed();
      const ready = open.readyAgain();
      proxy.pass();
      proxy.reset();
      await ready;
      return await answer;
    };
    const lost: unknown = expect.stringMatching(/^replay_store_unavailable: ./);
    expect(await swallow(async () => await store.commit(one, OWNER))).toEqual(lost);
    expect(await store.commit(one, OWNER)).toBe(true);
    expect(await swallow(async () => await store.reserve(other, leaseOf(OWNER)))).toEqual(lost);
    expect(await store.reserve(other, leaseOf('b'))).toBe('busy');
    await store.release(other, OWNER);
    expect(await store.reserve(other, leaseOf('b'))).toBe('first');
  });

  it('RF-13 are not made for what a restarted Redis may have lost, and what it lost is not owned', async () => {
    const { store, redis, open } = await openThroughProxy();
    const one = tokenUse({ issuedAtSeconds: NOW_SECONDS });
    await store.reserve(one, leaseOf(OWNER));
    const ready = open.readyAgain();
    await redis.restart();
    await ready;
    expect(await store.renew(one, leaseOf(OWNER))).toBe(false);
    const before = tokenUse({ issuedAtSeconds: NOW_SECONDS - 1000 });
    expect(await answerOf(async () => await store.reserve(before, leaseOf('b')))).toMatch(
      /^replay_store_unavailable: Redis may be another server than before/,
    );
    const after = tokenUse({ issuedAtSeconds: NOW_SECONDS + 1 });
    expect(await store.reserve(after, leaseOf('b'))).toBe('first');
    expect(await store.commit(one, OWNER)).toBe(false);
    expect(await store.reserve(one, leaseOf('b'))).toBe('seen');
  });

  it('RF-05 are made once replicas have them, where that is waited for', async () => {
    const primary = closing(await RedisServer.start());
    const replica = closing(await RedisServer.start('--replicaof', '127.0.0.1', `${primary.port}`));
    await primary.command('SET', 'mark', '1', 'PX', '60000');
    while ((await primary.command('WAIT', '1', '1000')) !== 1);
    const open = closing(openClient(name, primary.port));
    await open.ready();
    const waitForReplicas = { count: 1, timeoutMilliseconds: 500 };
    const store = new RedisReplayStore({ client: open.client, ...PATIENTLY, waitForReplicas });
    const one = tokenUse();
    await store.reserve(one, leaseOf(OWNER)).catch(() => undefined);
    while ((await answerOf(async () => await store.renew(one, leaseOf(OWNER)))) !== true);
    await replica.kill();
    const few = 'replay_store_unavailable: fewer than 1 replicas have the use';
    const next = tokenUse();
    expect(await answerOf(async () => await store.renew(one, leaseOf(OWNER)))).toBe(few);
    expect(await answerOf(async () => await store.reserve(next, leaseOf('b')))).toBe(few);
    expect(await answerOf(async () => await store.commit(one, OWNER))).toBe(few);
    expect(await store.reserve(next, leaseOf('c'))).toBe('busy');
    expect(await store.reserve(one, leaseOf('c'))).toBe('seen');
  });

  it('RF-06 are renewed and released in a full Redis, and not made', async () => {
    const { store, redis } = await openThroughProxy();
    const one = tokenUse();
    await store.reserve(one, leaseOf(OWNER));
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    expect(await answerOf(async () => await store.reserve(tokenUse(), leaseOf('b')))).toMatch(
      /^replay_store_unavailable: .*OOM/,
    );
    expect(await store.renew(one, leaseOf(OWNER))).toBe(true);
    expect(await answerOf(async () => await store.commit(one, OWNER))).toMatch(/OOM/);
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');
    expect(await store.commit(one, OWNER)).toBe(true);
  });
});

describeRedis('reservations in a Cluster', () => {
  const closing = closeAfterEach();

  it('go to the node that has the key', async () => {
    const { empty } = await startCluster(closing);
    const client = new Cluster([{ host: '127.0.0.1', port: empty.port }]);
    closing({ close: () => client.disconnect() });
    const store = new RedisReplayStore({ client, ...PATIENTLY });
    await new Promise<void>((resolve) => client.once('ready', () => resolve()));
    for (const one of [tokenUse(), tokenUse(), tokenUse()]) {
      expect(await store.reserve(one, leaseOf(OWNER))).toBe('first');
      expect(await store.reserve(one, leaseOf('b'))).toBe('busy');
      expect(await store.renew(one, leaseOf(OWNER))).toBe(true);
      expect(await store.commit(one, OWNER)).toBe(true);
      expect(await store.recordUse(one)).toBe('seen');
    }
  });
});

describe('RP-17 an answer to a script that is none', () => {
  const clientSaying = (answer: unknown) => ({
    status: 'ready',
    isCluster: false,
    on: () => undefined,
    set: async () => await Promise.resolve('OK'),
    wait: async () => await Promise.resolve(1),
    info: async () => await Promise.resolve('run_id:x'),
    eval: async () => await Promise.resolve(answer),
  });

  it.each([undefined, null, 1, true, 'OK', 'FIRST', ['first'], Buffer.from('first'), 'owned'])(
    '%p reserves nothing',
    async (answer) => {
      const ask = async (said: unknown) =>
        await new RedisReplayStore({ client: clientSaying(said) }).reserve(
          tokenUse(),
          leaseOf('a'),
        );
      expect(await answerOf(async () => await ask(answer))).toMatch(/answered none of first, busy/);
      expect(await ask('first')).toBe('first');
    },
  );

  it('a client without eval records uses, and reserves none', async () => {
    const client = { ...clientSaying('first'), eval: undefined };
    const store = new RedisReplayStore({ client });
    expect(await store.recordUse(tokenUse())).toBe('first');
    expect(await answerOf(async () => await store.reserve(tokenUse(), leaseOf('a')))).toBe(
      'replay_store_unavailable: the client has no method eval',
    );
  });
});
