import type { VerifiedClaims } from './claims.js';
import { freezeDeep } from './frozen.js';
import type { VerifiedGrant } from './grants/verified-grant.js';
import type { Profile } from './profiles.js';
import { createSlot } from './slot.js';

/** What a verified token proves about a request. Frozen, including its claims. */
export interface ServiceIdentity {
  /** The service that calls: the URI it is trusted under. */
  readonly issuer: string;
  /** The name under which this service was called. */
  readonly audience: string;
  /** The user of the call, as a URI; undefined if the calling service acts for itself. */
  readonly subject: string | undefined;
  /** The token's `jti`. */
  readonly tokenId: string | undefined;
  /** Seconds since the epoch, as the token says. */
  readonly issuedAtSeconds: number | undefined;
  readonly expiresAtSeconds: number | undefined;
  /** The id of the key that verified the signature. */
  readonly keyId: string;
  readonly profile: Profile;
  /** The proof that the user asked, if one was required; undefined otherwise. */
  readonly grant: VerifiedGrant | undefined;
  /** Every claim of the token, including extra claims. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The settings that verified an identity. It is not a member, so copies, spreads and parsed texts do not have it. */
const VERIFIER = createSlot<object>();

/**
 * Creates an identity. The caller has verified every part of it.
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

/** The settings that verified an identity; undefined for any other object, such as a copy of an identity. */
export function verifierOf(identity: object): object | undefined {
  return VERIFIER.get(identity);
}
