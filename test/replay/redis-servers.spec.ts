import { setImmediate } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { TokenUse } from 'nestjs-service-auth/core';
import { RedisReplayStore, type RedisReplayStoreOptions } from 'nestjs-service-auth/redis';
import { createSentinel } from 'redis';
import { Clocks } from '../support/clocks/clocks.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { closeAfterEach } from '../support/services/receiver.js';
import {
  CLIENTS,
  type ClientName,
  type ClientOptions,
  openClient,
} from '../support/redis/redis-clients.js';
import { RedisSentinel } from './redis-sentinel.js';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import { TcpProxy } from '../support/redis/tcp-proxy.js';
import { tokenUse, verdictOf } from '../support/replay/token-use.js';

const PATIENTLY = { timeoutMilliseconds: 5000 };
const LOST =
  /^unavailable: Redis may be another server than before, and may have forgotten the use/;
const REPORTED = /^Redis is another server than before \(a failover, or a restart\)/;

describeRedis.each(CLIENTS)('which Redis it is, over %s', (name) => {
  const closing = closeAfterEach();

  async function openStore(
    options: Partial<RedisReplayStoreOptions> = {},
    client: ClientOptions = {},
  ) {
    const redis = closing(await RedisServer.start());
    const proxy = closing(await TcpProxy.start(redis.port));
    if (client.username !== undefined) {
      const rules = ['on', `>${client.password}`, '~*', '+@connection', '+set'];
      await redis.command('ACL', 'SETUSER', client.username, ...rules);
    }
    const open = closing(openClient(name, proxy.port, client));
    await open.ready();
    const clocks = new Clocks();
    const events = new ObservedEvents();
    const { monotonicNow } = clocks;
    const store = new RedisReplayStore({
      client: open.client,
      monotonicNow,
      ...PATIENTLY,
      ...options,
    });
    await store.start(events);
    const use = (parts: Partial<TokenUse> = {}): TokenUse => {
      const nowSeconds = clocks.wallSeconds;
      const clockToleranceSeconds = 5;
      return tokenUse({
        nowSeconds,
        forgetAtSeconds: nowSeconds + 65,
        issuedAtSeconds: nowSeconds,
        clockToleranceSeconds,
        ...parts,
      });
    };
    /** The connection is lost and made anew, to a server that was started anew where that is asked for. */
    const reconnect = async (restarts = false): Promise<void> => {
      const ready = open.readyAgain();
      if (restarts) await redis.restart();
      else proxy.reset();
      await ready;
    };
    return { store, clocks, events, use, reconnect };
  }

  describe('RF-13 another one, after a restart that lost its memory', () => {
    it('answers 503 to what may have been used, until it cannot have been', async () => {
      const { store, clocks, events, use, reconnect } = await openStore();
      const used = use();
      expect(await verdictOf(store, used)).toBe('first');
      clocks.pass(10);
      await reconnect(true);
      expect(await verdictOf(store, used)).toMatch(LOST);
      expect(await verdictOf(store, used)).toBe('seen');
      expect(events.of('replay_store_unsafe').map(({ reason }) => reason)).toEqual([
        expect.stringMatching(REPORTED),
      ]);
      clocks.pass(5);
      expect(await verdictOf(store, use())).toMatch(LOST);
      clocks.pass(0.1);
      expect(await verdictOf(store, use())).toBe('first');
      const issuedAtSeconds = clocks.wallSeconds - 1;
      expect(await verdictOf(store, use({ issuedAtSeconds }))).toMatch(LOST);
    });

    it('of a token that does not say when it was issued, for as long as a use is remembered', async () => {
      const { store, clocks, use, reconnect } = await openStore();
      const silent = (): TokenUse => use({ issuedAtSeconds: undefined });
      expect(await verdictOf(store, silent())).toBe('first');
      await reconnect(true);
      expect(await verdictOf(store, silent())).toMatch(LOST);
      clocks.pass(65);
      expect(await verdictOf(store, silent())).toMatch(LOST);
      clocks.pass(0.1);
      expect(await verdictOf(store, silent())).toBe('first');
    });

    it('lets through what it cannot tell where that is written', async () => {
      const onUnavailable = 'accept-unchecked';
      const { store, events, use, reconnect } = await openStore({ onUnavailable });
      const used = use();
      expect(await verdictOf(store, used)).toBe('first');
      await reconnect(true);
      expect(await verdictOf(store, used)).toBe('first');
      expect(events.of('token_accepted_unchecked')).toHaveLength(1);
    });
  });

  it('RF-13 the same one over a new connection changes nothing', async () => {
    const { store, events, use, reconnect } = await openStore();
    const used = use();
    expect(await verdictOf(store, used)).toBe('first');
    for (let time = 0; time < 3; time++) {
      await reconnect();
      expect(await verdictOf(store, used)).toBe('seen');
      expect(await verdictOf(store, use({ issuedAtSeconds: undefined }))).toBe('first');
      expect(await verdictOf(store, use())).toBe('first');
    }
    expect(events.of('replay_store_unsafe')).toEqual([]);
  });

  it('RF-13 one that may not say which it is, is another one after each connection', async () => {
    const mute = { username: 'mute', password: 'a-password' };
    const { store, clocks, events, use, reconnect } = await openStore({}, mute);
    expect(await verdictOf(store, use())).toBe('first');
    await reconnect();
    expect(await verdictOf(store, use())).toMatch(LOST);
    expect(events.of('replay_store_unsafe').map(({ reason }) => reason)).toContainEqual(
      expect.stringMatching(/^it cannot be told whether Redis is the server it was before/),
    );
    clocks.pass(5.1);
    expect(await verdictOf(store, use())).toBe('first');
  });
});

describeRedis.each(CLIENTS)('a Sentinel, over %s', (name) => {
  const closing = closeAfterEach();

  function open(client: ClientName, { name: master, port }: RedisSentinel) {
    const sentinels = [{ host: '127.0.0.1', port }];
    if (client === 'ioredis') {
      const redis = new Redis({ sentinels, name: master, sentinelRetryStrategy: () => 50 });
      redis.on('error', () => undefined);
      return closing({ client: redis, close: () => redis.disconnect() });
    }
    const redis = createSentinel({ name: master, sentinelRootNodes: sentinels });
    redis.on('error', () => undefined);
    redis.connect().catch(() => undefined);
    return closing({ client: redis, close: async () => await redis.destroy() });
  }

  it('CF-11 says which client does not notice a planned failover', async () => {
    const sentinels = [{ host: '127.0.0.1', port: 1 }];
    const reasonsOf = async (options: { failoverDetector?: boolean }): Promise<string[]> => {
      const events = new ObservedEvents();
      const client =
        name === 'ioredis'
          ? new Redis({ sentinels, name: 'replay', lazyConnect: true, ...options })
          : createSentinel({ name: 'replay', sentinelRootNodes: sentinels });
      await new RedisReplayStore({ client }).start(events);
      return events.of('replay_store_unsafe').map(({ reason }) => reason);
    };
    const warning: unknown = expect.stringContaining('set failoverDetector: true');
    expect(await reasonsOf({})).toEqual(name === 'ioredis' ? [warning] : []);
    expect(await reasonsOf({ failoverDetector: true })).toEqual([]);
  });

  it('RF-13 after a failover accepts no token that was used before, and new ones again', async () => {
    const sentinel = closing(await RedisSentinel.start());
    const store = new RedisReplayStore({ client: open(name, sentinel).client, ...PATIENTLY });
    const nowSeconds = (): number => Date.now() / 1000;
    const use = (): TokenUse => {
      const now = nowSeconds();
      return tokenUse({ nowSeconds: now, issuedAtSeconds: now, forgetAtSeconds: now + 65 });
    };
    /** Until there is an answer: the connection takes its time. */
    const untilFirst = async (): Promise<void> => {
      while ((await verdictOf(store, use())) !== 'first') await setImmediate();
    };
    await untilFirst();
    const used = Array.from({ length: 20 }, use);
    for (const one of used) expect(await verdictOf(store, one)).toBe('first');
    const unused = use();
    await sentinel.failOver();
    await untilFirst();
    for (const one of [...used, unused]) {
      expect(await verdictOf(store, { ...one, nowSeconds: nowSeconds() })).not.toBe('first');
    }
    const fresh = use();
    expect(await verdictOf(store, fresh)).toBe('first');
    expect(await verdictOf(store, fresh)).toBe('seen');
  });
});
