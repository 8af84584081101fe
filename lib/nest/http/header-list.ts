import type { IncomingMessage } from 'node:http';
import { headerValues, TOKEN_HEADER } from '../../core/index.js';

/**
 * The headers of a request, names and values in turns. A host that is no Node server may give `headers` alone: a
 * header that came twice is one value with a comma there, which no token and no bound value has.
 */
export function headerListOf(raw: IncomingMessage): readonly string[] {
  const { rawHeaders, headers } = raw as { rawHeaders?: unknown; headers?: object };
  if (Array.isArray(rawHeaders) && rawHeaders.length > 0) return raw.rawHeaders;
  return Object.entries(headers ?? {}).flatMap(([name, value]: [string, unknown]) =>
    (Array.isArray(value) ? value : [value]).flatMap((each) => [name, String(each ?? '')]),
  );
}

/** Whether a request carries a token, or what would be one. An empty header is none. */
export function hasToken(rawHeaders: readonly string[]): boolean {
  const [token = '', ...others] = headerValues(rawHeaders, TOKEN_HEADER);
  return token !== '' || others.length > 0;
}

/** From how many headers on the server may have cut the list; 0 if it never does, undefined if Node's default holds. */
export function maxHeadersCountOf(raw: IncomingMessage): number | undefined {
  // An HTTP/2 session resets a stream with too many headers, and cuts nothing off.
  if (raw.httpVersionMajor >= 2) return 0;
  const { server } = (raw.socket ?? {}) as { server?: { maxHeadersCount?: unknown } };
  const most = server?.maxHeadersCount;
  return typeof most === 'number' ? Math.max(0, most) : undefined;
}
