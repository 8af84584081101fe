import { headerValues, type IncomingRequest, ServiceAuthUsageError } from '../core/index.js';

/** The body of a test's request. An object is sent as JSON, `URLSearchParams` as a form, text and bytes unchanged. */
export type TestBody = string | Uint8Array | URLSearchParams | object;

/** Further options of a test's request. */
export interface TestRequestOptions {
  /**
   * The Content-Type. Default: as HTTP clients send it: `application/json` for an object,
   * `application/x-www-form-urlencoded;charset=UTF-8` for a form, `text/plain;charset=UTF-8` for text,
   * `application/octet-stream` for bytes.
   */
  readonly contentType?: string;
  /**
   * Further headers. The headers that the service under test requires are signed, and so is a `Content-Encoding` of a
   * body.
   */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that the application under test has sent, as recorded by an HTTP client or server. */
export interface SentRequest {
  readonly method: string;
  /** The whole URL. */
  readonly url: string | URL;
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The sent bytes or text. An object counts as its JSON text. */
  readonly body?: TestBody | null;
}

/** A request of a test as it will be on the wire. */
export interface TestRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
}

const utf8 = new TextEncoder();

/** @throws ServiceAuthUsageError for a target or a body that clients would not send unchanged */
export function toTestRequest(
  method: string,
  target: string | URL,
  [body, { contentType, headers } = {}]: [body?: TestBody, options?: TestRequestOptions],
): TestRequest {
  const content = body === undefined ? undefined : readBody(body, contentType);
  const type = content?.type;
  return {
    method: method.toUpperCase(),
    target: readTarget(target),
    headers: type === undefined ? { ...headers } : { ...headers, 'Content-Type': type },
    bytes: content?.bytes ?? new Uint8Array(),
  };
}

/**
 * A sent request, as its receiver gets it.
 *
 * @throws ServiceAuthUsageError without the whole URL
 */
export function toIncoming({ method, url, headers, body }: SentRequest): IncomingRequest {
  if (!URL.canParse(String(url))) {
    throw new ServiceAuthUsageError('Give the whole URL that the application has sent to.');
  }
  const { pathname, search, host } = new URL(url);
  const rawHeaders = toRawHeaders(headers);
  // Recorders read the headers in the client, before Node adds this one.
  if (headerValues(rawHeaders, 'host').length === 0) rawHeaders.push('Host', host);
  return {
    method: method.toUpperCase(),
    target: pathname + search,
    rawHeaders,
    body: body === undefined || body === null ? new Uint8Array() : readBody(body).bytes,
  };
}

/** Alternating names and values, as a server receives them. */
export function toRawHeaders(headers: SentRequest['headers']): string[] {
  const entries: Iterable<[string, string | readonly string[] | undefined]> =
    headers instanceof Headers ? headers.entries() : Object.entries(headers);
  return [...entries].flatMap(([name, value]) =>
    (value === undefined ? [] : [value].flat()).flatMap((each) => [name, String(each)]),
  );
}

/** The bytes of a body, and their Content-Type. */
export function readBody(
  body: TestBody,
  contentType?: string,
): { readonly bytes: Uint8Array; readonly type: string | undefined } {
  if (body instanceof Uint8Array) {
    return { bytes: body, type: contentType ?? 'application/octet-stream' };
  }
  if (typeof body === 'string') {
    const fallback = body === '' ? undefined : 'text/plain;charset=UTF-8';
    return { bytes: utf8.encode(body), type: contentType ?? fallback };
  }
  if (body instanceof URLSearchParams) {
    const type = contentType ?? 'application/x-www-form-urlencoded;charset=UTF-8';
    return { bytes: utf8.encode(body.toString()), type };
  }
  return { bytes: utf8.encode(JSON.stringify(body)), type: readJsonType(contentType) };
}

function readJsonType(contentType = 'application/json'): string {
  if (/^[^;]+[/+]json\s*(?:;|$)/i.test(contentType)) return contentType;
  throw new ServiceAuthUsageError(
    `An object is sent as JSON, not as ${contentType}: give the text or the bytes that are sent.`,
  );
}

function readTarget(target: string | URL): string {
  const text = String(target);
  const url = text.startsWith('/') ? `http://localhost${text}` : text;
  if (!URL.canParse(url)) {
    throw new ServiceAuthUsageError(
      "The target is no path and no URL: write it with its query, as '/user/42?full=1'.",
    );
  }
  const { pathname, search } = new URL(url);
  return pathname + search;
}
