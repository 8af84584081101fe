import type { KeySource } from '../keys.js';

/** What a receiver believes grants by. */
export interface GrantSettings {
  /** The `aud` of every grant that counts here. */
  readonly trustDomain: string;
  /** Who may vouch for users, by name. */
  readonly originators: ReadonlyMap<string, Originator>;
  /** The longest `exp - iat`. */
  readonly maxLifetimeSeconds: number;
}

/** A service that authenticates users, and may vouch for some of them. It may not call. */
export interface Originator {
  readonly issuer: string;
  readonly keys: KeySource;
  /** URI prefixes of the users that it may vouch for. */
  readonly subjects: readonly string[];
  /** The only scopes that its grants are believed for; undefined: all. */
  readonly scopes: ReadonlySet<string> | undefined;
}

/** What a receiver asks of one trusted issuer besides a good token: that the user asked. */
export interface SubjectProof {
  /** `off`: nothing. `report`: it is looked, and nobody refused. */
  readonly mode: 'off' | 'report' | 'required';
  /** Whether the issuer may act for itself. */
  readonly withoutSubject: 'allowed' | 'refused';
  /** How old a grant may be when it is used. */
  readonly maxAgeSeconds: number;
}

/** How old a grant may be where nobody says otherwise, in seconds. */
export const DEFAULT_MAX_AGE_SECONDS = 300;

/** Of an issuer that nothing is asked of. */
export const NO_PROOF: SubjectProof = Object.freeze({
  mode: 'off',
  withoutSubject: 'allowed',
  maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS,
});

/** What a route asks of grants. Each member narrows, but for the age, which issuer and route both have to allow. */
export interface ProofPolicy {
  /** How old the grant may be, in seconds, where its issuer is allowed that much. Default 300. */
  readonly maxAgeSeconds?: number | undefined;
  /** The grant must have each. */
  readonly scopes?: readonly string[] | undefined;
  /** Each list must have the originator. */
  readonly originators?: readonly ReadonlySet<string>[] | undefined;
  /** Each list must have the `acr` of the grant. */
  readonly acrs?: readonly ReadonlySet<string>[] | undefined;
}

/** How this service makes grants. */
export interface OriginateSettings {
  readonly lifetimeSeconds: number;
  readonly maxLifetimeSeconds: number;
  /** URI prefixes of the users that it makes grants for. */
  readonly subjects: readonly string[];
}
