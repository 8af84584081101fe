// What comes of each request of requests.mjs, written by hand: 'passes', or what is answered instead.

/**
 * For a gateway: one result for every configuration, or one for each.
 *
 * @typedef {string | { usual?: string, pass?: string, strip?: string, cache?: string }} Expected
 */

/** @param {string} result @returns {Record<string, Expected>} */
const everywhere = (result) => ({
  nginx: result,
  apache: result,
  caddy: result,
  varnish: result,
  haproxy: result,
});

const MISMATCH = 'request_mismatch';
const UNLESS_CONFIGURED = { usual: MISMATCH };
/** nginx and Apache normalise a path that they map; Caddy does where it strips a prefix. */
const NORMALISED = {
  nginx: UNLESS_CONFIGURED,
  apache: UNLESS_CONFIGURED,
  caddy: { strip: MISMATCH },
};
const REENCODED_BY_NGINX_AND_APACHE = { nginx: UNLESS_CONFIGURED, apache: UNLESS_CONFIGURED };
/** Apache takes `%2F` for an attack until it is told otherwise. */
const ENCODED_SLASH = { nginx: UNLESS_CONFIGURED, apache: { usual: '404' } };
const TOO_LARGE_FOR_NGINX = { nginx: { usual: '413' } };
const HOP_BY_HOP = ['apache', 'caddy', 'varnish'];

/** @param {string} result */
const fromThoseThatObeyConnection = (result) =>
  Object.fromEntries(HOP_BY_HOP.map((name) => [name, result]));

/** Rows that are not here pass everywhere. @type {Record<string, Record<string, Expected>>} */
export const EXCEPTIONS = {
  'GET //user': NORMALISED,
  'GET /a//b': NORMALISED,
  'GET /a/../b': NORMALISED,
  'GET /a/./b': NORMALISED,
  'GET /a/%2e%2e/b': REENCODED_BY_NGINX_AND_APACHE,
  'GET /%61%7Eb': REENCODED_BY_NGINX_AND_APACHE,
  'GET /%C3%A9/%c3%a9': REENCODED_BY_NGINX_AND_APACHE,
  'GET /a%2Fb': ENCODED_SLASH,
  'GET /a%2fb': ENCODED_SLASH,
  'GET /a/..%2Fb': ENCODED_SLASH,
  "GET /'()!*": { caddy: { strip: MISMATCH } },
  'GET /a[1]': { apache: UNLESS_CONFIGURED, caddy: { strip: MISMATCH } },
  'GET /a|b^c': { apache: UNLESS_CONFIGURED, caddy: MISMATCH },
  'GET /a%00b': { nginx: '400', apache: '404' },
  'GET /a?': { nginx: UNLESS_CONFIGURED },
  'absolute-form target': { haproxy: { usual: MISMATCH } },
  HEAD: { varnish: { usual: MISMATCH } },
  'fetch: HEAD': { varnish: { usual: MISMATCH } },
  'GET with a Range': { apache: '206', varnish: '206' },
  'GET with a body': { varnish: { usual: 'body_mismatch' } },
  'upload of 3 MB': TOO_LARGE_FOR_NGINX,
  'upload of 3 MB in chunks': TOO_LARGE_FOR_NGINX,
  'fetch: upload of 3 MB': TOO_LARGE_FOR_NGINX,
  'chunks with a trailer': { varnish: '503' },
  'token of 8,192 characters': {
    nginx: { usual: '400' },
    apache: { usual: '400' },
    varnish: { usual: '400' },
  },
  '`Connection: close, JWT`': fromThoseThatObeyConnection('token_missing'),
  'bound header named by `Connection`': fromThoseThatObeyConnection('header_mismatch'),
  'bound header with an underscore': { nginx: { usual: 'header_mismatch' } },
  'JWT in a trailer': { ...everywhere('token_missing'), varnish: '503' },
  'fetch: GET': {
    nginx: UNLESS_CONFIGURED,
    apache: { usual: '404' },
    caddy: { strip: MISMATCH },
  },
  'HTTP/2: GET': ENCODED_SLASH,
  'HTTP/2: POST of JSON': ENCODED_SLASH,
  'HTTP/2: upload of 3 MB': { nginx: { usual: '413' }, apache: { usual: '404' } },
  'HTTP/2: two JWT headers': {
    ...everywhere('token_repeated'),
    apache: { usual: '404', pass: 'token_repeated', strip: 'token_repeated' },
  },
  'two JWT headers': everywhere('token_repeated'),
  'two tokens in one JWT header': everywhere('token_repeated'),
  'cacheable answer, the same token': {
    ...everywhere('token_replayed'),
    nginx: {
      usual: 'token_replayed',
      pass: 'token_replayed',
      strip: 'token_replayed',
      cache: 'from the cache',
    },
    varnish: { usual: 'from the cache', pass: 'token_replayed', strip: 'token_replayed' },
  },
  'cacheable answer, no token': everywhere('token_missing'),
  'no token': everywhere('token_missing'),
  'another body than was signed': everywhere('body_mismatch'),
  'another path than was signed': everywhere(MISMATCH),
  'Content-Length and chunks, chunks signed': { nginx: '400', varnish: '400' },
  'Content-Length and chunks, length signed': {
    ...everywhere('body_mismatch'),
    nginx: '400',
    varnish: '400',
  },
  '`Transfer-Encoding : chunked`': everywhere('400'),
  '`Transfer-Encoding: xchunked`': { ...everywhere('400'), nginx: '501', caddy: '501' },
  '`Transfer-Encoding: chunked, identity`': { ...everywhere('400'), nginx: '501', caddy: '501' },
  'two lengths': everywhere('400'),
  '`Content-Length: 3, 3`': { nginx: '400', apache: '400', caddy: '400', varnish: '400' },
  '`Content-Length: +3`': everywhere('400'),
};

/**
 * @param {string} row
 * @param {string} gateway
 * @param {'usual' | 'pass' | 'strip' | 'cache'} configuration
 */
export function expectedOf(row, gateway, configuration) {
  const expected = EXCEPTIONS[row]?.[gateway] ?? 'passes';
  return typeof expected === 'string' ? expected : (expected[configuration] ?? 'passes');
}
