import type { VerifiedClaims } from './claims.js';
import { refuse } from './errors.js';
import type { Profile } from './profiles.js';
import type { ReceivingSettings } from './settings.js';

/** The longest lifetime of a token of one profile, and how far two clocks may differ. */
export interface TimeLimits {
  /** The longest `exp - iat`. */
  readonly maxLifetimeSeconds: number;
  readonly clockToleranceSeconds: number;
}

/** The limits of a service for the tokens of one profile. */
export function timeLimits(settings: ReceivingSettings, profile: Profile): TimeLimits {
  return {
    maxLifetimeSeconds: settings.maxTokenLifetimeSeconds[profile],
    clockToleranceSeconds: settings.clockToleranceSeconds,
  };
}

/**
 * Asserts that the token is valid at `nowMilliseconds`, and does not live longer than the profile allows. It skips
 * missing times: an earlier step has checked which times the profile requires.
 *
 * @throws ServiceTokenRefusedError `token_expired`, `token_not_yet_valid`, `claim_invalid`, `lifetime_too_long`
 * @see RFC 7519 sections 4.1.4 to 4.1.6
 */
export function assertTimes(
  claims: VerifiedClaims,
  { maxLifetimeSeconds: longest, clockToleranceSeconds: tolerance }: TimeLimits,
  nowMilliseconds: number,
): void {
  const now = nowMilliseconds / 1000;
  const { expiresAtSeconds: exp, issuedAtSeconds: iat, notBeforeSeconds: nbf } = claims;

  if (exp !== undefined && exp + tolerance <= now) refuse('token_expired', ago(exp, now));
  if (iat !== undefined && iat - tolerance > now) {
    refuse('token_not_yet_valid', apart('iat', iat, now));
  }
  if (exp !== undefined) {
    if (iat !== undefined && exp <= iat) refuse('claim_invalid', 'exp is not after iat');
    if (nbf !== undefined && exp < nbf) refuse('claim_invalid', 'exp is before nbf');
  }
  // A token with an id expires even without `exp`: a replay store does not remember its use forever.
  const ends = exp !== undefined || claims.tokenId !== undefined;
  if (ends && iat !== undefined && iat + longest + tolerance <= now) {
    refuse('token_expired', 'issued longer ago than a token may live');
  }
  if (exp !== undefined && iat !== undefined && exp - iat > longest) {
    refuse('lifetime_too_long', `${exp - iat} s, where at most ${longest} s are accepted`);
  }
  // Without `iat`, only this check limits how long a replay store must remember the use.
  if (exp !== undefined && iat === undefined && claims.tokenId !== undefined) {
    if (exp - tolerance > now + longest) refuse('lifetime_too_long', apart('exp', exp, now));
  }
  if (nbf !== undefined && nbf - tolerance > now) {
    refuse('token_not_yet_valid', apart('nbf', nbf, now));
  }
}

/** For the log: by how much a token has expired. The same number each time is a clock that is wrong. */
export function ago(seconds: number, now: number): string {
  return `${(now - seconds).toFixed(1)} s ago by this clock`;
}

/** For the log: which of the two clocks is behind, and how far. */
export function apart(name: string, seconds: number, now: number): string {
  const side = seconds > now ? 'ahead of' : 'behind';
  return `${name} is ${Math.abs(seconds - now).toFixed(1)} s ${side} this clock`;
}
