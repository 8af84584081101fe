import { SIGNED_HEADERS } from '../core/index.js';
import { CALL_SUBJECT, readMembers } from '../for-whom/call-options.js';
import { withoutStandIns } from '../for-whom/stand-ins.js';

/** A `Request` of any implementation of fetch: undici's own is another class than the one of Node. */
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

/** What was given to fetch, read once: nobody can change it any more. */
export interface FetchCall {
  /** The request object as it came, or the URL as text. */
  readonly input: string | RequestLike;
  readonly url: string;
  /** Every member that was given, unknown ones too, but no token and no grant among the headers. */
  readonly init: FetchInit;
}

/** The members of `RequestInit` that are used here, and whatever else there is. */
export interface FetchInit {
  method?: string;
  headers?: RequestInit['headers'];
  body?: unknown;
  signal?: unknown;
  [member: string]: unknown;
}

/** Some versions of fetch send its question mark, others do not. */
const EMPTY_QUERY = /^[^?#]*\?(?:#|$)/;

/** Reads what fetch was called with, and takes any token and grant out of its headers. */
export function readCall(input: unknown, init: unknown): FetchCall {
  const members: FetchInit = withoutStandIns(readMembers(init));
  const request = isRequestLike(input) ? input : undefined;
  if (request && EMPTY_QUERY.test(request.url)) {
    return readCall(request.url, withMembersOf(request, members));
  }
  if (request && isEmpty(members)) {
    // Fetch lets a request keep them where it gets no init; here it will get one.
    const { referrer, referrerPolicy } = request;
    Object.assign(members, { referrer, referrerPolicy });
  }
  const headers = members.headers ?? request?.headers;
  // A token that is for us, or was made for another request, goes nowhere.
  if (headers !== undefined) members.headers = withoutToken(headers);
  // Receivers know methods in capitals alone, and fetch leaves some of them as they are.
  if (members.method !== undefined) members.method = String(members.method).toUpperCase();
  const url = request ? request.url : String(input);
  return { input: request ?? url, url, init: members };
}

/** But for what is no business of fetch. */
function isEmpty(members: FetchInit): boolean {
  return Object.keys(members).every((name) => name === CALL_SUBJECT);
}

/** What a request would become with these members, as the init of a URL. */
function withMembersOf(request: RequestLike, members: FetchInit): FetchInit {
  return { ...readMembers(request), ...members, body: members.body ?? request.body };
}

function isRequestLike(input: unknown): input is RequestLike {
  if (typeof input !== 'object' || input === null) return false;
  return ['url', 'method', 'headers', 'body', 'arrayBuffer'].every((name) => name in input);
}

/** The same headers without ours, unread: the error that an ill-formed value gets quotes it. */
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
