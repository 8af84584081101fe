import { freezeDeep } from '../frozen.js';
import type { GrantClaims } from './grant-claims.js';

/** What a verified grant proves: the originator vouches for the user. Frozen. */
export interface VerifiedGrant {
  /** The service that authenticated the user: the URI under which it may vouch here. */
  readonly originator: string;
  /** The id of the transaction, the same on every hop. */
  readonly transaction: string;
  /** What the user allows; `user-present` if the originator named no scope. */
  readonly scopes: readonly string[];
  /** Seconds since the epoch, as the grant says. */
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number;
  /**
   * How the user authenticated, as the originator says (OpenID Connect Core section 2); undefined if it does not say.
   */
  readonly acr: string | undefined;
  readonly authTimeSeconds: number | undefined;
  readonly amr: readonly string[] | undefined;
  /** What the originator says of the transaction (`tctx`) and of who asked (`rctx`). */
  readonly transactionContext: Readonly<Record<string, unknown>> | undefined;
  readonly requesterContext: Readonly<Record<string, unknown>> | undefined;
}

/** Takes from verified claims what they prove. */
export function toVerifiedGrant(claims: GrantClaims): VerifiedGrant {
  return freezeDeep({
    originator: claims.issuer,
    transaction: claims.transaction,
    scopes: claims.scopes,
    issuedAtSeconds: claims.issuedAtSeconds,
    expiresAtSeconds: claims.expiresAtSeconds,
    acr: claims.acr,
    authTimeSeconds: claims.authTimeSeconds,
    amr: claims.amr,
    transactionContext: claims.transactionContext,
    requesterContext: claims.requesterContext,
  });
}
