import fc from 'fast-check';
import { createServiceAuth, MemoryReplayStore, type ServiceAuth } from 'nestjs-service-auth/core';
import { type Json, strictToken } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import { findTimesFault } from '../support/properties/oracle.js';
import { CENSUS, codeOf, HERALD, NOW_SECONDS } from '../support/services/peers.js';
import { itHolds } from '../support/properties/property.js';

const VETERAN = 'https://veteran.service/';
const TOLERANCES = [0, 1, 5, 60];
const LONGEST = { [HERALD]: 300, [VETERAN]: 3600 };

/** Seconds from now: about the limits, on them, and anywhere. */
const offsets = fc.oneof(
  fc.constantFrom(
    -3660,
    -3605,
    -3600,
    -365,
    -360,
    -305,
    -300,
    -60,
    -5,
    -1,
    0,
    1,
    5,
    60,
    300,
    301,
    3600,
  ),
  fc
    .tuple(
      fc.constantFrom(-3605, -305, -60, -5, 0, 5, 60, 300),
      fc.double({ min: -2, max: 2, noNaN: true }),
    )
    .map(([limit, about]) => limit + about),
  fc.integer({ min: -4000, max: 4000 }),
  fc.double({ min: -1e12, max: 1e12, noNaN: true }),
);
const optional = fc.option(offsets, { nil: undefined });
const code: Record<string, readonly string[]> = {
  expired: ['token_expired'],
  'issued later': ['token_not_yet_valid'],
  'not before later': [
    'token_not_yet_valid',
    'claim_invalid',
    'lifetime_too_long',
    'token_expired',
  ],
  'exp not after iat': ['claim_invalid'],
  'exp before nbf': ['claim_invalid'],
  'lives too long': ['lifetime_too_long', 'token_expired'],
  'issued too long ago': ['token_expired'],
};

describe('the times of a token', () => {
  const key = createKey('EdDSA');
  let milliseconds = 0;
  let replayStore = new MemoryReplayStore();
  const receivers = new Map<number, ServiceAuth>();
  beforeAll(async () => {
    const keys = [{ publicKey: key.publicKey, algorithms: ['EdDSA' as const] }];
    for (const clockToleranceSeconds of TOLERANCES) {
      const service = await createServiceAuth({
        issuer: CENSUS,
        trustedIssuers: [
          { issuer: HERALD, keys },
          { issuer: VETERAN, keys, profile: 'original' },
        ],
        clockToleranceSeconds,
        replayStore: { recordUse: (use) => replayStore.recordUse(use) },
        now: () => milliseconds,
      });
      receivers.set(clockToleranceSeconds, service);
    }
  });
  afterAll(() => {
    for (const service of receivers.values()) service.close();
  });

  const verdict = async (tolerance: number, issuer: string, claims: Json): Promise<string> => {
    const header = issuer === VETERAN ? { kid: undefined, typ: 'JWT' } : {};
    const request = { method: 'GET', target: '/a', body: new Uint8Array() };
    const subject = 'urn:census:21';
    const parts = { key, issuer, audience: CENSUS, subject, target: '/a', header, claims };
    const rawHeaders = ['JWT', strictToken(parts)];
    replayStore = new MemoryReplayStore();
    return await codeOf(
      async () => await receivers.get(tolerance)?.verify({ ...request, rawHeaders }),
    );
  };

  itHolds(
    'are accepted exactly when an independent model of them finds no fault',
    [
      fc.record({
        iat: optional,
        exp: optional,
        nbf: optional,
        hasTokenId: fc.boolean(),
        tolerance: fc.constantFrom(...TOLERANCES),
        issuer: fc.constantFrom<typeof HERALD | typeof VETERAN>(HERALD, VETERAN),
        fraction: fc.oneof(fc.constant(0), fc.nat(999)),
      }),
    ],
    async ({ iat, exp, nbf, hasTokenId, tolerance, issuer, fraction }) => {
      milliseconds = NOW_SECONDS * 1000 + fraction;
      const isStrict = issuer === HERALD;
      const from = (offset: number | undefined) =>
        offset === undefined ? undefined : NOW_SECONDS + offset;
      const times = { iat: from(iat), exp: from(exp), nbf: from(nbf) };
      const jti = hasTokenId ? 'k7Qw0aZp3Xv9Lr2TnB6y' : undefined;
      const got = await verdict(tolerance, issuer, { ...times, jti });
      if (isStrict && (iat === undefined || exp === undefined || !hasTokenId)) {
        expect(got).toBe('claim_missing');
        return;
      }
      const longest = LONGEST[issuer] ?? 0;
      const now = milliseconds / 1000;
      const fault = findTimesFault({ ...times, hasTokenId, now, tolerance, longest });
      expect(fault === undefined ? ['accepted'] : (code[fault] ?? [])).toContain(got);
    },
  );
});
