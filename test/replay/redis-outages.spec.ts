import { once } from 'node:events';
import { createServer } from 'node:net';
import { Redis } from 'ioredis';
import { ServiceAuthUnavailableError } from 'nestjs-service-auth/core';
import { RedisReplayStore, type RedisReplayStoreOptions } from 'nestjs-service-auth/redis';
import { createClient } from 'redis';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { CLIENTS, openClient, type OpenClient } from '../support/redis/redis-clients.js';
import { describeRedis, findFreePort, RedisServer } from '../support/redis/redis-server.js';
import { TcpProxy } from '../support/redis/tcp-proxy.js';
import {
  NOW_SECONDS,
  tokenUse,
  tokenUses,
  UNAVAILABLE,
  untilDecided,
  verdictOf,
  verdictsOf,
} from '../support/replay/token-use.js';

/** So long that a test does not run into it by accident. */
const PATIENTLY = { timeoutMilliseconds: 2000 };

describeRedis.each(CLIENTS)('a Redis in trouble, over %s', (name) => {
  const closing = closeAfterEach();
  const unhandled: unknown[] = [];
  const keep = (reason: unknown): void => void unhandled.push(reason);
  beforeAll(() => void process.on('unhandledRejection', keep));
  afterAll(() => void process.off('unhandledRejection', keep));
  afterEach(() => expect(unhandled).toEqual([]));

  /** A store that was started, on a client for this port. */
  async function openStore(
    port: number,
    options: Partial<RedisReplayStoreOptions> = {},
  ): Promise<{ store: RedisReplayStore; open: OpenClient; events: ObservedEvents }> {
    const open = closing(openClient(name, port));
    const events = new ObservedEvents();
    const store = new RedisReplayStore({ client: open.client, ...options });
    const starting = store.start(events);
    if (!options.requireConnectionAtStart) await starting;
    else await starting.then(undefined, keepFrom(open));
    return { store, open, events };
  }

  const keepFrom =
    (open: OpenClient) =>
    (error: unknown): never => {
      open.close();
      throw error;
    };

  async function openThroughProxy(options?: Partial<RedisReplayStoreOptions>) {
    const redis = closing(await RedisServer.start());
    const proxy = closing(await TcpProxy.start(redis.port));
    const opened = await openStore(proxy.port, options);
    await opened.open.ready();
    return { ...opened, redis, proxy };
  }

  describe('RF-01 down at boot', () => {
    it('refuses until Redis is there, and works from then on', async () => {
      const port = await findFreePort();
      const { store, open, events } = await openStore(port);
      if (events.of('replay_store_failed').length === 0) await events.next('replay_store_failed');
      expect(await verdictsOf(store, tokenUses(5))).toEqual(Array(5).fill(UNAVAILABLE));
      expect(events.of('replay_store_failed')).toHaveLength(1);

      const ready = open.readyAgain();
      const redis = closing(await RedisServer.startOn(port));
      await ready;
      expect(await redis.keys()).toEqual([]);
      expect(await verdictOf(store, tokenUse())).toBe('first');
    });

    it('fails to start where a connection is required', async () => {
      const starting = openStore(await findFreePort(), { requireConnectionAtStart: true });
      await expect(starting).rejects.toThrow(ServiceAuthUnavailableError);
      const { store } = await openThroughProxy({ requireConnectionAtStart: true });
      expect(await verdictOf(store, tokenUse())).toBe('first');
    });

    it('says what is missing where nobody connects the client', async () => {
      const { port } = closing(await RedisServer.start());
      const client = name === 'ioredis' ? new Redis({ port, lazyConnect: true }) : createClient();
      const events = new ObservedEvents();
      const store = new RedisReplayStore({ client });
      await store.start(events);
      const reason = 'Redis is not connected: call connect() of the client';
      expect(events.all).toEqual([{ type: 'replay_store_failed', reason }]);
      expect(await verdictOf(store, tokenUse())).toBe(`unavailable: ${reason}`);
    });
  });

  describe('RF-02 gone in the midst of traffic', () => {
    it('refuses while connections are reset and refused, and recovers by itself', async () => {
      const { store, open, proxy, redis, events } = await openThroughProxy(PATIENTLY);
      const before = tokenUse();
      expect(await verdictOf(store, before)).toBe('first');

      proxy.refuse();
      proxy.reset();
      expect(await verdictsOf(store, tokenUses(50))).toEqual(Array(50).fill(UNAVAILABLE));
      if (proxy.accepted < 3) await proxy.nextAccepted();
      const meanwhile = tokenUses(50);
      expect(await verdictsOf(store, meanwhile)).toEqual(Array(50).fill(UNAVAILABLE));
      expect(events.of('replay_store_failed')).toHaveLength(1);

      const ready = open.readyAgain();
      proxy.pass();
      await ready;
      expect(await verdictOf(store, before)).toBe('seen');
      // What was refused while nothing was connected was not queued, and so is not used up.
      expect(await redis.keys()).toHaveLength(1);
      expect(await verdictsOf(store, meanwhile)).toEqual(Array(50).fill('first'));
    });

    it('refuses while Redis is dead, and recovers when it is started again', async () => {
      const { store, open, redis, events } = await openThroughProxy(PATIENTLY);
      expect(await verdictOf(store, tokenUse())).toBe('first');
      await redis.kill();
      expect(await verdictsOf(store, tokenUses(20))).toEqual(Array(20).fill(UNAVAILABLE));
      const ready = open.readyAgain();
      await redis.restart();
      await ready;
      const recovered = events.next('replay_store_recovered');
      while (events.of('replay_store_recovered').length === 0) {
        // One that was issued since: another server may lack the uses of those before.
        const issuedAtSeconds = NOW_SECONDS + 1;
        expect(await verdictOf(store, tokenUse({ issuedAtSeconds }))).toBe('first');
      }
      expect(await recovered).toMatchObject({ refused: 20, acceptedUnchecked: 0 });
    });

    it('CF-12 lets through what it cannot check where that is written, counts it, and says so', async () => {
      const options = { ...PATIENTLY, onUnavailable: 'accept-unchecked' } as const;
      const { store, open, proxy, events } = await openThroughProxy(options);
      expect(events.of('replay_store_unsafe').map(({ reason }) => reason)).toEqual([
        expect.stringContaining('onUnavailable'),
      ]);
      const one = tokenUse();
      expect(await verdictOf(store, one)).toBe('first');
      expect(await verdictOf(store, one)).toBe('seen');
      expect(events.of('token_accepted_unchecked')).toEqual([]);

      proxy.refuse();
      proxy.reset();
      expect(await verdictsOf(store, [one, one, one])).toEqual(['first', 'first', 'first']);
      expect(events.of('token_accepted_unchecked').map(({ count }) => count)).toEqual([1, 2, 3]);
      expect(events.of('token_accepted_unchecked')[0]).toMatchObject({ issuer: one.issuer });
      expect(events.of('replay_store_failed')).toMatchObject([{ acceptsUnchecked: true }]);

      const ready = open.readyAgain();
      proxy.pass();
      await ready;
      expect(await verdictOf(store, one)).toBe('seen');
    });
  });

  describe('RF-03 slower than a request may wait', () => {
    it.each<[string, (redis: RedisServer) => unknown, (redis: RedisServer) => unknown]>([
      ['it stands still', (redis: RedisServer) => redis.freeze(), (r: RedisServer) => r.thaw()],
      [
        'it is told to pause',
        async (redis: RedisServer) => await redis.command('CLIENT', 'PAUSE', '600000', 'WRITE'),
        async (redis: RedisServer) => await redis.command('CLIENT', 'UNPAUSE'),
      ],
    ])('refuses while %s, and recovers', async (_title, stop, go) => {
      const { store, redis } = await openThroughProxy();
      expect(await untilDecided(store)).toBe('first');
      await stop(redis);
      const uses = tokenUses(20);
      // Redis says nothing until it may go on, so that all of this is decided without it.
      const verdicts = await verdictsOf(store, uses);
      expect(verdicts).toEqual(Array(20).fill('unavailable: no answer within 100 ms'));
      await go(redis);
      expect(await untilDecided(store)).toBe('first');
      // The commands were on their way: what was refused is used up, and the late answers hurt nobody.
      expect(await redis.keys()).toHaveLength(22);
    });

    it('lets so many commands wait, and no more', async () => {
      const { store, redis } = await openThroughProxy({ timeoutMilliseconds: 1000 });
      redis.freeze();
      const verdicts = await verdictsOf(store, tokenUses(10_050));
      redis.thaw();
      const waited = verdicts.filter((verdict) => !verdict.includes('10000 commands'));
      expect(verdicts).toHaveLength(waited.length + 50);
      // Most time out; a machine that is slow to send them gives up the connection for some.
      expect(waited.filter((verdict) => !verdict.startsWith('unavailable: '))).toEqual([]);
      expect(verdicts).toContain('unavailable: no answer within 1000 ms');
      expect(await untilDecided(store)).toBe('first');
    });
  });

  describe('RF-04, RP-16 a reply is lost after the write', () => {
    it('refuses the request and burns its token; a new token is accepted', async () => {
      const { store, open, proxy, redis } = await openThroughProxy(PATIENTLY);
      await store.recordUse(tokenUse());
      const one = tokenUse();
      proxy.swallowReplies();
      const verdict = verdictOf(store, one);
      expect(await proxy.nextSwallowed()).toBe('+OK\r\n');
      const ready = open.readyAgain();
      proxy.pass();
      proxy.reset();
      // Sent again over the new connection, the command finds the key that it set itself.
      expect(await verdict).toEqual(UNAVAILABLE);
      await ready;
      expect(await redis.keys()).toHaveLength(2);
      expect(await verdictOf(store, one)).toBe('seen');
      expect(await verdictOf(store, tokenUse())).toBe('first');
    });
  });

  it('RF-11 reconnects over one connection, however many requests come meanwhile', async () => {
    const { store, open, proxy, events } = await openThroughProxy(PATIENTLY);
    for (let time = 1; time <= 5; time++) {
      const ready = open.readyAgain();
      const asked = verdictsOf(store, tokenUses(200));
      proxy.reset();
      await Promise.all([asked, ready, verdictsOf(store, tokenUses(200))]);
      expect(await verdictOf(store, tokenUse())).toBe('first');
      expect({ open: proxy.open, accepted: proxy.accepted }).toEqual({
        open: 1,
        accepted: 1 + time,
      });
    }
    expect(events.of('replay_store_failed').length).toBeGreaterThan(0);
  });

  it('takes a server that speaks no Redis for one that cannot answer', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('hello\r\n'));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as { port: number };
    const { store, open } = await openStore(port);
    expect(await verdictsOf(store, tokenUses(5))).toEqual(Array(5).fill(UNAVAILABLE));
    open.close();
    server.close();
  });
});
