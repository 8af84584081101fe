import { OptionReader } from '../option-reader.js';
import type { OriginateOptions } from '../options.js';
import type { CommonSettings } from '../settings-parts.js';
import { LONGEST_GRANT_SECONDS } from './grant-claims.js';
import { DEFAULT_MAX_AGE_SECONDS, type OriginateSettings } from './grant-settings.js';

const ORIGINATE_NAMES = [
  'subjects',
  'lifetimeSeconds',
  'maxLifetimeSeconds',
] as const satisfies (keyof OriginateOptions)[];

/** The default of the longest lifetime that `originate` may give a grant, in seconds. */
export const DEFAULT_MAX_LIFETIME_SECONDS = 86_400;

/** Reads how this service makes grants; undefined if it makes none. */
export function readOriginate(
  options: OptionReader,
  { trustDomain }: CommonSettings,
): OriginateSettings | undefined {
  const written = options.raw('originate');
  if (written === undefined) return undefined;
  const reader = new OptionReader(written, ORIGINATE_NAMES, options.problems.under('originate'));
  const subjects = reader.subjectPrefixes('subjects') ?? [];
  if (subjects.length === 0) {
    reader.report(
      'subjects',
      "write the prefixes of the users it authenticates, each ending in '/'",
    );
  }
  const range = { from: 1, to: LONGEST_GRANT_SECONDS };
  const maxLifetimeSeconds = reader.integer('maxLifetimeSeconds', {
    ...range,
    fallback: DEFAULT_MAX_LIFETIME_SECONDS,
  });
  const lifetimeSeconds = reader.integer('lifetimeSeconds', {
    ...range,
    fallback: Math.min(DEFAULT_MAX_AGE_SECONDS, maxLifetimeSeconds),
  });
  if (lifetimeSeconds > maxLifetimeSeconds) {
    reader.report(
      'lifetimeSeconds',
      `write at most maxLifetimeSeconds, which is ${maxLifetimeSeconds}`,
    );
  }
  assertComplete(options, trustDomain);
  return Object.freeze({ subjects, lifetimeSeconds, maxLifetimeSeconds });
}

function assertComplete(options: OptionReader, trustDomain: string | undefined): void {
  if (trustDomain === undefined && options.raw('trustDomain') === undefined) {
    const what = "write the name of this environment, such as 'https://prod.example.org/'";
    options.report('trustDomain', `${what}; originate needs it`);
  }
  if (options.raw('signingKey') === undefined) {
    options.report('signingKey', 'set the private key that signs grants, or remove originate');
  }
}
