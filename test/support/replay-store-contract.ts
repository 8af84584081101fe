import { randomUUID } from 'node:crypto';
import type { ReplayStore, TokenUse, TokenUseVerdict } from 'nestjs-service-auth/core';

/** What the contract needs of one implementation. */
export interface ReplayStoreUnderTest {
  readonly store: ReplayStore;
  /** The wall clock the uses are dated by, in seconds since the epoch. */
  nowSeconds(): number;
  /** Lets time pass for the store, and for the wall clock by the same amount. */
  pass(seconds: number): Promise<void> | void;
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

    it('takes long names', async () => {
      const one = use({ issuer: `https://${'a'.repeat(2000)}/`, tokenId: '\u{1f511}'.repeat(256) });
      expect(await record(one)).toBe('first');
      expect(await record(one)).toBe('seen');
    });
  });
}
