import fc from 'fast-check';
import {
  createServiceAuth,
  MemoryReplayStore,
  type ServiceAuth,
  ServiceAuthUnavailableError,
  type TokenUse,
} from 'nestjs-service-auth/core';
import { Clocks } from '../support/clocks/clocks.js';
import { type Json, strictToken } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import { CENSUS, codeOf, HERALD } from '../support/services/peers.js';
import { itHolds } from '../support/properties/property.js';

const key = createKey('EdDSA');
const seconds = (max: number) => fc.double({ min: 0, max, noNaN: true });

const storeWith = (clocks: Clocks, maxEntries?: number): MemoryReplayStore =>
  new MemoryReplayStore({ maxEntries, monotonicNow: clocks.monotonicNow });

/** Some issuers and token ids, close enough to be taken for one another. */
const names = fc.constantFrom('a', 'b', 'a"', 'a,', '\u0000', '', '__proto__', 'a\u0000', '{a}');

describe('the memory of used tokens', () => {
  itHolds(
    'RP-08 holds a use for the whole life of its token, fractions included',
    [seconds(2000), fc.double({ min: 0.001, max: 400, noNaN: true }), seconds(1)],
    (before, lifetime, share) => {
      const clocks = new Clocks();
      clocks.pass(before);
      const store = storeWith(clocks);
      const use = (tokenId: string, lives: number): TokenUse => {
        const nowSeconds = clocks.wallSeconds;
        return { issuer: HERALD, tokenId, nowSeconds, forgetAtSeconds: nowSeconds + lives };
      };
      const one = use('one', lifetime);
      expect(store.recordUse(one)).toBe('first');
      clocks.pass(lifetime * share * 0.999);
      store.recordUse(use('other', 65));
      expect(store.recordUse({ ...one, nowSeconds: clocks.wallSeconds })).toBe('seen');
    },
  );

  itHolds(
    'RP-08, RF-12 answers as a list of everything it was ever told',
    [
      fc.array(
        fc.oneof(
          fc.record({ issuer: names, tokenId: names, lives: seconds(400) }),
          seconds(200).map((pass) => ({ pass })),
        ),
        { maxLength: 30 },
      ),
      fc.integer({ min: 1, max: 12 }),
    ],
    (events, maxEntries) => {
      const clocks = new Clocks();
      const store = storeWith(clocks, maxEntries);
      const forgetAt = new Map<string, number>();
      for (const event of events) {
        if ('pass' in event) {
          clocks.pass(event.pass);
          continue;
        }
        const { issuer, tokenId, lives } = event;
        const now = clocks.wallSeconds;
        const name = JSON.stringify([issuer, tokenId]);
        const living = [...forgetAt.values()].filter((second) => second > now);
        const verdict = verdictOf(store, {
          issuer,
          tokenId,
          nowSeconds: now,
          forgetAtSeconds: now + lives,
        });
        if ((forgetAt.get(name) ?? -Infinity) > now) expect(verdict).toBe('seen');
        else if (!forgetAt.has(name)) expect(verdict).not.toBe('seen');
        // Full at the latest when so many live; what is due is kept for up to two seconds more.
        if (living.length >= maxEntries) expect(verdict).not.toBe('first');
        if (verdict === 'first') forgetAt.set(name, now + lives);
        expect(store.size).toBeLessThanOrEqual(maxEntries);
      }
    },
  );

  let clocks = new Clocks();
  let store = storeWith(clocks);
  let census: ServiceAuth;
  beforeAll(async () => {
    census = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [{ issuer: HERALD, publicKey: key.publicKey }],
      replayStore: { recordUse: (use) => store.recordUse(use) },
      now: () => clocks.wallSeconds * 1000,
    });
  });
  afterAll(() => census.close());

  const event = fc.oneof(
    fc.record({ pass: seconds(400) }),
    fc.record({ step: fc.double({ min: -4000, max: 4000, noNaN: true }) }),
    fc.record({ present: fc.nat(5) }),
    fc.constant({ issue: true } as const),
  );

  itHolds(
    'TM-18, TM-19 lets no token pass twice, whatever steps the wall clock makes',
    [fc.array(event, { minLength: 5, maxLength: 20 })],
    async (events) => {
      clocks = new Clocks();
      store = storeWith(clocks);
      const tokens: string[] = [];
      const accepted = new Map<string, number>();
      const present = async (token: string | undefined): Promise<string> => {
        if (token === undefined) return 'no token';
        const request = { method: 'GET', target: '/a', body: new Uint8Array() };
        const rawHeaders = ['JWT', token];
        const code = await codeOf(async () => await census.verify({ ...request, rawHeaders }));
        if (code === 'accepted') accepted.set(token, (accepted.get(token) ?? 0) + 1);
        return code;
      };
      const issue = (): string => {
        const now = clocks.wallSeconds;
        const claims: Json = { exp: now + 300 };
        return strictToken({ key, issuer: HERALD, audience: CENSUS, target: '/a', now, claims });
      };
      for (const one of events) {
        if ('pass' in one) clocks.pass(one.pass);
        if ('step' in one) clocks.step(one.step);
        if ('present' in one) await present(tokens.at(-1 - one.present));
        if ('issue' in one) {
          tokens.push(issue());
          const code = await present(tokens.at(-1));
          const isSteady = !events.some((each) => 'step' in each);
          if (isSteady) expect(code).toBe('accepted');
        }
      }
      for (const token of tokens) await present(token);
      expect([...accepted.values()].filter((times) => times > 1)).toEqual([]);
    },
  );
});

function verdictOf(store: MemoryReplayStore, use: TokenUse): string {
  try {
    return store.recordUse(use);
  } catch (error) {
    if (error instanceof ServiceAuthUnavailableError) return error.code;
    throw error;
  }
}
