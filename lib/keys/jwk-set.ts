import type { JsonWebKey } from 'node:crypto';
import {
  type Algorithm,
  JsonFlaw,
  ProblemList,
  readJsonObject,
  type VerificationKey,
} from '../core/index.js';
import { readVerificationKey } from './static-key-source.js';

/** The most keys a set may have. */
const MAX_KEYS = 100;
/** The most unusable keys that one text lists. */
const MOST_REASONS = 5;

/** The content of a JWK Set: the usable keys, and why others are not used. */
export interface JwkSetContents {
  readonly keys: ReadonlyMap<string, VerificationKey>;
  readonly dropped: readonly string[];
}

/** Why a reply is not accepted as a JWK Set. The message quotes nothing of the reply. */
export class JwkSetError extends Error {
  override readonly name = 'JwkSetError';
  constructor(
    message: string,
    /** After how many seconds the key server wants the next request. */
    readonly retryAfterSeconds = 0,
  ) {
    super(message);
  }
}

/**
 * Reads a JWK Set of one issuer. Keys that cannot be used (private, symmetric, weak, off their curve, for encryption,
 * of another algorithm) are dropped one by one; two with one key id are both dropped.
 *
 * @throws JwkSetError if it is not a JWK Set, has too many keys, or no usable key
 * @see RFC 7517 section 5
 */
export async function readJwkSet(
  bytes: Uint8Array,
  algorithms: readonly Algorithm[] | undefined,
): Promise<JwkSetContents> {
  const keys = new Map<string, VerificationKey>();
  const dropped = new ProblemList();
  const repeated = new Set<string>();
  for (const [at, jwk] of readEntries(bytes).entries()) {
    const entry = { publicKey: jwk as JsonWebKey };
    const read = async () => await readVerificationKey(entry, `keys[${at}]`, algorithms);
    const key = await dropped.attempt(read);
    if (!key) continue;
    if (keys.has(key.keyId)) repeated.add(key.keyId);
    keys.set(key.keyId, key);
  }
  for (const keyId of repeated) {
    keys.delete(keyId);
    dropped.add('keys', `two have the key id ${JSON.stringify(keyId)}; neither is used`);
  }
  if (keys.size === 0) throw new JwkSetError(describeUnusable(dropped.problems));
  return { keys, dropped: dropped.problems };
}

/** Each key with its reason: words of this library, and key ids that occur twice in the set. */
function describeUnusable(dropped: readonly string[]): string {
  const reasons = dropped.slice(0, MOST_REASONS).join('; ');
  const rest = dropped.length - MOST_REASONS;
  const more = rest > 0 ? `; and ${rest} more` : '';
  return `the set has no key that can be used${reasons === '' ? ': it is empty' : ` (${reasons}${more})`}`;
}

function readEntries(bytes: Uint8Array): unknown[] {
  try {
    const { keys } = readJsonObject(bytes);
    if (!Array.isArray(keys)) throw new JwkSetError('the reply is not a JWK Set');
    if (keys.length > MAX_KEYS) throw new JwkSetError(`the set has more than ${MAX_KEYS} keys`);
    return keys;
  } catch (error) {
    if (error instanceof JsonFlaw) throw new JwkSetError(`the reply is ${error.message}`);
    throw error;
  }
}
