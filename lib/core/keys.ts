import type { KeyObject } from 'node:crypto';
import type { Algorithm } from './algorithms.js';

/** A public key of one issuer. The algorithms belong to the key, never to a token. */
export interface VerificationKey {
  readonly keyId: string;
  readonly key: KeyObject;
  readonly algorithms: ReadonlySet<Algorithm>;
}

/**
 * How the keys of an issuer stand. `static`: configured. `fresh`: fetched lately. `stale`: known, but
 * they could not be fetched again in time. `unavailable`: none that may be used.
 */
export interface KeySourceHealth {
  readonly status: 'static' | 'fresh' | 'stale' | 'unavailable';
  readonly keyIds: readonly string[];
  /** Seconds since the keys were fetched or found unchanged. */
  readonly ageSeconds?: number;
  readonly lastError?: string;
  /** Seconds until the next fetch is due; 0 when it is due now. */
  readonly nextRefreshInSeconds?: number;
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
  /** Begins to fetch what is due, without waiting for it. Called about once a second. */
  refreshIfDue(): void;
  /** Resolves when keys may be used, or when the fetch under way has failed. */
  settled(): Promise<void>;
  /** What is known at this moment. Asking costs no fetch. */
  health(): KeySourceHealth;
  /** Ends what is under way. */
  close(): void;
}

/** The private key that signs, and the public names of it. */
export interface SigningKey {
  readonly keyId: string;
  readonly algorithm: Algorithm;
  readonly key: KeyObject;
}

/** A public key as it is published: RFC 7517 section 4. Never with a private member. */
export type PublishedKey = Readonly<Record<string, unknown>> & { readonly kid: string };

/** Port: which key signs at the moment, and which keys receivers should know. */
export interface SigningKeySource {
  /** The key that signs at this moment. */
  current(): SigningKey;
  /** The keys of the previous, the current and the next signer. The same list until it changes. */
  published(): readonly PublishedKey[];
  /** Begins to look for a new key if it is time, without waiting for it. Called about once a second. */
  refreshIfDue(): void;
  /** Ends what runs in the background. */
  close(): void;
}
