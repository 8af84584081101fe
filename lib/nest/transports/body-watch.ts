import type { IncomingMessage } from 'node:http';
import { refuseBody, unverifiable } from './body-limits.js';

/**
 * Sees the bytes of a request go by as its server pushes them. Reads nothing unless it is told to; then
 * it can hold back the end of the stream, since nothing can be put back after that.
 */
export class BodyWatch {
  /** False when bytes had been pushed before anybody watched: then only reading them all tells. */
  readonly sawFirstByte: boolean;
  private readonly push: IncomingMessage['push'];
  private sawBytes = false;
  private ended = false;
  private holdsEnd = false;
  private onFirstPush: (() => void) | undefined;
  private onEnd: (() => void) | undefined;

  /** @param onBytes sees every piece, until the body is drained */
  constructor(
    readonly raw: IncomingMessage,
    private onBytes: ((bytes: Uint8Array) => void) | undefined,
  ) {
    this.sawFirstByte = !raw.readableDidRead && raw.readableLength === 0 && !raw.readableEnded;
    this.push = raw.push.bind(raw);
    raw.push = (chunk: unknown, encoding?: BufferEncoding) => this.watch(chunk, encoding);
  }

  /** Known to be without a byte, from its first to its end. */
  get isEmpty(): boolean {
    return this.sawAll && !this.sawBytes;
  }

  /** Every byte has been seen. */
  get sawAll(): boolean {
    return this.sawFirstByte && this.ended;
  }

  /** Resolves at the first byte or at the end; reads nothing. */
  async untilFirstByte(): Promise<void> {
    const { raw } = this;
    if (!this.sawFirstByte || this.sawBytes || this.ended || raw.destroyed) return;
    await new Promise<void>((resolve) => {
      this.onFirstPush = resolve;
      raw.once('close', resolve);
      raw.read(0); // starts the flow into the buffer
    });
    this.onFirstPush = undefined;
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

  /** @throws ServiceTokenRefusedError `body_unverifiable` when others have read, or are reading */
  assertUnread(): void {
    const { raw } = this;
    if (raw.readableDidRead || raw.readableFlowing || raw.readableEnded) {
      refuseBody('it was read before this library saw it, or is being read');
    }
    if (raw.readableEncoding !== null) refuseBody('it is being decoded to text');
    if (!this.sawFirstByte && raw.complete) refuseBody('it arrived before this library saw it');
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

  private watch(chunk: unknown, encoding?: BufferEncoding): boolean {
    this.onFirstPush?.();
    if (chunk === null) {
      this.ended = true;
      this.onEnd?.();
      return this.holdsEnd ? false : this.push(null);
    }
    // A throw in here would end the process: what is no bytes is left to the stream to refuse.
    if (isBytes(chunk)) {
      this.sawBytes ||= chunk.length > 0;
      this.onBytes?.(toBytes(chunk, encoding));
    }
    return this.push(chunk, encoding);
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
