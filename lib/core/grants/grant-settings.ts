import type { KeySource } from '../keys.js';

/** The settings by which a receiver believes grants. */
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
  /** The only scopes that its grants may have; undefined: all. */
  readonly scopes: ReadonlySet<string> | undefined;
}

/** What a receiver requires of one trusted issuer besides a valid token: a proof that the user asked. */
export interface SubjectProof {
  /**
   * `off`: no proof. `report`: the proof is checked, but no request is refused. `required`: a request without proof
   * is refused.
   */
  readonly mode: 'off' | 'report' | 'required';
  /** Whether the issuer may act for itself. */
  readonly withoutSubject: 'allowed' | 'refused';
  /** How old a grant may be when it is used. */
  readonly maxAgeSeconds: number;
}

/** The default of the greatest age of a grant, in seconds. */
export const DEFAULT_MAX_AGE_SECONDS = 300;

/** For an issuer that needs no proof. */
export const NO_PROOF: SubjectProof = Object.freeze({
  mode: 'off',
  withoutSubject: 'allowed',
  maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS,
});

/**
 * What a route requires of grants. Each member narrows. Only the age can also widen: issuer and route must both allow
 * it.
 */
export interface ProofPolicy {
  /** How old the grant may be, in seconds, if its issuer may use grants of that age. Default 300. */
  readonly maxAgeSeconds?: number | undefined;
  /** The grant must have each of these scopes. */
  readonly scopes?: readonly string[] | undefined;
  /** The originator must be in each of these sets. */
  readonly originators?: readonly ReadonlySet<string>[] | undefined;
  /** The `acr` of the grant must be in each of these lists. */
  readonly acrs?: readonly ReadonlySet<string>[] | undefined;
}

/** How this service makes grants. */
export interface OriginateSettings {
  readonly lifetimeSeconds: number;
  readonly maxLifetimeSeconds: number;
  /** URI prefixes of the users for whom it makes grants. */
  readonly subjects: readonly string[];
}
