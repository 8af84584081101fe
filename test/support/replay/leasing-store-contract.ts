import { randomUUID } from 'node:crypto';
import {
  type Lease,
  type LeasingReplayStore,
  ServiceAuthUnavailableError,
  type TokenUse,
} from 'nestjs-service-auth/core';
import type { ReplayStoreUnderTest } from './replay-store-contract.js';

/** What the contract needs of one implementation. */
export interface LeasingStoreUnderTest extends ReplayStoreUnderTest {
  readonly store: LeasingReplayStore;
}

/** Leases are long enough for a machine that stands still for a while. */
export const LEASE_SECONDS = 100;

export const leaseOf = (owner: string, seconds = LEASE_SECONDS): Lease => ({
  owner,
  milliseconds: seconds * 1000,
});

/** What a store answers, or the code and the reason with which it cannot tell. */
export async function answerOf<T>(ask: () => T | Promise<T>): Promise<T | string> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof ServiceAuthUnavailableError)) throw error;
    return `${error.code}: ${error.detail}`;
  }
}

/** The properties of every store that reserves uses. */
export function describeLeasingStore(
  name: string,
  open: () => Promise<LeasingStoreUnderTest> | LeasingStoreUnderTest,
): void {
  describe(`${name} as a store of reservations`, () => {
    let under: LeasingStoreUnderTest;
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
        issuedAtSeconds: nowSeconds,
        forgetAtSeconds: nowSeconds + 1000,
        ...parts,
      };
    };
    const later = (one: TokenUse): TokenUse => ({ ...one, nowSeconds: under.nowSeconds() });
    const reserve = async (one: TokenUse, owner: string, seconds?: number): Promise<string> =>
      await answerOf(() => under.store.reserve(one, leaseOf(owner, seconds)));
    const renew = async (one: TokenUse, owner: string, seconds?: number) =>
      await under.store.renew(one, leaseOf(owner, seconds));
    const commit = async (one: TokenUse, owner: string) => await under.store.commit(one, owner);
    const release = async (one: TokenUse, owner: string) => await under.store.release(one, owner);
    const record = async (one: TokenUse): Promise<string> =>
      await answerOf(() => under.store.recordUse(one));

    it('RP-21 gives a use to one delivery, and tells the others that it is busy', async () => {
      const one = use();
      expect(await reserve(one, 'a')).toBe('first');
      expect(await reserve(one, 'b')).toBe('busy');
      expect(await reserve(one, 'a')).toBe('busy');
      expect(await reserve(use(), 'b')).toBe('first');
    });

    it('RP-21 answers first to one of many at the same moment', async () => {
      const one = use();
      const owners = Array.from({ length: 100 }, (_, at) => `owner-${at}`);
      const verdicts = await Promise.all(owners.map(async (owner) => await reserve(one, owner)));
      expect(verdicts.toSorted()).toEqual([...Array<string>(99).fill('busy'), 'first']);
    });

    it('RP-21 shares one space with recordUse, both ways', async () => {
      const recorded = use();
      expect(await record(recorded)).toBe('first');
      expect(await reserve(recorded, 'a')).toBe('seen');
      const reserved = use();
      expect(await reserve(reserved, 'a')).toBe('first');
      expect(await record(reserved)).toBe('seen');
      expect(await commit(reserved, 'a')).toBe(true);
      expect(await record(reserved)).toBe('seen');
      const released = use();
      expect(await reserve(released, 'a')).toBe('first');
      await release(released, 'a');
      expect(await record(released)).toBe('first');
    });

    it('RP-21 remembers what is committed until it may be forgotten, however long the handler ran', async () => {
      const one = use();
      expect(await reserve(one, 'a')).toBe('first');
      await under.pass(60);
      expect(await commit(one, 'a')).toBe(true);
      expect(await reserve(later(one), 'b')).toBe('seen');
      await under.pass(939);
      expect(await reserve(later(one), 'b')).toBe('seen');
      expect(await record(later(one))).toBe('seen');
    });

    it('RP-22 gives a released use to the next delivery, and releases that of its owner alone', async () => {
      const one = use();
      expect(await reserve(one, 'a')).toBe('first');
      await release(one, 'b');
      expect(await reserve(one, 'b')).toBe('busy');
      await release(one, 'a');
      expect(await reserve(one, 'b')).toBe('first');
      await release(one, 'a');
      expect(await reserve(one, 'c')).toBe('busy');
    });

    it('RP-22 releases nothing that is done', async () => {
      const one = use();
      await reserve(one, 'a');
      expect(await commit(one, 'a')).toBe(true);
      await release(one, 'a');
      expect(await reserve(one, 'b')).toBe('seen');
      const recorded = use();
      await record(recorded);
      await release(recorded, 'a');
      expect(await reserve(recorded, 'b')).toBe('seen');
    });

    it('RP-21 gives a use to the next delivery when the lease is over, and not before', async () => {
      const one = use();
      expect(await reserve(one, 'a')).toBe('first');
      await under.pass(LEASE_SECONDS - 30);
      expect(await reserve(later(one), 'b')).toBe('busy');
      await under.pass(31);
      expect(await reserve(later(one), 'b')).toBe('first');
      expect(await reserve(later(one), 'a')).toBe('busy');
    });

    it('RP-22 extends a lease for its owner alone', async () => {
      const one = use();
      await reserve(one, 'a');
      await under.pass(60);
      expect(await renew(one, 'b')).toBe(false);
      expect(await renew(one, 'a')).toBe(true);
      await under.pass(60);
      expect(await reserve(later(one), 'b')).toBe('busy');
      await under.pass(60);
      expect(await reserve(later(one), 'b')).toBe('first');
    });

    it.each([
      ['over', async () => await under.pass(LEASE_SECONDS + 1), 'first'],
      ['released', async (one: TokenUse) => await release(one, 'a'), 'first'],
      ['committed', async (one: TokenUse) => void (await commit(one, 'a')), 'seen'],
      [
        'taken by the next one',
        async (one: TokenUse) => {
          await under.pass(LEASE_SECONDS + 1);
          await reserve(later(one), 'b');
        },
        'busy',
      ],
    ])('RP-22 renews no reservation that is %s', async (_title, end, verdict) => {
      const one = use();
      await reserve(one, 'a');
      expect(await renew(one, 'a')).toBe(true);
      await end(one);
      expect(await renew(one, 'a')).toBe(false);
      expect(await reserve(later(one), 'c')).toBe(verdict);
    });

    it('RP-22 writes done for an owner whose lease is over, and says that it was lost', async () => {
      const one = use();
      await reserve(one, 'a');
      await under.pass(LEASE_SECONDS + 1);
      expect(await commit(one, 'a')).toBe(false);
      expect(await reserve(later(one), 'b')).toBe('seen');
      const never = use();
      expect(await commit(never, 'a')).toBe(false);
      expect(await reserve(never, 'b')).toBe('seen');
    });

    it('RP-22 writes done over the reservation of another, whose own commit is then lost too', async () => {
      const one = use();
      await reserve(one, 'a');
      await under.pass(LEASE_SECONDS + 1);
      expect(await reserve(later(one), 'b')).toBe('first');
      expect(await commit(one, 'a')).toBe(false);
      expect(await reserve(later(one), 'c')).toBe('seen');
      expect(await renew(one, 'b')).toBe(false);
      expect(await commit(later(one), 'b')).toBe(false);
      expect(await reserve(later(one), 'c')).toBe('seen');
    });

    it.each([Number.NaN, 0, -1, -Infinity])('takes no lease of %p ms', async (milliseconds) => {
      const one = use();
      const asking = [
        async () => await under.store.reserve(one, { owner: 'a', milliseconds }),
        async () => await under.store.renew(one, { owner: 'a', milliseconds }),
      ];
      for (const ask of asking) await expect(ask()).rejects.toThrow(RangeError);
      expect(await under.store.reserve(one, { owner: 'a', milliseconds: 60_000.5 })).toBe('first');
      expect(await under.store.renew(one, { owner: 'a', milliseconds: 60_000.5 })).toBe(true);
    });

    it('RP-19 cannot tell of what a clock that was put back may have made forgotten', async () => {
      const one = use({ forgetAtSeconds: under.nowSeconds() + 65 });
      await reserve(one, 'a');
      await commit(one, 'a');
      const seconds = 65 + under.marginSeconds + 100;
      await under.pass(seconds);
      under.step(-seconds);
      expect(await reserve(later(one), 'b')).toMatch(
        /^replay_store_unavailable: the clock was put back by \d+\.\d s/,
      );
      under.step(seconds);
      expect(await reserve(use(), 'b')).toBe('first');
    });
  });
}
