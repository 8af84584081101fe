import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Algorithm } from 'nestjs-service-auth/core';

/** A key pair made for one test run, in the forms tests need. */
export interface TestKey {
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly privatePem: string;
  readonly publicPem: string;
  /** RFC 7638 thumbprint, computed here and not by the library. */
  readonly keyId: string;
}

export function createKey(algorithm: Algorithm = 'ES256'): TestKey {
  const { privateKey, publicKey } = generate(algorithm);
  return {
    algorithm,
    privateKey,
    publicKey,
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    keyId: thumbprint(publicKey),
  };
}

const CURVES: Record<string, string> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

function generate(algorithm: Algorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  const namedCurve = CURVES[algorithm];
  if (namedCurve) return generateKeyPairSync('ec', { namedCurve });
  if (algorithm.startsWith('Ed')) return generateKeyPairSync('ed25519');
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

/** RFC 7638 section 3: the required members in lexicographic order, without white space. */
function thumbprint(publicKey: KeyObject): string {
  const jwk = publicKey.export({ format: 'jwk' }) as Record<string, string>;
  const names = { EC: ['crv', 'kty', 'x', 'y'], OKP: ['crv', 'kty', 'x'], RSA: ['e', 'kty', 'n'] };
  const members = names[jwk['kty'] as keyof typeof names].map((name) => [name, jwk[name]]);
  const json = JSON.stringify(Object.fromEntries(members));
  return createHash('sha256').update(json).digest('base64url');
}
