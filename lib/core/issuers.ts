import type { KeySource } from './keys.js';
import type { Profile } from './profiles.js';

/** A service that may call, and what it may do. */
export interface TrustedIssuer {
  readonly issuer: string;
  readonly profile: Profile;
  readonly keys: KeySource;
  /** URI prefixes of the users this issuer may speak for; undefined: for everybody. */
  readonly subjects: readonly string[] | undefined;
}

/** Port: which issuers are trusted. An unknown one costs no fetch of keys and no signature work. */
export interface IssuerDirectory {
  /** @throws ServiceAuthUnavailableError `key_unavailable` when that cannot be decided now */
  find(issuer: string): TrustedIssuer | undefined | Promise<TrustedIssuer | undefined>;
  /** The issuers known at the moment. */
  known(): Iterable<TrustedIssuer>;
  /** Closes the key source of every issuer, and of those whose look-up is under way. */
  close(): void;
}

/** The issuers that the configuration lists. */
export function listedIssuers(issuers: ReadonlyMap<string, TrustedIssuer>): IssuerDirectory {
  return {
    find: (issuer) => issuers.get(issuer),
    known: () => issuers.values(),
    close: () => {
      for (const { keys } of issuers.values()) keys.close();
    },
  };
}
