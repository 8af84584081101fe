import type { BodyHashAlgorithm } from './body-hash.js';
import { refuse } from './errors.js';

/** The name of the header that carries the token, in lower case as Node gives header names. */
export const TOKEN_HEADER = 'jwt';

/** The name of the header that carries the grant of a user, in lower case. */
export const GRANT_HEADER = 'txn-token';

/** The headers that belong to one request. A service never copies them to another request. */
export const SIGNED_HEADERS = [TOKEN_HEADER, GRANT_HEADER] as const;

/** The content of a request: its bytes as sent, without transfer coding, before any parser or decoder. */
export interface RequestBody {
  /** Whether the request has content. False only after its stream has ended without a byte. */
  readonly hasContent: boolean;
  /**
   * Waits until `hasContent` is certain. Returns undefined if it is certain already.
   *
   * @throws ServiceTokenRefusedError `body_consumed`, `body_unverifiable` if it cannot be decided
   */
  settle?(): void | Promise<void>;
  /**
   * The lower-case hex digest of the content.
   *
   * @throws ServiceTokenRefusedError `body_unverifiable` if the bytes are not available
   */
  digest(algorithm: BodyHashAlgorithm): string | Promise<string>;
  /** What arrived, for the detail of a refusal. Called only if the digest differs from the signed one. */
  arrival?(): BodyArrival | undefined;
}

/** Facts about a body that arrived, besides its digest. */
export interface BodyArrival {
  readonly bytes: number;
  /** Whether other code, such as a parser, read the body before its digest was computed. */
  readonly isReadByOthers: boolean;
}

/** A request that a server received, as data. Members of other types cause a usage error. */
export interface IncomingRequest {
  /** The method as received, such as `POST`. */
  readonly method: string;
  /** The request target as received, not decoded, with its query: `/user/42/?full=1`. */
  readonly target: string;
  /** Alternating names and values, as in Node's `IncomingMessage.rawHeaders`. */
  readonly rawHeaders: readonly string[];
  /**
   * The number of headers at which the server may have cut the list, as `maxHeadersCount` of Node's server. Default:
   * that of Node, 1,000. 0: the server never cuts the list.
   */
  readonly maxHeadersCount?: number | undefined;
  /** The bytes as received, even if there are none. Never text, and never the result of a parser. */
  readonly body: Uint8Array | RequestBody;
}

/** An outgoing request to a known URL, as data: exactly what will be on the wire. */
export interface RequestToDestination {
  readonly method: string;
  /** Names in any case. A missing `Host` is taken from the URL. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** The bytes to send; an empty `Uint8Array` if there are none. */
  readonly body: Uint8Array | RequestBody;
  /** The user of the call, as an absolute URI; undefined: the service acts for itself. */
  readonly subject?: string | undefined;
  /**
   * The grant of that user, which the token then names. Send it in the header `Txn-Token` of the same request. Only
   * for targets whose `grants` is not `never`.
   */
  readonly grant?: string | undefined;
}

/** An outgoing request, as data: exactly what will be on the wire. */
export interface OutgoingRequest extends RequestToDestination {
  readonly url: string | URL;
}

/** The headers of a request, and the number at which they may be cut. */
type HeaderList = Pick<IncomingRequest, 'rawHeaders' | 'maxHeadersCount'>;

/** The number of headers that Node keeps of an HTTP/1 request by default. */
const NODE_MAX_HEADERS = 1000;

/**
 * Asserts that the list has every header that the server obeyed. Node's parser obeys a `Content-Length` after the
 * last header that it keeps. So a list of that length may lack headers that matter.
 *
 * @throws ServiceTokenRefusedError `headers_unverifiable`
 */
export function assertWholeHeaderList(request: IncomingRequest): void {
  if (isWholeHeaderList(request)) return;
  const most = mostHeadersOf(request);
  refuse('headers_unverifiable', `the list may end early: this server keeps ${most} headers`);
}

/** Whether a list surely has all headers of the request. In other lists, a missing header proves nothing. */
export function isWholeHeaderList(request: HeaderList): boolean {
  const most = mostHeadersOf(request);
  return most === 0 || request.rawHeaders.length / 2 < most;
}

function mostHeadersOf({ maxHeadersCount }: HeaderList): number {
  return maxHeadersCount ?? NODE_MAX_HEADERS;
}

/**
 * Every value of a header, in order, as a token binds it. HTTP/2 sends the host as `:authority`, and may add an equal
 * `host`. `name` is in lower case.
 *
 * @see RFC 9113 section 8.3.1
 */
export function boundHeaderValues(rawHeaders: readonly string[], name: string): string[] {
  const values = headerValues(rawHeaders, name);
  if (name !== 'host') return values;
  const authorities = headerValues(rawHeaders, ':authority');
  const isSame = values.length === 1 && authorities.length === 1 && values[0] === authorities[0];
  return isSame ? values : [...values, ...authorities];
}

/** Every value of a header, in order. `name` is in lower case. */
export function headerValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] ?? '';
    if (given.length === name.length && given.toLowerCase() === name)
      values.push(rawHeaders[at + 1] ?? '');
  }
  return values;
}
