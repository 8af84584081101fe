import { EventEmitter } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { ServiceSigningError } from '../core/index.js';

/** A stream of the kinds that HTTP clients take: Node's, the web's, or anything with `pipe`. */
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
 * @throws ServiceSigningError `body_too_large` beyond `maxBytes`, `body_unsupported` for chunks that are no bytes
 */
export async function readStream(stream: ByteStream, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of toIterable(stream)) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (!(bytes instanceof Uint8Array)) throw new ServiceSigningError('body_unsupported');
    size += bytes.length;
    if (size > maxBytes) throw new ServiceSigningError('body_too_large');
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function toIterable(stream: ByteStream): AsyncIterable<unknown> {
  if (stream instanceof Readable || stream instanceof ReadableStream) return stream;
  const output = new PassThrough();
  if (stream instanceof EventEmitter) {
    stream.on('error', (error: Error) => output.destroy(error));
  }
  stream.pipe(output);
  return output;
}
