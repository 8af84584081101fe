import { SIGNED_HEADERS } from '../core/index.js';
import { CALL_SUBJECT, readMembers } from '../for-whom/call-options.js';
import { withoutStandIns } from '../for-whom/stand-ins.js';

/** A `Request` of any implementation of fetch: undici has another class than Node. */
export interface RequestLike {
  readonly url: string;
  readonly method: string;
  readonly headers: Iterable<readonly [string, string]>;
  readonly body: ReadableStream | null;
  readonly redirect: string;
  readonly signal: AbortSignal;
  readonly referrer: string;
  readonly referrerPolicy: string;
}

/** The arguments of fetch, read once, so later changes have no effect. */
export interface FetchCall {
  /** The given request object, or the URL as text. */
  readonly input: string | RequestLike;
  readonly url: string;
  /** Every given member, including unknown ones. The headers contain no token and no grant. */
  readonly init: FetchInit;
}

/** The members of `RequestInit` that this library uses, and any others. */
export interface FetchInit {
  method?: string;
  headers?: RequestInit['headers'];
  body?: unknown;
  signal?: unknown;
  [member: string]: unknown;
}

/** Some versions of fetch send the question mark of an empty query, others do not. */
const EMPTY_QUERY = /^[^?#]*\?(?:#|$)/;

/** Reads the arguments of fetch, and removes any token and grant from its headers. */
export function readCall(input: unknown, init: unknown): FetchCall {
  const members: FetchInit = withoutStandIns(readMembers(init));
  const request = isRequestLike(input) ? input : undefined;
  if (request && EMPTY_QUERY.test(request.url)) {
    return readCall(request.url, withMembersOf(request, members));
  }
  if (request && isEmpty(members)) {
    // Fetch keeps these members of a request if there is no init; this call will have an init.
    const { referrer, referrerPolicy } = request;
    Object.assign(members, { referrer, referrerPolicy });
  }
  const headers = members.headers ?? request?.headers;
  // A token for this service, or for another request, is never sent on.
  if (headers !== undefined) members.headers = withoutToken(headers);
  // Receivers accept only methods in capitals, and fetch leaves some as written.
  if (members.method !== undefined) members.method = String(members.method).toUpperCase();
  const url = request ? request.url : String(input);
  return { input: request ?? url, url, init: members };
}

/** Whether there are no members, except those that fetch ignores. */
function isEmpty(members: FetchInit): boolean {
  return Object.keys(members).every((name) => name === CALL_SUBJECT);
}

/** The members of a request, with these members applied, as the init of a URL. */
function withMembersOf(request: RequestLike, members: FetchInit): FetchInit {
  return { ...readMembers(request), ...members, body: members.body ?? request.body };
}

function isRequestLike(input: unknown): input is RequestLike {
  if (typeof input !== 'object' || input === null) return false;
  return ['url', 'method', 'headers', 'body', 'arrayBuffer'].every((name) => name in input);
}

/**
 * The same headers without token and grant. Their values are not read, since the error for an invalid value quotes
 * it.
 */
function withoutToken(headers: unknown): RequestInit['headers'] {
  if (typeof headers !== 'object' || headers === null) return headers as RequestInit['headers'];
  const pairs: unknown[] = isIterable(headers) ? [...headers] : Object.entries(headers);
  return pairs.filter((pair) => !isToken(pair)) as [string, string][];
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value;
}

function isToken(pair: unknown): boolean {
  const [name] = Array.isArray(pair) ? (pair as unknown[]) : [];
  if (typeof name !== 'string') return false;
  const plain = name.trim().toLowerCase();
  return SIGNED_HEADERS.some((ours) => ours === plain);
}
