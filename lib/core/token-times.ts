import type { ServiceClaims } from './claims.js';
import { refuse } from './errors.js';
import type { Profile } from './profiles.js';
import type { ReceivingSettings } from './settings.js';

/**
 * Asserts that the token is valid at `nowMilliseconds`, and was never meant to live longer than the
 * profile allows. A time that the token does not have is not looked at: the profile has asked for
 * those it needs.
 *
 * @throws ServiceTokenRefusedError `token_expired`, `token_not_yet_valid`, `claim_invalid`,
 *   `lifetime_too_long`
 * @see RFC 7519 sections 4.1.4 to 4.1.6
 */
export function assertTimes(
  claims: ServiceClaims,
  profile: Profile,
  settings: Pick<ReceivingSettings, 'clockToleranceSeconds' | 'maxTokenLifetimeSeconds'>,
  nowMilliseconds: number,
): void {
  const now = nowMilliseconds / 1000;
  const tolerance = settings.clockToleranceSeconds;
  const { expiresAtSeconds: exp, issuedAtSeconds: iat, notBeforeSeconds: nbf } = claims;

  if (exp !== undefined && exp + tolerance <= now) refuse('token_expired');
  if (iat !== undefined && iat - tolerance > now) refuse('token_not_yet_valid', 'iat');
  if (exp !== undefined) {
    if (iat !== undefined && exp <= iat) refuse('claim_invalid', 'exp is not after iat');
    if (nbf !== undefined && exp < nbf) refuse('claim_invalid', 'exp is before nbf');
    if (iat !== undefined)
      assertLifetime(iat, exp, settings.maxTokenLifetimeSeconds[profile], now - tolerance);
  }
  if (nbf !== undefined && nbf - tolerance > now) refuse('token_not_yet_valid', 'nbf');
}

function assertLifetime(iat: number, exp: number, longest: number, now: number): void {
  if (iat + longest <= now) refuse('token_expired', 'issued longer ago than a token may live');
  if (exp - iat > longest) refuse('lifetime_too_long');
}
