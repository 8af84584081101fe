import { once } from 'node:events';
import { ServiceAuthConfigError } from 'nestjs-service-auth/core';
import { RedisReplayStore, type RedisReplayStoreOptions } from 'nestjs-service-auth/redis';
import { Cluster } from 'ioredis';
import { createClientPool, createCluster } from 'redis';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { CLIENTS, type ClientOptions, openClient } from '../support/redis/redis-clients.js';
import { startCluster } from '../support/redis/redis-cluster.js';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import {
  tokenUse,
  tokenUses,
  untilDecided,
  verdictOf,
  verdictsOf,
} from '../support/replay/token-use.js';

const PATIENTLY = { timeoutMilliseconds: 5000 };

describeRedis.each(CLIENTS)('a Redis that answers otherwise, over %s', (name) => {
  const closing = closeAfterEach();

  function openStore(port: number, client?: ClientOptions) {
    const open = closing(openClient(name, port, client));
    return { open, store: new RedisReplayStore({ client: open.client, ...PATIENTLY }) };
  }

  async function openReady(redis: RedisServer, client?: ClientOptions) {
    const opened = openStore(redis.port, client);
    await opened.open.ready();
    return opened.store;
  }

  describe('RF-08', () => {
    it('READONLY: a replica is no place to record a use', async () => {
      const primary = closing(await RedisServer.start());
      const replica = closing(
        await RedisServer.start('--replicaof', '127.0.0.1', `${primary.port}`),
      );
      const store = await openReady(replica);
      expect(await verdictOf(store, tokenUse())).toMatch(/^unavailable: READONLY/);
      await replica.command('REPLICAOF', 'NO', 'ONE');
      expect(await verdictOf(store, tokenUse())).toBe('first');
    });

    it('NOAUTH: without the password nothing is accepted', async () => {
      const redis = closing(await RedisServer.start());
      await redis.command('PING');
      await redis.command('CONFIG', 'SET', 'requirepass', 'a-password');
      const { store } = openStore(redis.port);
      expect(await verdictsOf(store, tokenUses(5))).toEqual(
        Array(5).fill(expect.stringMatching(/^unavailable: /)),
      );
      const knowing = openStore(redis.port, { password: 'a-password' });
      await knowing.open.ready();
      expect(await verdictOf(knowing.store, tokenUse())).toBe('first');
    });

    it('NOPERM: a user who may not SET, and one who may', async () => {
      const redis = closing(await RedisServer.start());
      const rules = ['on', '>a-password', '~*', '+@connection', '+info'];
      await redis.command('ACL', 'SETUSER', 'service', ...rules);
      const store = await openReady(redis, { username: 'service', password: 'a-password' });
      expect(await verdictOf(store, tokenUse())).toMatch(/^unavailable: NOPERM/);
      await redis.command('ACL', 'SETUSER', 'service', '+set');
      expect(await verdictOf(store, tokenUse())).toBe('first');
    });

    it('LOADING: while it reads its file, nothing is accepted', async () => {
      const redis = closing(await RedisServer.start());
      const used = tokenUse();
      const before = await openReady(redis);
      expect(await verdictOf(before, used)).toBe('first');
      for (let each = 0; each < 100; each++) {
        await redis.command('SET', `filler-${each}`, 'x'.repeat(100));
      }
      await redis.command('SAVE');
      const slowly = [
        '--key-load-delay',
        '50000',
        '--loading-process-events-interval-bytes',
        '1024',
      ];
      await redis.restart({ more: slowly, until: /Loading RDB/ });
      const { store, open } = openStore(redis.port);
      const verdicts = await verdictsOf(store, tokenUses(5));
      expect(verdicts).toEqual(Array(5).fill(expect.stringMatching(/^unavailable: /)));
      await open.ready();
      await untilDecided(store);
      expect(await verdictOf(store, used)).toBe('seen');
    });

    it('MOVED, CLUSTERDOWN: a client of one server is no client of a cluster', async () => {
      const { empty, owner } = await startCluster(closing);
      const store = await openReady(empty);
      expect(await verdictOf(store, tokenUse())).toMatch(/^unavailable: MOVED/);
      await empty.command('CLUSTER', 'RESET');
      expect(await verdictOf(store, tokenUse())).toMatch(/^unavailable: CLUSTERDOWN/);
      expect(await verdictOf(await openReady(owner), tokenUse())).toBe('first');
    });
  });

  describe('RF-06 memory', () => {
    it('refuses when Redis is full and evicts nothing, and forgets nothing', async () => {
      const redis = closing(await RedisServer.start('--maxmemory-policy', 'noeviction'));
      const store = await openReady(redis);
      const used = tokenUses(10);
      expect(await verdictsOf(store, used)).toEqual(Array(10).fill('first'));
      await redis.command('CONFIG', 'SET', 'maxmemory', '1');
      expect(await verdictsOf(store, tokenUses(5))).toEqual(
        Array(5).fill(expect.stringMatching(/^unavailable: OOM/)),
      );
      await redis.command('CONFIG', 'SET', 'maxmemory', '0');
      expect(await verdictsOf(store, used)).toEqual(Array(10).fill('seen'));
    });

    it.each(['allkeys-lru', 'volatile-ttl', 'allkeys-random'])(
      'CF-11 warns of the policy %s',
      async (policy) => {
        const redis = closing(await RedisServer.start('--maxmemory-policy', policy));
        const events = await startedWith(redis);
        expect(events.all).toEqual([
          { type: 'replay_store_unsafe', reason: expect.stringContaining(policy) as string },
        ]);
      },
    );

    it('CF-11 says nothing of the policy noeviction', async () => {
      const redis = closing(await RedisServer.start('--maxmemory-policy', 'noeviction'));
      expect((await startedWith(redis)).all).toEqual([]);
    });

    it('CF-11 warns where it may not look, and starts all the same', async () => {
      const redis = closing(await RedisServer.start());
      const rules = ['on', '>a-password', '~*', '+@connection', '+info'];
      await redis.command('ACL', 'SETUSER', 'service', ...rules);
      const user = { username: 'service', password: 'a-password' };
      expect((await startedWith(redis, user)).all).toEqual([]);
      const { open, store } = openStore(redis.port, user);
      await open.ready();
      await redis.command('ACL', 'SETUSER', 'service', '-info', '+set');
      const events = new ObservedEvents();
      await store.start(events);
      expect(events.all).toEqual([
        { type: 'replay_store_unsafe', reason: expect.stringContaining('NOPERM') as string },
      ]);
      expect(await verdictOf(store, tokenUse())).toBe('first');
    });

    it('looks again when the connection is made anew', async () => {
      const redis = closing(await RedisServer.start());
      const { open, store } = openStore(redis.port);
      await open.ready();
      const events = new ObservedEvents();
      await store.start(events);
      expect(events.all).toEqual([]);
      await redis.restart({ more: ['--maxmemory-policy', 'allkeys-lfu'] });
      const reasons = (): string[] => events.of('replay_store_unsafe').map(({ reason }) => reason);
      while (!reasons().join().includes('allkeys-lfu')) await events.next('replay_store_unsafe');
      expect(reasons()).toHaveLength(2); // The other one says that it was started anew.
    });

    async function startedWith(redis: RedisServer, client?: ClientOptions) {
      const events = new ObservedEvents();
      await (await openReady(redis, client)).start(events);
      return events;
    }
  });
});

describeRedis('a cluster of Redis', () => {
  const closing = closeAfterEach();

  it('decides over a Cluster of ioredis, and not over one of node-redis', async () => {
    const { empty } = await startCluster(closing);
    const client = new Cluster([{ host: '127.0.0.1', port: empty.port }]);
    if (client.status !== 'ready') await once(client, 'ready');
    const store = new RedisReplayStore({ client, ...PATIENTLY });
    const uses = tokenUses(50);
    expect(await verdictsOf(store, uses)).toEqual(Array(50).fill('first'));
    expect(await verdictsOf(store, uses)).toEqual(Array(50).fill('seen'));
    const waitForReplicas = { count: 1, timeoutMilliseconds: 10 };
    expect(problemsOf({ client, waitForReplicas })).toEqual([
      expect.stringMatching(/^waitForReplicas: .* not with a cluster/),
    ]);
    client.disconnect();
    expect(problemsOf({ client: createCluster({ rootNodes: [] }) })).toEqual([
      expect.stringMatching(/^client: is `createCluster.* write `new Cluster/),
    ]);
  });
});

const CLIENT_PROBLEM = expect.stringMatching(
  /^client: write a client of 'ioredis' 5 or 6/,
) as string;

function problemsOf(options: unknown): readonly string[] {
  try {
    void new RedisReplayStore(options as RedisReplayStoreOptions);
    return [];
  } catch (error) {
    if (error instanceof ServiceAuthConfigError) return error.problems;
    throw error;
  }
}

/** A client that has everything and says `answer` to every SET. */
const clientSaying = (answer: () => unknown) => ({
  status: 'ready',
  isCluster: false,
  on: () => undefined,
  set: async () => await Promise.resolve(answer()),
  wait: async () => await Promise.resolve(1),
  info: async () => await Promise.resolve('maxmemory_policy:noeviction'),
});

describe('CF-11 what is no client of Redis', () => {
  const good = clientSaying(() => 'OK');
  const without = (name: keyof typeof good) => ({ ...good, [name]: undefined });
  const method = () => undefined;
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['an empty object', {}],
    ['a client without SET', without('set')],
    ['a client without events', without('on')],
    ['a client without INFO', without('info')],
    ['a Map', new Map()],
  ])('%s', (_title, client) => {
    expect(problemsOf({ client })).toEqual([CLIENT_PROBLEM]);
    expect(problemsOf({ client: good })).toEqual([]);
  });

  it.each<[string, RegExp, unknown]>([
    ['a URL', /^client: is a URL; write `new Redis/, 'redis://127.0.0.1:6379'],
    ['a URL object', /^client: is a URL; write /, new URL('redis://127.0.0.1:6379')],
    ['a promise of a client', /^client: is a promise; await it first/, Promise.resolve(good)],
    [
      'createCluster of redis',
      /^client: is `createCluster\(\.\.\.\)` of 'redis'.*; write `new Cluster\(\.\.\.\)` of 'ioredis'$/,
      createCluster({ rootNodes: [] }),
    ],
    [
      'createClientPool of redis',
      /^client: is `createClientPool\(\.\.\.\)` of 'redis'.*; write `createClient\(\.\.\.\)`/,
      createClientPool(),
    ],
    [
      'ioredis 4, which knows no isCluster',
      /^client: is a client of 'ioredis' 4 or older; install 'ioredis' 5 or 6$/,
      without('isCluster'),
    ],
    [
      'redis 4',
      /^client: is a client of 'redis' 4; install 'redis' 5 or 6$/,
      { isOpen: true, isReady: true, on: method, set: method, wait: method, info: method },
    ],
    [
      'redis 3',
      /^client: is a client of 'redis' 3 or older; install 'redis' 5 or 6$/,
      { connected: true, ready: true, on: method, set: method, info: method },
    ],
  ])('%s, with what it is and what to write', (_title, problem, client) => {
    expect(problemsOf({ client })).toEqual([expect.stringMatching(problem)]);
    expect(problemsOf({ client: good })).toEqual([]);
  });

  it.each<[string, unknown, unknown]>([
    ['keyPrefix', '', 'a'],
    ['keyPrefix', 'a b', 'a:b'],
    ['keyPrefix', 'x'.repeat(129), 'x'.repeat(128)],
    ['keyPrefix', 5, '5'],
    ['timeoutMilliseconds', 0, 1],
    ['timeoutMilliseconds', 10_001, 10_000],
    ['timeoutMilliseconds', 1.5, 15],
    ['timeoutMilliseconds', Number.NaN, 100],
    ['timeoutMilliseconds', '100', 100],
    ['onUnavailable', 'accept', 'accept-unchecked'],
    ['onUnavailable', true, 'refuse'],
    ['requireConnectionAtStart', 'yes', true],
    ['waitForReplicas', 1, { count: 1, timeoutMilliseconds: 1 }],
    [
      'waitForReplicas',
      { count: 0, timeoutMilliseconds: 1 },
      { count: 10, timeoutMilliseconds: 1 },
    ],
    ['waitForReplicas', { count: 1 }, { count: 1, timeoutMilliseconds: 100 }],
    ['waitForReplicas', { count: 1, timeoutMilliseconds: 101 }, undefined],
    ['anythingElse', 1, undefined],
  ])('%s: %j is a problem, %j is none', (name, bad, fine) => {
    expect(problemsOf({ client: good, [name]: bad })).toEqual([
      expect.stringMatching(`^${name}: `),
    ]);
    if (name !== 'anythingElse') expect(problemsOf({ client: good, [name]: fine })).toEqual([]);
  });

  it('lists every problem at once', () => {
    expect(problemsOf({ keyPrefix: '', timeoutMilliseconds: 0 })).toHaveLength(3);
    expect(problemsOf(undefined)).toEqual([CLIENT_PROBLEM]);
  });
});

describe('RP-17 an answer that is none', () => {
  it.each<[string, () => unknown]>([
    ['undefined', () => undefined],
    ['true', () => true],
    ['1', () => 1],
    ['QUEUED', () => 'QUEUED'],
    ['ok in small letters', () => 'ok'],
    ['OK as bytes', () => Buffer.from('OK')],
    ['an empty text', () => ''],
    ['a list', () => ['OK']],
    ['an error that is not thrown', () => new Error('READONLY')],
    ['an object', () => ({ OK: true })],
  ])('%s is neither a first use nor a second', async (_title, answer) => {
    const store = new RedisReplayStore({ client: clientSaying(answer) });
    expect(await verdictOf(store, tokenUse())).toMatch(/neither OK nor nil/);
    const good = new RedisReplayStore({ client: clientSaying(() => 'OK') });
    expect(await verdictOf(good, tokenUse())).toBe('first');
  });

  it('an error, thrown at once or later, is told by its text alone', async () => {
    const failing = (error: unknown) => () => {
      throw error;
    };
    const error = Object.assign(new Error('WRONGPASS no'), { command: { args: ['a-password'] } });
    const store = new RedisReplayStore({ client: clientSaying(failing(error)) });
    expect(await verdictOf(store, tokenUse())).toBe('unavailable: WRONGPASS no');
    const odd = new RedisReplayStore({ client: clientSaying(failing('a text')) });
    expect(await verdictOf(odd, tokenUse())).toBe('unavailable: the client failed');
  });
});
