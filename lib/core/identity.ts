import type { VerifiedClaims } from './claims.js';
import { freezeDeep } from './frozen.js';
import type { VerifiedGrant } from './grants/verified-grant.js';
import type { Profile } from './profiles.js';
import { createSlot } from './slot.js';

/** What a verified token proves about a request. Frozen, claims and all. */
export interface ServiceIdentity {
  /** The service that calls: the URI it is trusted under. */
  readonly issuer: string;
  /** The name under which this service was called. */
  readonly audience: string;
  /** The user the call is made for, as a URI; undefined when the calling service acts for itself. */
  readonly subject: string | undefined;
  /** The token's `jti`. */
  readonly tokenId: string | undefined;
  /** Seconds since the epoch, as the token says. */
  readonly issuedAtSeconds: number | undefined;
  readonly expiresAtSeconds: number | undefined;
  /** The id of the key that verified the signature. */
  readonly keyId: string;
  readonly profile: Profile;
  /** The proof that the user asked, where one was required; undefined otherwise. */
  readonly grant: VerifiedGrant | undefined;
  /** Every claim of the token, extra ones included. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Which settings verified an identity. No member: a copy, a spread or a parsed text has none. */
const VERIFIER = createSlot<object>();

/**
 * Puts together what was proved. The caller has verified every part of it.
 *
 * @param verified.verifier the settings of the service that verified it
 */
export function createIdentity(
  claims: VerifiedClaims & { readonly audience: string },
  verified: Pick<ServiceIdentity, 'keyId' | 'profile' | 'grant'> & { verifier: object },
): ServiceIdentity {
  const identity: ServiceIdentity = {
    issuer: claims.issuer,
    audience: claims.audience,
    subject: claims.subject,
    tokenId: claims.tokenId,
    issuedAtSeconds: claims.issuedAtSeconds,
    expiresAtSeconds: claims.expiresAtSeconds,
    keyId: verified.keyId,
    profile: verified.profile,
    grant: verified.grant,
    claims: freezeDeep(claims.payload),
  };
  return markVerified(identity, verified.verifier);
}

/** Marks an identity as verified under these settings, and freezes it. */
export function markVerified(identity: ServiceIdentity, verifier: object): ServiceIdentity {
  VERIFIER.set(identity, verifier);
  return Object.freeze(identity);
}

/** The settings that verified an identity; undefined for everything else, a copy of an identity too. */
export function verifierOf(identity: object): object | undefined {
  return VERIFIER.get(identity);
}
