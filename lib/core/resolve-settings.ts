import { ServiceAuthConfigError, ServiceAuthUsageError } from './errors.js';
import { NO_OBSERVER, type ServiceAuthObserver, tellAll } from './events.js';
import type { IssuerDirectory, TrustedIssuer } from './issuers.js';
import type { KeySource, SigningKeySource } from './keys.js';
import { OptionReader, ProblemList } from './option-reader.js';
import type { ServiceAuthOptions, TrustedIssuerFinder, TrustedIssuerOptions } from './options.js';
import type { ReplayStore } from './replay.js';
import { resolveReceiving } from './resolve-receiving.js';
import { resolveSending } from './resolve-sending.js';
import type { ServiceAuthSettings } from './settings.js';

/** What settings are built from besides options: the ports, filled by whoever puts the parts together. */
export interface SettingsParts {
  /** @throws ServiceAuthConfigError with `field: what to write`, the field relative to the issuer */
  createKeySource(options: TrustedIssuerOptions, common: KeyFetchSettings): Promise<KeySource>;
  /** Looks issuers up; `resolve` turns what is found into what is trusted. */
  createIssuerDirectory(
    finder: TrustedIssuerFinder,
    resolve: (options: TrustedIssuerOptions) => Promise<TrustedIssuer>,
    common: KeyFetchSettings,
  ): IssuerDirectory;
  /** @throws ServiceAuthConfigError with `field: what to write`, the field relative to `signingKey` */
  createSigningKeySource(options: unknown, common: KeyFetchSettings): Promise<SigningKeySource>;
  /** The store of a service that was given none. */
  createReplayStore(): ReplayStore;
}

/** What everything that fetches keys shares. */
export interface KeyFetchSettings {
  readonly allowInsecureKeyUrls: boolean;
  readonly maxStaleSeconds: number;
  /** Milliseconds of a clock that does not step, unless a clock was given. */
  readonly steadyNow: () => number;
  readonly observer: ServiceAuthObserver;
}

const OPTION_NAMES = [
  'issuer',
  'audience',
  'signingKey',
  'publishedKeys',
  'trustedIssuers',
  'allowInsecureKeyUrls',
  'requireKeysAtStart',
  'maxStaleSeconds',
  'targets',
  'unknownTargets',
  'subjectOutsideRequest',
  'tokenLifetimeSeconds',
  'maxTokenLifetimeSeconds',
  'clockToleranceSeconds',
  'publicPathPrefix',
  'signedHeaders',
  'requiredHeaders',
  'refusalDetails',
  'maxBufferedBodyBytes',
  'replayStore',
  'observer',
  'now',
  'monotonicNow',
] as const satisfies (keyof ServiceAuthOptions)[];

const MEBIBYTE = 1024 * 1024;

/**
 * Turns what users write into what the library reads, once, at start. On return every value is
 * checked and every default filled in.
 *
 * @throws ServiceAuthConfigError listing every problem, each as `field: what to write`
 */
export async function resolveSettings(
  options: ServiceAuthOptions,
  parts: SettingsParts,
): Promise<ServiceAuthSettings> {
  const problems = new ProblemList();
  const reader = new OptionReader(options, '', OPTION_NAMES, problems);
  const issuer = reader.uri('issuer') ?? '';
  const now = readClock(reader);
  const maxBufferedBodyBytes = reader.integer('maxBufferedBodyBytes', {
    from: 0,
    to: 1024 * MEBIBYTE,
    fallback: MEBIBYTE,
  });
  const monotonicNow = readMonotonicClock(reader);
  const keyFetch = readKeyFetchSettings(reader, now);
  const common = { issuer, maxBufferedBodyBytes, keyFetch };
  const receiving = await resolveReceiving(reader, common, parts, problems);
  const sending = await resolveSending(reader, common, parts, problems);
  if (reader.raw('signingKey') === undefined && reader.raw('trustedIssuers') === undefined) {
    problems.add(
      'trustedIssuers',
      'name the services that may call, or set signingKey to call others',
    );
  }
  if (problems.problems.length > 0) throw new ServiceAuthConfigError(problems.problems);
  const { observer } = keyFetch;
  return Object.freeze({ issuer, now, monotonicNow, receiving, sending, observer });
}

function readClock(reader: OptionReader): () => number {
  const now = reader.raw('now');
  if (now === undefined) return wallClock;
  if (typeof now === 'function') {
    const clock = now as () => unknown;
    return () => readTime(clock());
  }
  reader.report('now', 'write a function that answers milliseconds since the epoch');
  return wallClock;
}

/** Reads `Date.now` at each call: fake timers of a test replace it after the application was made. */
function wallClock(): number {
  return Date.now();
}

/** Every comparison with NaN is false, so that a clock that says nothing would let everything pass. */
function readTime(milliseconds: unknown): number {
  if (typeof milliseconds === 'number' && Number.isFinite(milliseconds)) return milliseconds;
  throw new ServiceAuthUsageError('The option `now` answered no finite number of milliseconds.');
}

function readMonotonicClock(reader: OptionReader): () => number {
  const now = reader.raw('monotonicNow');
  if (typeof now === 'function') return now as () => number;
  if (now !== undefined)
    reader.report('monotonicNow', 'write a function that answers milliseconds');
  return () => performance.now();
}

const DAY_SECONDS = 24 * 60 * 60;

function readKeyFetchSettings(reader: OptionReader, now: () => number): KeyFetchSettings {
  return Object.freeze({
    allowInsecureKeyUrls: reader.flag('allowInsecureKeyUrls'),
    maxStaleSeconds: reader.integer('maxStaleSeconds', {
      from: 0,
      to: 7 * DAY_SECONDS,
      fallback: DAY_SECONDS,
    }),
    steadyNow: reader.raw('now') === undefined ? () => performance.now() : now,
    observer: readObserver(reader),
  });
}

/** Without one, or with none in the list, nobody listens. */
function readObserver(reader: OptionReader): ServiceAuthObserver {
  if (!Array.isArray(reader.raw('observer'))) {
    return reader.port<ServiceAuthObserver>('observer', 'observe') ?? NO_OBSERVER;
  }
  return tellAll(reader.ports<ServiceAuthObserver>('observer', 'observe'));
}
