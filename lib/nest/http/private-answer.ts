import { isNamed } from './header-list.js';

/** The response of Express, which sets headers with `setHeader`, or of Fastify, which uses `header`. */
export interface HttpResponse {
  readonly raw?: object;
  getHeader(name: string): unknown;
  setHeader?(name: string, value: string): unknown;
  header(name: string, value: string): unknown;
}

/** Sets a header of the answer, and replaces its old value. */
export function setHeader(response: HttpResponse, name: string, value: string): void {
  if (response.setHeader) response.setHeader(name, value);
  else response.header(name, value);
}

/**
 * Keeps caches from giving the answer to other callers. Sets `Vary: JWT`, besides the values of handlers, and
 * `Cache-Control: private`, unless that header already has `private` or `no-store`.
 */
export function markPrivate(response: HttpResponse): void {
  setHeader(response, 'Vary', appendToken(response.getHeader('Vary')));
  keepInVary(response);
  const cacheControl = response.getHeader('Cache-Control');
  const isPrivate =
    typeof cacheControl === 'string' && /\b(?:private|no-store)\b/i.test(cacheControl);
  if (!isPrivate) setHeader(response, 'Cache-Control', 'private');
}

/** A handler's `@Header('Vary', ...)` runs later, and would replace the value. */
function keepInVary(response: HttpResponse): void {
  const method = response.setHeader ? 'setHeader' : 'header';
  const set = response[method];
  response[method] = (name: string, value: string) =>
    set?.call(response, name, isNamed(name, 'vary') ? appendToken(value) : value);
}

function appendToken(vary: unknown): string {
  const listed = vary === undefined ? '' : listNames(vary);
  if (/(?:^|,)\s*(?:\*|jwt)\s*(?:,|$)/i.test(listed)) return listed;
  return listed === '' ? 'JWT' : `${listed}, JWT`;
}

function listNames(vary: unknown): string {
  const names: unknown[] = Array.isArray(vary) ? vary : [vary];
  return names.filter((name) => typeof name === 'string' && name !== '').join(', ');
}
