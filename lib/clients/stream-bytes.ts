import { EventEmitter } from 'node:events';
import { addAbortSignal, PassThrough, Readable } from 'node:stream';
import { isUint8Array } from 'node:util/types';
import { ServiceSigningError } from '../core/index.js';

/** A stream that HTTP clients accept: Node's, a web stream, or an object with `pipe`. */
export type ByteStream = Readable | ReadableStream | { pipe(destination: PassThrough): unknown };

export function isByteStream(value: object): value is ByteStream {
  return (
    value instanceof Readable ||
    value instanceof ReadableStream ||
    ('pipe' in value && typeof value.pipe === 'function')
  );
}

/**
 * Reads a stream to its end, so that its bytes can be signed before they are sent.
 *
 * @throws ServiceSigningError `body_too_large` beyond `maxBytes`, `body_unsupported` for chunks that are not bytes
 * @throws the reason of `stop` if it is aborted, or the stream's own error
 */
export async function readStream(
  stream: ByteStream,
  maxBytes: number,
  stop: AbortSignal,
): Promise<Buffer> {
  try {
    return await readAll(toIterable(stream, stop), maxBytes);
  } catch (error) {
    stop.throwIfAborted();
    throw error;
  }
}

async function readAll(source: AsyncIterable<unknown>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (!isUint8Array(bytes)) throw new ServiceSigningError('body_unsupported');
    size += bytes.length;
    if (size > maxBytes) throw new ServiceSigningError('body_too_large');
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function toIterable(stream: ByteStream, stop: AbortSignal): AsyncIterable<unknown> {
  if (stream instanceof Readable) return addAbortSignal(stop, stream);
  if (stream instanceof ReadableStream) {
    return stream.pipeThrough(new TransformStream(), { signal: stop });
  }
  // In object mode, so that chunks that are not bytes reach the check below.
  const output = new PassThrough({ objectMode: true });
  if (stream instanceof EventEmitter) {
    stream.on('error', (error: Error) => output.destroy(error));
  }
  stream.pipe(output);
  return addAbortSignal(stop, output);
}
