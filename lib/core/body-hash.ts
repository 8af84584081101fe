import { hash } from 'node:crypto';
import { refuse } from './errors.js';

/** A digest that `bdy` can carry, named as in `node:crypto`. */
export type BodyHashAlgorithm = 'md5' | 'sha256' | 'sha384' | 'sha512';

/** The length of a `bdy` names its algorithm: characters of lower-case hex. */
const ALGORITHM_BY_LENGTH: ReadonlyMap<number, BodyHashAlgorithm> = new Map([
  [32, 'md5'],
  [64, 'sha256'],
  [96, 'sha384'],
  [128, 'sha512'],
]);

/** The algorithm of a `bdy`, by its length; undefined if the text is not a digest. */
export function bodyHashAlgorithmOf(bdy: string): BodyHashAlgorithm | undefined {
  return /^[0-9a-f]*$/.test(bdy) ? ALGORITHM_BY_LENGTH.get(bdy.length) : undefined;
}

/** Whether the crypto library of this process has the algorithm: FIPS mode has no MD5. */
export function isHashAvailable(algorithm: BodyHashAlgorithm): boolean {
  try {
    hash(algorithm, '');
    return true;
  } catch {
    return false;
  }
}

/**
 * The digest of `bytes` as a `bdy` claim writes it: lower-case hex.
 *
 * @throws ServiceTokenRefusedError `body_unverifiable` if this process does not have the algorithm
 */
export function hashBody(algorithm: BodyHashAlgorithm, bytes: Uint8Array): string {
  try {
    return hash(algorithm, bytes, 'hex');
  } catch (error) {
    if (isHashAvailable(algorithm)) throw error;
    return refuse('body_unverifiable', `this process has no ${algorithm}`, error);
  }
}
