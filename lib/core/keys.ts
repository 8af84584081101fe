import type { webcrypto } from 'node:crypto';
import type { Algorithm } from './algorithms.js';

type CryptoKey = webcrypto.CryptoKey;

/** A public key of one issuer. The algorithms belong to the key, never to a token. */
export interface VerificationKey {
  readonly keyId: string;
  /** The key, imported once for each algorithm it may be used with. */
  readonly byAlgorithm: ReadonlyMap<Algorithm, CryptoKey>;
}

/**
 * Port: where the public keys of one issuer come from. Each issuer has its own source, so that keys
 * of two issuers cannot be mixed up even when their key ids are the same.
 */
export interface KeySource {
  /**
   * The key with this id; with no id, the only key there is. Undefined when there is none or more
   * than one.
   *
   * @throws ServiceAuthUnavailableError `key_unavailable` when that cannot be decided now
   */
  find(
    keyId: string | undefined,
  ): VerificationKey | undefined | Promise<VerificationKey | undefined>;
}

/** The private key that signs, and the public names of it. */
export interface SigningKey {
  readonly keyId: string;
  readonly algorithm: Algorithm;
  readonly key: CryptoKey;
}

/** Port: which key signs at the moment. */
export interface SigningKeySource {
  current(): SigningKey | Promise<SigningKey>;
}
