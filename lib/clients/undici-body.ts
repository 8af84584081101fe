import { Readable } from 'node:stream';
import { isArrayBuffer } from 'node:util/types';
import { ServiceSigningError } from '../core/index.js';
import { toOwnForm } from './fetch-body.js';
import { isByteStream, readStream } from './stream-bytes.js';
import type { UndiciCall } from './undici-options.js';

/** The bytes that undici would send, and their Content-Type if the caller gives none. */
export interface UndiciBody {
  /** Undefined if there is no body. */
  readonly bytes: Buffer | undefined;
  readonly type?: string;
}

/**
 * The body of a call of undici as fixed bytes. A body that is not a stream is copied before this returns its promise.
 *
 * @throws ServiceSigningError `body_unsupported`, `body_too_large`
 * @throws the reason of the call's `signal` if it is aborted, or the stream's own error
 */
export async function freezeUndiciBody(call: UndiciCall, maxBytes: number): Promise<UndiciBody> {
  const { body } = call;
  if (body === undefined || body === null) return { bytes: undefined };
  if (typeof body === 'string') return { bytes: Buffer.from(body) };
  if (typeof body !== 'object') throw unsupported(typeof body);
  if (isArrayBuffer(body)) return { bytes: Buffer.from(new Uint8Array(body)) };
  if (ArrayBuffer.isView(body)) {
    return { bytes: Buffer.from(new Uint8Array(body.buffer, body.byteOffset, body.byteLength)) };
  }
  const described = toOwnForm(body);
  if (described instanceof Blob || described instanceof FormData) {
    return await serialise(described);
  }
  const { signal } = call;
  const stop = signal instanceof AbortSignal ? signal : new AbortController().signal;
  return { bytes: await readStream(toStream(body), maxBytes, stop) };
}

/** Once, so that the boundary between the parts of a form is fixed before signing. */
async function serialise(body: Blob | FormData): Promise<UndiciBody> {
  const serialised = new Response(body);
  const bytes = Buffer.from(await serialised.arrayBuffer());
  return { bytes, type: serialised.headers.get('content-type') ?? undefined };
}

function toStream(body: object): Parameters<typeof readStream>[0] {
  if (isByteStream(body)) return body;
  if (Symbol.asyncIterator in body || Symbol.iterator in body) {
    return Readable.from(body as AsyncIterable<unknown>, { objectMode: true });
  }
  throw unsupported('object');
}

function unsupported(detail: string): ServiceSigningError {
  return new ServiceSigningError('body_unsupported', { detail });
}
