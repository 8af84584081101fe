import { isHashAvailable } from './body-hash.js';
import { isTrustDomain } from './grants/grant-claims.js';
import { readOriginate } from './grants/resolve-originate.js';
import type { SigningKeySource } from './keys.js';
import { MAX_DELAY_SECONDS } from './messages/message.js';
import { OptionReader } from './option-reader.js';
import type { PublishedKeysOptions, TargetOptions } from './options.js';
import { kindOf, shown, travellingSpelling } from './option-words.js';
import { PROFILES } from './profiles.js';
import { isServiceUri, parseUrl } from './service-uri.js';
import type { PublishedKeysSettings, SendingSettings, Target } from './settings.js';
import type { CommonSettings, SettingsParts } from './settings-parts.js';

const HOW_TO_WRITE_KEY =
  "write { keyFile: '<path>' }, { privateKey }, or { current, next, previous }";

const TARGET_OPTION_NAMES = [
  'baseUrl',
  'audience',
  'profile',
  'signing',
  'grants',
  'trustDomain',
] as const satisfies (keyof TargetOptions)[];

/** Resolves the sending half; undefined if the service has no key, and so only receives. */
export async function resolveSending(
  reader: OptionReader,
  common: CommonSettings,
  parts: SettingsParts,
): Promise<SendingSettings | undefined> {
  const choices = readChoices(reader);
  const publishedKeys = readPublishedKeys(reader);
  const targets = resolveTargets(reader, common);
  const originate = readOriginate(reader, common);
  const signingKeys = await readSigningKey(reader, { parts, hasTargets: targets !== undefined });
  const { trustDomain, maxBufferedBodyBytes } = common;
  return (
    signingKeys &&
    Object.freeze({
      ...choices,
      signingKeys,
      publishedKeys,
      targets: targets ?? [],
      maxBufferedBodyBytes,
      trustDomain,
      originate,
    })
  );
}

function readChoices(reader: OptionReader) {
  return {
    unknownTargets: reader.word('unknownTargets', ['refuse', 'send-unsigned'], 'refuse'),
    subjectOutsideRequest: reader.word(
      'subjectOutsideRequest',
      ['refuse', 'act-as-itself'],
      'refuse',
    ),
    tokenLifetimeSeconds: reader.integer('tokenLifetimeSeconds', {
      from: 1,
      to: 300,
      fallback: 60,
    }),
    messageLifetimeSeconds: reader.integer('messageLifetimeSeconds', {
      from: 1,
      to: MAX_DELAY_SECONDS,
      fallback: 600,
    }),
    jobLifetimeSeconds: reader.integer('jobLifetimeSeconds', {
      from: 1,
      to: MAX_DELAY_SECONDS,
      fallback: 3600,
    }),
    signedHeaders: reader.headerNames('signedHeaders'),
  };
}

/** Undefined if the service has no key, and so only receives. */
async function readSigningKey(
  reader: OptionReader,
  { parts, hasTargets }: { readonly parts: SettingsParts; readonly hasTargets: boolean },
): Promise<SigningKeySource | undefined> {
  const signingKey = reader.raw('signingKey');
  if (signingKey === undefined) {
    if (hasTargets)
      reader.report('signingKey', 'set the private key that signs, or remove targets');
    return undefined;
  }
  // Without targets, every request would be sent without a token.
  if (!hasTargets && reader.raw('unknownTargets') === 'send-unsigned') {
    reader.report(
      'targets',
      "name the services to call: unknownTargets 'send-unsigned' needs them",
    );
  }
  if (typeof signingKey !== 'function' && !isObject(signingKey)) {
    return reader.report('signingKey', `${kindOf(signingKey)}; ${HOW_TO_WRITE_KEY}`);
  }
  return await reader.problems
    .under('signingKey')
    .attempt(async () => await parts.createSigningKeySource(signingKey));
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

function resolveTargets(
  reader: OptionReader,
  { trustDomain }: CommonSettings,
): Target[] | undefined {
  const targets = reader.list('targets', (item, problems) =>
    resolveTarget(new OptionReader(item, TARGET_OPTION_NAMES, problems), trustDomain),
  );
  const places = new Set<string>();
  for (const { origin, pathPrefix } of targets ?? []) {
    const place = origin + pathPrefix;
    if (places.has(place)) reader.report('targets', `${place} is listed twice; keep one`);
    places.add(place);
  }
  return targets?.toSorted((one, other) => other.pathPrefix.length - one.pathPrefix.length);
}

/** The default of `audience`, so it must have the spelling of the service's own name. */
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

/** Whether clients change the spelling of this URL, such as `HTTP://` to `http://`. */
function isSpeltOtherwise(written: unknown): written is string {
  const url = typeof written === 'string' ? parseUrl(written) : undefined;
  if (!url) return false;
  const { href, search, hash, username, password } = url;
  return [search, hash, username, password].join('') === '' && isServiceUri(href);
}

function resolveTarget(reader: OptionReader, ownDomain: string | undefined): Target | undefined {
  const baseUrl = readBaseUrl(reader);
  const audience = reader.raw('audience') === undefined ? baseUrl : reader.uri('audience');
  const profile = reader.word('profile', ['strict', 'original'], 'strict');
  const signing = reader.word('signing', ['required', 'best-effort'], 'required');
  const grants = readGrants(reader, { profile, ownDomain });
  const { bodyHash } = PROFILES[profile];
  if (!isHashAvailable(bodyHash)) {
    reader.report('profile', `write another: this process has no ${bodyHash} (FIPS mode?)`);
  }
  if (baseUrl === undefined || audience === undefined) return undefined;
  const { origin, pathname } = new URL(baseUrl);
  const pathPrefix = pathname.endsWith('/') ? pathname : `${pathname}/`;
  return Object.freeze({ origin, pathPrefix, audience, profile, signing, grants });
}

/** Grants stay in their trust domain, and need tokens that bind a request. */
function readGrants(
  reader: OptionReader,
  { profile, ownDomain }: { profile: Target['profile']; ownDomain: string | undefined },
): Target['grants'] {
  const what = 'write 1 to 256 visible ASCII characters';
  const domain = reader.value('trustDomain', isTrustDomain, what) ?? ownDomain;
  const takesSome = ownDomain !== undefined && domain === ownDomain && profile === 'strict';
  const grants = reader.word('grants', ['send', 'required', 'never'], takesSome ? 'send' : 'never');
  if (grants === 'never' || takesSome) return grants;
  const reasons = [
    [ownDomain === undefined, "set the trustDomain of this service, or write 'never'"],
    [profile === 'original', "write 'never': a token in the original profile names no grant"],
    [true, "write 'never': grants do not leave their trust domain"],
  ] as const;
  const [, reason] = reasons.find(([applies]) => applies) ?? reasons[2];
  return reader.report('grants', reason) ?? 'never';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
