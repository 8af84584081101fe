import { LONGEST_GRANT_SECONDS } from '../core/grants/grant-claims.js';
import { DEFAULT_MAX_LIFETIME_SECONDS } from '../core/grants/resolve-originate.js';
import type { UncheckedOptions } from './configuration-module.js';

/**
 * The longest lifetime that this service gives a grant, in seconds: 0 if it makes none, undefined if the options do
 * not say.
 */
export function longestGrantSeconds({ originate }: UncheckedOptions): number | undefined {
  if (originate === undefined) return 0;
  const { maxLifetimeSeconds = DEFAULT_MAX_LIFETIME_SECONDS } = Object(originate) as {
    maxLifetimeSeconds?: unknown;
  };
  return isGrantLifetime(maxLifetimeSeconds) ? maxLifetimeSeconds : undefined;
}

/** Whether this is a valid lifetime of a grant. */
export function isGrantLifetime(seconds: unknown): seconds is number {
  return (
    typeof seconds === 'number' &&
    Number.isInteger(seconds) &&
    seconds >= 1 &&
    seconds <= LONGEST_GRANT_SECONDS
  );
}
