import { isHashAvailable } from './body-hash.js';
import { OptionReader, type ProblemList } from './option-reader.js';
import type { PublishedKeysOptions, TargetOptions } from './options.js';
import { kindOf, shown, travellingSpelling } from './option-words.js';
import { PROFILES } from './profiles.js';
import { isServiceUri, parseUrl } from './service-uri.js';
import type { PublishedKeysSettings, SendingSettings, Target } from './settings.js';
import type { CommonSettings, SettingsParts } from './settings-parts.js';

const HOW_TO_WRITE_KEY =
  "write { keyFile: 'herald.pem' }, { privateKey }, or { current, next, previous }";

const TARGET_OPTION_NAMES = [
  'baseUrl',
  'audience',
  'profile',
  'signing',
] as const satisfies (keyof TargetOptions)[];

/** Resolves the sending half; undefined when the service has no key, and so only receives. */
export async function resolveSending(
  reader: OptionReader,
  common: CommonSettings,
  parts: SettingsParts,
): Promise<SendingSettings | undefined> {
  const unknownTargets = reader.word('unknownTargets', ['refuse', 'send-unsigned'], 'refuse');
  const subjectOutsideRequest = reader.word(
    'subjectOutsideRequest',
    ['refuse', 'act-as-itself'],
    'refuse',
  );
  const tokenLifetimeSeconds = reader.integer('tokenLifetimeSeconds', {
    from: 1,
    to: 300,
    fallback: 60,
  });
  const signedHeaders = reader.headerNames('signedHeaders');
  const publishedKeys = readPublishedKeys(reader);
  const targets = resolveTargets(reader);
  const signingKey = reader.raw('signingKey');
  if (signingKey === undefined) {
    if (targets) reader.report('signingKey', 'set the private key that signs, or remove targets');
    return undefined;
  }
  if (!targets) reader.report('targets', 'name the services to call, or remove signingKey');
  if (typeof signingKey !== 'function' && !isObject(signingKey)) {
    return reader.report('signingKey', `${kindOf(signingKey)}; ${HOW_TO_WRITE_KEY}`);
  }
  const signingKeys = await reader.problems
    .under('signingKey')
    .attempt(async () => await parts.createSigningKeySource(signingKey));
  return (
    signingKeys &&
    Object.freeze({
      signingKeys,
      publishedKeys,
      targets: targets ?? [],
      unknownTargets,
      tokenLifetimeSeconds,
      signedHeaders,
      subjectOutsideRequest,
      maxBufferedBodyBytes: common.maxBufferedBodyBytes,
    })
  );
}

const PUBLISHED_KEYS_NAMES = [
  'path',
  'maxAgeSeconds',
] as const satisfies (keyof PublishedKeysOptions)[];

function readPublishedKeys(options: OptionReader): PublishedKeysSettings | undefined {
  const written = options.raw('publishedKeys') ?? {};
  if (written === 'off') return undefined;
  const problems = options.problems.under('publishedKeys');
  const reader = new OptionReader(written, PUBLISHED_KEYS_NAMES, problems);
  const what = "write a path such as '/.well-known/jwks.json'";
  const path = reader.value('path', isPath, what) ?? '/.well-known/jwks.json';
  const maxAgeSeconds = reader.integer('maxAgeSeconds', { from: 60, to: 3600, fallback: 600 });
  return { path, maxAgeSeconds };
}

function isPath(path: unknown): path is string {
  return typeof path === 'string' && /^(?:\/[A-Za-z0-9._~-]+)+$/.test(path);
}

function resolveTargets(reader: OptionReader): Target[] | undefined {
  const targets = reader.list('targets', resolveTarget);
  if (reader.isEmptyList('targets'))
    reader.report('targets', 'name at least one service, or leave it out');
  const places = new Set<string>();
  for (const { origin, pathPrefix } of targets ?? []) {
    const place = origin + pathPrefix;
    if (places.has(place)) reader.report('targets', `${place} is listed twice; keep one`);
    places.add(place);
  }
  return targets?.toSorted((one, other) => other.pathPrefix.length - one.pathPrefix.length);
}

/** The default of the audience, so it is spelt as the service spells its own name. */
function readBaseUrl(reader: OptionReader): string | undefined {
  const written = reader.raw('baseUrl');
  if (reader.raw('audience') !== undefined && isSpeltOtherwise(written))
    return new URL(written).href;
  const baseUrl = reader.uri('baseUrl');
  const spelling = baseUrl === undefined ? undefined : travellingSpelling(baseUrl);
  if (spelling === baseUrl || reader.raw('audience') !== undefined) return baseUrl;
  const flaw = `${shown(baseUrl ?? '')} is sent in another spelling`;
  return reader.report('baseUrl', `${flaw}: write ${shown(spelling ?? '')}, or set audience`);
}

/** Whether clients change the spelling of this URL to that of a service URI, such as `HTTP://` to `http://`. */
function isSpeltOtherwise(written: unknown): written is string {
  const url = typeof written === 'string' ? parseUrl(written) : undefined;
  if (!url) return false;
  const { href, search, hash, username, password } = url;
  return [search, hash, username, password].join('') === '' && isServiceUri(href);
}

function resolveTarget(item: unknown, problems: ProblemList): Target | undefined {
  const reader = new OptionReader(item, TARGET_OPTION_NAMES, problems);
  const baseUrl = readBaseUrl(reader);
  const audience = reader.raw('audience') === undefined ? baseUrl : reader.uri('audience');
  const profile = reader.word('profile', ['strict', 'original'], 'strict');
  const signing = reader.word('signing', ['required', 'best-effort'], 'required');
  const { bodyHash } = PROFILES[profile];
  if (!isHashAvailable(bodyHash)) {
    reader.report('profile', `write another: this process has no ${bodyHash} (FIPS mode?)`);
  }
  if (baseUrl === undefined || audience === undefined) return undefined;
  const { origin, pathname } = new URL(baseUrl);
  const pathPrefix = pathname.endsWith('/') ? pathname : `${pathname}/`;
  return Object.freeze({ origin, pathPrefix, audience, profile, signing });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
