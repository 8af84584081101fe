// Tokens for what no client of the library sends: raw targets, repeated headers, a token as long as one may be.
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';

export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';
export const MAX_TOKEN_LENGTH = 8192;

/** Of herald, who speaks the strict profile. */
export const strictKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
/** Of clerk, who speaks the original one. */
export const originalKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** @param {object} header @param {object} claims @param {import('node:crypto').KeyObject} privateKey */
function encode(header, claims, privateKey) {
  const input = [header, claims].map(toSegment).join('.');
  const key = /** @type {const} */ ({ key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
}

/** @param {object} value */
const toSegment = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/**
 * A strict token for exactly this request.
 *
 * @param {{ method: string, target: string, headers: Record<string, string>, body: Buffer }} request
 * @param {readonly string[]} bound further headers, in lower case
 * @param {string} [subject]
 */
export function strictToken({ method, target, headers, body }, bound = [], subject) {
  const now = Math.floor(Date.now() / 1000);
  const names = body.length > 0 ? ['content-type', 'content-encoding', ...bound] : bound;
  /** @type {Record<string, string>} */
  const hdr = {};
  for (const [name, value] of Object.entries(headers)) {
    if (names.includes(name.toLowerCase())) hdr[name.toLowerCase()] = value;
  }
  const claims = {
    iss: HERALD,
    aud: CENSUS,
    sub: subject,
    iat: now,
    exp: now + 60,
    jti: randomUUID(),
    req: `${method} ${target}`,
    hdr: Object.keys(hdr).length > 0 ? hdr : undefined,
    bdy: body.length > 0 ? createHash('sha256').update(body).digest('hex') : undefined,
  };
  return encode({ alg: 'ES256', kid: 'herald', typ: 'svc+jwt' }, claims, strictKeys.privateKey);
}

/** An original token of 8,192 characters: the longest that a receiver takes. */
export function longestToken() {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: 'https://clerk.service/', aud: CENSUS, sub: `${CENSUS}user/21/` };
  for (let padding = 5500; padding < 6200; padding++) {
    const padded = { ...claims, iat: now, exp: now + 60, note: 'n'.repeat(padding) };
    for (const kid of ['clerk', undefined]) {
      const token = encode({ alg: 'ES256', kid, typ: 'JWT' }, padded, originalKeys.privateKey);
      if (token.length === MAX_TOKEN_LENGTH) return token;
    }
  }
  throw new Error('no token of that length');
}
