// What a signer writes: requests, and the header and claims that are made of them.
import { createHash } from 'node:crypto';
import { digest } from './forge.mjs';
import { ALGORITHMS, KEY_BY_ALGORITHM, keys, WARNING } from './keys.mjs';
import { CENSUS, HERALD, USER } from './receiver.mjs';
import { NOW, sign } from './vector-file.mjs';

/** @typedef {import('./forge.mjs').Json} Json */
/** @typedef {import('./keys.mjs').Algorithm} Algorithm */

const LEGACY = 'https://legacy.service/';
const PARTNER = 'https://partner.example/';
const LIFETIME = 60;
const JSON_TYPE = /** @type {[string, string][]} */ ([['Content-Type', 'application/json']]);

const signer = {
  issuer: HERALD,
  tokenLifetimeSeconds: LIFETIME,
  signedHeaders: ['x-order'],
  trustDomain: 'https://prod.example.org/',
  targets: [
    { baseUrl: PARTNER, audience: PARTNER, profile: 'strict', grants: 'never' },
    { baseUrl: CENSUS, audience: CENSUS, profile: 'strict' },
    { baseUrl: 'https://gateway.example/census/', audience: CENSUS, profile: 'strict' },
    { baseUrl: LEGACY, audience: LEGACY, profile: 'original' },
  ],
};

/**
 * @typedef {object} Call
 * @property {string} method
 * @property {string} url
 * @property {[string, string][]} headers
 * @property {string | Uint8Array} body
 * @property {string | undefined} subject
 * @property {string} [grant]
 */

/** @type {Call} */
const GET = {
  method: 'GET',
  url: `${CENSUS}user/42/?full=1`,
  headers: [],
  body: '',
  subject: USER,
};
/** @type {Call} */
const POST = {
  method: 'POST',
  url: `${CENSUS}user/?dry=1`,
  headers: JSON_TYPE,
  body: '{"name":"Zoë"}',
  subject: USER,
};

/** @type {Json[]} */
const vectors = [];

/** A request that is signed; `claims` are those that are made of the request. */
function signed(
  /** @type {string} */ id,
  /** @type {string} */ description,
  /** @type {Call} */ call,
  /** @type {Json} */ claims,
  /** @type {Algorithm} */ alg = 'ES256',
) {
  const key = keys[KEY_BY_ALGORITHM[alg]];
  const isStrict = !call.url.startsWith(LEGACY);
  const jti = createHash('sha256').update(`signing ${id}`).digest('base64url').slice(0, 32);
  const header = isStrict ? { alg, typ: 'svc+jwt', kid: key.kid } : { alg, typ: 'JWT' };
  const { req, hdr, bdy, tth } = claims;
  const all = {
    iss: HERALD,
    aud: isStrict ? CENSUS : LEGACY,
    ...(call.subject !== undefined && { sub: call.subject }),
    ...(isStrict && { iat: NOW, exp: NOW + LIFETIME, jti }),
    ...(req !== undefined && { req }),
    ...(hdr !== undefined && { hdr }),
    ...(bdy !== undefined && { bdy }),
    ...(tth !== undefined && { tth }),
  };
  const token = sign({ header, claims: all, alg, key });
  vectors.push({
    ...describe(id, description, call, alg),
    ...(isStrict && { jti }),
    expected: { verdict: 'signed', header, claims: all, token },
  });
}

/** A request that a signer refuses to sign. */
function refused(
  /** @type {string} */ id,
  /** @type {string} */ description,
  /** @type {string} */ code,
  /** @type {Call} */ call,
) {
  vectors.push({
    ...describe(id, description, call, 'ES256'),
    expected: { verdict: 'refused', code },
  });
}

function describe(
  /** @type {string} */ id,
  /** @type {string} */ description,
  /** @type {Call} */ { method, url, headers, body, subject, grant },
  /** @type {Algorithm} */ algorithm,
) {
  const base64 = Buffer.from(body).toString('base64');
  const text = typeof body === 'string' ? { text: body } : {};
  const bytes = body.length === 0 ? null : { base64, ...text };
  const request = {
    method,
    url,
    headers,
    body: bytes,
    subject: subject ?? null,
    grant: grant ?? null,
  };
  return { id, description, algorithm, key: KEY_BY_ALGORITHM[algorithm], request };
}

const posted = {
  req: 'POST /user/?dry=1',
  hdr: { 'content-type': 'application/json' },
  bdy: digest('sha256', POST.body),
};
for (const alg of ALGORITHMS)
  signed(alg, `a POST with a JSON body, with ${alg}`, POST, posted, alg);
signed('get', 'a GET for a user, with a query', GET, { req: 'GET /user/42/?full=1' });
signed(
  'nobody',
  'a service that acts for itself',
  { ...GET, subject: undefined },
  { req: 'GET /user/42/?full=1' },
);
signed(
  'method-case',
  'a method in lower case',
  { ...GET, method: 'get' },
  { req: 'GET /user/42/?full=1' },
);
signed(
  'no-path',
  'a URL without a path',
  { ...GET, url: 'https://census.service' },
  { req: 'GET /' },
);
signed(
  'fragment',
  'a URL with a fragment, which is not sent',
  { ...GET, url: `${CENSUS}user/#top` },
  { req: 'GET /user/' },
);
signed(
  'encoded',
  'percent-encodings stay as they are',
  { ...GET, url: `${CENSUS}user/%41%c3%ab/?q=a+b%20c` },
  { req: 'GET /user/%41%c3%ab/?q=a+b%20c' },
);
signed(
  'gateway',
  'the path is the one of the URL',
  { ...GET, url: 'https://gateway.example/census/user/' },
  { req: 'GET /census/user/' },
);
signed(
  'empty',
  'a POST without a body has no bdy',
  { ...POST, headers: [], body: '' },
  { req: posted.req },
);
signed(
  'type-without-body',
  'the Content-Type of no body is not bound',
  { ...POST, body: '' },
  { req: posted.req },
);
signed(
  'body-without-type',
  'a body without a Content-Type',
  { ...POST, headers: [] },
  { req: posted.req, bdy: posted.bdy },
);
signed(
  'more-headers',
  'another header is bound where the request has it',
  {
    ...GET,
    headers: [
      ['X-ORDER', '7'],
      ['X-Other', '8'],
    ],
  },
  { req: 'GET /user/42/?full=1', hdr: { 'x-order': '7' } },
);
const GRANT = sign({
  header: { alg: 'EdDSA', typ: 'txntoken+jwt', kid: keys.ed25519.kid },
  claims: {
    iss: 'https://edge.service/',
    aud: signer.trustDomain,
    sub: USER,
    iat: NOW,
    exp: NOW + 300,
    txn: 'k3R5cD1nQ0yZ8uVw7tXh2A9b',
    scope: 'user-present',
    req_wl: 'https://edge.service/',
  },
  alg: 'EdDSA',
  key: keys.ed25519,
});
const tth = createHash('sha256').update(GRANT).digest('base64url');
signed(
  'grant',
  'tth is the hash of the grant that is sent',
  { ...GET, grant: GRANT },
  { req: 'GET /user/42/?full=1', tth },
);
signed('grant-post', 'tth beside a body', { ...POST, grant: GRANT }, { ...posted, tth });
signed(
  'grant-unread',
  'a forwarder hashes what has the form of a grant, and reads nothing',
  { ...GET, grant: 'e30.e30.AAAA' },
  {
    req: 'GET /user/42/?full=1',
    tth: createHash('sha256').update('e30.e30.AAAA').digest('base64url'),
  },
);
const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);
signed(
  'binary',
  'every byte from 0 to 255',
  { ...POST, headers: [['content-type', 'application/octet-stream']], body: ALL_BYTES },
  {
    req: posted.req,
    hdr: { 'content-type': 'application/octet-stream' },
    bdy: digest('sha256', ALL_BYTES),
  },
);
const CODED = /** @type {[string, string][]} */ ([...JSON_TYPE, ['Content-Encoding', 'gzip']]);
const codedHdr = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
signed(
  'coding',
  'a Content-Encoding is bound',
  { ...POST, headers: CODED, body: ALL_BYTES },
  { req: posted.req, hdr: codedHdr, bdy: digest('sha256', ALL_BYTES) },
);
signed(
  'coding-of-nothing',
  'the Content-Encoding of no body is not bound',
  { ...POST, headers: CODED, body: '' },
  { req: posted.req },
);
signed(
  'range',
  'a Content-Range is bound',
  {
    ...POST,
    headers: [
      ['CONTENT-RANGE', 'bytes 0-255/512'],
      ['Content-Language', 'cs'],
    ],
    body: ALL_BYTES,
  },
  {
    req: posted.req,
    hdr: { 'content-range': 'bytes 0-255/512' },
    bdy: digest('sha256', ALL_BYTES),
  },
);
signed(
  'original-get',
  'a GET in the original profile',
  { ...GET, url: `${LEGACY}user/42/` },
  {},
  'EdDSA',
);
signed(
  'original-post',
  'a POST in the original profile',
  { ...POST, url: `${LEGACY}user/` },
  { bdy: digest('md5', POST.body) },
  'RS256',
);

refused('unknown-host', 'a host that begins like a target', 'target_unknown', {
  ...GET,
  url: 'https://census.service.example/',
});
refused('unknown-scheme', 'http for https', 'target_unknown', {
  ...GET,
  url: 'http://census.service/',
});
refused('unknown-path', 'a path that is not under the target’s', 'target_unknown', {
  ...GET,
  url: 'https://gateway.example/census-2/',
});
refused('credentials', 'credentials in the URL', 'target_invalid', {
  ...GET,
  url: 'https://user:password@census.service/',
});
refused('relative-subject', 'a subject that is no URI', 'subject_invalid', {
  ...GET,
  subject: '/user/21/',
});
refused('original-nobody', 'no subject in the original profile', 'subject_required', {
  ...GET,
  url: LEGACY,
  subject: undefined,
});
refused('long-target', 'a request line of more than 4096 characters', 'request_too_long', {
  ...GET,
  url: `${CENSUS}${'u'.repeat(4096)}`,
});
refused('long-header', 'a token of more than 8192 characters', 'token_too_large', {
  ...GET,
  headers: [['X-Order', '7'.repeat(6200)]],
});
refused('header-twice', 'a header to bind that is there twice', 'header_unsignable', {
  ...GET,
  headers: [
    ['X-Order', '7'],
    ['x-order', '8'],
  ],
});
refused('coding-twice', 'two Content-Encodings of a body', 'header_unsignable', {
  ...POST,
  headers: [...CODED, ['content-encoding', 'gzip']],
});
refused('header-line-break', 'a header to bind with a line break', 'header_unsignable', {
  ...GET,
  headers: [['X-Order', '7\r\nX-Admin: 1']],
});
for (const [id, why, call] of /** @type {[string, string, Partial<Call>][]} */ ([
  ['grant-no-user', 'a grant, and no user', { subject: undefined }],
  ['grant-elsewhere', 'a grant for a target that gets none', { url: PARTNER }],
  ['grant-4097', 'a grant of 4097 characters', { grant: `e30.e30.${'A'.repeat(4089)}` }],
  ['grant-lines', 'a grant with a line break', { grant: 'e30.e30.AAAA\r\nX-Other: 8' }],
  ['grant-two', 'two grants', { grant: `${GRANT},${GRANT}` }],
])) {
  refused(id, why, 'grant_unusable', { ...GET, grant: GRANT, ...call });
}

export const signing = {
  toJson: () => ({
    description:
      'What a signer writes. The order of members is free; the token is the one with the members in the order shown, and ECDSA and PSS signatures are random elsewhere.',
    warning: WARNING,
    now: NOW,
    signer,
    vectors,
  }),
};
