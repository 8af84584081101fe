import { ServiceSigningError } from './errors.js';
import { parseUrl } from './service-uri.js';
import type { SendingSettings, Target } from './settings.js';

/** The destination of a request. Later changes of the URL object have no effect. */
export interface Destination {
  readonly target: Target;
  /** Path and query, as on the wire. */
  readonly path: string;
  /** The host, with its port unless that is the default of the scheme. */
  readonly host: string;
}

/**
 * Finds the target of a URL: it has the same origin, and the path begins with the target's path. It compares parsed
 * URLs, never strings, so neither `//evil` nor `https://census.service.evil/` matches.
 *
 * @returns undefined if the URL has no target and `unknownTargets` is `send-unsigned`
 * @throws ServiceSigningError `target_unknown`, `target_invalid`
 */
export function findDestination(
  url: string | URL,
  sending: SendingSettings,
): Destination | undefined {
  const { origin, pathname, search, host } = parseTargetUrl(url);
  const target = findTarget(origin, pathname, sending.targets);
  if (target) return { target, path: pathname + search, host };
  if (sending.unknownTargets === 'send-unsigned') return undefined;
  throw new ServiceSigningError('target_unknown', { detail: origin });
}

function findTarget(
  origin: string,
  pathname: string,
  targets: readonly Target[],
): Target | undefined {
  const path = pathname.endsWith('/') ? pathname : `${pathname}/`;
  return targets.find((target) => target.origin === origin && path.startsWith(target.pathPrefix));
}

/**
 * Parses the absolute URL of a request.
 *
 * @throws ServiceSigningError `target_invalid` if it is relative, has another scheme, or has credentials
 */
export function parseTargetUrl(url: string | URL): URL {
  const parsed = url instanceof URL ? url : parseUrl(url);
  const isHttp = parsed?.protocol === 'https:' || parsed?.protocol === 'http:';
  if (!parsed || !isHttp || parsed.username !== '' || parsed.password !== '') {
    throw new ServiceSigningError('target_invalid');
  }
  return parsed;
}
