import type { IncomingMessage } from 'node:http';
import { announcesContent, endsWithHeaders, hasEnded } from './body-framing.js';
import { refuseConsumed, unverifiable } from './body-limits.js';

/**
 * Sees the bytes of a request go by as its server pushes them. Reads nothing unless it is told to; then
 * it can hold back the end of the stream, since nothing can be put back after that.
 */
export class BodyWatch {
  /** False if bytes had reached a reader before anybody watched: nobody can tell which. */
  readonly sawFirstByte: boolean;
  /** Whether the headers announced content when the watch began. What is deleted later changes nothing. */
  readonly announced: boolean;
  private readonly push: IncomingMessage['push'];
  private sawBytes = false;
  /** The end of the stream has been pushed. */
  private ended: boolean;
  private readonly endsWithHeaders: boolean;
  private holdsEnd = false;
  private isPeeking = false;
  private onFirstPush: (() => void) | undefined;
  private onEnd: (() => void) | undefined;

  /** @param onBytes sees every piece, until the body is drained */
  constructor(
    readonly raw: IncomingMessage,
    private onBytes: ((bytes: Uint8Array) => void) | undefined,
  ) {
    this.announced = announcesContent(raw);
    this.ended = hasEnded(raw);
    this.endsWithHeaders = endsWithHeaders(raw);
    this.push = raw.push.bind(raw);
    raw.push = (chunk: unknown, encoding?: BufferEncoding) => this.watch(chunk, encoding);
    this.sawFirstByte = this.seeBuffered();
  }

  /** False only once the stream has ended without a byte, and no header announced any. */
  get hasContent(): boolean {
    return this.announced || this.sawBytes || !this.sawAll;
  }

  /** Every byte has been seen. */
  get sawAll(): boolean {
    return this.sawFirstByte && (this.ended || this.endsWithHeaders);
  }

  /**
   * Waits until `hasContent` is certain. Returns undefined if it is certain already.
   *
   * @throws ServiceTokenRefusedError `body_unverifiable` when the stream closes, or stays silent, without an end
   */
  settle(): void | Promise<void> {
    if (this.announced || this.sawBytes || this.sawAll) return undefined;
    return this.untilFirstPush();
  }

  private async untilFirstPush(): Promise<void> {
    const { raw } = this;
    const onGone = (): void => this.onFirstPush?.();
    raw.once('close', onGone);
    try {
      await new Promise<void>((resolve) => {
        this.onFirstPush = resolve;
        leavingUnread(raw, () => void raw.read(0)); // starts the flow into the buffer
        if (raw.destroyed) resolve();
        // All has arrived, but Bun pushes the end in a later turn.
        else if (raw.complete) setImmediate(resolve);
      });
    } finally {
      this.onFirstPush = undefined;
      raw.off('close', onGone);
    }
    if (!this.sawBytes && !this.ended) throw unverifiable('its end never came');
  }

  /** Resolves when the last byte has come, while others read. */
  async untilEnd(): Promise<void> {
    const { raw } = this;
    if (this.ended) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        raw.off('close', onGone).off('error', onGone);
        this.onEnd = undefined;
        if (error) reject(error);
        else resolve();
      };
      const onGone = (cause?: unknown): void => settle(clientGone(cause));
      this.onEnd = settle;
      raw.on('close', onGone).on('error', onGone);
    });
  }

  /** @throws ServiceTokenRefusedError `body_consumed` when others have read, or are reading */
  assertUnread(): void {
    const { raw } = this;
    if (!this.sawFirstByte) refuseConsumed('something read it before this library saw it');
    if (raw.readableDidRead || raw.readableFlowing || raw.readableEnded) {
      refuseConsumed('something else is reading it');
    }
    if (raw.readableEncoding !== null) refuseConsumed('something decodes it to text');
  }

  /**
   * Reads the body to its last byte, as fast as the pieces are taken, and leaves the stream open: what
   * follows is {@link putBack}, {@link refill}, or {@link discard}.
   *
   * @throws ServiceTokenRefusedError `body_unverifiable` when the client goes away
   */
  async *drain(): AsyncGenerator<Buffer, void> {
    const { raw } = this;
    let wake = (): void => undefined;
    let gone: Error | undefined;
    const onReadable = (): void => wake();
    const onGone = (cause?: unknown): void => {
      gone = clientGone(cause);
      wake();
    };
    this.holdsEnd = true;
    this.onBytes = undefined;
    this.onEnd = onReadable;
    raw.on('readable', onReadable).on('close', onGone).on('error', onGone);
    try {
      for (;;) {
        const woken = new Promise<void>((resolve) => (wake = resolve));
        if (gone) throw gone;
        const chunk = readChunk(raw);
        if (chunk) yield chunk;
        else if (this.ended) return;
        else await woken;
      }
    } finally {
      raw.off('readable', onReadable).off('close', onGone).off('error', onGone);
      this.onEnd = undefined;
      markUnread(raw);
    }
  }

  /** Gives drained bytes back for whoever reads next, in the pieces they came in. */
  putBack(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) this.push(chunk);
    this.releaseEnd();
  }

  /** Gives a piece of what was drained back, where not all of it is in memory; null is the end. */
  refill(piece: Buffer | null): void {
    this.push(piece);
  }

  /** Lets what is left of the body run into nothing, so that a refusal can be sent. */
  discard(): void {
    this.raw.resume();
    this.releaseEnd();
  }

  private releaseEnd(): void {
    this.holdsEnd = false;
    if (this.ended) this.push(null);
  }

  /**
   * Sees what lies in the stream's buffer, where a server put it before anybody watched.
   *
   * @returns false if bytes have reached a reader, or are about to
   */
  private seeBuffered(): boolean {
    const { raw } = this;
    if (raw.readableDidRead) return false;
    if (raw.readableLength === 0) return true;
    if (isClaimed(raw)) return false;
    this.isPeeking = true; // reading may make the server push more, which is read here too
    const bytes = leavingUnread(raw, () => readAndUnshift(raw));
    this.isPeeking = false;
    if (bytes) this.see(bytes);
    return bytes !== undefined;
  }

  private watch(chunk: unknown, encoding?: BufferEncoding): boolean {
    const { raw } = this;
    // A host may push the same bytes again each time the stream asks for more.
    if (this.ended) return false;
    if (chunk === null) {
      // HTTP/2 ends the stream of a request that was reset, too: that is no end of its body.
      if (raw.aborted) return this.push(null);
      this.ended = true;
      this.onFirstPush?.();
      this.onEnd?.();
      return this.holdsEnd ? false : this.push(null);
    }
    // A throw in here would end the process: what is no bytes is left to the stream to refuse.
    if (isBytes(chunk) && !this.isPeeking) this.see(toBytes(chunk, encoding));
    return this.push(chunk, encoding);
  }

  private see(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.sawBytes = true;
    this.onBytes?.(bytes);
    this.onFirstPush?.();
  }
}

/** Whether somebody reads: taking bytes out for a moment would show them to a listener twice. */
function isClaimed(raw: IncomingMessage): boolean {
  return (
    raw.readableFlowing === true ||
    raw.readableEncoding !== null ||
    raw.listenerCount('data') + raw.listenerCount('readable') > 0
  );
}

/** All that lies in the buffer, which is put back at once; undefined if the stream does not give it. */
function readAndUnshift(raw: IncomingMessage): Buffer | undefined {
  const bytes = readChunk(raw);
  if (bytes) raw.unshift(bytes);
  return bytes;
}

/**
 * Looks at a stream and leaves it as unread as it was: Node drops the rest of a body that nobody has consumed
 * once the request is answered, and only then reads the next request of the connection.
 */
function leavingUnread<T>(raw: IncomingMessage, look: () => T): T {
  const wasConsumed: unknown = Reflect.get(raw, '_consumed');
  try {
    return look();
  } finally {
    if (wasConsumed === false) Reflect.set(raw, '_consumed', false);
    markUnread(raw);
  }
}

/** Makes `readableDidRead` say that no byte has reached a reader: fetch refuses a stream that says otherwise. */
function markUnread(raw: IncomingMessage): void {
  const state: unknown = Reflect.get(raw, '_readableState');
  if (typeof state === 'object' && state !== null && 'dataEmitted' in state) {
    state.dataEmitted = false;
  }
}

function clientGone(cause: unknown): Error {
  return unverifiable('the client went away', { cause });
}

function readChunk(raw: IncomingMessage): Buffer | undefined {
  const chunk: unknown = raw.read();
  return isBytes(chunk) ? toBytes(chunk) : undefined;
}

function isBytes(chunk: unknown): chunk is string | Uint8Array {
  return typeof chunk === 'string' || chunk instanceof Uint8Array;
}

function toBytes(chunk: string | Uint8Array, encoding?: BufferEncoding): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding);
  if (chunk instanceof Buffer) return chunk;
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
}
