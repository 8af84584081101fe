import { isNamed } from './header-list.js';

/** Express's and Fastify's response: the one sets headers with `setHeader`, the other with `header`. */
export interface HttpResponse {
  readonly raw?: object;
  getHeader(name: string): unknown;
  setHeader?(name: string, value: string): unknown;
  header(name: string, value: string): unknown;
}

/** Sets a header of the answer, in place of the value that it has. */
export function setHeader(response: HttpResponse, name: string, value: string): void {
  if (response.setHeader) response.setHeader(name, value);
  else response.header(name, value);
}

/**
 * Keeps an answer from callers that it was not made for: `Vary: JWT`, whatever a handler adds to it, and
 * `Cache-Control: private`, unless that says so or `no-store`.
 */
export function markPrivate(response: HttpResponse): void {
  setHeader(response, 'Vary', appendToken(response.getHeader('Vary')));
  keepInVary(response);
  const cacheControl = response.getHeader('Cache-Control');
  const isPrivate =
    typeof cacheControl === 'string' && /\b(?:private|no-store)\b/i.test(cacheControl);
  if (!isPrivate) setHeader(response, 'Cache-Control', 'private');
}

/** A handler's own `@Header('Vary', ...)` comes later, and replaces instead of adding. */
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
