import { verify } from 'node:crypto';
import { decodeClaims, decodeHeader, type Json, md5, sha256 } from './forge.js';
import type { TestKey } from '../keys/keys.js';
import { type Recorded, valuesOf } from '../http/recording-server.js';

export interface Expected {
  readonly key: TestKey;
  readonly issuer: string;
  readonly audience: string;
  readonly subject?: string;
  /** Lower-case names of the headers that are bound besides those that describe a body. */
  readonly signedHeaders?: readonly string[];
}

/**
 * Checks the token of a recorded request against the request itself, with nothing but `node:crypto`:
 * every claim is computed here anew from what was on the wire.
 *
 * @returns the claims
 */
export function checkStrict(request: Recorded, expected: Expected): Json {
  const token = readOnlyToken(request, expected.key);
  const { algorithm: alg, keyId: kid } = expected.key;
  expect(decodeHeader(token)).toEqual({ alg, kid, typ: 'svc+jwt' });
  const claims = decodeClaims(token);
  const iat = Number(claims['iat']);
  expect(Math.abs(iat - Date.now() / 1000)).toBeLessThan(30);
  expect(claims).toEqual(
    withoutUndefined({
      iss: expected.issuer,
      aud: expected.audience,
      sub: expected.subject,
      iat,
      exp: iat + 60,
      jti: expect.stringMatching(/^[\w-]{32}$/),
      req: `${request.method} ${request.target}`,
      hdr: boundHeaders(request, expected.signedHeaders ?? []),
      bdy: request.body.length > 0 ? sha256(request.body) : undefined,
    }),
  );
  return claims;
}

/** The same in the format first published. */
export function checkOriginal(request: Recorded, expected: Expected): Json {
  const token = readOnlyToken(request, expected.key);
  expect(decodeHeader(token)).toEqual({ alg: expected.key.algorithm, typ: 'JWT' });
  const claims = decodeClaims(token);
  expect(claims).toEqual(
    withoutUndefined({
      iss: expected.issuer,
      aud: expected.audience,
      sub: expected.subject,
      bdy: request.body.length > 0 ? md5(request.body) : undefined,
    }),
  );
  return claims;
}

function readOnlyToken(request: Recorded, key: TestKey): string {
  const tokens = valuesOf(request, 'jwt');
  expect(tokens).toHaveLength(1);
  const [token = ''] = tokens;
  const [header, payload, signature = ''] = token.split('.');
  const isGood = verify(
    'sha256',
    Buffer.from(`${header}.${payload}`),
    { key: key.publicKey, dsaEncoding: 'ieee-p1363' },
    Buffer.from(signature, 'base64url'),
  );
  expect(isGood).toBe(true);
  return token;
}

function boundHeaders(request: Recorded, signed: readonly string[]): Json | undefined {
  const describing = ['content-type', 'content-encoding', 'content-range'];
  const names = request.body.length > 0 ? [...describing, ...signed] : signed;
  const bound = names.flatMap((name) => valuesOf(request, name).map((value) => [name, value]));
  return bound.length > 0 ? (Object.fromEntries(bound) as Json) : undefined;
}

function withoutUndefined(claims: Json): Json {
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}
