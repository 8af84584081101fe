import { type AttackRow, type AttemptParts, editSegment, sendAs } from './attempt.js';
import { BASELINE, CENSUS, HERALD, ORIGINAL, strangerKey } from '../services/census.js';

const OTHER = 'https://orders.service/';

const audiences: AttackRow[] = [
  ['AI-02 another service', OTHER],
  ['AI-02 the issuer itself', HERALD],
  ['AI-03 a superstring', 'https://census.service.evil.example/'],
  ['AI-03 a longer path', `${CENSUS}v2/`],
  ['AI-03 a prefix', 'https://census.servic'],
  ['AI-04 no trailing slash', 'https://census.service'],
  ['AI-03 a suffix', 'census.service/'],
  ['AI-03 a longer name', 'https://census.services/'],
  ['AI-04 upper case', 'https://CENSUS.service/'],
  ['AI-04 an upper case scheme', 'HTTPS://census.service/'],
  ['AI-04 the default port', 'https://census.service:443/'],
  ['AI-04 a trailing dot', 'https://census.service./'],
  ['AI-04 two slashes', 'https://census.service//'],
  ['AI-04 a query', `${CENSUS}?`],
  ['AI-04 another scheme', 'http://census.service/'],
  ['AI-04 a space before', ` ${CENSUS}`],
  ['AI-04 a space after', `${CENSUS} `],
  ['AI-04 a line break after', `${CENSUS}\n`],
  ['AI-04 a look-alike letter', 'https://\u0441ensus.service/'],
  ['AI-04 a name of members of objects', '__proto__'],
  ['AI-04 another such name', 'constructor'],
].flatMap(([title = '', audience = '']): AttackRow[] => [
  { title: `${title}: aud`, code: 'audience_mismatch', change: { audience } },
]);

const lists: AttackRow[] = [
  ['AI-05 [us, other]', [CENSUS, OTHER]],
  ['AI-05 [us]', [CENSUS]],
  ['AI-06 [us, 1, null]', [CENSUS, 1, null]],
  ['AI-06 [[us]]', [[CENSUS]]],
  ['AI-06 1000 entries', Array.from({ length: 1000 }, () => 1)],
  ['AI-06 [us, us]', [CENSUS, CENSUS]],
].map(([title, aud]) => ({
  title: `${String(title)}: aud`,
  code: 'claim_invalid',
  change: { claims: { aud } },
}));

const tooLong: AttackRow = {
  title: 'AI-06 3000 entries: aud',
  code: 'token_too_large',
  change: { claims: { aud: Array.from({ length: 3000 }, () => 1) } },
};

const issuers: AttackRow[] = [
  ['AI-07 nobody knows', 'https://unknown.service/'],
  ['AI-09 a prefix', 'https://herald.servic'],
  ['AI-09 no trailing slash', 'https://herald.service'],
  ['AI-09 a part from its middle', 'herald.service'],
  ['AI-09 a pattern', 'https://*.service/'],
  ['AI-09 a superstring', 'https://herald.service.evil.example/'],
  ['AI-09 a longer path', `${HERALD}x`],
  ['AI-09 another case', 'https://Herald.service/'],
  ['AI-09 a space before', ` ${HERALD}`],
  ['AI-09 a space after', `${HERALD} `],
  ['AI-09 a look-alike letter', 'https://h\u0435rald.service/'],
  ['AI-09 the punycode of a look-alike', 'https://xn--hrald-3ve.service/'],
  ['AI-10 __proto__', '__proto__'],
  ['AI-10 constructor', 'constructor'],
  ['AI-10 toString', 'toString'],
  ['AI-10 hasOwnProperty', 'hasOwnProperty'],
  ['AI-13 this service itself', CENSUS],
].map(([title = '', issuer = '']) => ({
  title: `${title}: iss`,
  code: 'issuer_unknown',
  change: { issuer },
}));

/** What is wrong besides is not looked at: no key is asked for, no signature checked. */
const unknownAndMore: AttackRow[] = [
  ['and a kid nobody knows', { header: { kid: 'unknown' } }],
  ['and the key of nobody', { key: strangerKey }],
  ['and a signature of zeros', { send: sendAs(withoutSignature) }],
].map(([title, change]) => ({
  title: `AI-07 nobody knows the issuer, ${title as string}`,
  code: 'issuer_unknown',
  change: { ...(change as AttemptParts), issuer: 'https://unknown.service/' },
}));

function withoutSignature(token: string): string {
  return editSegment(token, 2, (signature) => 'A'.repeat(signature.length));
}

const forwarded: AttackRow[] = [
  { Host: 'orders.service' },
  { 'X-Forwarded-Host': 'orders.service', 'X-Forwarded-Proto': 'https' },
  { Forwarded: 'host=orders.service;proto=https' },
].map((headers) => ({
  title: `AI-12 ${Object.keys(headers)[0]} names the service the token is for`,
  code: 'audience_mismatch',
  common: { headers },
  change: { audience: OTHER },
}));

const optional: AttackRow[] = [
  {
    title: 'a malformed token',
    code: 'token_malformed',
    change: { send: () => ({ JWT: 'null' }) },
  },
  {
    title: 'an unknown issuer',
    code: 'issuer_unknown',
    change: { issuer: 'https://unknown.service/' },
  },
  { title: 'another audience', code: 'audience_mismatch', change: { audience: OTHER } },
  {
    title: 'a token of another key',
    code: 'signature_invalid',
    change: { key: { ...strangerKey, keyId: BASELINE.key.keyId } },
  },
  { title: 'an expired token', code: 'token_expired', change: { claims: { exp: 1 } } },
  {
    title: 'two empty headers',
    code: 'token_repeated',
    change: { send: () => ({ JWT: ['', ''] }) },
  },
].map(({ title, code, change }): AttackRow => ({
  title: `AI-14 ${title} on a route that admits anonymous callers`,
  code: code as AttackRow['code'],
  common: { target: '/api/thing/anonymous' },
  change,
}));

export const NAMES: readonly AttackRow[] = [
  ...audiences,
  ...lists,
  tooLong,
  ...issuers,
  ...unknownAndMore,
  {
    title: 'AI-08 iss is a list',
    code: 'claim_invalid',
    change: { claims: { iss: ['https://evil.example/', HERALD] } },
  },
  ...forwarded,
  ...optional,
  {
    title: 'AI-02 another service in the original profile',
    code: 'audience_mismatch',
    common: ORIGINAL,
    change: { audience: OTHER },
  },
  {
    title: 'AI-13 a token this service made for a peer, sent back to it',
    code: 'issuer_unknown',
    change: { issuer: BASELINE.audience, audience: HERALD },
  },
];

export const GOOD_NAMES: readonly { title: string; change: AttemptParts }[] = [
  {
    title: 'AI-14 no token on a route that admits anonymous callers',
    change: { target: '/api/thing/anonymous', send: () => ({}) },
  },
  {
    title: 'AI-14 a good token on a route that admits anonymous callers',
    change: { target: '/api/thing/anonymous' },
  },
];
