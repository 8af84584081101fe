// The key pairs of the test vectors. They are made once: `test/vectors/keys.json` is read where it is there.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../run.mjs';

/** @typedef {Record<string, string>} Jwk */
/** @typedef {'ed25519' | 'p-256' | 'p-384' | 'p-521' | 'rsa' | 'stranger' | 'rsa-1024' | 'rsa-exponent-3'} KeyName */
/** @typedef {{ name: KeyName, privateKey: import('node:crypto').KeyObject, publicKey: import('node:crypto').KeyObject, publicJwk: Jwk, kid: string }} TestKey */

export const VECTORS = join(ROOT, 'test/vectors');

export const WARNING =
  'Test keys. Their private halves are in keys.json for everybody to read: trust none of them anywhere.';

/** Which key an algorithm signs with. */
export const KEY_BY_ALGORITHM = /** @type {const} */ ({
  EdDSA: 'ed25519',
  Ed25519: 'ed25519',
  ES256: 'p-256',
  ES384: 'p-384',
  ES512: 'p-521',
  PS256: 'rsa',
  PS384: 'rsa',
  PS512: 'rsa',
  RS256: 'rsa',
  RS384: 'rsa',
  RS512: 'rsa',
});

/** @typedef {keyof typeof KEY_BY_ALGORITHM} Algorithm */
export const ALGORITHMS = /** @type {Algorithm[]} */ (Object.keys(KEY_BY_ALGORITHM));

/** The file of keys as it is checked in; where there is none, a new one. */
export const keysFile = readKeysFile();

/** @type {Record<KeyName, TestKey>} */
export const keys = /** @type {Record<KeyName, TestKey>} */ (
  Object.fromEntries(
    Object.entries(keysFile.keys).map(([name, jwk]) => [name, toTestKey(name, jwk)]),
  )
);

/** A public key as an issuer's JWK: for one algorithm and no other. */
export function jwkFor(/** @type {TestKey} */ key, /** @type {Algorithm} */ alg) {
  return { ...key.publicJwk, kid: key.kid, alg };
}

function readKeysFile() {
  const path = join(VECTORS, 'keys.json');
  return existsSync(path)
    ? /** @type {{ keys: Record<KeyName, Jwk> }} */ (JSON.parse(readFileSync(path, 'utf8')))
    : { warning: WARNING, keys: generateKeys() };
}

/** @returns {Record<KeyName, Jwk>} */
function generateKeys() {
  const ec = (/** @type {string} */ namedCurve) => generateKeyPairSync('ec', { namedCurve });
  const pairs = {
    ed25519: generateKeyPairSync('ed25519'),
    'p-256': ec('P-256'),
    'p-384': ec('P-384'),
    'p-521': ec('P-521'),
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    stranger: ec('P-256'),
    'rsa-1024': generateKeyPairSync('rsa', { modulusLength: 1024 }),
    'rsa-exponent-3': generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }),
  };
  return /** @type {Record<KeyName, Jwk>} */ (
    /** @type {unknown} */ (
      Object.fromEntries(
        Object.entries(pairs).map(([name, { privateKey }]) => {
          const jwk = /** @type {Jwk} */ (privateKey.export({ format: 'jwk' }));
          return [name, { ...jwk, kid: thumbprint(jwk) }];
        }),
      )
    )
  );
}

/** RFC 7638 section 3: the required members in lexicographic order, without white space. */
function thumbprint(/** @type {Jwk} */ jwk) {
  const names = { EC: ['crv', 'kty', 'x', 'y'], OKP: ['crv', 'kty', 'x'], RSA: ['e', 'kty', 'n'] };
  const required = names[/** @type {keyof typeof names} */ (jwk['kty'])];
  const json = JSON.stringify(Object.fromEntries(required.map((name) => [name, jwk[name]])));
  return createHash('sha256').update(json).digest('base64url');
}

/** @returns {TestKey} */
function toTestKey(/** @type {string} */ name, /** @type {Jwk} */ jwk) {
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
  const publicKey = createPublicKey(privateKey);
  const publicJwk = /** @type {Jwk} */ (publicKey.export({ format: 'jwk' }));
  return {
    name: /** @type {KeyName} */ (name),
    privateKey,
    publicKey,
    publicJwk,
    kid: jwk['kid'] ?? '',
  };
}
