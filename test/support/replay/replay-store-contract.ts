import { randomUUID } from 'node:crypto';
import type { ReplayStore, TokenUse, TokenUseVerdict } from 'nestjs-service-auth/core';
import { ObservedEvents } from '../observed/observed-events.js';
import { verdictOf } from './token-use.js';

const HOUR = 3600;
const YEAR = 365 * 24 * HOUR;
const PUT_BACK_REASON = /^the clock was put back by \d+\.\d s: the use may be forgotten$/;
const PUT_BACK = /^unavailable: the clock was put back by \d+\.\d s/;

/** What the contract needs of one implementation. */
export interface ReplayStoreUnderTest {
  readonly store: ReplayStore;
  /** The wall clock the uses are dated by, in seconds since the epoch. */
  nowSeconds(): number;
  /** Lets time pass for the store, and for the wall clock by the same amount. */
  pass(seconds: number): Promise<void> | void;
  /** Sets the wall clock, and lets no time pass. */
  step(seconds: number): void;
  /** For how much longer than needed the store remembers. */
  readonly marginSeconds: number;
  /** The server it is kept in has a clock of its own, which `pass` and `step` leave alone. */
  readonly hasServer: boolean;
  close?(): Promise<void> | void;
}

/** The properties every replay store has, whatever it keeps its entries in. */
export function describeReplayStore(
  name: string,
  open: () => Promise<ReplayStoreUnderTest> | ReplayStoreUnderTest,
): void {
  describe(`${name} as a replay store`, () => {
    let under: ReplayStoreUnderTest;
    beforeEach(async () => {
      under = await open();
    });
    afterEach(async () => await under.close?.());

    const use = (parts: Partial<TokenUse> = {}): TokenUse => {
      const nowSeconds = under.nowSeconds();
      return {
        issuer: 'https://herald.service/',
        tokenId: randomUUID(),
        nowSeconds,
        forgetAtSeconds: nowSeconds + 2,
        ...parts,
      };
    };
    const record = async (one: TokenUse): Promise<TokenUseVerdict> =>
      await under.store.recordUse(one);

    it('answers first once and seen ever after', async () => {
      const one = use();
      expect(await record(one)).toBe('first');
      expect(await record(one)).toBe('seen');
      expect(await record({ ...one })).toBe('seen');
      expect(await record(use())).toBe('first');
    });

    it('goes by issuer and token id, and by nothing else', async () => {
      const one = use();
      expect(await record(one)).toBe('first');
      expect(await record({ ...one, issuer: 'https://scribe.service/' })).toBe('first');
      expect(await record({ ...one, tokenId: one.tokenId.toUpperCase() })).toBe('first');
      expect(await record({ ...one, tokenId: `${one.tokenId} ` })).toBe('first');
      expect(await record({ ...one, forgetAtSeconds: one.forgetAtSeconds + 60 })).toBe('seen');
      expect(await record({ ...one, nowSeconds: one.nowSeconds + 1 })).toBe('seen');
    });

    it('cannot be made to take one pair of names for another', async () => {
      const pairs = [
        ['https://a.service/', 'b'],
        ['https://a.service/b', ''],
        ['https://a.service', '/b'],
        ['', 'https://a.service/b'],
        ['https://a.service/","b', ''],
        ['https://a.service/:b', 'c'],
        ['https://a.service/', 'b:c'],
        ['https://a.service/\u0000b', 'c'],
        ['https://a.service/', 'b\u0000c'],
        ['__proto__', 'x'],
        ['constructor', 'x'],
        ['x', '__proto__'],
        ['{tag}', '*'],
        ['*', '{tag}'],
      ] as const;
      for (const [issuer, tokenId] of pairs) {
        expect(await record(use({ issuer, tokenId }))).toBe('first');
      }
      for (const [issuer, tokenId] of pairs) {
        expect(await record(use({ issuer, tokenId }))).toBe('seen');
      }
    });

    it('answers first to one of many at the same moment', async () => {
      const one = use();
      const verdicts = await Promise.all(
        Array.from({ length: 100 }, async () => await record(one)),
      );
      expect(verdicts.filter((verdict) => verdict === 'first')).toHaveLength(1);
      expect(verdicts.filter((verdict) => verdict === 'seen')).toHaveLength(99);
    });

    it('keeps apart what arrives at the same moment', async () => {
      const uses = Array.from({ length: 100 }, () => use());
      const verdicts = await Promise.all([...uses, ...uses].map(record));
      expect(verdicts.filter((verdict) => verdict === 'first')).toHaveLength(100);
    });

    it('remembers until the use may be forgotten', async () => {
      const one = use();
      expect(await record(one)).toBe('first');
      await under.pass(1);
      expect(await record({ ...one, nowSeconds: under.nowSeconds() })).toBe('seen');
    });

    it('takes uses that may be forgotten already, and long ones', async () => {
      const nowSeconds = under.nowSeconds();
      for (const forgetAtSeconds of [nowSeconds, nowSeconds + 0.25, nowSeconds + 3605.75]) {
        const one = use({ forgetAtSeconds });
        expect(await record(one)).toBe('first');
        expect(await record(one)).toBe('seen');
      }
    });

    /** A use that was never recorded, while the wall clock is behind what it once was. */
    async function expectDecided(fresh: TokenUse, secondsApart: number): Promise<void> {
      const verdict = await verdictOf(under.store, fresh);
      if (under.hasServer && secondsApart > 60)
        expect(verdict).toMatch(/ apart from that of Redis$/);
      else expect(verdict).toBe('first');
    }

    describe('RP-19 a clock that was ahead and was put back', () => {
      const life = 65;
      const fresh = (): TokenUse => use({ forgetAtSeconds: under.nowSeconds() + life });

      it.each([1, 59, 61, HOUR, 10 * YEAR])('by %d s: blames no caller', async (ahead) => {
        expect(await record(fresh())).toBe('first');
        under.step(ahead);
        const dated = fresh();
        expect(await record(dated)).toBe('first');
        under.step(-ahead);
        const one = fresh();
        expect(await record(one)).toBe('first');
        expect(await record(one)).toBe('seen');
        expect(await record(dated)).toBe('seen');
      });

      it.each([2, 59, 61, HOUR, 10 * YEAR])(
        'by %d s: cannot tell of what it dated and forgot',
        async (ahead) => {
          under.step(ahead);
          const dated = fresh();
          expect(await record(dated)).toBe('first');
          under.step(-ahead);
          await under.pass(life + under.marginSeconds + 2);
          under.step(ahead - life - under.marginSeconds - 2);
          const again = { ...dated, nowSeconds: under.nowSeconds() };
          expect(await verdictOf(under.store, again)).toMatch(PUT_BACK);
          under.step(1);
          await expectDecided(fresh(), ahead + 1);
        },
      );
    });

    describe('RP-19 a clock that was put back', () => {
      const life = 65;
      const fresh = (): TokenUse => use({ forgetAtSeconds: under.nowSeconds() + life });

      it.each([HOUR, 10 * YEAR])(
        'by %d s: cannot tell until it has caught up, and says so',
        async (seconds) => {
          const events = new ObservedEvents();
          await under.store.start?.(events);
          under.step(-seconds);
          expect(await record(fresh())).toBe('first');
          under.step(seconds);
          const one = fresh();
          expect(await record(one)).toBe('first');
          await under.pass(life + under.marginSeconds + 2);
          expect(await record(fresh())).toBe('first');
          under.step(-life - under.marginSeconds - 1);
          const again = { ...one, nowSeconds: under.nowSeconds() };
          expect(await verdictOf(under.store, again)).toMatch(PUT_BACK);
          expect(events.of('replay_store_failed').map(({ reason }) => reason)).toEqual([
            expect.stringMatching(PUT_BACK_REASON),
          ]);
          await under.pass(life + under.marginSeconds + 3);
          await expectDecided(fresh(), life + 60);
          under.store.close?.(events);
        },
      );

      it('by a second or less: tells as before', async () => {
        const one = fresh();
        expect(await record(one)).toBe('first');
        for (const step of [-0.9, 0.5, -0.5, 0.9]) {
          under.step(step);
          expect(await record(fresh())).toBe('first');
          expect(await record(one)).toBe('seen');
        }
      });

      it('while nothing can be forgotten yet: tells as before', async () => {
        const one = fresh();
        expect(await record(one)).toBe('first');
        await under.pass(life - 10);
        under.step(-life + 10);
        expect(await record({ ...one, nowSeconds: under.nowSeconds() })).toBe('seen');
        expect(await record(fresh())).toBe('first');
      });

      it('many times: forgets no time of which it cannot tell', async () => {
        const dated: TokenUse[] = [];
        for (let each = 0; each < 12; each++) {
          under.step(HOUR);
          dated.push(fresh());
          expect(await record(dated.at(-1) ?? use())).toBe('first');
        }
        under.step(-12 * HOUR);
        await under.pass(life + under.marginSeconds + 2);
        under.step(-life - under.marginSeconds - 2);
        for (const one of dated) {
          under.step(HOUR);
          const again = { ...one, nowSeconds: under.nowSeconds() };
          expect(await verdictOf(under.store, again)).toMatch(PUT_BACK);
        }
      });
    });

    it('takes long names', async () => {
      const one = use({ issuer: `https://${'a'.repeat(2000)}/`, tokenId: '\u{1f511}'.repeat(256) });
      expect(await record(one)).toBe('first');
      expect(await record(one)).toBe('seen');
    });
  });
}
