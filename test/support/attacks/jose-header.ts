import { type AttackRow, type AttemptParts, honestly, withHeaderText } from '../attempt.js';
import { ORIGINAL, strangerKey } from '../census.js';
import type { Json } from '../forge.js';

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

const strangers: AttackRow[] = [
  { jwk: attackersJwk },
  { jku: 'https://127.0.0.1:9/jwks.json' },
  { x5u: 'https://127.0.0.1:9/chain.pem' },
  { x5c: ['MIIB'] },
  { x5t: 'AAAA' },
  { zip: 'DEF' },
  { enc: 'A256GCM' },
  { p2c: 2_147_483_648 },
  { epk: attackersJwk },
  { iss: 'https://herald.service/' },
  { constructor: { prototype: {} } },
].map((header) => invalid(`HP-07 to HP-11 ${Object.keys(header)[0]} in the header`, header));

/** In the original profile other members are ignored, so they must not choose the key. */
const ignoredByOriginal: AttackRow[] = [
  { jwk: attackersJwk },
  { jku: 'https://127.0.0.1:9/jwks.json' },
  { x5c: ['MIIB'] },
  { iss: 'https://scribe.service/' },
].map((header) => ({
  title: `HP-07 ${Object.keys(header)[0]} in an original header, signed with another key`,
  code: 'signature_invalid',
  common: { ...ORIGINAL, header: { ...ORIGINAL.header, ...header } },
  change: {
    build: (parts, claims) => honestly(parts, claims, strangerKey),
  },
}));

const keyIds: AttackRow[] = [
  ...[5, {}, ['x'], null, true, ''].map((kid) => invalid(`HP-13 kid ${show(kid)}`, { kid })),
  invalid('HP-14 a kid of 5000 characters', { kid: 'k'.repeat(5000) }),
  invalid('HP-17 a kid with a line break', { kid: 'a\r\nb' }),
  invalid('HP-17 a kid with an escape', { kid: '\u001b[2J' }),
  ...[
    undefined,
    '../../../../dev/null',
    '/etc/passwd',
    'C:\\windows\\win.ini',
    'key%00.pem',
    "x' UNION SELECT '1';--",
    '|sleep 10',
    // An expression of a logging library, not of this language.
    '$' + '{jndi:ldap://127.0.0.1/a}',
    '*)(objectClass=*',
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'undefined',
  ].map((kid): AttackRow => ({
    title: `HP-12/HP-15/HP-16/HP-18 kid ${show(kid)}`,
    code: 'key_unknown',
    change: { header: { kid } },
  })),
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
  ...keyIds,
  ...nearlyTheKey,
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
    { jwk: attackersJwk },
    { iss: 'https://scribe.service/' },
    { b64: false },
    { cty: 'JWT' },
    { x: 1 },
  ].map((header) => ({
    title: `HP-27 an original token with ${Object.keys(header)[0]} in its header`,
    change: { ...ORIGINAL, header: { ...ORIGINAL.header, ...header } },
  })),
];
