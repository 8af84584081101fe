import type { IncomingMessage } from 'node:http';

/** Whether somebody reads: taking bytes out for a moment would show them to a listener twice. */
export function isClaimed(raw: IncomingMessage): boolean {
  return (
    raw.readableFlowing === true ||
    raw.readableEncoding !== null ||
    raw.listenerCount('data') + raw.listenerCount('readable') > 0
  );
}

/** All that lies in the buffer of a stream, and stays there; undefined if the stream does not give it. */
export function peek(raw: IncomingMessage): Buffer | undefined {
  return leavingUnread(raw, () => {
    const bytes = readChunk(raw);
    if (bytes) raw.unshift(bytes);
    return bytes;
  });
}

/**
 * Looks at a stream and leaves it as unread as it was: Node drops the rest of a body that nobody has consumed
 * once the request is answered, and only then reads the next request of the connection.
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

/** Makes `readableDidRead` say that no byte has reached a reader: fetch refuses a stream that says otherwise. */
export function markUnread(raw: IncomingMessage): void {
  const state: unknown = Reflect.get(raw, '_readableState');
  if (typeof state === 'object' && state !== null && 'dataEmitted' in state) {
    state.dataEmitted = false;
  }
}

/** The bytes that a stream gives now; undefined if it gives none. */
export function readChunk(raw: IncomingMessage): Buffer | undefined {
  const chunk: unknown = raw.read();
  return isBytes(chunk) ? toBytes(chunk) : undefined;
}

/** Whether a chunk is one of those that a stream takes for bytes. */
export function isBytes(chunk: unknown): chunk is string | Uint8Array {
  return typeof chunk === 'string' || chunk instanceof Uint8Array;
}

/** The bytes of a chunk, without a copy where it is no text. */
export function toBytes(chunk: string | Uint8Array, encoding?: BufferEncoding): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding);
  if (chunk instanceof Buffer) return chunk;
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
}

/**
 * Whether a request is a stream of bytes. A host that is no Node server may give an object that holds a parsed body, and
 * no bytes. The methods do not tell: Express gives those of a stream to every request.
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
