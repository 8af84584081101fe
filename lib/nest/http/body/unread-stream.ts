import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';

/** Whether other code reads the stream: it would get bytes twice that are taken out and put back. */
export function isClaimed(raw: IncomingMessage): boolean {
  return (
    raw.readableFlowing === true ||
    raw.readableEncoding !== null ||
    raw.listenerCount('data') + raw.listenerCount('readable') > 0
  );
}

/**
 * The connection whose end is that of its request; undefined where it serves other requests too. Node does not close a
 * request that was answered before its body had come: only the connection emits that the client is gone.
 */
export function connectionOf(raw: IncomingMessage): EventEmitter | undefined {
  const { httpVersionMajor, socket } = raw as { httpVersionMajor: number; socket?: unknown };
  return httpVersionMajor < 2 && isEmitter(socket) ? socket : undefined;
}

/** Whether nothing can follow what has arrived: the client is gone. */
export function isGone(raw: IncomingMessage): boolean {
  const { socket, stream, httpVersionMajor } = raw as IncomingMessage & { stream?: object };
  const carrier: object | null | undefined = httpVersionMajor < 2 ? socket : stream;
  return raw.destroyed || Reflect.get(carrier ?? {}, 'destroyed') === true;
}

/** A host other than a Node server gives its own object as the socket, and an injected request may have none. */
function isEmitter(socket: unknown): socket is EventEmitter {
  const { once, off } = (socket ?? {}) as { once?: unknown; off?: unknown };
  return typeof once === 'function' && typeof off === 'function';
}

/** The bytes in the buffer of a stream, which stay there; undefined if the stream does not return them. */
export function peek(raw: IncomingMessage): Buffer | undefined {
  return leavingUnread(raw, () => {
    const bytes = readChunk(raw);
    if (bytes) raw.unshift(bytes);
    return bytes;
  });
}

/**
 * Runs `look` on a stream, and leaves the stream unread. After the answer, Node drops the rest of an unconsumed body,
 * and only then reads the next request of the connection.
 */
export function leavingUnread<T>(raw: IncomingMessage, look: () => T): T {
  const wasConsumed: unknown = Reflect.get(raw, '_consuming');
  try {
    return look();
  } finally {
    if (wasConsumed === false) Reflect.set(raw, '_consuming', false);
    markUnread(raw);
  }
}

/** Sets `readableDidRead` to false: fetch refuses a stream where it is true. */
export function markUnread(raw: IncomingMessage): void {
  const state: unknown = Reflect.get(raw, '_readableState');
  if (typeof state === 'object' && state !== null && 'dataEmitted' in state) {
    state.dataEmitted = false;
  }
}

/** The bytes that a stream has now; undefined if it has none. */
export function readChunk(raw: IncomingMessage): Buffer | undefined {
  const chunk: unknown = raw.read();
  return isBytes(chunk) ? toBytes(chunk) : undefined;
}

/** Whether a stream accepts a chunk as bytes. */
export function isBytes(chunk: unknown): chunk is string | Uint8Array {
  return typeof chunk === 'string' || chunk instanceof Uint8Array;
}

/** The bytes of a chunk, without a copy unless it is a string. */
export function toBytes(chunk: string | Uint8Array, encoding?: BufferEncoding): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding);
  if (chunk instanceof Buffer) return chunk;
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
}

/**
 * Whether a request is a stream of bytes. A host other than a Node server may give an object with a parsed body and
 * no bytes. The methods do not show this: Express adds those of a stream to every request.
 */
export function isStream(raw: IncomingMessage): boolean {
  const { push, read, _readableState } = raw as {
    push?: unknown;
    read?: unknown;
    _readableState?: unknown;
  };
  const isReadable = typeof push === 'function' && typeof read === 'function';
  return isReadable && typeof _readableState === 'object' && _readableState !== null;
}
