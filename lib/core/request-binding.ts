import type { BodyHashAlgorithm } from './body-hash.js';
import type { RequestBody } from './request.js';

/** The input of the binding, the same for signer and verifier. */
export interface BindableRequest {
  readonly method: string;
  /** The request target exactly as on the wire. */
  readonly target: string;
  readonly body: RequestBody;
  /** Lower-case names of the headers to bind besides those that describe the content. */
  readonly configuredHeaders: readonly string[];
  /** Every value of a header, in order; `name` is in lower case. */
  readonly headerValues: (name: string) => readonly string[];
}

/** The claims that bind a token to one request: `req`, `hdr` and `bdy` of protocol section 3. */
export interface RequestBinding {
  readonly req: string;
  readonly hdr: Readonly<Record<string, string>>;
  readonly bdy: (algorithm: BodyHashAlgorithm) => string | Promise<string>;
}

/**
 * Computes the binding of a request. The signer writes the result into the token, and the verifier compares the token
 * with it. No other code computes `req`, `hdr` and `bdy`.
 *
 * @param headerNames the headers to bind, in lower case; headers without exactly one value are left out
 */
export function bindRequest(
  request: BindableRequest,
  headerNames: Iterable<string>,
): RequestBinding {
  const hdr: Record<string, string> = {};
  for (const name of headerNames) {
    const [value, ...others] = request.headerValues(name);
    if (value !== undefined && others.length === 0) hdr[name] = value;
  }
  return {
    req: `${request.method} ${request.target}`,
    hdr,
    bdy: (algorithm) => request.body.digest(algorithm),
  };
}

/**
 * The headers that say how to understand the bytes of a body: their type, their coding, and their range. Parsers,
 * decoders and stores act on these headers.
 *
 * @see RFC 9110 sections 8.3, 8.4 and 14.5
 */
const CONTENT_HEADERS = ['content-type', 'content-encoding', 'content-range'] as const;

/** The headers that a token must bind if the request has them, in lower case. */
export function headersToBind({ body, configuredHeaders }: BindableRequest): Set<string> {
  return new Set(body.hasContent ? [...CONTENT_HEADERS, ...configuredHeaders] : configuredHeaders);
}
