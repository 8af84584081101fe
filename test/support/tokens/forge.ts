import { constants, createHash, randomUUID, sign } from 'node:crypto';
import type { TestKey } from '../keys/keys.js';

/**
 * Makes tokens with nothing but `node:crypto`, so that the library is not tested against itself and
 * tokens can be made that it would never sign.
 */

export type Json = Record<string, unknown>;

export const encode = (value: string | Uint8Array): string =>
  Buffer.from(value).toString('base64url');

/** Signs raw bytes as `algorithm` prescribes (RFC 7518 section 3.1). */
export function signBytes(input: string, key: TestKey, algorithm: string = key.algorithm): Buffer {
  const data = Buffer.from(input, 'latin1');
  const bits = algorithm.slice(2);
  if (algorithm.startsWith('ES')) {
    return sign(`sha${bits}`, data, { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  }
  if (algorithm.startsWith('PS')) {
    return sign(`sha${bits}`, data, {
      key: key.privateKey,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    });
  }
  if (algorithm.startsWith('RS')) return sign(`sha${bits}`, data, key.privateKey);
  return sign(null, data, key.privateKey);
}

/** A compact JWS over any header and payload; strings are taken as they are, however malformed. */
export function forge(header: Json | string, payload: Json | string, key: TestKey): string {
  const text = (part: Json | string) => (typeof part === 'string' ? part : JSON.stringify(part));
  const input = `${encode(text(header))}.${encode(text(payload))}`;
  return `${input}.${encode(signBytes(input, key))}`;
}

export interface StrictTokenParts {
  readonly key: TestKey;
  readonly issuer: string;
  readonly audience: string;
  readonly subject?: string;
  readonly method?: string;
  readonly target: string;
  readonly body?: string | Uint8Array;
  readonly contentType?: string;
  /** Seconds since the epoch. Default: now. */
  readonly now?: number;
  /** Merged over the good ones; a member that is `undefined` is left out. */
  readonly header?: Json;
  readonly claims?: Json;
}

/** The header and claims of a good strict token. */
export function strictParts(parts: StrictTokenParts): { header: Json; claims: Json } {
  const now = parts.now ?? Math.floor(Date.now() / 1000);
  const { body, contentType } = parts;
  const hasBody = body !== undefined && body.length > 0;
  return {
    header: { alg: parts.key.algorithm, kid: parts.key.keyId, typ: 'svc+jwt', ...parts.header },
    claims: {
      iss: parts.issuer,
      aud: parts.audience,
      sub: parts.subject,
      iat: now,
      exp: now + 60,
      jti: randomUUID(),
      req: `${parts.method ?? 'GET'} ${parts.target}`,
      hdr: hasBody && contentType ? { 'content-type': contentType } : undefined,
      bdy: hasBody ? sha256(body) : undefined,
      ...parts.claims,
    },
  };
}

/** A good strict token, or one that differs from it in what `header` and `claims` say. */
export function strictToken(parts: StrictTokenParts): string {
  const { header, claims } = strictParts(parts);
  return forge(header, claims, parts.key);
}

export const sha256 = (body: string | Uint8Array): string => digest('sha256', body);
export const md5 = (body: string | Uint8Array): string => digest('md5', body);

export function digest(algorithm: string, body: string | Uint8Array): string {
  return createHash(algorithm).update(body).digest('hex');
}

/** The claims of a token, unverified. */
export function decodeClaims(token: string): Json {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Json;
}

export function decodeHeader(token: string): Json {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as Json;
}
