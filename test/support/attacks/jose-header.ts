import { createHash, X509Certificate } from 'node:crypto';
import {
  type AttackRow,
  type Attempt,
  type AttemptParts,
  honestly,
  withHeaderText,
} from './attempt.js';
import {
  accentedKey,
  CENSUS,
  HERALD,
  OLD_TWINS,
  ORIGINAL,
  SCRIBE,
  strangerKey,
  twinKey,
  TWINS,
} from '../services/census.js';
import type { Json } from '../tokens/forge.js';
import { selfSign } from '../keys/self-signed.js';
import { ENCRYPTED } from './encrypted.js';

const invalid = (title: string, header: Json, common: AttemptParts = {}): AttackRow => ({
  title,
  code: 'header_invalid',
  common,
  change: { header },
});

const show = (value: unknown): string =>
  value === undefined ? 'absent' : JSON.stringify(value).slice(0, 40);

const algorithms = [undefined, null, 5, true, ['ES256'], {}].map((alg) =>
  invalid(`HP-01 alg ${show(alg)}`, { alg }),
);

const critical: [string, Json][] = [
  ['HP-02 crit names an extension that is there', { crit: ['exp2'], exp2: 1 }],
  ['HP-03 crit is empty', { crit: [] }],
  ['HP-03 crit is a string', { crit: 'exp' }],
  ['HP-03 crit names something twice', { crit: ['exp2', 'exp2'], exp2: 1 }],
  ['HP-03 crit names a member that is absent', { crit: ['exp2'] }],
  ['HP-03 crit names a registered member', { crit: ['alg'] }],
  ['HP-03 crit is null', { crit: null }],
  ['HP-04 crit names b64, which is true', { crit: ['b64'], b64: true }],
  ['HP-05 crit names b64, which is false', { crit: ['b64'], b64: false }],
  ['HP-06 b64 is false and not critical', { b64: false }],
  ['TS-33 cty says the payload is a token', { cty: 'JWT' }],
];

const attackersJwk = strangerKey.publicKey.export({ format: 'jwk' });

/** A certificate of the attacker's own key, as RFC 7515 sections 4.1.6 to 4.1.8 would have it sent. */
const certificate = new X509Certificate(selfSign(strangerKey)).raw;
const chain = { x5c: [certificate.toString('base64')] };
const thumbprints = {
  x5t: createHash('sha1').update(certificate).digest('base64url'),
  'x5t#S256': createHash('sha256').update(certificate).digest('base64url'),
};

const ownKey: readonly [string, Json][] = [
  ['HP-07 jwk', { jwk: attackersJwk }],
  ['HP-08 jku', { jku: 'https://127.0.0.1:9/jwks.json' }],
  ['HP-09 x5u', { x5u: 'https://127.0.0.1:9/chain.pem' }],
  ['HP-10 x5c', chain],
  ['HP-10 x5t', thumbprints],
  ['HP-10 x5c and x5t', { ...chain, ...thumbprints }],
];

const strangers: AttackRow[] = [
  ...ownKey,
  ['HP-11 zip', { zip: 'DEF' }],
  ['HP-11 enc', { enc: 'A256GCM' }],
  ['HP-11 p2c', { p2c: 2_147_483_648 }],
  ['HP-11 epk', { epk: attackersJwk }],
  ['HP-11 iss', { iss: HERALD }],
  ['HP-11 a member nobody knows', { x: 1 }],
  ['HP-18 constructor', { constructor: { prototype: {} } }],
].map(([title, header]) => invalid(`${title as string} in the header`, header as Json));

const signedByStranger: Attempt['build'] = (header, claims) =>
  honestly(header, claims, strangerKey);

/** In the original profile other members are ignored, so they must not choose the key. */
const ignoredByOriginal: AttackRow[] = [
  ...ownKey,
  ['HP-27 iss of another issuer', { iss: SCRIBE }],
  ['HP-27 aud of this service', { aud: CENSUS }],
].map(([title, header]) => ({
  title: `${title as string} in an original header, signed with another key`,
  code: 'signature_invalid',
  common: { ...ORIGINAL, header: { ...ORIGINAL.header, ...(header as Json) } },
  change: { build: signedByStranger },
}));

/** With the key of the issuer that the header names; the payload names another one. */
const replicated: AttackRow[] = [
  {
    title: 'HP-27 iss of TWINS in an original header, signed with a key of theirs',
    code: 'signature_invalid',
    common: { ...ORIGINAL, header: { ...ORIGINAL.header, iss: TWINS } },
    change: { build: (header, claims) => honestly(header, claims, twinKey) },
  },
  {
    title: 'HP-27 iss of TWINS in an original header, with the kid of a key of theirs',
    code: 'key_unknown',
    common: { ...ORIGINAL, header: { ...ORIGINAL.header, iss: TWINS } },
    change: { key: twinKey, header: { kid: twinKey.keyId } },
  },
  {
    title: 'HP-27 aud of this service in an original header, another in the payload',
    code: 'audience_mismatch',
    common: { ...ORIGINAL, header: { ...ORIGINAL.header, aud: CENSUS } },
    change: { audience: HERALD },
  },
];

const keyIds: AttackRow[] = [
  ...[5, {}, ['x'], null, true, ''].map((kid) => invalid(`HP-13 kid ${show(kid)}`, { kid })),
  invalid('HP-14 a kid of 5000 characters', { kid: 'k'.repeat(5000) }),
  invalid('HP-17 a kid with a line break', { kid: 'a\r\nb' }),
  invalid('HP-17 a kid with an escape', { kid: '\u001b[2J' }),
  ...[
    ['HP-12', undefined],
    ['HP-15', '../../../../dev/null'],
    ['HP-15', '/etc/passwd'],
    ['HP-15', 'C:\\windows\\win.ini'],
    ['HP-15', 'key%00.pem'],
    ['HP-16', "x' UNION SELECT '1';--"],
    ['HP-16', '|sleep 10'],
    // An expression of a logging library, not of this language.
    ['HP-16', '$' + '{jndi:ldap://127.0.0.1/a}'],
    ['HP-16', '*)(objectClass=*'],
    ['HP-18', '__proto__'],
    ['HP-18', 'constructor'],
    ['HP-18', 'toString'],
    ['HP-18', 'hasOwnProperty'],
    ['HP-18', 'undefined'],
  ].map(([id, kid]): AttackRow => ({
    title: `${id} kid ${show(kid)}`,
    code: 'key_unknown',
    change: { header: { kid } },
  })),
  {
    title: 'HP-12 no kid, and the issuer has two keys',
    code: 'key_unknown',
    common: { issuer: TWINS, key: twinKey },
    change: { header: { kid: undefined } },
  },
  {
    title: 'HP-12 no kid in an original token, and the issuer has two keys',
    code: 'key_unknown',
    common: { ...ORIGINAL, issuer: OLD_TWINS, key: twinKey, header: { typ: 'JWT' } },
    change: { header: { kid: undefined } },
  },
];

/** HP-19: a kid that is nearly the right one. */
const nearlyTheKey: AttackRow[] = (
  [
    ['in another case', (kid) => kid.toUpperCase()],
    ['with a space after it', (kid) => `${kid} `],
    ['with a space before it', (kid) => ` ${kid}`],
    ['cut short', (kid) => kid.slice(0, -1)],
    ['with padding', (kid) => `${kid}=`],
  ] satisfies [string, (kid: string) => string][]
).map(([title, edit]) => ({
  title: `HP-19 the kid ${title}`,
  code: 'key_unknown',
  change: {
    build: (header, claims, key) => honestly({ ...header, kid: edit(key.keyId) }, claims, key),
  },
}));

const accented: AttackRow[] = [
  {
    title: 'HP-19 the kid decomposed (NFD), and the key has it composed (NFC)',
    code: 'key_unknown',
    common: { issuer: TWINS, key: accentedKey },
    change: { header: { kid: accentedKey.keyId.normalize('NFD') } },
  },
];

const types: AttackRow[] = [
  invalid('HP-20 no typ', { typ: undefined }),
  ...[
    'JWT',
    'at+jwt',
    'dpop+jwt',
    'wpt+jwt',
    'logout+jwt',
    'secevent+jwt',
    '',
    'svc+jwt ',
    'svc+jwt;v=1',
    'application/application/svc+jwt',
    'x/svc+jwt',
  ].map((typ) => invalid(`HP-21 typ ${show(typ)}`, { typ })),
  ...[5, null, ['svc+jwt'], {}, false].map((typ) => invalid(`HP-23 typ ${show(typ)}`, { typ })),
  invalid('HP-21 typ svc+jwt in an original token', { typ: 'svc+jwt' }, ORIGINAL),
];

export const JOSE_HEADER: readonly AttackRow[] = [
  ...algorithms,
  ...critical.map(([title, header]) => invalid(title, header)),
  ...critical
    .filter(([, header]) => 'crit' in header)
    .map(([title, header]) => invalid(`${title}, original`, header, ORIGINAL)),
  ...strangers,
  ...ignoredByOriginal,
  ...replicated,
  ...keyIds,
  ...nearlyTheKey,
  ...accented,
  ...ENCRYPTED,
  ...types,
  {
    title: 'HP-26 __proto__ in the header',
    code: 'header_invalid',
    change: {
      build: withHeaderText((json) => `{"__proto__":{"alg":"none","kid":"x"},${json.slice(1)}`),
    },
  },
  {
    title: 'HP-26 __proto__ in an original header',
    code: 'header_invalid',
    common: ORIGINAL,
    change: {
      build: withHeaderText((json) => `{"__proto__":{"alg":"none","kid":"x"},${json.slice(1)}`),
    },
  },
];

/** Headers that are accepted: HP-22, and what the original profile ignores. */
export const GOOD_HEADERS: readonly { title: string; change: AttemptParts }[] = [
  ...['SVC+JWT', 'Svc+Jwt', 'application/svc+jwt', 'APPLICATION/svc+JWT'].map((typ) => ({
    title: `HP-22 typ ${typ}`,
    change: { header: { typ } },
  })),
  ...['JWT', 'jwt', 'application/jwt', undefined].map((typ) => ({
    title: `an original token with typ ${show(typ)}`,
    change: { ...ORIGINAL, header: { ...ORIGINAL.header, typ } },
  })),
  ...[
    ['HP-07', { jwk: attackersJwk }],
    ['HP-10', chain],
    ['HP-27', { iss: SCRIBE }],
    ['HP-27', { aud: HERALD }],
    ['HP-06', { b64: false }],
    ['TS-33', { cty: 'JWT' }],
    ['HP-11', { x: 1 }],
  ].map(([id, header]) => ({
    title: `${id as string} an original token with ${String(Object.keys(header ?? {})[0])} in its header`,
    change: { ...ORIGINAL, header: { ...ORIGINAL.header, ...(header as Json) } },
  })),
  {
    title: 'HP-12 an original token without a kid, and its issuer has one key',
    change: ORIGINAL,
  },
];
