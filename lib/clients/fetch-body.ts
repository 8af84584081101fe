import { Readable } from 'node:stream';
import type { FetchCall } from './fetch-call.js';
import { readStream } from './stream-bytes.js';

/** A request as fetch understands it, with a fixed body of bytes. */
export interface FrozenRequest {
  readonly method: string;
  /** With the Content-Type that fetch has added. */
  readonly headers: Headers;
  /** Undefined if there is no body. */
  readonly body: Buffer | undefined;
  readonly redirect: string;
}

/**
 * Lets fetch itself interpret the call: whether it is a valid request, the bytes of its body, and their Content-Type.
 * A body that is not a stream is copied before this returns its promise.
 *
 * @throws ServiceSigningError `body_unsupported`, `body_too_large`
 * @throws TypeError if fetch refuses the call: a body of GET, a header that cannot be sent, `duplex` missing
 * @param stop stops the reading of a stream
 * @throws the reason of `stop` if it is aborted, or the stream's own error
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
    // The fetch that sends gets the signal.
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

/** Converts a form of another implementation for this Node's `Request`, which would send only its class name. */
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
