import fc from 'fast-check';
import { type Algorithm, MemoryReplayStore, type TokenUse } from 'nestjs-service-auth/core';
import { ALGORITHMS } from '../../lib/core/algorithms.js';
import { digest } from '../support/tokens/forge.js';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { findFault, type OracleReceiver } from '../support/properties/oracle.js';
import {
  CENSUS,
  codeOf,
  createPeers,
  HERALD,
  NOW_SECONDS,
  type Peers,
  received,
  signed,
} from '../support/services/peers.js';
import { itHolds } from '../support/properties/property.js';
import { ORDER, type RequestOfBytes, requests } from './requests.js';

const PROFILES = ['strict', 'original'] as const;
const NAMES = Object.keys(ALGORITHMS) as Algorithm[];
const isRsa = (algorithm: Algorithm): boolean => /^[PR]S/.test(algorithm);

const rsa = createKey('RS256');
const keys = new Map<Algorithm, TestKey>(
  NAMES.map((algorithm) => [algorithm, isRsa(algorithm) ? rsa : createKey(algorithm)]),
);

/** All of them, those that sign slowly seldom. */
const algorithms = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom<Algorithm>('ES256', 'EdDSA', 'Ed25519') },
  { weight: 1, arbitrary: fc.constantFrom(...NAMES) },
);

describe.each(PROFILES)('in the %s profile', (profile) => {
  // The clock of the peers stands still, that of a store does not: each run has its own.
  let replayStore = new MemoryReplayStore();
  const peersOf = new Map<Algorithm, Peers>();
  beforeAll(async () => {
    for (const [algorithm, key] of keys) {
      const herald = { signedHeaders: [ORDER] };
      const recordUse = (use: TokenUse) => replayStore.recordUse(use);
      const census = { requiredHeaders: [ORDER], replayStore: { recordUse } };
      peersOf.set(algorithm, await createPeers(key, { profile, algorithm, herald, census }));
    }
  });

  const receiverOf = (algorithm: Algorithm): OracleReceiver => {
    const { keyId = '', publicKey = rsa.publicKey } = keys.get(algorithm) ?? {};
    return {
      audiences: [CENSUS],
      issuers: [{ issuer: HERALD, profile, algorithm, keyId, publicKey }],
      nowSeconds: NOW_SECONDS,
      toleranceSeconds: 5,
      maxStrictLifetimeSeconds: 300,
    };
  };

  const expectRoundTrip = async (algorithm: Algorithm, made: RequestOfBytes): Promise<void> => {
    const { herald, census } = peersOf.get(algorithm) ?? { herald: undefined, census: undefined };
    if (!herald || !census) throw new Error(`no peers for ${algorithm}`);
    const subject = made.subject ?? (profile === 'original' ? CENSUS : undefined);
    const request = { ...made, subject };
    const token = await signed(herald, request);
    const arrived = received(request, token);
    expect(await findFault({ ...arrived, body: request.body }, receiverOf(algorithm))).toBe(
      undefined,
    );
    replayStore = new MemoryReplayStore();
    const identity = await census.verify(arrived);
    expect(identity).toEqual({
      issuer: HERALD,
      audience: CENSUS,
      subject,
      keyId: keys.get(algorithm)?.keyId,
      profile,
      claims: expect.any(Object) as object,
      ...(profile === 'strict'
        ? {
            tokenId: expect.stringMatching(/^[\w-]{32}$/) as string,
            issuedAtSeconds: NOW_SECONDS,
            expiresAtSeconds: NOW_SECONDS + 60,
          }
        : { tokenId: undefined, issuedAtSeconds: undefined, expiresAtSeconds: undefined }),
    });
    const { req, hdr, bdy } = identity.claims;
    const hasBody = request.body.length > 0;
    const hash = profile === 'strict' ? 'sha256' : 'md5';
    expect(bdy).toBe(hasBody ? digest(hash, request.body) : undefined);
    expect(req).toBe(profile === 'strict' ? `${arrived.method} ${arrived.target}` : undefined);
    const isContent = (name: string) => name.startsWith('content-');
    const bound = Object.fromEntries(
      Object.entries(request.headers)
        .map(([name, value]) => [name.toLowerCase(), value] as const)
        .filter(([name]) => hasBody || !isContent(name)),
    );
    const isBound = profile === 'strict' && Object.keys(bound).length > 0;
    expect(hdr).toEqual(isBound ? bound : undefined);
    expect(Object.isFrozen(identity) && Object.isFrozen(identity.claims)).toBe(true);
    if (profile === 'strict') {
      expect(await codeOf(async () => await census.verify(arrived))).toBe('token_replayed');
    }
  };

  it.each(NAMES)('verifies what it signed with %s', async (algorithm) => {
    await fc.assert(
      fc.asyncProperty(requests, async (request) => await expectRoundTrip(algorithm, request)),
      { numRuns: 20 },
    );
  });

  itHolds(
    'verifies what it signed, and proves what was said',
    [algorithms, requests],
    expectRoundTrip,
  );
});
