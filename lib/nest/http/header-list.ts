import type { IncomingMessage } from 'node:http';
import { headerValues, isWholeHeaderList, SIGNED_HEADERS, TOKEN_HEADER } from '../../core/index.js';

/**
 * The headers of a request, alternating names and values. A host other than a Node server may give only `headers`.
 * There a repeated header is one value with a comma, which no token and no bound value contains.
 */
export function headerListOf(raw: IncomingMessage): readonly string[] {
  const { rawHeaders, headers } = raw as { rawHeaders?: unknown; headers?: object };
  if (Array.isArray(rawHeaders) && rawHeaders.length > 0) return raw.rawHeaders;
  return Object.entries(headers ?? {}).flatMap(([name, value]: [string, unknown]) =>
    (Array.isArray(value) ? value : [value]).flatMap((each) => [name, String(each ?? '')]),
  );
}

/**
 * Whether the list of headers has a token, or may have lost one. False only if the list is complete and has no token.
 *
 * @param rawHeaders the headers as sent
 */
export function mayHaveToken(raw: IncomingMessage, rawHeaders = headerListOf(raw)): boolean {
  if (hasToken(rawHeaders)) return true;
  return !isWholeHeaderList({ rawHeaders, maxHeadersCount: maxHeadersCountOf(raw) });
}

/**
 * Whether the second header list of a host has a token. That token is never verified, but its request is not
 * anonymous. Node creates that list on the first read, which takes an unguarded GET 4 % more CPU.
 */
export function hasTokenElsewhere(raw: IncomingMessage): boolean {
  const { headers } = raw as Partial<IncomingMessage>;
  return Boolean(headers?.[TOKEN_HEADER]);
}

/** Whether a list of headers has a token header that is not empty. */
export function hasToken(rawHeaders: readonly string[]): boolean {
  const [token = '', ...others] = headerValues(rawHeaders, TOKEN_HEADER);
  return token !== '' || others.length > 0;
}

/**
 * The number of headers at which the server may have cut the list; 0 if it never does, undefined for Node's default.
 */
export function maxHeadersCountOf(raw: IncomingMessage): number | undefined {
  // An HTTP/2 session resets a stream with too many headers, instead of cutting the list.
  if (raw.httpVersionMajor >= 2) return 0;
  const { server } = (raw.socket ?? {}) as { server?: { maxHeadersCount?: unknown } };
  const most = server?.maxHeadersCount;
  return typeof most === 'number' ? Math.max(0, most) : undefined;
}

/** Removes the token and the grant from every header list of a request. */
export function removeToken(raw: IncomingMessage): void {
  const { headers, rawHeaders = [] } = raw as Partial<IncomingMessage>;
  // Blanked, not removed: Node remembers the number of raw headers.
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (isSigned(rawHeaders[at])) rawHeaders[at + 1] = '';
  }
  for (const name of SIGNED_HEADERS) if (headers) delete headers[nameOf(name, headers)];
  removeDistinctToken(raw);
}

function isSigned(name: string | undefined): boolean {
  return SIGNED_HEADERS.some((signed) => isNamed(name, signed));
}

/** Whether a header has this name, given in lower case. Compares lengths first, since most names differ in length. */
export function isNamed(name: string | undefined, expected: string): boolean {
  return name?.length === expected.length && name.toLowerCase() === expected;
}

/** Node writes names in lower case; another host may keep their case. */
function nameOf(expected: string, headers: IncomingMessage['headers']): string {
  if (expected in headers) return expected;
  return Object.keys(headers).find((name) => isNamed(name, expected)) ?? expected;
}

/**
 * By the class of a request: the member in which Node stores `headersDistinct` after their first use; undefined if
 * not found.
 */
const DISTINCT_MEMBERS = new WeakMap<object, symbol | undefined>();

/**
 * Node creates `headersDistinct` on first use from the raw headers, which have no token any more. So this only
 * changes them if they exist. HTTP/2 has none.
 */
function removeDistinctToken(raw: IncomingMessage): void {
  const member = distinctMemberOf(raw);
  if (member !== undefined && !Object.hasOwn(raw, member)) return;
  const distinct = raw.headersDistinct as NodeJS.Dict<string[]> | undefined;
  for (const name of SIGNED_HEADERS) delete distinct?.[name];
}

function distinctMemberOf(raw: IncomingMessage): symbol | undefined {
  const prototype: object = Reflect.getPrototypeOf(raw) ?? raw;
  if (!DISTINCT_MEMBERS.has(prototype)) DISTINCT_MEMBERS.set(prototype, findMember(prototype));
  return DISTINCT_MEMBERS.get(prototype);
}

/** Runs on an object without a request, so it creates no socket and reads no header. */
function findMember(prototype: object): symbol | undefined {
  const sample: object = Object.create(prototype) as object;
  try {
    void Reflect.get(sample, 'headersDistinct');
  } catch {
    // A class that stores them elsewhere: the caller creates them, and removes the token.
    return undefined;
  }
  const [member, ...others] = Object.getOwnPropertySymbols(sample);
  return others.length === 0 ? member : undefined;
}
