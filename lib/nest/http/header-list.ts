import type { IncomingMessage } from 'node:http';
import { headerValues, isWholeHeaderList, SIGNED_HEADERS, TOKEN_HEADER } from '../../core/index.js';

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

/**
 * Whether the list of headers that is verified has a token, or may have had one: false only if the whole list was seen,
 * without a token.
 *
 * @param rawHeaders the headers as they were sent
 */
export function mayHaveToken(raw: IncomingMessage, rawHeaders = headerListOf(raw)): boolean {
  if (hasToken(rawHeaders)) return true;
  return !isWholeHeaderList({ rawHeaders, maxHeadersCount: maxHeadersCountOf(raw) });
}

/**
 * Whether the other list in which a host gives the headers has a token, which is never verified: its request is no
 * anonymous one. Node makes that list when it is first read, which takes an unguarded GET 4 % more CPU.
 */
export function hasTokenElsewhere(raw: IncomingMessage): boolean {
  const { headers } = raw as Partial<IncomingMessage>;
  return Boolean(headers?.[TOKEN_HEADER]);
}

/** Whether a list of headers has a token, or what would be one. An empty header is none. */
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

/** Takes the token and the grant out of every list in which a host gives the headers of a request. */
export function removeToken(raw: IncomingMessage): void {
  const { headers, rawHeaders = [] } = raw as Partial<IncomingMessage>;
  // Blanked, not spliced out: Node remembers how many raw headers there were.
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (isSigned(rawHeaders[at])) rawHeaders[at + 1] = '';
  }
  for (const name of SIGNED_HEADERS) if (headers) delete headers[nameOf(name, headers)];
  removeDistinctToken(raw);
}

function isSigned(name: string | undefined): boolean {
  return SIGNED_HEADERS.some((signed) => isNamed(name, signed));
}

/** Whether a header has a name, which is given in lower case. Lengths first: most names differ in that. */
export function isNamed(name: string | undefined, expected: string): boolean {
  return name?.length === expected.length && name.toLowerCase() === expected;
}

/** Node writes names in lower case; another host may write them as they came. */
function nameOf(expected: string, headers: IncomingMessage['headers']): string {
  if (expected in headers) return expected;
  return Object.keys(headers).find((name) => isNamed(name, expected)) ?? expected;
}

/**
 * By the class of a request: the member in which Node keeps `headersDistinct` from their first use on; undefined where
 * it cannot be told.
 */
const DISTINCT_MEMBERS = new WeakMap<object, symbol | undefined>();

/**
 * Node makes `headersDistinct` on first use, from the raw headers, where there is no token any more: where nobody has
 * used them yet, they are not made for this. HTTP/2 has none.
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

/** Tried on an object without a request in it: no socket is made, and no header is read. */
function findMember(prototype: object): symbol | undefined {
  const sample: object = Object.create(prototype) as object;
  try {
    void Reflect.get(sample, 'headersDistinct');
  } catch {
    // A class that keeps them in another way: they are made, and the token is taken out.
    return undefined;
  }
  const [member, ...others] = Object.getOwnPropertySymbols(sample);
  return others.length === 0 ? member : undefined;
}
