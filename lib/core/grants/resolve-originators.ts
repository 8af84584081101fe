import type { KeySource } from '../keys.js';
import { OptionReader, type ProblemList } from '../option-reader.js';
import type { OriginatorOptions, SubjectProofOptions } from '../options.js';
import type { CommonSettings, SettingsParts } from '../settings-parts.js';
import { isScopeToken, LONGEST_GRANT_SECONDS } from './grant-claims.js';
import {
  DEFAULT_MAX_AGE_SECONDS,
  type GrantSettings,
  NO_PROOF,
  type Originator,
  type SubjectProof,
} from './grant-settings.js';

const ORIGINATOR_OPTION_NAMES = [
  'issuer',
  'publicKey',
  'keys',
  'jwksUri',
  'algorithms',
  'subjects',
  'scopes',
] as const satisfies (keyof OriginatorOptions)[];

const SUBJECT_PROOF_NAMES = [
  'mode',
  'withoutSubject',
  'maxAgeSeconds',
] as const satisfies (keyof SubjectProofOptions)[];

const DAY_SECONDS = 86_400;

/** An originator as the options have it, before its keys are resolved. */
export interface WrittenOriginator extends Omit<Originator, 'keys'> {
  readonly reader: OptionReader;
}

/** Reads the originators; undefined if there are none. */
export function readOriginators(
  reader: OptionReader,
  { trustDomain }: CommonSettings,
): readonly WrittenOriginator[] | undefined {
  const written = reader.list('originators', readOriginator);
  if (written === undefined) return undefined;
  if (reader.isEmptyList('originators')) {
    reader.report('originators', 'name at least one service, or leave it out');
  }
  if (trustDomain === undefined && reader.raw('trustDomain') === undefined) {
    const what = "write the name of this environment, such as 'https://prod.example.org/'";
    reader.report('trustDomain', `${what}; originators needs it`);
  }
  return written;
}

function readOriginator(item: unknown, problems: ProblemList): WrittenOriginator | undefined {
  const reader = new OptionReader(item, ORIGINATOR_OPTION_NAMES, problems);
  const issuer = reader.uri('issuer');
  const subjects = reader.subjectPrefixes('subjects') ?? [];
  if (subjects.length === 0) {
    reader.report(
      'subjects',
      "write the prefixes of the users it may vouch for, each ending in '/'",
    );
  }
  const scopes = reader.list('scopes', (scope, found) =>
    isScopeToken(scope) ? scope : found.add('', "write a scope without spaces, as 'digest:send'"),
  );
  if (issuer === undefined) return undefined;
  return { issuer, subjects, scopes: scopes && new Set(scopes), reader };
}

/** What the resolution of originators needs besides the options. */
export interface OriginatorParts extends SettingsParts {
  /** The keys of the listed trusted issuer with that name. */
  keysOfTrusted(issuer: string): KeySource | undefined;
}

/** Resolves the keys of each originator. Undefined if there are no originators, or the options have problems. */
export async function resolveGrants(
  reader: OptionReader,
  written: readonly WrittenOriginator[] | undefined,
  parts: OriginatorParts & Pick<CommonSettings, 'trustDomain'>,
): Promise<GrantSettings | undefined> {
  const maxLifetimeSeconds = reader.integer('maxGrantLifetimeSeconds', {
    from: 1,
    to: LONGEST_GRANT_SECONDS,
    fallback: DAY_SECONDS,
  });
  if (written === undefined) return undefined;
  const originators = new Map<string, Originator>();
  for (const originator of written) {
    const { issuer, subjects, scopes } = originator;
    const keys = await keysOf(originator, parts);
    if (originators.has(issuer)) originator.reader.report('issuer', 'is listed twice; keep one');
    else if (keys) originators.set(issuer, Object.freeze({ issuer, keys, subjects, scopes }));
  }
  const { trustDomain = '' } = parts;
  return Object.freeze({ trustDomain, originators, maxLifetimeSeconds });
}

async function keysOf(
  { issuer, reader }: WrittenOriginator,
  parts: OriginatorParts,
): Promise<KeySource | undefined> {
  const isWritten = ['publicKey', 'keys', 'jwksUri', 'algorithms'].some(
    (name) => reader.raw(name) !== undefined,
  );
  const shared = isWritten ? undefined : parts.keysOfTrusted(issuer);
  const keyOptions = { issuer, ...reader.keyOptions() };
  return (
    shared ?? (await reader.problems.attempt(async () => await parts.createKeySource(keyOptions)))
  );
}

/** A prefix of users that an originator vouches for and the issuer may speak for; undefined if there is none. */
export function sharedPrefix(
  subjects: readonly string[] | undefined,
  originated: readonly string[],
): string | undefined {
  return originated.find(
    (prefix) =>
      subjects === undefined ||
      subjects.some((own) => own.startsWith(prefix) || prefix.startsWith(own)),
  );
}

/** An issuer whose options are being read. */
export interface ReadIssuer {
  readonly profile: 'strict' | 'original';
  readonly subjects: readonly string[] | undefined;
  /** The prefixes of users that originators vouch for; undefined if there are no originators. */
  readonly originated: readonly string[] | undefined;
}

/**
 * Reads what proof an issuer needs besides a valid token.
 *
 * @returns undefined if the issuer has no `subjectProof` although an originator vouches for users whom it may speak
 *   for
 */
export function readSubjectProof(
  reader: OptionReader,
  { profile, subjects, originated }: ReadIssuer,
): SubjectProof | undefined {
  const written = reader.raw('subjectProof');
  if (written === undefined) {
    return sharedPrefix(subjects, originated ?? []) === undefined ? NO_PROOF : undefined;
  }
  const proof = readWritten(
    new OptionReader(written, SUBJECT_PROOF_NAMES, reader.problems.under('subjectProof')),
  );
  if (proof.mode !== 'off' && originated === undefined) {
    reader.report('subjectProof', 'name the `originators` of this service, or remove it');
  }
  if (proof.mode !== 'off' && profile === 'original') {
    const why = 'tokens in the original profile bind no request';
    reader.report('subjectProof', `${why}; write { mode: 'off' }, or profile: 'strict'`);
  }
  return proof;
}

function readWritten(reader: OptionReader): SubjectProof {
  const mode = reader.word('mode', ['off', 'report', 'required'], 'required');
  if (reader.raw('mode') === undefined)
    reader.report('mode', "write 'off', 'report' or 'required'");
  const withoutSubject = reader.word('withoutSubject', ['allowed', 'refused'], 'allowed');
  if (mode === 'required' && reader.raw('withoutSubject') === undefined) {
    const what = "write 'allowed' if the issuer may act for itself, else 'refused'";
    reader.report('withoutSubject', what);
  }
  if (mode === 'off' && reader.raw('withoutSubject') !== undefined) {
    reader.report('withoutSubject', "remove it: mode 'off' asks for nothing");
  }
  const maxAgeSeconds = reader.integer('maxAgeSeconds', {
    from: 1,
    to: LONGEST_GRANT_SECONDS,
    fallback: DEFAULT_MAX_AGE_SECONDS,
  });
  return Object.freeze({ mode, withoutSubject, maxAgeSeconds });
}
