import {
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  KeyObject,
  verify,
  type webcrypto,
} from 'node:crypto';
import { types } from 'node:util';
import type { JWK } from 'jose';
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint';
import { type Algorithm, ALGORITHMS, ServiceAuthConfigError } from '../core/index.js';
import { isEd25519PublicKey } from './ed25519-point.js';
import { describeKeyForm } from './key-form.js';
import { hasRocaFingerprint } from './roca.js';

type CryptoKey = webcrypto.CryptoKey;

const MIN_RSA_BITS = 2048;
const MIN_RSA_EXPONENT = 65537n;
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----/g;
const HOW_TO_WRITE = {
  public: 'write one public key as SPKI PEM, JWK, KeyObject or CryptoKey',
  private: 'write one unencrypted private key as PKCS#8 PEM, JWK, KeyObject or CryptoKey',
} as const;

/** The private members of a JWK: RFC 7518 section 6. */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const;

/** A checked key: the right half, of a type that the protocol uses, and strong enough. */
export interface CheckedKey {
  readonly key: KeyObject;
  /** The algorithms that fit the key; the first is the default. */
  readonly fitting: readonly Algorithm[];
  /** `alg` and `kid`, if the key was given as a JWK. */
  readonly alg: string | undefined;
  readonly kid: string | undefined;
}

/**
 * Reads a key in any accepted form, and checks its type and strength. Errors never contain key material.
 *
 * @throws ServiceAuthConfigError with one problem on `field`
 */
export function readKey(material: unknown, half: 'public' | 'private', field: string): CheckedKey {
  if (half === 'public' && isPrivateJwk(material)) {
    fail(
      field,
      `${HOW_TO_WRITE.public}; this one is private, and known to others by now: make a new one`,
    );
  }
  const key = toKeyObject(material, half);
  if (key?.type !== half) {
    return fail(field, `${describeKeyForm(material, half)}; ${HOW_TO_WRITE[half]}`);
  }
  const flaw =
    findKeyFlaw(key) ??
    findUseFlaw(material, half === 'private' ? 'sign' : 'verify') ??
    findAvailabilityFlaw(key);
  if (flaw !== undefined) fail(field, flaw);
  const jwk = isJwk(material) ? material : undefined;
  const cryptoKey = types.isCryptoKey(material) ? material : undefined;
  return {
    key,
    fitting: cryptoKey ? boundAlgorithms(cryptoKey, key) : fittingAlgorithms(key),
    alg: stringOf(jwk?.['alg']),
    kid: stringOf(jwk?.['kid']),
  };
}

/** The RFC 7638 thumbprint of the public half. */
export async function thumbprintOf(key: KeyObject): Promise<string> {
  return await calculateJwkThumbprint(publicHalfOf(key).export({ format: 'jwk' }) as JWK);
}

/** Checks a configured key id. */
export function readKeyId(keyId: unknown, field: string): string | undefined {
  if (keyId === undefined) return undefined;
  if (typeof keyId === 'string' && /^[^\p{Cc}]{1,256}$/u.test(keyId)) return keyId;
  return fail(field, 'write 1 to 256 characters without control characters');
}

/** Throws a configuration error about one field. */
export function fail(field: string, whatToWrite: string): never {
  throw new ServiceAuthConfigError([`${field}: ${whatToWrite}`]);
}

function publicHalfOf(key: KeyObject): KeyObject {
  return key.type === 'private' ? createPublicKey(key) : key;
}

function toKeyObject(material: unknown, half: 'public' | 'private'): KeyObject | undefined {
  try {
    if (types.isKeyObject(material)) return material;
    if (types.isCryptoKey(material)) return KeyObject.from(material);
    const create = half === 'public' ? createPublicKey : createPrivateKey;
    if (typeof material === 'string')
      return isOnePemBlock(material, half) ? create(withoutParameters(material)) : undefined;
    return isJwk(material) ? create({ key: material, format: 'jwk' }) : undefined;
  } catch {
    // The cause is dropped: messages of the crypto library may quote the text.
    return undefined;
  }
}

function isOnePemBlock(pem: string, half: 'public' | 'private'): boolean {
  const labels = [...withoutParameters(pem).matchAll(PEM_BLOCK)].map(([, label]) => label ?? '');
  const accepted = half === 'public' ? /^(RSA )?PUBLIC KEY$/ : /^((RSA|EC) )?PRIVATE KEY$/;
  return labels.length === 1 && labels.every((label) => accepted.test(label));
}

/**
 * Removes the block that `openssl ecparam -genkey` writes before the key: the name of the curve, which the key also
 * contains.
 */
function withoutParameters(pem: string): string {
  return pem.replace(/^-----BEGIN EC PARAMETERS-----[^-]*-----END EC PARAMETERS-----\s*/, '');
}

function isJwk(material: unknown): material is JsonWebKey {
  return (
    typeof material === 'object' &&
    material !== null &&
    Object.hasOwn(material, 'kty') &&
    !types.isKeyObject(material)
  );
}

/** createPublicKey would silently use the public half of a private key. */
function isPrivateJwk(material: unknown): boolean {
  return isJwk(material) && PRIVATE_MEMBERS.some((name) => name in material);
}

function findKeyFlaw(key: KeyObject): string | undefined {
  if (fittingAlgorithms(key).length === 0) {
    const kind = key.asymmetricKeyType === 'rsa-pss' ? 'is an RSA-PSS key; ' : '';
    return `${kind}write a P-256, P-384, P-521, Ed25519 or RSA key`;
  }
  if (key.asymmetricKeyType === 'ed25519') return findEd25519Flaw(key);
  return key.asymmetricKeyType === 'rsa' ? findRsaFlaw(key) : undefined;
}

function findRsaFlaw(key: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < MIN_RSA_BITS) return `write an RSA key of at least ${MIN_RSA_BITS} bits`;
  if (publicExponent < MIN_RSA_EXPONENT)
    return `write an RSA key of exponent ${MIN_RSA_EXPONENT} or more`;
  const { n } = publicHalfOf(key).export({ format: 'jwk' });
  const modulus = BigInt(`0x${Buffer.from(n ?? '', 'base64url').toString('hex')}`);
  return hasRocaFingerprint(modulus)
    ? 'write an RSA key made by another generator: this one has the flaw of CVE-2017-15361'
    : undefined;
}

function findEd25519Flaw(key: KeyObject): string | undefined {
  const { x } = publicHalfOf(key).export({ format: 'jwk' });
  const isPoint = isEd25519PublicKey(Buffer.from(x ?? '', 'base64url'));
  return isPoint ? undefined : 'write an Ed25519 key that is a point of its curve, of full order';
}

/** Not every crypto library can use every key: in FIPS mode Ed25519 may be missing. */
function findAvailabilityFlaw(key: KeyObject): string | undefined {
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  try {
    // Only whether it throws matters, not the result.
    verify(digest, Buffer.alloc(1), publicHalfOf(key), Buffer.alloc(64));
    return undefined;
  } catch {
    return 'write a key of another kind: this process cannot use it (FIPS mode?)';
  }
}

/** RFC 7517 sections 4.2 and 4.3: a key with a stated use is used for nothing else. */
function findUseFlaw(material: unknown, operation: 'sign' | 'verify'): string | undefined {
  if (types.isCryptoKey(material) && !material.usages.includes(operation)) {
    return `write a key whose usages include '${operation}'`;
  }
  if (!isJwk(material)) return undefined;
  const { use, key_ops: operations } = material;
  if (use !== undefined && use !== 'sig') return "write a key whose use is 'sig'";
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes(operation))) {
    return `write a key whose key_ops include '${operation}'`;
  }
  return undefined;
}

/** An RSA CryptoKey is bound to one algorithm when it is created. */
function boundAlgorithms(cryptoKey: CryptoKey, key: KeyObject): Algorithm[] {
  if (key.asymmetricKeyType !== 'rsa') return fittingAlgorithms(key);
  const { name, hash } = cryptoKey.algorithm as { name: string; hash?: { name: string } };
  const bound = `${name === 'RSA-PSS' ? 'PS' : 'RS'}${hash?.name.replace('SHA-', '')}`;
  return fittingAlgorithms(key).filter((algorithm) => algorithm === bound);
}

function fittingAlgorithms(key: KeyObject): Algorithm[] {
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  const names = Object.keys(ALGORITHMS) as Algorithm[];
  const fitting = names.filter((name) => {
    const { keyType, namedCurve } = ALGORITHMS[name];
    return keyType === asymmetricKeyType && namedCurve === asymmetricKeyDetails?.namedCurve;
  });
  // The default of an RSA key is RS256, as usual in the field, and no other algorithm.
  return asymmetricKeyType === 'rsa'
    ? ['RS256', ...fitting.filter((name) => name !== 'RS256')]
    : fitting;
}

function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
