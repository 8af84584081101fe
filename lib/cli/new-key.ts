import { createPrivateKey, generateKeyPair, type JsonWebKey, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { type Algorithm, ALGORITHMS, type PublishedKey } from '../core/index.js';
import { readSigningKeyRing } from '../keys/signing-key-ring.js';

const generate = promisify(generateKeyPair);

const RSA_EXPONENT = 65537;

export interface NewKeyOptions {
  readonly algorithm: Algorithm;
  readonly format: 'pem' | 'jwk';
  /** Default: the RFC 7638 thumbprint. */
  readonly keyId: string | undefined;
  readonly rsaBits: number;
}

/** A new key pair, as it is written to files. */
export interface NewKey {
  readonly keyId: string;
  /** PKCS#8 PEM or a private JWK, with a final line break. */
  readonly privateText: string;
  /** SPKI PEM or a public JWK, with a final line break. */
  readonly publicText: string;
  readonly publicJwk: PublishedKey;
}

/**
 * Creates a key pair and reads it back as a service would, which proves that it works.
 *
 * @throws ServiceAuthConfigError if the key id is not acceptable
 */
export async function createNewKey(options: NewKeyOptions): Promise<NewKey> {
  const { algorithm, keyId, format } = options;
  const { privateKey, publicKey } = await generateFor(options);
  const ring = await readSigningKeyRing({ privateKey, algorithm, keyId });
  const publicJwk = ring.published[0] ?? { kid: ring.current.keyId };
  const pem = (key: KeyObject, type: 'pkcs8' | 'spki') =>
    key.export({ type: type as 'spki', format: 'pem' }).toString();
  const json = (jwk: JsonWebKey) => `${JSON.stringify(jwk, null, 2)}\n`;
  const { kid } = publicJwk;
  const isJwk = format === 'jwk';
  return {
    keyId: ring.current.keyId,
    privateText: isJwk
      ? json({ ...privateKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' })
      : pem(privateKey, 'pkcs8'),
    publicText: isJwk ? json(publicJwk) : pem(publicKey, 'spki'),
    publicJwk,
  };
}

/** Whether a key without options, such as a PEM, would be used with this algorithm. */
export async function isDefaultAlgorithm(pem: string, algorithm: Algorithm): Promise<boolean> {
  const { current } = await readSigningKeyRing({ privateKey: createPrivateKey(pem) });
  return current.algorithm === algorithm;
}

async function generateFor({
  algorithm,
  rsaBits,
}: NewKeyOptions): Promise<{ privateKey: KeyObject; publicKey: KeyObject }> {
  const { keyType, namedCurve = '' } = ALGORITHMS[algorithm];
  if (keyType === 'ed25519') return await generate('ed25519');
  if (keyType === 'ec') return await generate('ec', { namedCurve });
  return await generate('rsa', { modulusLength: rsaBits, publicExponent: RSA_EXPONENT });
}
