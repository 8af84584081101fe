import { constants } from 'node:crypto';

/** What a signature algorithm requires of a key and of `node:crypto`, in the terms of both. */
export interface AlgorithmProfile {
  readonly keyType: 'ec' | 'ed25519' | 'rsa';
  readonly namedCurve?: 'prime256v1' | 'secp384r1' | 'secp521r1';
  /** The hash that is signed; null where the algorithm has its own. */
  readonly digest: 'sha256' | 'sha384' | 'sha512' | null;
  /** The parameters of `sign` and `verify` besides the key. */
  readonly parameters: {
    readonly dsaEncoding?: 'ieee-p1363';
    readonly padding?: number;
    readonly saltLength?: number;
  };
}

type Hash = Exclude<AlgorithmProfile['digest'], null>;

const ecdsa = (
  namedCurve: NonNullable<AlgorithmProfile['namedCurve']>,
  digest: Hash,
): AlgorithmProfile => ({
  keyType: 'ec',
  namedCurve,
  digest,
  parameters: { dsaEncoding: 'ieee-p1363' },
});
const ed25519: AlgorithmProfile = { keyType: 'ed25519', digest: null, parameters: {} };
const rsa = (digest: Hash): AlgorithmProfile => ({
  keyType: 'rsa',
  digest,
  parameters: { padding: constants.RSA_PKCS1_PADDING },
});
/** A salt is as long as the hash. */
const rsaPss = (digest: Hash): AlgorithmProfile => ({
  keyType: 'rsa',
  digest,
  parameters: {
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  },
});

/**
 * The signature algorithms of the protocol. The protocol has no others: no `none`, no symmetric algorithm, no
 * secp256k1.
 *
 * @see RFC 7518 sections 3.1 and 3.3 to 3.5, RFC 8037 section 3.1, RFC 9864 section 2.2
 */
export const ALGORITHMS = {
  ES256: ecdsa('prime256v1', 'sha256'),
  ES384: ecdsa('secp384r1', 'sha384'),
  ES512: ecdsa('secp521r1', 'sha512'),
  EdDSA: ed25519,
  Ed25519: ed25519,
  PS256: rsaPss('sha256'),
  PS384: rsaPss('sha384'),
  PS512: rsaPss('sha512'),
  RS256: rsa('sha256'),
  RS384: rsa('sha384'),
  RS512: rsa('sha512'),
} as const satisfies Record<string, AlgorithmProfile>;

/** The name of a signature algorithm, as in a JOSE header's `alg`. */
export type Algorithm = keyof typeof ALGORITHMS;

/** Whether a value is an algorithm of the protocol. */
export function isAlgorithm(value: unknown): value is Algorithm {
  return typeof value === 'string' && Object.hasOwn(ALGORITHMS, value);
}
