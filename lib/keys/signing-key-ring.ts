import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { JWK } from 'jose';
import {
  type Algorithm,
  OptionReader,
  ProblemList,
  type PublicKeyOptions,
  type PublishedKey,
  ServiceAuthConfigError,
  type SigningKey,
  type SigningKeyOptions,
  type SigningKeyRingOptions,
} from '../core/index.js';
import { type CheckedKey, fail, readKey, readKeyId, thumbprintOf } from './key-material.js';

/** The key that signs, and every key that receivers should know. */
export interface SigningKeyRing {
  readonly current: SigningKey;
  readonly published: readonly PublishedKey[];
}

const KEY_NAMES = ['privateKey', 'algorithm', 'keyId'] as const;
const PUBLIC_KEY_NAMES = ['publicKey', 'algorithms', 'keyId'] as const;
/** The names of the keys in a ring, in the order of publication. */
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

/** Whether the options are a ring, even if `current` is missing. */
export function isRing(options: object): options is SigningKeyRingOptions {
  return RING_NAMES.some((name) => Object.hasOwn(options, name));
}

async function readRing(options: SigningKeyRingOptions): Promise<SigningKeyRing> {
  const problems = new ProblemList();
  const own = new OptionReader(options, RING_NAMES, problems);
  const current = await problems.attempt(
    async () => await readSigner(own.raw('current') as SigningKeyOptions, 'current'),
  );
  const readNeighbour = async (name: 'previous' | 'next') => {
    const neighbour = own.raw(name) as SigningKeyOptions | PublicKeyOptions | undefined;
    return neighbour === undefined ? undefined : await readPublishedKey(neighbour, name);
  };
  const previous = await problems.attempt(async () => await readNeighbour('previous'));
  const next = await problems.attempt(async () => await readNeighbour('next'));
  const published = [previous, current?.published, next].filter((key) => key !== undefined);
  const keyIds = new Set(published.map(({ kid }) => kid));
  if (keyIds.size < published.length) {
    problems.add('current', 'two keys have one key id; give each its own');
  }
  if (!current) throw new ServiceAuthConfigError(problems.problems);
  problems.assertNone();
  return Object.freeze({ current: current.signingKey, published: Object.freeze(published) });
}

async function readSigner(
  options: SigningKeyOptions,
  path: string,
): Promise<{ signingKey: SigningKey; published: PublishedKey }> {
  const problems = new ProblemList(path);
  const own = new OptionReader(readObject(options, path), KEY_NAMES, problems);
  const checked = await problems.attempt(() => readPrivateKey(own.raw('privateKey')));
  const keyId = await problems.attempt(() => readKeyId(own.raw('keyId') ?? checked?.kid, 'keyId'));
  const wanted = own.raw('algorithm');
  const algorithm =
    checked && (await problems.attempt(() => chooseAlgorithm(checked, wanted, 'algorithm')));
  if (!checked || !algorithm) throw new ServiceAuthConfigError(problems.problems);
  problems.assertNone();
  const kid = keyId ?? (await thumbprintOf(checked.key));
  return {
    signingKey: Object.freeze({ keyId: kid, algorithm, key: checked.key }),
    published: toPublished(checked, kid, algorithm),
  };
}

/**
 * Reads one key for publication. Its public half is enough.
 *
 * @param path the field that holds the options, such as `next`; empty for `signingKey` itself
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
  const problems = new ProblemList(path);
  const own = new OptionReader(options, PUBLIC_KEY_NAMES, problems);
  const material = own.raw('publicKey');
  const checked = await problems.attempt(() => readKey(material, 'public', 'publicKey'));
  const keyId = await problems.attempt(() => readKeyId(own.raw('keyId') ?? checked?.kid, 'keyId'));
  const wanted = await problems.attempt(() => readOnly(own.raw('algorithms')));
  const algorithm =
    checked && (await problems.attempt(() => chooseAlgorithm(checked, wanted, 'algorithms')));
  if (!checked || !algorithm) throw new ServiceAuthConfigError(problems.problems);
  problems.assertNone();
  return toPublished(checked, keyId ?? (await thumbprintOf(checked.key)), algorithm);
}

/** A key is published with one algorithm, so the list must have only one. */
function readOnly(algorithms: unknown): unknown {
  if (algorithms === undefined) return undefined;
  if (Array.isArray(algorithms) && algorithms.length === 1) return (algorithms as unknown[])[0];
  return fail('algorithms', 'write a list of the one algorithm the key is published with');
}

/** The two halves of a JWK may belong to two keys. Receivers would then refuse all its tokens. */
function verifiesItself(key: KeyObject): boolean {
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  const sample = Buffer.from('sample');
  try {
    return verify(digest, sample, createPublicKey(key), sign(digest, sample, key));
  } catch {
    return false;
  }
}

function readPrivateKey(privateKey: unknown): CheckedKey {
  const checked = readKey(privateKey, 'private', 'privateKey');
  if (verifiesItself(checked.key)) return checked;
  return fail('privateKey', 'its private and its public half belong to two keys; write one key');
}

function readObject<T extends object>(options: T, path: string): T {
  if (typeof options === 'object' && options !== null) return options;
  return fail(path || 'privateKey', 'write an object');
}

function chooseAlgorithm(checked: CheckedKey, wanted: unknown, field: string): Algorithm {
  const byDefault = checked.fitting.includes('EdDSA') ? 'EdDSA' : checked.fitting[0];
  const name = wanted ?? checked.alg ?? byDefault;
  const chosen = checked.fitting.find((fitting) => fitting === name);
  return chosen ?? fail(field, `write one that fits the key: ${checked.fitting.join(', ')}`);
}

/** Only the public half is exported, member by member, so no private member can be published. */
function toPublished(checked: CheckedKey, kid: string, alg: Algorithm): PublishedKey {
  const publicKey = checked.key.type === 'private' ? createPublicKey(checked.key) : checked.key;
  const { kty, crv, x, y, n, e } = publicKey.export({ format: 'jwk' }) as JWK;
  const members = Object.entries({ kty, crv, x, y, n, e }).filter(
    ([, value]) => value !== undefined,
  );
  return Object.freeze({ ...Object.fromEntries(members), kid, alg, use: 'sig' });
}
