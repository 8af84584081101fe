import { randomUUID } from 'node:crypto';
import type { TokenUse } from 'nestjs-service-auth/core';
import { RedisReplayStore, type RedisReplayStoreOptions } from 'nestjs-service-auth/redis';
import { Clocks } from '../support/clocks/clocks.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { CLIENTS, openClient, type OpenClient } from '../support/redis/redis-clients.js';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import { describeReplayStore } from '../support/replay/replay-store-contract.js';
import { verdictOf } from '../support/replay/token-use.js';

const PREFIX = 'service-auth:replay:';
const NOW_SECONDS = 1_800_000_000;

const use = (parts: Partial<TokenUse> = {}): TokenUse => ({
  issuer: 'https://herald.service/',
  tokenId: randomUUID(),
  nowSeconds: NOW_SECONDS,
  forgetAtSeconds: NOW_SECONDS + 65,
  ...parts,
});

describeRedis.each(CLIENTS)('RedisReplayStore over %s', (name) => {
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
    new RedisReplayStore({ client: open.client, timeoutMilliseconds: 5000, ...options });

  /** Brings the end of every key nearer, as if the time had passed. */
  async function pass(seconds: number): Promise<void> {
    for (const key of await redis.keys()) {
      const left = (await redis.command('PTTL', key)) as number;
      await redis.command('PEXPIRE', key, `${left - seconds * 1000}`);
    }
  }

  describeReplayStore(`RedisReplayStore over ${name}`, () => {
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

  it('shares what it knows with every other store of the prefix', async () => {
    const one = use();
    const stores = [storeWith(), storeWith(), storeWith({ keyPrefix: 'other:' })];
    const verdicts = [];
    for (const store of stores) verdicts.push(await store.recordUse(one));
    expect(verdicts).toEqual(['first', 'seen', 'first']);
    expect((await redis.keys()).toSorted()).toEqual([
      expect.stringMatching(/^other:[\w-]{43}$/),
      expect.stringMatching(/^service-auth:replay:[\w-]{43}$/),
    ]);
  });

  it('lets a prefix of the client stand before its own', async () => {
    const prefixed = openClient(name, redis.port, { keyPrefix: 'app:' });
    await prefixed.ready();
    await storeWith({ client: prefixed.client }).recordUse(use());
    prefixed.close();
    expect(await redis.keys()).toEqual([expect.stringMatching(`^app:${PREFIX}`)]);
  });

  describe('RF-09 how long a use is remembered', () => {
    it.each([
      ['a minute and the tolerance', 65, undefined, 125_000],
      ['the longest life there is', 3665, undefined, 3_725_000],
      ['a fraction of a millisecond more', 1.0001, undefined, 61_001],
      ['less than a millisecond', 0.0001, undefined, 60_001],
      ['no time at all', 0, undefined, 60_000],
      ['less than none', -5, undefined, 60_000],
      ['a token that was issued a minute ago, or a clock that is ahead', 5, -60, 125_000],
      ['a token issued in the future, or a clock that is behind', 65, 3, 125_000],
    ])('%s', async (_title, seconds, issued, milliseconds) => {
      const sent = await monitored(async () => {
        const issuedAtSeconds = issued === undefined ? undefined : NOW_SECONDS + issued;
        const forgetAtSeconds = NOW_SECONDS + seconds;
        await storeWith().recordUse(use({ forgetAtSeconds, issuedAtSeconds }));
      });
      expect(sent).toEqual([['set', expect.any(String), '1', 'px', `${milliseconds}`, 'nx']]);
    });

    it('is as long as another process may accept the token whose clock is a minute behind', async () => {
      const one = use({ issuedAtSeconds: NOW_SECONDS });
      const ahead = { ...one, nowSeconds: NOW_SECONDS + 64 };
      expect(await storeWith().recordUse(ahead)).toBe('first');
      await pass(65 + 59);
      expect(await storeWith().recordUse({ ...one, nowSeconds: NOW_SECONDS + 64 })).toBe('seen');
    });

    it('is what Redis counts down', async () => {
      await storeWith().recordUse(use());
      const [key = ''] = await redis.keys();
      const left = (await redis.command('PTTL', key)) as number;
      expect(left).toBeLessThanOrEqual(125_000);
      expect(left).toBeGreaterThan(95_000);
    });

    it('is forgotten by Redis itself', async () => {
      const store = storeWith();
      const one = use();
      expect(await store.recordUse(one)).toBe('first');
      await pass(125);
      expect(await redis.keys()).toEqual([]);
    });
  });

  describe('RF-10 the keys', () => {
    it('are one for each token, of one length, with a value of one byte', async () => {
      const store = storeWith();
      for (let each = 0; each < 20; each++) {
        const one = use({ tokenId: 'x'.repeat(each * 10) });
        await store.recordUse(one);
        await store.recordUse(one);
      }
      const keys = await redis.keys();
      expect(keys).toHaveLength(20);
      expect(new Set(keys.map((key) => key.length))).toEqual(new Set([PREFIX.length + 43]));
      for (const key of keys) expect(await redis.command('STRLEN', key)).toBe(1);
    });

    it.each([
      ['nothing', ''],
      ['a hash tag', '{tag}'],
      ['a pattern', '*'],
      ['an end of line', 'x\r\nFLUSHALL\r\n'],
      ['a NUL', 'x\0y'],
      ['a command', '1 EX 1 XX GET'],
      ['a path', '../../etc/passwd'],
      ['half of a surrogate pair', '\ud83d'],
      ['the other half', '\udd11'],
      ['much', '\u{1f511}'.repeat(100_000)],
      ['a member of every object', '__proto__'],
    ])('RP-07 stay clean where a token id is %s', async (_title, tokenId) => {
      const store = storeWith();
      const bystander = use();
      await store.recordUse(bystander);
      expect(await store.recordUse(use({ tokenId }))).toBe('first');
      expect(await store.recordUse(use({ tokenId }))).toBe('seen');
      expect(await store.recordUse(bystander)).toBe('seen');
      const keys = await redis.keys();
      expect(keys).toHaveLength(2);
      for (const key of keys) expect(key).toMatch(/^service-auth:replay:[\w-]{43}$/);
    });

    it('all end, whatever becomes of the service', async () => {
      const store = storeWith();
      for (let each = 0; each < 10; each++) await store.recordUse(use());
      const info = await redis.info('keyspace');
      expect(info.get('db0')).toContain('keys=10,expires=10');
    });
  });

  describe('RP-19 a clock that was put back', () => {
    /** A store whose clocks begin at the time of Redis. */
    function storeAt() {
      const clocks = new Clocks();
      clocks.wallSeconds = Date.now() / 1000;
      const store = storeWith({ monotonicNow: clocks.monotonicNow });
      const events = new ObservedEvents();
      const fresh = (): TokenUse => {
        const nowSeconds = clocks.wallSeconds;
        return use({ nowSeconds, forgetAtSeconds: nowSeconds + 65 });
      };
      return { store, clocks, events, fresh };
    }

    it('TM-18 cannot tell of what Redis may have forgotten, and says by how much', async () => {
      const { store, clocks, events, fresh } = storeAt();
      await store.start(events);
      const one = fresh();
      expect(await store.recordUse(one)).toBe('first');
      clocks.pass(3600);
      await pass(3600);
      expect(await store.recordUse(fresh())).toBe('first');
      clocks.step(-3590);
      const detail = 'the clock was put back by 3590.0 s: the use may be forgotten';
      const again = { ...one, nowSeconds: clocks.wallSeconds };
      expect(await verdictOf(store, again)).toBe(`unavailable: ${detail}`);
      expect(events.all).toEqual([{ type: 'replay_store_failed', reason: detail }]);
      clocks.step(3590);
      expect(await store.recordUse(fresh())).toBe('first');
    });

    it('lets nothing through unchecked, whatever onUnavailable says', async () => {
      const clocks = new Clocks();
      const { monotonicNow } = clocks;
      const store = storeWith({ monotonicNow, onUnavailable: 'accept-unchecked' });
      const one = use();
      expect(await store.recordUse(one)).toBe('first');
      clocks.pass(125);
      await pass(125);
      expect(await verdictOf(store, one)).toMatch(/^unavailable: the clock was put back by 125/);
    });

    it('asks Redis for its time before it believes a clock that was ahead', async () => {
      const { store, clocks, fresh } = storeAt();
      clocks.step(7200);
      expect(await store.recordUse(fresh())).toBe('first');
      clocks.step(-3600);
      expect(await verdictOf(store, fresh())).toMatch(/^unavailable: .* is 3\d{3}\.\d s apart/);
      clocks.step(-3600);
      expect(await store.recordUse(fresh())).toBe('first');
    });

    it('believes no clock where Redis may not say its time', async () => {
      const rules = ['on', '>a-password', '~*', '+@connection', '+set'];
      await redis.command('ACL', 'SETUSER', 'mute', ...rules);
      const mute = openClient(name, redis.port, { username: 'mute', password: 'a-password' });
      await mute.ready();
      const { clocks, fresh } = storeAt();
      const { monotonicNow } = clocks;
      const store = storeWith({ client: mute.client, monotonicNow });
      clocks.step(3600);
      expect(await store.recordUse(fresh())).toBe('first');
      clocks.step(-3600);
      expect(await verdictOf(store, fresh())).toMatch(/^unavailable: NOPERM/);
      mute.close();
    });
  });

  /** The commands that the store sends meanwhile, in lower case, as Redis received them. */
  async function monitored(action: () => Promise<void>): Promise<string[][]> {
    await redis.command('CONFIG', 'SET', 'slowlog-log-slower-than', '0');
    await redis.command('SLOWLOG', 'RESET');
    await action();
    const entries = (await redis.command('SLOWLOG', 'GET', '128')) as [
      number,
      number,
      number,
      string[],
    ][];
    await redis.command('CONFIG', 'SET', 'slowlog-log-slower-than', '-1');
    return entries
      .map(([, , , words]) => words)
      .filter(([command]) => command?.toLowerCase() === 'set')
      .map((words) => words.map((word) => word.toLowerCase()));
  }
});
