/** What a key must be so that a signature algorithm can use it, in the words of `node:crypto`. */
export interface AlgorithmProfile {
  readonly keyType: 'ec' | 'ed25519' | 'rsa';
  readonly namedCurve?: string;
}

/**
 * The signature algorithms of the protocol. What is not in this table does not exist here:
 * no `none`, no symmetric algorithm, no secp256k1.
 *
 * @see RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864 section 2.2
 */
export const ALGORITHMS = {
  ES256: { keyType: 'ec', namedCurve: 'prime256v1' },
  ES384: { keyType: 'ec', namedCurve: 'secp384r1' },
  ES512: { keyType: 'ec', namedCurve: 'secp521r1' },
  EdDSA: { keyType: 'ed25519' },
  Ed25519: { keyType: 'ed25519' },
  PS256: { keyType: 'rsa' },
  PS384: { keyType: 'rsa' },
  PS512: { keyType: 'rsa' },
  RS256: { keyType: 'rsa' },
  RS384: { keyType: 'rsa' },
  RS512: { keyType: 'rsa' },
} as const satisfies Record<string, AlgorithmProfile>;

/** The name of a signature algorithm, as in a JOSE header's `alg`. */
export type Algorithm = keyof typeof ALGORITHMS;

/** Tells an algorithm of the protocol from any other value. */
export function isAlgorithm(value: unknown): value is Algorithm {
  return typeof value === 'string' && Object.hasOwn(ALGORITHMS, value);
}
