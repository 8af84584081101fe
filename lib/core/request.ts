import { type BodyHashAlgorithm, hashBody } from './body-hash.js';

/** The name of the header that carries the token, in lower case as Node gives header names. */
export const TOKEN_HEADER = 'jwt';

/**
 * The content of a request: its bytes as they travelled, after transfer coding is removed
 * and before anything parses or decodes them.
 */
export interface RequestBody {
  /** Whether the request has content, told by its framing rather than by what was captured. */
  readonly hasContent: boolean;
  /** Waits until `hasContent` is certain, where the framing leaves it open: HTTP/2 has none. */
  settle?(): Promise<void>;
  /**
   * The lower-case hex digest of the content.
   *
   * @throws ServiceTokenRefusedError `body_unverifiable` when the bytes cannot be had
   */
  digest(algorithm: BodyHashAlgorithm): string | Promise<string>;
}

/** A request that a server received, as data. */
export interface IncomingRequest {
  /** The method as received, `POST`. */
  readonly method: string;
  /** The request target as received, undecoded and with its query: `/user/42/?full=1`. */
  readonly target: string;
  /** Names and values in turns, as Node's `IncomingMessage.rawHeaders`. */
  readonly rawHeaders: readonly string[];
  readonly body: Uint8Array | RequestBody;
}

/** A request that is about to be sent, as data: exactly what will be on the wire. */
export interface OutgoingRequest {
  readonly method: string;
  readonly url: string | URL;
  /** Names in any case. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: Uint8Array;
  /** The user on whose behalf the call is made, as an absolute URI; undefined: the service acts for itself. */
  readonly subject?: string | undefined;
}

/** Gives bytes that are there already the shape of a {@link RequestBody}. */
export function bodyFrom(body: Uint8Array | RequestBody): RequestBody {
  if (!(body instanceof Uint8Array)) return body;
  return { hasContent: body.length > 0, digest: (algorithm) => hashBody(algorithm, body) };
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
