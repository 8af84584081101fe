import type { BodyHashAlgorithm } from './body-hash.js';
import { refuse } from './errors.js';

/** The name of the header that carries the token, in lower case as Node gives header names. */
export const TOKEN_HEADER = 'jwt';

/** The name of the header that carries the grant of a user, in lower case. */
export const GRANT_HEADER = 'txn-token';

/** The headers that belong to one request, and are never passed on as they came. */
export const SIGNED_HEADERS = [TOKEN_HEADER, GRANT_HEADER] as const;

/**
 * The content of a request: its bytes as they travelled, after transfer coding is removed
 * and before anything parses or decodes them.
 */
export interface RequestBody {
  /** Whether the request has content: false only once its stream has ended without a byte. */
  readonly hasContent: boolean;
  /**
   * Waits until `hasContent` is certain. Returns undefined if it is certain already.
   *
   * @throws ServiceTokenRefusedError `body_consumed`, `body_unverifiable` if nobody can tell
   */
  settle?(): void | Promise<void>;
  /**
   * The lower-case hex digest of the content.
   *
   * @throws ServiceTokenRefusedError `body_unverifiable` when the bytes cannot be had
   */
  digest(algorithm: BodyHashAlgorithm): string | Promise<string>;
  /** What arrived, for the detail of a refusal. Asked only once a digest is not the one that was signed. */
  arrival?(): BodyArrival | undefined;
}

/** What is known of a body that arrived, besides its digest. */
export interface BodyArrival {
  readonly bytes: number;
  /** Whether other code, such as a parser, read the body before its digest was computed. */
  readonly isReadByOthers: boolean;
}

/** A request that a server received, as data. Members of other types are a usage error, never looked over. */
export interface IncomingRequest {
  /** The method as received, `POST`. */
  readonly method: string;
  /** The request target as received, undecoded and with its query: `/user/42/?full=1`. */
  readonly target: string;
  /** Names and values in turns, as Node's `IncomingMessage.rawHeaders`. */
  readonly rawHeaders: readonly string[];
  /**
   * From how many headers on the server may have cut the list, as `maxHeadersCount` of Node's server. Default:
   * Node's own, 1,000. 0: the server never cuts it.
   */
  readonly maxHeadersCount?: number | undefined;
  /** The bytes as they came, also where there are none; never text, and never what a parser made of them. */
  readonly body: Uint8Array | RequestBody;
}

/** A request that is about to be sent to a URL that is known already, as data: exactly what will be on the wire. */
export interface RequestToDestination {
  readonly method: string;
  /** Names in any case. `Host` is taken from the URL where it is missing. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** The bytes as they will be sent; an empty `Uint8Array` where there are none. */
  readonly body: Uint8Array | RequestBody;
  /** The user on whose behalf the call is made, as an absolute URI; undefined: the service acts for itself. */
  readonly subject?: string | undefined;
  /**
   * The grant of that user, which the token then names. Send it in the header `Txn-Token` of the same request. Only for
   * a target whose `grants` is not `never`.
   */
  readonly grant?: string | undefined;
}

/** A request that is about to be sent, as data: exactly what will be on the wire. */
export interface OutgoingRequest extends RequestToDestination {
  readonly url: string | URL;
}

/** The headers of a request, and from how many on they may be cut. */
type HeaderList = Pick<IncomingRequest, 'rawHeaders' | 'maxHeadersCount'>;

/** How many headers Node keeps of an HTTP/1 request unless its server says otherwise. */
const NODE_MAX_HEADERS = 1000;

/**
 * Asserts that the server has handed over every header it obeyed. Node's parser obeys a `Content-Length` after the
 * last header that it keeps, so a list of that length may lack the headers that matter.
 *
 * @throws ServiceTokenRefusedError `headers_unverifiable`
 */
export function assertWholeHeaderList(request: IncomingRequest): void {
  if (isWholeHeaderList(request)) return;
  const most = mostHeadersOf(request);
  refuse('headers_unverifiable', `the list may end early: this server keeps ${most} headers`);
}

/** Whether a list of headers is surely all that was sent. What is missing in another one says nothing. */
export function isWholeHeaderList(request: HeaderList): boolean {
  const most = mostHeadersOf(request);
  return most === 0 || request.rawHeaders.length / 2 < most;
}

function mostHeadersOf({ maxHeadersCount }: HeaderList): number {
  return maxHeadersCount ?? NODE_MAX_HEADERS;
}

/**
 * Every value a header has, in order, as a token binds it: HTTP/2 carries the host as `:authority`, beside
 * which a `host` that says the same may stand. `name` is in lower case.
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

/** Every value a header has, in order. `name` is in lower case. */
export function headerValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] ?? '';
    if (given.length === name.length && given.toLowerCase() === name)
      values.push(rawHeaders[at + 1] ?? '');
  }
  return values;
}
