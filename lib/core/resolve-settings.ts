import { ServiceAuthUsageError } from './errors.js';
import { NO_OBSERVER, type ServiceAuthObserver, tellAll } from './events.js';
import { isTrustDomain } from './grants/grant-claims.js';
import { OptionReader } from './option-reader.js';
import { shown } from './option-words.js';
import type { ServiceAuthOptions } from './options.js';
import { resolveReceiving } from './resolve-receiving.js';
import { resolveSending } from './resolve-sending.js';
import type { ServiceAuthSettings } from './settings.js';
import type { KeyFetchSettings, SettingsParts } from './settings-parts.js';

const OPTION_NAMES = [
  'issuer',
  'audience',
  'trustDomain',
  'originators',
  'maxGrantLifetimeSeconds',
  'originate',
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
  'messageLifetimeSeconds',
  'jobLifetimeSeconds',
  'maxTokenLifetimeSeconds',
  'maxMessageLifetimeSeconds',
  'topics',
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
 * Turns options into settings, once, at start. In the result every value is checked and every default filled in.
 *
 * @param fillParts creates the ports, given the settings for fetching keys
 * @throws ServiceAuthConfigError listing every problem, each as `field: what to write`
 */
export async function resolveSettings(
  options: ServiceAuthOptions,
  fillParts: (keyFetch: KeyFetchSettings) => SettingsParts,
): Promise<ServiceAuthSettings> {
  const reader = new OptionReader(options, OPTION_NAMES);
  const issuer = reader.uri('issuer') ?? '';
  const now = readClock(reader);
  const maxBufferedBodyBytes = reader.integer('maxBufferedBodyBytes', {
    from: 0,
    to: 1024 * MEBIBYTE,
    fallback: MEBIBYTE,
  });
  const monotonicNow = reader.monotonicClock('monotonicNow');
  const keyFetch = readKeyFetchSettings(reader, now);
  const parts = fillParts(keyFetch);
  const trustDomain = readTrustDomain(reader);
  const common = { issuer, maxBufferedBodyBytes, trustDomain };
  const receiving = await resolveReceiving(reader, common, parts);
  const sending = await resolveSending(reader, common, parts);
  if (reader.raw('signingKey') === undefined && reader.raw('trustedIssuers') === undefined) {
    reader.report(
      'trustedIssuers',
      'name the services that may call, or set signingKey to call others',
    );
  }
  assertOwnTopics(reader, { issuer, receiving, sending, trustDomain });
  assertOwnDomain(reader, trustDomain, namesOf({ issuer, receiving, sending }));
  reader.problems.assertNone();
  const { observer } = keyFetch;
  return Object.freeze({ issuer, now, monotonicNow, receiving, sending, observer, keyFetch });
}

function readTrustDomain(reader: OptionReader): string | undefined {
  const what = 'write 1 to 256 visible ASCII characters';
  return reader.value('trustDomain', isTrustDomain, what);
}

interface NamedSettings extends Pick<ServiceAuthSettings, 'issuer' | 'receiving' | 'sending'> {
  readonly trustDomain?: string | undefined;
}

/** Every name of a service that occurs in these settings. */
function namesOf({ issuer, receiving, sending }: NamedSettings): Set<string> {
  return new Set([
    issuer,
    ...(receiving?.audiences ?? []),
    ...[...(receiving?.trustedIssuers.known() ?? [])].map((trusted) => trusted.issuer),
    ...(receiving?.grants?.originators.keys() ?? []),
    ...(sending?.targets ?? []).map(({ audience }) => audience),
  ]);
}

/** Asserts that a grant, which every service accepts, cannot pass for a token to one service. */
function assertOwnDomain(
  reader: OptionReader,
  trustDomain: string | undefined,
  names: ReadonlySet<string>,
): void {
  if (trustDomain === undefined || !names.has(trustDomain)) return;
  const what = "write another name than that of a service, such as 'https://prod.example.org/'";
  reader.report('trustDomain', `${shown(trustDomain)} is the name of a service; ${what}`);
}

/** An event for everybody must not pass for one to a service, nor a token for a grant. */
function assertOwnTopics(reader: OptionReader, settings: NamedSettings): void {
  const { trustDomain } = settings;
  const names = namesOf(settings);
  for (const topic of settings.receiving?.topics ?? []) {
    if (!names.has(topic) && topic !== trustDomain) continue;
    reader.report(
      'topics',
      `${shown(topic)} is the name of a service or trust domain; write another`,
    );
  }
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

/** Reads `Date.now` at each call: tests with fake timers replace it after the application is created. */
function wallClock(): number {
  return Date.now();
}

/** Every comparison with NaN is false: a clock that returns NaN would let every token pass. */
function readTime(milliseconds: unknown): number {
  if (typeof milliseconds === 'number' && Number.isFinite(milliseconds)) return milliseconds;
  throw new ServiceAuthUsageError('The option `now` answered no finite number of milliseconds.');
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

/** Without an observer, or with an empty list, no events are emitted. */
function readObserver(reader: OptionReader): ServiceAuthObserver {
  if (!Array.isArray(reader.raw('observer'))) {
    return reader.port<ServiceAuthObserver>('observer', 'observe') ?? NO_OBSERVER;
  }
  return tellAll(reader.ports<ServiceAuthObserver>('observer', 'observe'));
}
