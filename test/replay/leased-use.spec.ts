import { AsyncLocalStorage } from 'node:async_hooks';
import { jest } from '@jest/globals';
import {
  type Lease,
  type LeasingReplayStore,
  MemoryReplayStore,
  type ReservationVerdict,
  ServiceAuthUnavailableError,
  type TokenUse,
} from 'nestjs-service-auth/core';
import { Backoff } from '../../lib/replay/backoff.js';
import { LeasedUse, type ReserveOptions, reserveUse } from '../../lib/replay/leased-use.js';
import { answerOf, leaseOf } from '../support/replay/leasing-store-contract.js';
import { NOW_SECONDS, tokenUse } from '../support/replay/token-use.js';

const LEASE = 3000;
const TOLERANCE_SECONDS = 5;

/** For how long the event loop stood still. */
let stoodStill = 0;
const monotonicNow = (): number => performance.now() + stoodStill;

/** A process whose clocks and timers are moved by hand, and a store in it. */
function startProcess(options: { store?: LeasingReplayStore } = {}) {
  jest.useFakeTimers({ now: NOW_SECONDS * 1000 });
  const store = options.store ?? new MemoryReplayStore({ monotonicNow });
  const use = tokenUse({ forgetAtSeconds: NOW_SECONDS + 60 + 2 * TOLERANCE_SECONDS });
  const reserve = async (parts: Partial<ReserveOptions> = {}) =>
    await reserveUse(store, use, {
      leaseMilliseconds: LEASE,
      mayRenewUntilSeconds: NOW_SECONDS + 60 + TOLERANCE_SECONDS,
      now: () => Date.now(),
      monotonicNow,
      ...parts,
    });
  const hold = async (parts?: Partial<ReserveOptions>): Promise<LeasedUse> => {
    const held = await reserve(parts);
    if (held instanceof LeasedUse) return held;
    throw new Error(held);
  };
  const pass = async (milliseconds: number) => await jest.advanceTimersByTimeAsync(milliseconds);
  /** The event loop stands still: time passes, and no timer fires. */
  const stop = (milliseconds: number): void => {
    jest.setSystemTime(Date.now() + milliseconds);
    stoodStill += milliseconds;
  };
  return { store, use, reserve, hold, pass, stop };
}

/** A store in front of another, which does one thing otherwise. */
function wrapped(
  change: Partial<LeasingReplayStore>,
  inner = new MemoryReplayStore({ monotonicNow }),
): LeasingReplayStore {
  return {
    recordUse: (use) => inner.recordUse(use),
    reserve: (use, lease) => inner.reserve(use, lease),
    renew: (use, lease) => inner.renew(use, lease),
    commit: (use, owner) => inner.commit(use, owner),
    release: (use, owner) => inner.release(use, owner),
    ...change,
  };
}

const unavailable = (): never => {
  throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail: 'gone' });
};

afterEach(() => void jest.useRealTimers());

describe('a reservation while its handler runs', () => {
  it('is renewed for as long as that takes', async () => {
    const { hold, reserve, pass } = startProcess();
    const held = await hold();
    for (let second = 0; second < 20; second++) {
      await pass(1000);
      expect(await reserve()).toBe('busy');
    }
    expect(await held.commit()).toBe('owned');
    expect(await reserve()).toBe('seen');
  });

  it('is renewed at each third of its length', async () => {
    const renewals: Lease[] = [];
    const inner = new MemoryReplayStore({ monotonicNow });
    const store = wrapped(
      { renew: (use, lease) => renewals.push(lease) > 0 && inner.renew(use, lease) },
      inner,
    );
    const { hold, pass } = startProcess({ store });
    const held = await hold();
    await pass(LEASE / 3 - 1);
    expect(renewals).toEqual([]);
    await pass(1);
    expect(renewals).toEqual([{ owner: expect.any(String) as string, milliseconds: LEASE }]);
    await pass(LEASE);
    expect(renewals).toHaveLength(4);
    await held.commit();
    await pass(10 * LEASE);
    expect(renewals).toHaveLength(4);
    expect(jest.getTimerCount()).toBe(0);
  });

  it.each(['commit', 'release'] as const)('has no timers after %s', async (end) => {
    const { hold, pass } = startProcess();
    const held = await hold();
    expect(jest.getTimerCount()).toBe(1);
    await held[end]();
    await pass(10 * LEASE);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('has timers that keep no process alive', async () => {
    const { store, use } = startProcess();
    jest.useRealTimers();
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const options = { leaseMilliseconds: 60_000, mayRenewUntilSeconds: Infinity };
    const clocks = { now: () => Date.now(), monotonicNow };
    const held = await reserveUse(store, use, { ...options, ...clocks });
    const after = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    expect(after).toBe(before);
    if (held instanceof LeasedUse) await held.release();
  });

  it('is renewed until the token has expired, and a lease more', async () => {
    const { hold, store, use, pass } = startProcess();
    const held = await hold({ mayRenewUntilSeconds: NOW_SECONDS + 10 });
    const other = () => store.reserve(use, leaseOf('b'));
    await pass(9_500 + LEASE - 600);
    expect(await other()).toBe('busy');
    await pass(200 + LEASE);
    expect(await other()).toBe('first');
    expect(await held.commit()).toBe('lost');
  });

  it('is lost when the process stops for longer than a lease, and not before', async () => {
    const { hold, stop, use, store } = startProcess();
    const short = await hold();
    stop(LEASE - 1);
    expect(await short.commit()).toBe('owned');
    const next = startProcess();
    const long = await next.hold();
    next.stop(LEASE + 1);
    expect(await long.commit()).toBe('lost');
    expect(await next.reserve()).toBe('seen');
    expect(await store.reserve(use, leaseOf('b'))).toBe('seen');
  });

  it('is lost when another delivery took it meanwhile, and stays with the other', async () => {
    const { hold, stop, pass, store, use } = startProcess();
    const held = await hold();
    stop(LEASE + 1);
    expect(await store.reserve(use, leaseOf('b'))).toBe('first');
    await pass(LEASE);
    expect(await store.reserve(use, leaseOf('c'))).toBe('busy');
    await held.release();
    expect(await store.reserve(use, leaseOf('c'))).toBe('busy');
    expect(await held.commit()).toBe('lost');
  });

  it.each<[string, (times: number) => boolean | Promise<boolean>]>([
    ['throws', unavailable],
    ['rejects', async () => await Promise.reject(new Error('canary'))],
    ['says nothing', async () => await new Promise<never>(() => undefined)],
    ['answers nonsense', () => 'yes' as unknown as boolean],
  ])('outlives a renewal that %s, and is lost if all do', async (_title, fail) => {
    const inner = new MemoryReplayStore({ monotonicNow });
    let failures = 0;
    let most = 1;
    const store = wrapped(
      { renew: (use, lease) => (failures < most ? fail(++failures) : inner.renew(use, lease)) },
      inner,
    );
    const { hold, pass } = startProcess({ store });
    const held = await hold();
    await pass(3 * LEASE);
    expect(failures).toBe(1);
    most = Infinity;
    await pass(2 * LEASE);
    expect(failures).toBeGreaterThan(2);
    expect(await held.commit()).toBe('lost');
  });

  it('is committed in the midst of such a time while its lease lasts', async () => {
    const { hold, pass } = startProcess({ store: wrapped({ renew: unavailable }) });
    const held = await hold();
    await pass(LEASE - 1);
    expect(await held.commit()).toBe('owned');
  });
});

describe('the end of a reservation', () => {
  it('is decided by the first call', async () => {
    const { hold, reserve } = startProcess();
    const committed = await hold();
    expect(
      await Promise.all([committed.commit(), committed.release(), committed.commit()]),
    ).toEqual(['owned', undefined, 'owned']);
    expect(await reserve()).toBe('seen');

    const next = startProcess();
    const released = await next.hold();
    expect(await Promise.all([released.release(), released.commit(), released.release()])).toEqual([
      undefined,
      'lost',
      undefined,
    ]);
    expect(await next.reserve()).toBeInstanceOf(LeasedUse);
  });

  it('is written as soon as the store can be asked again', async () => {
    const inner = new MemoryReplayStore({ monotonicNow });
    let isGone = true;
    const commit = (use: TokenUse, owner: string) =>
      isGone ? unavailable() : inner.commit(use, owner);
    const { hold, pass, reserve } = startProcess({ store: wrapped({ commit }, inner) });
    const held = await hold();
    await pass(LEASE - 200);
    const committing = held.commit();
    await pass(LEASE - 400);
    isGone = false;
    await pass(2000);
    expect(await committing).toBe('owned');
    expect(await reserve()).toBe('seen');
  });

  it.each<[string, () => boolean | Promise<boolean>]>([
    ['throws', unavailable],
    ['says nothing', async () => await new Promise<never>(() => undefined)],
    ['answers nonsense', () => 'true' as unknown as boolean],
  ])('is lost where the store %s for a lease', async (_title, commit) => {
    const { hold, pass } = startProcess({ store: wrapped({ commit }) });
    const held = await hold();
    let answer = 'none';
    void held.commit().then((said) => (answer = said));
    await pass(LEASE - 100);
    expect(answer).toBe('none');
    await pass(2 * LEASE);
    expect(answer).toBe('lost');
    expect(jest.getTimerCount()).toBe(0);
  });

  it('never rejects where the store cannot release', async () => {
    const { hold, reserve, stop } = startProcess({ store: wrapped({ release: unavailable }) });
    const held = await hold();
    expect(await held.release()).toBeUndefined();
    expect(await reserve()).toBe('busy');
    stop(LEASE + 1);
    expect(await reserve()).toBeInstanceOf(LeasedUse);
  });
});

describe('reserveUse', () => {
  it('answers at once where it may not wait', async () => {
    const { hold, reserve } = startProcess();
    await hold();
    expect(await reserve()).toBe('busy');
    expect(jest.getTimerCount()).toBe(1);
  });

  it('waits for a delivery that is busy: 50 ms, doubled up to 2 s', async () => {
    const asked: number[] = [];
    const reserve = (): ReservationVerdict => {
      asked.push(Date.now() - NOW_SECONDS * 1000);
      return 'busy';
    };
    const process = startProcess({ store: wrapped({ reserve }) });
    const answer = process.reserve({ waitMilliseconds: 8000 });
    await process.pass(8000);
    expect(await answer).toBe('busy');
    expect(asked).toEqual([0, 50, 150, 350, 750, 1550, 3150, 5150, 7150, 8000]);
  });

  it('gets the use as soon as the other has released it, and seen when it is done', async () => {
    for (const [end, expected] of [
      ['release', expect.any(LeasedUse)],
      ['commit', 'seen'],
    ] as const) {
      const { hold, reserve, pass } = startProcess();
      const held = await hold();
      const waiting = reserve({ waitMilliseconds: LEASE });
      await pass(1000);
      await held[end]();
      await pass(1000);
      expect(await waiting).toEqual(expected);
    }
  });

  it('reserves nothing for a token that expired meanwhile: its use may be forgotten', async () => {
    const { hold, reserve, pass } = startProcess();
    const held = await hold({ mayRenewUntilSeconds: NOW_SECONDS + 1 });
    const waiting = reserve({ mayRenewUntilSeconds: NOW_SECONDS + 1, waitMilliseconds: LEASE });
    await pass(900);
    await held.release();
    await pass(LEASE);
    expect(await waiting).toBe('busy');
    expect(await reserve({ mayRenewUntilSeconds: NOW_SECONDS + 1 })).toBe('busy');
    expect(await reserve({ mayRenewUntilSeconds: NOW_SECONDS + 10 })).toBeInstanceOf(LeasedUse);
  });

  it('dates each question by the clock, so that a wait is no clock that was put back', async () => {
    const dates: number[] = [];
    const reserve = ({ nowSeconds }: TokenUse): ReservationVerdict => {
      dates.push(nowSeconds - NOW_SECONDS);
      return 'busy';
    };
    const process = startProcess({ store: wrapped({ reserve }) });
    const answer = process.reserve({ waitMilliseconds: 150 });
    await process.pass(150);
    expect(await answer).toBe('busy');
    expect(dates.map((seconds) => Math.round(seconds * 1000))).toEqual([0, 50, 150]);
  });

  it.each<[string, () => ReservationVerdict | Promise<ReservationVerdict>, string]>([
    ['is gone', unavailable, 'gone'],
    ['rejects', async () => await Promise.reject(new Error('broken')), 'broken'],
    ['answers nonsense', () => 'OK' as ReservationVerdict, 'the store answered none of'],
  ])(
    'fails where the store %s, and releases what may have been reserved',
    async (_t, reserve, why) => {
      const released: string[] = [];
      const release = (_use: TokenUse, owner: string) => void released.push(owner);
      const process = startProcess({ store: wrapped({ reserve, release }) });
      expect(await answerOf(async () => await process.reserve())).toMatch(
        `replay_store_unavailable: ${why}`,
      );
      expect(released).toEqual([expect.stringMatching(/^[\w-]{22}$/)]);
    },
  );

  it('names each reservation anew', async () => {
    const owners = new Set<string>();
    const reserve = (_use: TokenUse, { owner }: Lease): ReservationVerdict => {
      owners.add(owner);
      return 'busy';
    };
    const process = startProcess({ store: wrapped({ reserve }) });
    for (let each = 0; each < 10; each++) await process.reserve();
    expect(owners.size).toBe(10);
  });

  it('runs its handler in the context it was called in', async () => {
    const context = new AsyncLocalStorage<string>();
    const { reserve } = startProcess();
    await context.run('delivery', async () => {
      const held = await reserve();
      expect(context.getStore()).toBe('delivery');
      if (held instanceof LeasedUse) await held.commit();
      expect(context.getStore()).toBe('delivery');
    });
  });
});

describe('the pauses between questions', () => {
  it('end by a clock that stands still too', () => {
    for (const now of [() => 0, () => Number.NaN]) {
      const backoff = new Backoff(1000, now);
      let pauses = 0;
      while (backoff.next() !== undefined && pauses < 100) pauses++;
      expect(pauses).toBeLessThan(10);
    }
  });
});

describe('RP-23 400 messages, 5 deliveries each, of which 30 % fail', () => {
  it('have one effect each', async () => {
    const store = new MemoryReplayStore();
    const uses = Array.from({ length: 400 }, () =>
      tokenUse({ nowSeconds: Date.now() / 1000, forgetAtSeconds: Date.now() / 1000 + 70 }),
    );
    const effects = new Map<string, number>();
    let failures = 0;
    const deliver = async (use: TokenUse): Promise<void> => {
      for (;;) {
        const held = await reserveUse(store, use, {
          leaseMilliseconds: 30_000,
          mayRenewUntilSeconds: use.forgetAtSeconds,
          now: () => Date.now(),
          monotonicNow: () => performance.now(),
          waitMilliseconds: 30_000,
        });
        if (held === 'seen') return;
        if (held === 'busy') continue;
        await new Promise((resolve) => setImmediate(resolve));
        if (Math.random() < 0.3) {
          failures += 1;
          await held.release();
          continue;
        }
        effects.set(use.tokenId, (effects.get(use.tokenId) ?? 0) + 1);
        expect(await held.commit()).toBe('owned');
        return;
      }
    };
    await Promise.all(
      uses.flatMap((use) => Array.from({ length: 5 }, async () => await deliver(use))),
    );
    expect([...effects.values()]).toEqual(Array(400).fill(1));
    expect(failures).toBeGreaterThan(50);
  });
});
