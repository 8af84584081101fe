import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { JWK } from 'jose';
import {
  type Algorithm,
  type PublicKeyOptions,
  type PublishedKey,
  ServiceAuthConfigError,
  type SigningKey,
  type SigningKeyOptions,
  type SigningKeyRingOptions,
} from '../core/index.js';
import {
  type CheckedKey,
  collect,
  fail,
  ownOptions,
  readKey,
  readKeyId,
  thumbprintOf,
} from './key-material.js';

/** The key that signs, and every key that receivers should know. */
export interface SigningKeyRing {
  readonly current: SigningKey;
  readonly published: readonly PublishedKey[];
}

const KEY_NAMES = ['privateKey', 'algorithm', 'keyId'] as const;
const PUBLIC_KEY_NAMES = ['publicKey', 'algorithms', 'keyId'] as const;
/** The names under which a ring has its keys, in the order in which they are published. */
export const RING_NAMES = ['previous', 'current', 'next'] as const;

/**
 * Reads one signing key, or a ring of previous, current and next, and imports the one that signs.
 *
 * @throws ServiceAuthConfigError listing every problem, without any key material in it
 */
export async function readSigningKeyRing(
  options: SigningKeyOptions | SigningKeyRingOptions,
): Promise<SigningKeyRing> {
  if (typeof options !== 'object' || options === null) {
    fail('privateKey', 'write { privateKey } or { current, next, previous }');
  }
  if (!isRing(options)) {
    const { signingKey, published } = await readSigner(options, '');
    return Object.freeze({ current: signingKey, published: Object.freeze([published]) });
  }
  return await readRing(options);
}

/** Tells a ring from a single key, also where its current key was forgotten. */
export function isRing(options: object): options is SigningKeyRingOptions {
  return RING_NAMES.some((name) => Object.hasOwn(options, name));
}

async function readRing(options: SigningKeyRingOptions): Promise<SigningKeyRing> {
  const problems: string[] = [];
  const own = ownOptions(options, RING_NAMES, '', problems);
  const attempt = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof ServiceAuthConfigError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  const current = await attempt(
    async () => await readSigner(own.current as SigningKeyOptions, 'current.'),
  );
  const previous = await attempt(async () => await readNeighbour(own.previous, 'previous.'));
  const next = await attempt(async () => await readNeighbour(own.next, 'next.'));
  const published = [previous, current?.published, next].filter((key) => key !== undefined);
  const keyIds = new Set(published.map(({ kid }) => kid));
  if (keyIds.size < published.length)
    problems.push('current: two keys have one key id; give each its own');
  if (!current || problems.length > 0) throw new ServiceAuthConfigError(problems);
  return Object.freeze({ current: current.signingKey, published: Object.freeze(published) });
}

async function readSigner(
  options: SigningKeyOptions,
  path: string,
): Promise<{ signingKey: SigningKey; published: PublishedKey }> {
  const problems: string[] = [];
  const own = ownOptions(readObject(options, path), KEY_NAMES, path, problems);
  const checked = collect(problems, () => readPrivateKey(own.privateKey, `${path}privateKey`));
  const keyId = collect(problems, () => readKeyId(own.keyId ?? checked?.kid, `${path}keyId`));
  const algorithm =
    checked && collect(problems, () => chooseAlgorithm(checked, own.algorithm, `${path}algorithm`));
  if (!checked || !algorithm || problems.length > 0) throw new ServiceAuthConfigError(problems);
  const kid = keyId ?? (await thumbprintOf(checked.key));
  return {
    signingKey: Object.freeze({ keyId: kid, algorithm, key: checked.key }),
    published: toPublished(checked, kid, algorithm),
  };
}

/** The previous and the next key are only published, so their public half will do. */
async function readNeighbour(
  options: SigningKeyOptions | PublicKeyOptions | undefined,
  path: string,
): Promise<PublishedKey | undefined> {
  return options === undefined ? undefined : await readPublishedKey(options, path);
}

/**
 * Reads one key, of which the public half will do, as it is published.
 *
 * @param path what stands before the names of fields in problems, such as `next.`
 * @throws ServiceAuthConfigError listing every problem, without any key material in it
 * @see RFC 7517 section 4
 */
export async function readPublishedKey(
  options: SigningKeyOptions | PublicKeyOptions,
  path: string,
): Promise<PublishedKey> {
  if (!Object.hasOwn(options ?? {}, 'publicKey')) {
    return (await readSigner(options as SigningKeyOptions, path)).published;
  }
  const problems: string[] = [];
  const own = ownOptions(options as PublicKeyOptions, PUBLIC_KEY_NAMES, path, problems);
  const checked = collect(problems, () => readKey(own.publicKey, 'public', `${path}publicKey`));
  const keyId = collect(problems, () => readKeyId(own.keyId ?? checked?.kid, `${path}keyId`));
  const wanted = collect(problems, () => readOnly(own.algorithms, path));
  const algorithm =
    checked && collect(problems, () => chooseAlgorithm(checked, wanted, `${path}algorithms`));
  if (!checked || !algorithm || problems.length > 0) throw new ServiceAuthConfigError(problems);
  return toPublished(checked, keyId ?? (await thumbprintOf(checked.key)), algorithm);
}

/** A key is published with one algorithm, so more than one cannot be meant. */
function readOnly(algorithms: unknown, path: string): unknown {
  if (algorithms === undefined) return undefined;
  if (Array.isArray(algorithms) && algorithms.length === 1) return (algorithms as unknown[])[0];
  return fail(`${path}algorithms`, 'write a list of the one algorithm the key is published with');
}

/** What a JWK says of its two halves may be of two keys, and all its tokens would be refused. */
function verifiesItself(key: KeyObject): boolean {
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  const sample = Buffer.from('sample');
  try {
    return verify(digest, sample, createPublicKey(key), sign(digest, sample, key));
  } catch {
    return false;
  }
}

function readPrivateKey(privateKey: unknown, field: string): CheckedKey {
  const checked = readKey(privateKey, 'private', field);
  if (verifiesItself(checked.key)) return checked;
  return fail(field, 'its private and its public half belong to two keys; write one key');
}

function readObject<T extends object>(options: T, path: string): T {
  if (typeof options === 'object' && options !== null) return options;
  return fail(path.replace(/\.$/, '') || 'privateKey', 'write an object');
}

function chooseAlgorithm(checked: CheckedKey, wanted: unknown, field: string): Algorithm {
  const byDefault = checked.fitting.includes('EdDSA') ? 'EdDSA' : checked.fitting[0];
  const name = wanted ?? checked.alg ?? byDefault;
  const chosen = checked.fitting.find((fitting) => fitting === name);
  return chosen ?? fail(field, `write one that fits the key: ${checked.fitting.join(', ')}`);
}

/** Only the public half is exported, and only by name: a private member cannot slip through. */
function toPublished(checked: CheckedKey, kid: string, alg: Algorithm): PublishedKey {
  const publicKey = checked.key.type === 'private' ? createPublicKey(checked.key) : checked.key;
  const { kty, crv, x, y, n, e } = publicKey.export({ format: 'jwk' }) as JWK;
  const members = Object.entries({ kty, crv, x, y, n, e }).filter(
    ([, value]) => value !== undefined,
  );
  return Object.freeze({ ...Object.fromEntries(members), kid, alg, use: 'sig' });
}
