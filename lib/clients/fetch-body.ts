import { Readable } from 'node:stream';
import type { FetchCall } from './fetch-call.js';
import { readStream } from './stream-bytes.js';

/** A request as fetch understands it, whose body is bytes that nothing can change any more. */
export interface FrozenRequest {
  readonly method: string;
  /** With the Content-Type that fetch has added. */
  readonly headers: Headers;
  /** Undefined where there is none. */
  readonly body: Buffer | undefined;
  readonly redirect: string;
}

/**
 * Has fetch itself understand the call: what is a request at all, which bytes its body has, and which
 * Content-Type describes them. What is not a stream has been copied when this returns its promise.
 *
 * @throws ServiceSigningError `body_unsupported`, `body_too_large`
 * @throws TypeError where fetch refuses the call: a body of GET, a header that cannot be sent, `duplex` missing
 * @param stop stops the reading of a stream
 * @throws the reason of `stop` once it is aborted, or the stream's own error
 */
export async function freezeRequest(
  { input, url, init }: FetchCall,
  maxBytes: number,
  stop: AbortSignal | undefined,
): Promise<FrozenRequest> {
  const given = typeof input === 'string' ? undefined : input;
  const body = init.body ?? given?.body;
  const stream = toStream(body);
  const request = new Request(url, {
    method: given?.method,
    redirect: given?.redirect,
    duplex: given ? 'half' : undefined,
    ...init,
    body: stream ?? toOwnForm(body),
    // Whoever sends will hear of it.
    signal: undefined,
  } as RequestInit);
  return {
    method: request.method.toUpperCase(),
    headers: request.headers,
    body: stream
      ? await readStream(stream, maxBytes, stop ?? new AbortController().signal)
      : await readBody(request),
    redirect: request.redirect,
  };
}

async function readBody(request: Request): Promise<Buffer | undefined> {
  return request.body ? Buffer.from(await request.arrayBuffer()) : undefined;
}

function toStream(body: unknown): Readable | ReadableStream | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  if (body instanceof ReadableStream || body instanceof Readable) return body;
  return isAsyncIterable(body) ? ReadableStream.from(body) : undefined;
}

function isAsyncIterable(body: object): body is AsyncIterable<unknown> {
  return Symbol.asyncIterator in body;
}

/** The form of another implementation as one that this Node's `Request` knows: its name alone would be sent. */
export function toOwnForm(body: unknown): unknown {
  if (!isForeignForm(body)) return body;
  const form = new FormData();
  for (const [name, value] of body) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, value, value.name);
  }
  return form;
}

function isForeignForm(body: unknown): body is Iterable<[string, string | File]> {
  if (typeof body !== 'object' || body === null || body instanceof FormData) return false;
  const isForm = Reflect.get(body, Symbol.toStringTag) === 'FormData';
  return isForm && Symbol.iterator in body;
}
