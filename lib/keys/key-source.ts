import {
  type KeyFetchSettings,
  kindOf,
  parseUrl,
  type KeySource,
  shown,
  type KeySourceOptions,
} from '../core/index.js';
import { fetchJwkSetFrom } from './fetch-jwk-set.js';
import { fail } from './key-material.js';
import { RemoteKeySource } from './remote-key-source.js';
import { createStaticKeySource } from './static-key-source.js';

/** The default path of a service's key set, under its URI. */
const DEFAULT_PATH = '.well-known/jwks.json';

const LOOPBACK = /^(?:localhost|(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/**
 * The keys of one issuer: the configured ones, or else those that it publishes.
 *
 * @throws ServiceAuthConfigError if a key, or the URL of the set, is not acceptable
 */
export async function createKeySource(
  options: KeySourceOptions,
  common: KeyFetchSettings,
): Promise<KeySource> {
  const { issuer, publicKey, keys, jwksUri, algorithms } = options;
  const isConfigured = publicKey !== undefined || keys !== undefined;
  if (isConfigured && jwksUri !== undefined) {
    fail('jwksUri', 'set keys or the URL they are published at, not both');
  }
  if (isConfigured) return await createStaticKeySource(options);
  return new RemoteKeySource({
    issuer,
    algorithms,
    fetchSet: fetchJwkSetFrom(readKeyUrl(options, common)),
    maxStaleSeconds: common.maxStaleSeconds,
    now: common.steadyNow,
    random: Math.random,
    observer: common.observer,
  });
}

/** The default URL of an issuer's key set. */
export function defaultKeyUrl(issuer: string): string {
  return new URL(DEFAULT_PATH, issuer.endsWith('/') ? issuer : `${issuer}/`).href;
}

/** A URL for fetching keys. It always comes from the configuration, never from a token. */
function readKeyUrl(
  { issuer, jwksUri }: KeySourceOptions,
  { allowInsecureKeyUrls }: KeyFetchSettings,
): string {
  const written: unknown = jwksUri ?? defaultKeyUrl(issuer);
  const url = typeof written === 'string' ? parseUrl(written) : undefined;
  const isHttp = url?.protocol === 'https:' || url?.protocol === 'http:';
  if (!url || !isHttp || url.username !== '' || url.password !== '' || url.hash !== '') {
    return fail('jwksUri', `${flawOf(written, url)}; write an https: URL without credentials`);
  }
  const isSafe = url.protocol === 'https:' || LOOPBACK.test(url.hostname);
  if (isSafe || allowInsecureKeyUrls) return url.href;
  const derived = jwksUri === undefined ? ' (derived from issuer)' : '';
  const flaw = `${shown(url.href)}${derived} is plain http: to another host`;
  return fail(
    'jwksUri',
    `${flaw}; write an https: URL as jwksUri, or set allowInsecureKeyUrls: true beside trustedIssuers (in a private network only)`,
  );
}

function flawOf(written: unknown, url: URL | undefined): string {
  if (typeof written !== 'string' || written === '') return kindOf(written);
  if (url?.username || url?.password) return 'has credentials in it';
  return url?.hash ? 'has a fragment' : `${shown(written)} is no https: URL`;
}
