import { ServiceSigningError } from './errors.js';
import { parseUrl } from './service-uri.js';
import type { SendingSettings, Target } from './settings.js';

/** Where a request goes, as it was when its target was found: no later change of the URL counts. */
export interface Destination {
  readonly target: Target;
  /** Path and query, as on the wire. */
  readonly path: string;
  /** With its port, where the URL has one that is not the usual. */
  readonly host: string;
}

/**
 * Finds the target a URL belongs to: same origin, and a path under the target's own. Parsed URLs are
 * compared, never strings, so neither `//evil` nor `https://census.service.evil/` can pass for one.
 *
 * @returns undefined where unknown targets are sent unsigned
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
 * @throws ServiceSigningError `target_invalid` when it is relative, of another scheme, or carries credentials
 */
export function parseTargetUrl(url: string | URL): URL {
  const parsed = url instanceof URL ? url : parseUrl(url);
  const isHttp = parsed?.protocol === 'https:' || parsed?.protocol === 'http:';
  if (!parsed || !isHttp || parsed.username !== '' || parsed.password !== '') {
    throw new ServiceSigningError('target_invalid');
  }
  return parsed;
}
