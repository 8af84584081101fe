import type { KeyObject } from 'node:crypto';
import type { Algorithm } from './algorithms.js';

/** A public key of one issuer. The algorithms belong to the key, never to a token. */
export interface VerificationKey {
  readonly keyId: string;
  readonly key: KeyObject;
  readonly algorithms: ReadonlySet<Algorithm>;
}

/**
 * The state of the keys of an issuer. `static`: configured. `fresh`: fetched recently. `stale`: known, but not
 * fetched again in time. `unavailable`: no usable keys.
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
 * Port: provides the public keys of one issuer. Each issuer has its own source. So keys of two issuers cannot be
 * confused, even if their key ids are equal.
 */
export interface KeySource {
  /**
   * The key with this id; without an id, the only key. Undefined if there is none or more than one.
   *
   * @throws ServiceAuthUnavailableError `key_unavailable` if the answer is not known now
   */
  find(
    keyId: string | undefined,
  ): VerificationKey | undefined | Promise<VerificationKey | undefined>;
  /**
   * Asserts that some key may be used, so that what is signed with it can be verified. Waits for the fetch that is running.
   *
   * @throws ServiceAuthUnavailableError `key_unavailable` if none is known
   */
  assertUsable(): void | Promise<void>;
  /** Begins to fetch keys if that is due, without waiting. Called about once a second. */
  refreshIfDue(): void;
  /** Resolves as soon as usable keys are known, or the current fetch has failed. */
  settled(): Promise<void>;
  /** The current state. Causes no fetch. */
  health(): KeySourceHealth;
  /** Ends fetches that are running. */
  close(): void;
}

/** The private key that signs, with its key id and algorithm. */
export interface SigningKey {
  readonly keyId: string;
  readonly algorithm: Algorithm;
  readonly key: KeyObject;
}

/** A public key as the service publishes it: RFC 7517 section 4. Never has a private member. */
export type PublishedKey = Readonly<Record<string, unknown>> & { readonly kid: string };

/** Port: provides the current signing key, and the keys that receivers should know. */
export interface SigningKeySource {
  /** The key that signs now. */
  current(): SigningKey;
  /** The previous, the current and the next public key. Returns the same array until the keys change. */
  published(): readonly PublishedKey[];
  /** Begins to read the key again if that is due, without waiting. Called about once a second. */
  refreshIfDue(): void;
  /** Ends work in the background. */
  close(): void;
}
