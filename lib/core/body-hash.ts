import { hash } from 'node:crypto';

/** A digest that `bdy` can carry, in the words of `node:crypto`. */
export type BodyHashAlgorithm = 'md5' | 'sha256' | 'sha384' | 'sha512';

/** The length of a `bdy` names its algorithm: characters of lower-case hex. */
const ALGORITHM_BY_LENGTH: ReadonlyMap<number, BodyHashAlgorithm> = new Map([
  [32, 'md5'],
  [64, 'sha256'],
  [96, 'sha384'],
  [128, 'sha512'],
]);

/** Which digest a `bdy` is, told by its length; undefined when it is none. */
export function bodyHashAlgorithmOf(bdy: string): BodyHashAlgorithm | undefined {
  return /^[0-9a-f]*$/.test(bdy) ? ALGORITHM_BY_LENGTH.get(bdy.length) : undefined;
}

/** The digest of `bytes` as a `bdy` claim writes it: lower-case hex. */
export function hashBody(algorithm: BodyHashAlgorithm, bytes: Uint8Array): string {
  return hash(algorithm, bytes, 'hex');
}
