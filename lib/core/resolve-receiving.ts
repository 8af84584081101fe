import { ServiceAuthConfigError } from './errors.js';
import {
  readOriginators,
  readSubjectProof,
  resolveGrants,
  sharedPrefix,
} from './grants/resolve-originators.js';
import { OptionReader, ProblemList } from './option-reader.js';
import { shown } from './option-words.js';
import { type IssuerDirectory, listedIssuers, type TrustedIssuer } from './issuers.js';
import {
  type CallTransport,
  DEFAULT_MAX_MESSAGE_SECONDS,
  MAX_DELAY_SECONDS,
  TRANSPORTS,
} from './messages/message.js';
import type { TrustedIssuerFinder, TrustedIssuerOptions } from './options.js';
import { PROFILES } from './profiles.js';
import type { ReplayStore } from './replay.js';
import type { ReceivingSettings } from './settings.js';
import type { CommonSettings, SettingsParts } from './settings-parts.js';

const ISSUER_OPTION_NAMES = [
  'issuer',
  'publicKey',
  'keys',
  'jwksUri',
  'algorithms',
  'profile',
  'subjects',
  'subjectProof',
  'transports',
  'messages',
] as const satisfies (keyof TrustedIssuerOptions)[];

/** Resolves the receiving half; undefined if the service trusts no issuer, and so only sends. */
export async function resolveReceiving(
  reader: OptionReader,
  common: CommonSettings,
  parts: SettingsParts,
): Promise<ReceivingSettings | undefined> {
  const { issuer, maxBufferedBodyBytes, trustDomain } = common;
  const audiences = new Set([issuer, ...reader.uris('audience')]);
  const limits = { ...readLimits(reader), ...readMessageLimits(reader) };
  const replayStore =
    reader.port<ReplayStore>('replayStore', 'recordUse') ?? parts.createReplayStore();
  const requireKeysAtStart = reader.flag('requireKeysAtStart');
  const written = readOriginators(reader, common);
  const originated = written?.flatMap(({ subjects }) => subjects);
  const trustedIssuers = await resolveTrustedIssuers(reader, parts, originated);
  const grants = await resolveGrants(reader, written, {
    ...parts,
    trustDomain,
    keysOfTrusted: (name) => findListed(name, trustedIssuers)?.keys,
  });
  return (
    trustedIssuers &&
    Object.freeze({
      ...limits,
      audiences,
      realm: issuer,
      trustedIssuers,
      requireKeysAtStart,
      maxBufferedBodyBytes,
      replayStore,
      grants,
    })
  );
}

/** Reads the limits of requests. */
function readLimits(reader: OptionReader) {
  const requiredHeaders = reader.headerNames('requiredHeaders');
  const publicPathPrefix = readPathPrefix(reader);
  const refusalDetails = reader.word('refusalDetails', ['brief', 'full'], 'brief');
  const clockToleranceSeconds = reader.integer('clockToleranceSeconds', {
    from: 0,
    to: 60,
    fallback: 5,
  });
  const maxStrictSeconds = reader.integer('maxTokenLifetimeSeconds', {
    from: 1,
    to: 3600,
    fallback: PROFILES.strict.maxLifetimeSeconds,
  });
  const maxTokenLifetimeSeconds = {
    strict: maxStrictSeconds,
    original: PROFILES.original.maxLifetimeSeconds,
  };
  return {
    requiredHeaders,
    publicPathPrefix,
    refusalDetails,
    clockToleranceSeconds,
    maxTokenLifetimeSeconds,
  };
}

/** What events and jobs are measured by. */
function readMessageLimits(reader: OptionReader) {
  const maxMessageLifetimeSeconds = reader.integer('maxMessageLifetimeSeconds', {
    from: 1,
    to: MAX_DELAY_SECONDS,
    fallback: DEFAULT_MAX_MESSAGE_SECONDS,
  });
  return { maxMessageLifetimeSeconds, topics: new Set(reader.uris('topics')) };
}

/** Of issuers that are looked up at run time, none is listed. */
function findListed(name: string, issuers: IssuerDirectory | undefined): TrustedIssuer | undefined {
  return [...(issuers?.known() ?? [])].find(({ issuer }) => issuer === name);
}

async function resolveTrustedIssuers(
  reader: OptionReader,
  parts: SettingsParts,
  originated: readonly string[] | undefined,
): Promise<IssuerDirectory | undefined> {
  const written = reader.raw('trustedIssuers');
  if (written !== undefined && !Array.isArray(written)) {
    const finder = reader.port<TrustedIssuerFinder>('trustedIssuers', 'find');
    return finder && findIssuersWith(finder, { ...parts, originated });
  }
  const list = reader.list('trustedIssuers', (item, problems) => ({ item, problems }));
  if (list === undefined) return undefined;
  if (list.length === 0) {
    reader.report('trustedIssuers', 'name at least one service, or leave it out');
  }
  const trusted = new Map<string, TrustedIssuer>();
  for (const { item, problems } of list) {
    const issuer = await resolveTrustedIssuer(item, problems, { ...parts, originated });
    if (issuer) assertSaysWhatIsProved(issuer, problems, originated);
    if (issuer && trusted.has(issuer.issuer)) {
      problems.add('issuer', 'is listed twice; keep one');
    } else if (issuer) trusted.set(issuer.issuer, issuer);
  }
  return listedIssuers(trusted);
}

/** Asserts that each issuer has a `subjectProof`: the weakest issuer decides what grants prove. */
function assertSaysWhatIsProved(
  { subjects, subjectProof }: TrustedIssuer,
  problems: ProblemList,
  originated: readonly string[] | undefined,
): void {
  const prefix = subjectProof ? undefined : sharedPrefix(subjects, originated ?? []);
  if (prefix === undefined) return;
  const what = "write { mode: 'off' }, { mode: 'report' } or { mode: 'required', withoutSubject }";
  problems.add(
    'subjectProof',
    `${what}: originators vouch for ${shown(prefix)}, for which it may speak`,
  );
}

/** What the resolution of a trusted issuer needs besides its options. */
interface IssuerParts extends SettingsParts {
  /** The prefixes of users that originators vouch for; undefined if there are no originators. */
  readonly originated: readonly string[] | undefined;
}

function findIssuersWith(finder: TrustedIssuerFinder, parts: IssuerParts): IssuerDirectory {
  const resolve = async (options: TrustedIssuerOptions): Promise<TrustedIssuer> => {
    const problems = new ProblemList('found');
    const issuer = await resolveTrustedIssuer(options, problems, parts);
    if (!issuer || problems.problems.length > 0)
      throw new ServiceAuthConfigError(problems.problems);
    return issuer;
  };
  return parts.createIssuerDirectory(finder, resolve);
}

async function resolveTrustedIssuer(
  item: unknown,
  problems: ProblemList,
  { originated, ...parts }: IssuerParts,
): Promise<TrustedIssuer | undefined> {
  const reader = new OptionReader(item, ISSUER_OPTION_NAMES, problems);
  const issuer = reader.uri('issuer');
  const profile = reader.word('profile', ['strict', 'original'], 'strict');
  const subjects = reader.subjectPrefixes('subjects');
  const subjectProof = readSubjectProof(reader, { profile, subjects, originated });
  const isConfigured = reader.raw('publicKey') !== undefined || reader.raw('keys') !== undefined;
  const transports = readTransports(reader);
  const messageBodies = readMessageBodies(reader);
  const keyOptions = { issuer: issuer ?? '', ...reader.keyOptions() };
  if (issuer === undefined && !isConfigured) return undefined;
  const keys = await problems.attempt(async () => await parts.createKeySource(keyOptions));
  if (issuer === undefined || keys === undefined) return undefined;
  return Object.freeze({
    issuer,
    profile,
    keys,
    subjects,
    subjectProof,
    transports,
    messageBodies,
  });
}

function readTransports(reader: OptionReader): ReadonlySet<CallTransport> {
  const what = `write a list of ${TRANSPORTS.map(shown).join(', ')}`;
  return new Set(reader.value('transports', isTransports, what) ?? TRANSPORTS);
}

function isTransports(value: unknown): value is CallTransport[] {
  const known: ReadonlySet<unknown> = new Set(TRANSPORTS);
  return Array.isArray(value) && value.length > 0 && value.every((each) => known.has(each));
}

function readMessageBodies(options: OptionReader): 'json' | 'raw' {
  const problems = options.problems.under('messages');
  const written = new OptionReader(options.raw('messages') ?? {}, ['bodies'], problems);
  return written.word('bodies', ['json', 'raw'], 'json');
}

function readPathPrefix(reader: OptionReader): string {
  const prefix = reader.raw('publicPathPrefix') ?? '';
  if (prefix === '' || (typeof prefix === 'string' && /^(?:\/[^/\s?#]+)+$/.test(prefix)))
    return prefix;
  reader.report('publicPathPrefix', "write a path without a final slash, such as '/census'");
  return '';
}
