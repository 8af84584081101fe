import { ServiceAuthConfigError } from './errors.js';
import { OptionReader, ProblemList } from './option-reader.js';
import { type IssuerDirectory, listedIssuers, type TrustedIssuer } from './issuers.js';
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
] as const satisfies (keyof TrustedIssuerOptions)[];

/** A prefix must end where a part of a URI ends: `https://census.service` begins `https://census.service.evil/` too. */
const SUBJECT_PREFIX = /^[A-Za-z][A-Za-z0-9+.-]*:(?:\S*[/:#?=])?$/;

/** Resolves the receiving half; undefined when the service trusts nobody, and so only sends. */
export async function resolveReceiving(
  reader: OptionReader,
  { issuer, maxBufferedBodyBytes }: CommonSettings,
  parts: SettingsParts,
): Promise<ReceivingSettings | undefined> {
  const audiences = new Set([issuer, ...reader.uris('audience')]);
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
  const replayStore =
    reader.port<ReplayStore>('replayStore', 'recordUse') ?? parts.createReplayStore();
  const requireKeysAtStart = reader.flag('requireKeysAtStart');
  const trustedIssuers = await resolveTrustedIssuers(reader, parts);
  return (
    trustedIssuers &&
    Object.freeze({
      audiences,
      realm: issuer,
      trustedIssuers,
      requireKeysAtStart,
      clockToleranceSeconds,
      maxTokenLifetimeSeconds: {
        strict: maxStrictSeconds,
        original: PROFILES.original.maxLifetimeSeconds,
      },
      publicPathPrefix,
      requiredHeaders,
      maxBufferedBodyBytes,
      refusalDetails,
      replayStore,
    })
  );
}

async function resolveTrustedIssuers(
  reader: OptionReader,
  parts: SettingsParts,
): Promise<IssuerDirectory | undefined> {
  const written = reader.raw('trustedIssuers');
  if (written !== undefined && !Array.isArray(written)) {
    const finder = reader.port<TrustedIssuerFinder>('trustedIssuers', 'find');
    return finder && findIssuersWith(finder, parts);
  }
  const list = reader.list('trustedIssuers', (item, problems) => ({ item, problems }));
  if (list === undefined) return undefined;
  if (list.length === 0) {
    reader.report('trustedIssuers', 'name at least one service, or leave it out');
  }
  const trusted = new Map<string, TrustedIssuer>();
  for (const { item, problems } of list) {
    const issuer = await resolveTrustedIssuer(item, problems, parts);
    if (issuer && trusted.has(issuer.issuer)) {
      problems.add('issuer', 'is listed twice; keep one');
    } else if (issuer) trusted.set(issuer.issuer, issuer);
  }
  return listedIssuers(trusted);
}

function findIssuersWith(finder: TrustedIssuerFinder, parts: SettingsParts): IssuerDirectory {
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
  parts: SettingsParts,
): Promise<TrustedIssuer | undefined> {
  const reader = new OptionReader(item, ISSUER_OPTION_NAMES, problems);
  const issuer = reader.uri('issuer');
  const profile = reader.word('profile', ['strict', 'original'], 'strict');
  const algorithms = reader.algorithms('algorithms');
  const subjects = reader.list('subjects', (prefix, found) => {
    if (typeof prefix === 'string' && SUBJECT_PREFIX.test(prefix)) return prefix;
    return found.add('', "write a URI prefix that ends in '/', ':', '#', '?' or '='");
  });
  const isConfigured = reader.raw('publicKey') !== undefined || reader.raw('keys') !== undefined;
  if (issuer === undefined && !isConfigured) return undefined;
  const keyOptions = {
    issuer: issuer ?? '',
    publicKey: reader.raw('publicKey') as TrustedIssuerOptions['publicKey'],
    keys: reader.raw('keys') as TrustedIssuerOptions['keys'],
    jwksUri: reader.raw('jwksUri') as TrustedIssuerOptions['jwksUri'],
    algorithms,
  };
  const keys = await problems.attempt(async () => await parts.createKeySource(keyOptions));
  if (issuer === undefined || keys === undefined) return undefined;
  return Object.freeze({ issuer, profile, keys, subjects });
}

function readPathPrefix(reader: OptionReader): string {
  const prefix = reader.raw('publicPathPrefix') ?? '';
  if (prefix === '' || (typeof prefix === 'string' && /^(?:\/[^/\s?#]+)+$/.test(prefix)))
    return prefix;
  reader.report('publicPathPrefix', "write a path without a final slash, such as '/census'");
  return '';
}
