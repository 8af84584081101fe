import {
  MemoryReplayStore,
  type ServiceAuthEvent,
  type ServiceAuthObserver,
  ServiceAuthUnavailableError,
  type TokenUse,
} from 'nestjs-service-auth/core';
import { Clocks } from '../support/clocks/clocks.js';
import { HERALD } from '../support/services/peers.js';
import { describeReplayStore } from '../support/replay/replay-store-contract.js';

describeReplayStore('MemoryReplayStore', () => {
  const clocks = new Clocks();
  return {
    store: new MemoryReplayStore({ monotonicNow: clocks.monotonicNow }),
    nowSeconds: () => clocks.wallSeconds,
    pass: (seconds) => clocks.pass(seconds),
    step: (seconds) => clocks.step(seconds),
    marginSeconds: 0,
    hasServer: false,
  };
});

describe('MemoryReplayStore', () => {
  let clocks: Clocks;
  let store: MemoryReplayStore;
  let lastId = 0;
  beforeEach(() => {
    clocks = new Clocks();
    store = new MemoryReplayStore({
      maxEntries: 3,
      issuerShare: 'all',
      monotonicNow: clocks.monotonicNow,
    });
  });

  const use = (lifetimeSeconds = 65, tokenId = `token-${++lastId}`): TokenUse => ({
    issuer: HERALD,
    tokenId,
    nowSeconds: clocks.wallSeconds,
    forgetAtSeconds: clocks.wallSeconds + lifetimeSeconds,
  });

  it('RF-12 refuses when it is full, and forgets nothing that lives', () => {
    const uses = [use(), use(), use()];
    expect(uses.map((one) => store.recordUse(one))).toEqual(['first', 'first', 'first']);
    expect(() => store.recordUse(use())).toThrow(ServiceAuthUnavailableError);
    expect(uses.map((one) => store.recordUse(one))).toEqual(['seen', 'seen', 'seen']);
    expect(store.size).toBe(3);
  });

  it('says which code and how full when it is', () => {
    const full = new MemoryReplayStore({ maxEntries: 1 });
    full.recordUse(use());
    expect(() => full.recordUse(use())).toThrow(
      expect.objectContaining({
        code: 'replay_store_unavailable',
        status: 503,
        detail: `the memory store is full (1 entries), for ${HERALD}`,
      }),
    );
  });

  it('has room again once something is forgotten, and not a moment before', () => {
    for (const lifetime of [10, 20, 30]) store.recordUse(use(lifetime));
    clocks.pass(10);
    expect(() => store.recordUse(use())).toThrow(ServiceAuthUnavailableError);
    clocks.pass(1);
    expect(store.recordUse(use())).toBe('first');
    expect(() => store.recordUse(use())).toThrow(ServiceAuthUnavailableError);
    expect(store.size).toBe(3);
  });

  it('keeps no entries of the past', () => {
    const large = new MemoryReplayStore({ monotonicNow: clocks.monotonicNow });
    for (let second = 0; second < 1000; second++) {
      for (let each = 0; each < 5; each++) large.recordUse(use(65));
      clocks.pass(1);
    }
    expect(large.size).toBeLessThanOrEqual(5 * 68);
    clocks.pass(70);
    large.recordUse(use());
    expect(large.size).toBe(1);
  });

  it('forgets after a long silence too', () => {
    store.recordUse(use(65));
    clocks.pass(10 * 86_400);
    expect(store.recordUse(use(65))).toBe('first');
    expect(store.size).toBe(1);
  });

  it('answers the same about many uses, while they come and go', () => {
    const large = new MemoryReplayStore({ monotonicNow: clocks.monotonicNow });
    const make = (count: number): TokenUse[] => Array.from({ length: count }, () => use(65));
    const answers = (uses: TokenUse[]): unknown[] => [
      ...new Set(uses.map((one) => large.recordUse(one))),
    ];
    const burst = make(20_000);
    expect(answers(burst)).toEqual(['first']);
    expect(answers(burst)).toEqual(['seen']);
    expect(large.size).toBe(20_000);
    clocks.pass(30);
    const later = make(2000);
    expect(answers(later)).toEqual(['first']);
    clocks.pass(37);
    const last = make(2000);
    expect(answers(last)).toEqual(['first']);
    expect(answers([...later, ...last])).toEqual(['seen']);
    expect(large.size).toBe(4000);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 1e300])(
    'remembers for ever what is to be forgotten at %p',
    (forgetAtSeconds) => {
      const one = { ...use(), forgetAtSeconds };
      expect(store.recordUse(one)).toBe('first');
      clocks.pass(10 * 86_400);
      expect(store.recordUse(one)).toBe('seen');
      expect(store.recordUse(use())).toBe('first');
    },
  );

  it.each([Number.NaN, -1, Number.POSITIVE_INFINITY, 'three'])(
    'cannot be made without a bound: maxEntries %p',
    (maxEntries) => {
      const make = () => new MemoryReplayStore({ maxEntries: maxEntries as number });
      expect(make).toThrow(/maxEntries/);
      expect(() => new MemoryReplayStore({ maxEntries: undefined })).not.toThrow();
    },
  );

  describe('RP-20 the share of one issuer', () => {
    const by = (issuer: string, lifetimeSeconds = 65): TokenUse => ({
      ...use(lifetimeSeconds),
      issuer,
    });
    /** How many more uses of an issuer it takes. */
    function fill(into: MemoryReplayStore, issuer: string): number {
      for (let taken = 0; ; taken++) {
        const verdict = verdictOfUse(into, by(issuer));
        if (verdict === 'first') continue;
        expect(verdict).toMatch(`${issuer} has used up its share of the memory store`);
        return taken;
      }
    }
    const made = (options: { issuerShare?: 'half-of-free' | 'all' } = {}): MemoryReplayStore =>
      new MemoryReplayStore({
        maxEntries: 1000,
        monotonicNow: clocks.monotonicNow,
        ...options,
      });

    it('is as much as it leaves free: who fills the store is who is refused', () => {
      const shared = made();
      expect(fill(shared, HERALD)).toBe(500);
      expect(shared.recordUse(by('https://scribe.service/'))).toBe('first');
      expect(fill(shared, 'https://scribe.service/')).toBe(249);
      expect(fill(shared, 'https://clerk.service/')).toBe(125);
      expect(fill(shared, HERALD)).toBe(0);
      expect(shared.size).toBe(875);
      expect(shared.recordUse(by('https://late.service/'))).toBe('first');
    });

    it('is every place where that is written', () => {
      const whole = made({ issuerShare: 'all' });
      for (let each = 0; each < 1000; each++) expect(whole.recordUse(by(HERALD))).toBe('first');
      const detail = (issuer: string): string =>
        `the memory store is full (1000 entries), for ${issuer}`;
      expect(verdictOfUse(whole, by(HERALD))).toBe(detail(HERALD));
      expect(verdictOfUse(whole, by('https://scribe.service/'))).toBe(
        detail('https://scribe.service/'),
      );
    });

    it('is free again once the uses of that issuer are forgotten', () => {
      const shared = made();
      for (let each = 0; each < 400; each++) shared.recordUse(by(HERALD, 10));
      expect(fill(shared, HERALD)).toBe(100);
      clocks.pass(12);
      expect(fill(shared, HERALD)).toBe(400);
      clocks.pass(70);
      expect(fill(shared, HERALD)).toBe(500);
      expect(shared.size).toBe(500);
    });

    it('does not count uses that are seen', () => {
      const shared = made();
      const one = by(HERALD);
      expect(shared.recordUse(one)).toBe('first');
      for (let each = 0; each < 2000; each++) expect(shared.recordUse(one)).toBe('seen');
      expect(fill(shared, HERALD)).toBe(499);
      expect(shared.recordUse(one)).toBe('seen');
    });

    it('is reported once, by the name of the issuer, and when there is room again', () => {
      const shared = made();
      const events: ServiceAuthEvent[] = [];
      const observer = { observe: (event: ServiceAuthEvent) => void events.push(event) };
      shared.start(observer);
      for (let each = 0; each < 3; each++) fill(shared, HERALD);
      const reason = `${HERALD} has used up its share of the memory store (500 of 1000 entries)`;
      expect(events).toEqual([{ type: 'replay_store_failed', reason }]);
      shared.close(observer);
      fill(shared, 'https://scribe.service/');
      expect(events).toHaveLength(1);
    });

    it('is reported to those that were not closed before', () => {
      const shared = made();
      const heard: string[] = [];
      const named = (name: string): ServiceAuthObserver => ({
        observe: ({ type }) => void heard.push(`${name}: ${type}`),
      });
      const [closed, open] = [named('closed'), named('open')];
      shared.start(closed);
      shared.start(open);
      shared.close(closed);
      fill(shared, HERALD);
      expect(heard).toEqual(['open: replay_store_failed']);
    });

    it.each(['half', '', true, null, 0.5])('is one of two words, and not %p', (issuerShare) => {
      expect(() => made({ issuerShare: issuerShare as 'all' })).toThrow(
        "issuerShare: write 'half-of-free' or 'all'",
      );
      for (const known of ['half-of-free', 'all', undefined] as const) {
        expect(() => made({ issuerShare: known })).not.toThrow();
      }
    });
  });

  it.each(['Refuse', '', true, null, {}])(
    'cannot be made with another word than its own: issuedBeforeStart %p',
    (issuedBeforeStart) => {
      const make = (): unknown =>
        new MemoryReplayStore({ issuedBeforeStart: issuedBeforeStart as 'refuse' });
      expect(make).toThrow("issuedBeforeStart: write 'accept' or 'refuse'");
      for (const known of ['accept', 'refuse', undefined] as const) {
        expect(() => new MemoryReplayStore({ issuedBeforeStart: known })).not.toThrow();
      }
    },
  );

  it('warns nobody outside of a cluster', () => {
    const events: unknown[] = [];
    store.start({ observe: (event) => void events.push(event) });
    expect(events).toEqual([]);
  });

  describe('RP-13 of tokens that were issued before it was made', () => {
    const issued = (secondsAgo: number | undefined, tolerance?: number): TokenUse => ({
      ...use(),
      issuedAtSeconds: secondsAgo === undefined ? undefined : clocks.wallSeconds - secondsAgo,
      clockToleranceSeconds: tolerance,
    });
    const made = (issuedBeforeStart?: 'accept' | 'refuse'): MemoryReplayStore => {
      const { monotonicNow } = clocks;
      return new MemoryReplayStore({ issuedBeforeStart, monotonicNow });
    };

    it.each([
      ['a second before', 11, undefined, 'seen'],
      ['at that moment', 10, undefined, 'seen'],
      ['a second after', 9, undefined, 'first'],
      ['after it, by a clock that may be ahead', 6, 5, 'seen'],
      ['after it even by such a clock', 4, 5, 'first'],
      ['at an unknown time', undefined, 5, 'seen'],
    ] as const)('counts those as used: %s', (_when, secondsAgo, tolerance, verdict) => {
      const [refusing, accepting, silent] = [made('refuse'), made('accept'), made()];
      clocks.pass(10);
      const one = issued(secondsAgo, tolerance);
      expect(refusing.recordUse(one)).toBe(verdict);
      expect(accepting.recordUse(one)).toBe('first');
      expect(silent.recordUse(one)).toBe('first');
    });

    it('goes by a clock of its own where it is given none', () => {
      const refusing = new MemoryReplayStore({ issuedBeforeStart: 'refuse' });
      expect(refusing.recordUse(issued(60))).toBe('seen');
      expect(refusing.recordUse(issued(-60))).toBe('first');
    });
  });

  describe('TM-18, TM-19: while the wall clock steps', () => {
    it('RP-19 of a use that was forgotten it cannot tell', () => {
      const one = use(65);
      expect(store.recordUse(one)).toBe('first');
      clocks.pass(3600);
      expect(store.recordUse(use(65))).toBe('first');
      clocks.step(-3590);
      expect(() => store.recordUse({ ...one, nowSeconds: clocks.wallSeconds })).toThrow(
        expect.objectContaining({
          code: 'replay_store_unavailable',
          detail: 'the clock was put back by 3590.0 s: the use may be forgotten',
        }),
      );
    });

    it('forward, nothing is forgotten early', () => {
      const one = use(65);
      store.recordUse(one);
      clocks.step(3600);
      store.recordUse(use(65));
      clocks.step(-3600);
      expect(store.recordUse(one)).toBe('seen');
    });

    it('forward and back, what is new is first again as soon as it can be told', () => {
      clocks.step(3600);
      store.recordUse(use(65));
      clocks.step(-3600);
      expect(store.recordUse(use(65))).toBe('first');
      clocks.pass(70);
      expect(store.recordUse(use(65))).toBe('first');
      // What the fast clock dated is now forgotten, and ends as the tokens do that come at that time.
      clocks.pass(3530);
      expect(() => store.recordUse(use(65))).toThrow(ServiceAuthUnavailableError);
      clocks.pass(1);
      expect(store.recordUse(use(65))).toBe('first');
    });
  });
});

/** What a store says, or why it cannot tell. */
function verdictOfUse(store: MemoryReplayStore, use: TokenUse): string {
  try {
    return store.recordUse(use);
  } catch (error) {
    if (error instanceof ServiceAuthUnavailableError) return error.detail ?? '';
    throw error;
  }
}
