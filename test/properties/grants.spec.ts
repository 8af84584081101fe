import fc from 'fast-check';
import {
  createServiceAuth,
  type IncomingRequest,
  type ServiceAuth,
} from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import { itHolds } from '../support/properties/property.js';
import { CENSUS, codeOf, HERALD, NOW_SECONDS, now, USER } from '../support/services/peers.js';
import { strictToken } from '../support/tokens/forge.js';
import { makeGrant, tthOf } from '../support/tokens/grant.js';

const EDGE = 'https://edge.service/';
const TRUST_DOMAIN = 'https://test.example.org/';
const edgeKey = createKey();
const heraldKey = createKey('EdDSA');
const GRANT = makeGrant({
  key: edgeKey,
  originator: EDGE,
  trustDomain: TRUST_DOMAIN,
  subject: USER,
  now: NOW_SECONDS,
  claims: { scope: 'user:read', acr: 'gold', amr: ['pwd'], tctx: { order: 7 } },
});

/** The token for a grant, which its receiver has not seen before. */
const tokenFor = (grant: string): string =>
  strictToken({
    key: heraldKey,
    issuer: HERALD,
    audience: CENSUS,
    subject: USER,
    target: '/user',
    now: NOW_SECONDS,
    claims: { tth: tthOf(grant) },
  });

const request = (token: string, grant: string): IncomingRequest => ({
  method: 'GET',
  target: '/user',
  rawHeaders: ['JWT', token, 'Txn-Token', grant],
  body: new Uint8Array(),
});

/** Another character in one place, one more, or one less. */
const changes = fc
  .tuple(fc.nat(4000), fc.constantFrom('flip', 'put', 'take'), fc.nat(255))
  .map(([place, how, byte]) => (text: string): string => {
    const at = place % text.length;
    const there = text.charCodeAt(at);
    const other = String.fromCharCode(how === 'flip' ? there ^ (1 << (byte % 7)) : byte);
    return (
      text.slice(0, at) + (how === 'take' ? '' : other) + text.slice(how === 'put' ? at : at + 1)
    );
  });

describe('GR-31 a good pair', () => {
  let census: ServiceAuth;
  beforeAll(async () => {
    census = await createServiceAuth({
      issuer: CENSUS,
      trustDomain: TRUST_DOMAIN,
      originators: [{ issuer: EDGE, publicKey: edgeKey.publicPem, subjects: [USER] }],
      trustedIssuers: [
        {
          issuer: HERALD,
          publicKey: heraldKey.publicPem,
          subjectProof: { mode: 'required', withoutSubject: 'refused' },
        },
      ],
      now,
    });
  });
  afterAll(() => census.close());

  const verdict = async (token: string, grant: string): Promise<string> =>
    await codeOf(async () => await census.verify(request(token, grant)));

  it('is accepted as it is, again and again', async () => {
    for (const _time of [1, 2]) expect(await verdict(tokenFor(GRANT), GRANT)).toBe('accepted');
  });

  itHolds('is refused with one byte of the grant changed', [changes], async (change) => {
    const changed = change(GRANT);
    fc.pre(changed !== GRANT);
    expect(await verdict(tokenFor(GRANT), changed)).toMatch(/^grant_/);
  });

  itHolds(
    'is refused with one byte of the grant changed, and a token that names it so',
    [changes],
    async (change) => {
      const changed = change(GRANT);
      fc.pre(changed !== GRANT);
      expect(await verdict(tokenFor(changed), changed)).toMatch(/^(?:grant_|originator_)/);
    },
  );

  itHolds('is refused with one byte of the token changed', [changes], async (change) => {
    const token = tokenFor(GRANT);
    const changed = change(token);
    fc.pre(changed !== token);
    expect(await verdict(changed, GRANT)).not.toBe('accepted');
  });
});
