import type { VerifiedClaims } from '../claims.js';
import { refuse } from '../errors.js';
import { ago, apart } from '../token-times.js';
import { MAX_DELAY_SECONDS } from './message.js';

/** How long a message may be valid, and how far two clocks may be apart. */
export interface MessageTimeLimits {
  /** The longest time from `iat`, or from `nbf` where that is later, to `exp`. */
  readonly maxLifetimeSeconds: number;
  readonly clockToleranceSeconds: number;
}

/**
 * Asserts that the token of a message is valid at `nowMilliseconds`. Its lifetime begins with `nbf` where that is later
 * than `iat`: a delayed job is valid from the end of its delay.
 *
 * @throws ServiceTokenRefusedError `token_expired`, `token_not_yet_valid`, `claim_invalid`, `lifetime_too_long`,
 *   `claim_missing`
 */
export function assertMessageTimes(
  claims: VerifiedClaims,
  { maxLifetimeSeconds: longest, clockToleranceSeconds: tolerance }: MessageTimeLimits,
  nowMilliseconds: number,
): void {
  const now = nowMilliseconds / 1000;
  const { expiresAtSeconds: exp, issuedAtSeconds: iat, notBeforeSeconds: nbf = iat } = claims;
  if (exp === undefined || iat === undefined || nbf === undefined) return refuse('claim_missing');
  if (exp + tolerance <= now) refuse('token_expired', ago(exp, now));
  if (iat - tolerance > now) refuse('token_not_yet_valid', apart('iat', iat, now));
  const start = Math.max(iat, nbf);
  if (exp <= start) refuse('claim_invalid', 'exp is not after iat and nbf');
  if (exp - start > longest) {
    refuse('lifetime_too_long', `${exp - start} s, where at most ${longest} s are accepted`);
  }
  if (start - iat > MAX_DELAY_SECONDS) {
    refuse('lifetime_too_long', `nbf is ${start - iat} s after iat`);
  }
  if (nbf - tolerance > now) refuse('token_not_yet_valid', apart('nbf', nbf, now));
}
