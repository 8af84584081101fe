import type { BodyHashAlgorithm } from './body-hash.js';

/** The form of a token and what it must prove: protocol section 2. */
export type Profile = 'strict' | 'original';

/** The rules for a JOSE header. */
export interface HeaderRules {
  /** Values of `typ` that are accepted, in lower case and without `application/`; the first is written. */
  readonly type: string;
  /** Whether the JOSE header must have `typ`. */
  readonly typeRequired: boolean;
  /** Whether the JOSE header must have `kid`. */
  readonly keyIdRequired: boolean;
  /** The only members a JOSE header may have; undefined if others are ignored. */
  readonly headerMembers: ReadonlySet<string> | undefined;
}

/** The differences between the profiles, as data: signer and verifier read this table instead of branching. */
export interface ProfileRules extends HeaderRules {
  readonly requiredClaims: readonly string[];
  /** Whether `req` and `hdr` bind the token to one request. */
  readonly bindsRequest: boolean;
  /** The algorithm of the digest that a signer writes to `bdy`. */
  readonly bodyHash: BodyHashAlgorithm;
  /** The algorithms that a verifier accepts in `bdy`. */
  readonly acceptedBodyHashes: ReadonlySet<BodyHashAlgorithm>;
  /** The longest `exp - iat` that a verifier accepts by default, in seconds. */
  readonly maxLifetimeSeconds: number;
}

export const PROFILES: Readonly<Record<Profile, ProfileRules>> = {
  strict: {
    type: 'svc+jwt',
    typeRequired: true,
    keyIdRequired: true,
    headerMembers: new Set(['alg', 'kid', 'typ']),
    requiredClaims: ['iss', 'aud', 'iat', 'exp', 'jti', 'req'],
    bindsRequest: true,
    bodyHash: 'sha256',
    acceptedBodyHashes: new Set(['sha256', 'sha384', 'sha512']),
    maxLifetimeSeconds: 300,
  },
  original: {
    type: 'jwt',
    typeRequired: false,
    keyIdRequired: false,
    headerMembers: undefined,
    requiredClaims: ['iss', 'aud', 'sub'],
    bindsRequest: false,
    bodyHash: 'md5',
    acceptedBodyHashes: new Set(['md5', 'sha256', 'sha384', 'sha512']),
    maxLifetimeSeconds: 3600,
  },
};
