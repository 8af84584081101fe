import { ServiceSigningError } from './errors.js';
import type { SendingSettings, Target } from './settings.js';

/**
 * Finds the target a URL belongs to: same origin, and a path under the target's own. Parsed URLs are
 * compared, never strings, so neither `//evil` nor `https://census.service.evil/` can pass for one.
 *
 * @returns undefined where unknown targets are sent unsigned
 * @throws ServiceSigningError `target_unknown`, `target_invalid`
 */
export function findTarget(url: string | URL, sending: SendingSettings): Target | undefined {
  const parsed = parseTargetUrl(url);
  const path = parsed.pathname.endsWith('/') ? parsed.pathname : `${parsed.pathname}/`;
  const found = sending.targets.find(
    (target) => target.origin === parsed.origin && path.startsWith(target.pathPrefix),
  );
  if (found === undefined && sending.unknownTargets === 'refuse') {
    throw new ServiceSigningError('target_unknown', { detail: parsed.origin });
  }
  return found;
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

function parseUrl(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}
