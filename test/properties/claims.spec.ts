import fc from 'fast-check';
import { createServiceAuth, MemoryReplayStore, type ServiceAuth } from 'nestjs-service-auth/core';
import { encode, type Json, sha256, signBytes, strictParts } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import { findFault, type OracleReceiver } from '../support/properties/oracle.js';
import { CENSUS, codeOf, HERALD, NOW_SECONDS, now, USER } from '../support/services/peers.js';
import { itHolds } from '../support/properties/property.js';

const VETERAN = 'https://veteran.service/';
const key = createKey('EdDSA');
const trusted = { algorithm: 'EdDSA', keyId: key.keyId, publicKey: key.publicKey };
const SUBJECTS = ['https://census.service/user/', 'urn:census:'];

const RECEIVER: OracleReceiver = {
  audiences: [CENSUS],
  issuers: [
    { ...trusted, issuer: HERALD, profile: 'strict', subjects: SUBJECTS },
    { ...trusted, issuer: VETERAN, profile: 'original' },
  ],
  nowSeconds: NOW_SECONDS,
  toleranceSeconds: 5,
  maxStrictLifetimeSeconds: 300,
};

const BODY = Buffer.from('{"name":"x"}');
const digests = fc.constantFrom(
  sha256(BODY),
  sha256(''),
  sha256(BODY).toUpperCase(),
  sha256(BODY).slice(1),
  'f'.repeat(32),
  'f'.repeat(96),
);
const aboutNow = fc.integer({ min: -400, max: 400 }).map((offset) => NOW_SECONDS + offset);
const boundTypes = fc.record({ 'content-type': fc.constantFrom('application/json', 'a/b') });

/** For each claim what is right and what is nearly so; besides, anything that JSON can say. */
const LIKELY: Record<string, fc.Arbitrary<unknown>> = {
  iss: fc.constantFrom(HERALD, VETERAN, HERALD.slice(0, -1), HERALD.toUpperCase()),
  aud: fc.constantFrom(CENSUS, CENSUS.slice(0, -1), [CENSUS], HERALD),
  sub: fc.oneof(
    fc.constantFrom(USER, 'urn:census:21', 'mailto:a@b', `${CENSUS}user/../x`, 'javascript:x'),
    fc.webUrl(),
    fc.string({ maxLength: 12 }).map((text) => `${CENSUS}user/${text}`),
  ),
  iat: aboutNow,
  exp: aboutNow,
  nbf: aboutNow,
  jti: fc.oneof(fc.string({ minLength: 14, maxLength: 20 }), fc.uuid()),
  req: fc.constantFrom('POST /a?b=1', 'post /a?b=1', 'POST /a', 'POST  /a?b=1', 'POST /a?b=1 '),
  hdr: fc.oneof(boundTypes, fc.dictionary(fc.string({ maxLength: 3 }), fc.string())),
  bdy: digests,
  extra: fc.jsonValue({ maxDepth: 3 }),
};
const names = Object.keys(LIKELY);
const changes = fc.array(
  fc.oneof(
    ...names.map((name) =>
      fc
        .oneof(
          { weight: 4, arbitrary: LIKELY[name] ?? fc.jsonValue() },
          { weight: 1, arbitrary: fc.constant(undefined) },
          { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
        )
        .map((value): Json => ({ [name]: value })),
    ),
  ),
  { maxLength: 4 },
);
const headers = fc.oneof(
  { weight: 8, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        alg: fc.constantFrom('Ed25519', 'none', 'HS256', 'eddsa', 5),
        kid: fc.oneof(fc.constantFrom(key.keyId, '', 'x'), fc.jsonValue({ maxDepth: 1 })),
        typ: fc.constantFrom('JWT', 'SVC+JWT', 'application/svc+jwt', 'application/x', '', null),
        crit: fc.constant(['b64']),
        x: fc.jsonValue({ maxDepth: 1 }),
      },
      { requiredKeys: [] },
    ),
  },
);
/** How the JSON text is spelled: as it is, with white space, with a member twice. */
const spellings = fc.oneof(
  { weight: 8, arbitrary: fc.constant((json: string) => json) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      (json: string) => ` \n${json}\t`,
      (json: string) => json.replace('"', '"\\u0061ud":"x","'),
      (json: string) => json.replace('{', '{"exp":1,'),
      (json: string) => json.replace('{', '{"x":{"y":1,"y":1},'),
      (json: string) => json.replace('{', '{"x":"\\ud800",'),
      (json: string) => `\ufeff${json}`,
    ),
  },
);

describe('claims that are signed properly, whatever they say', () => {
  let census: ServiceAuth;
  let replayStore = new MemoryReplayStore();
  beforeAll(async () => {
    const keys = [{ publicKey: key.publicKey, algorithms: ['EdDSA' as const] }];
    census = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [
        { issuer: HERALD, keys, subjects: SUBJECTS },
        { issuer: VETERAN, keys, profile: 'original' },
      ],
      replayStore: { recordUse: (use) => replayStore.recordUse(use) },
      now,
    });
  });
  afterAll(() => census.close());

  itHolds(
    'are accepted exactly when jose and the checks of the protocol accept them',
    [
      fc.constantFrom(HERALD, VETERAN),
      changes,
      headers,
      spellings,
      fc.boolean(),
      fc.constantFrom('application/json', 'a/b', undefined),
    ],
    async (issuer, changed, header, spell, hasBody, contentType) => {
      const [method, target] = ['POST', '/a?b=1'];
      const body = hasBody ? BODY : new Uint8Array();
      const isStrict = issuer === HERALD;
      const parts = strictParts({
        key,
        issuer,
        audience: CENSUS,
        subject: USER,
        method,
        target,
        body,
        contentType,
        now: NOW_SECONDS,
        header: { ...(isStrict ? {} : { kid: undefined, typ: 'JWT' }), ...header },
        claims: Object.assign({}, ...changed) as Json,
      });
      const claims = encode(spell(JSON.stringify(parts.claims)));
      const input = `${encode(JSON.stringify(parts.header))}.${claims}`;
      const token = `${input}.${encode(signBytes(input, key))}`;
      const type = contentType === undefined ? [] : ['Content-Type', contentType];
      const request = { method, target, rawHeaders: [...type, 'JWT', token], body };
      replayStore = new MemoryReplayStore();
      const code = await codeOf(async () => await census.verify(request));
      const fault = await findFault(request, RECEIVER);
      expect({ isAccepted: code === 'accepted', code, fault }).toEqual({
        isAccepted: fault === undefined,
        code,
        fault,
      });
    },
  );
});
