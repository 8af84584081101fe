import type { ServiceClaims } from './claims.js';
import type { Profile } from './profiles.js';
import type { UnverifiedObject } from './unambiguous-json.js';

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
  /** Every claim of the token, extra ones included. */
  readonly claims: UnverifiedObject;
}

/** Puts together what was proved. The caller has verified every part of it. */
export function createIdentity(
  claims: ServiceClaims & { readonly audience: string },
  verified: { keyId: string; profile: Profile; payload: UnverifiedObject },
): ServiceIdentity {
  return Object.freeze({
    issuer: claims.issuer,
    audience: claims.audience,
    subject: claims.subject,
    tokenId: claims.tokenId,
    issuedAtSeconds: claims.issuedAtSeconds,
    expiresAtSeconds: claims.expiresAtSeconds,
    keyId: verified.keyId,
    profile: verified.profile,
    claims: freezeDeep(verified.payload),
  });
}

function freezeDeep<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) freezeDeep(member as object);
  }
  return Object.freeze(value);
}
