import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { BodySpool } from './body-spool.js';
import { connectionOf } from './unread-stream.js';

/** A drained body to which the bytes are put back; null is the end. */
export interface RefillableBody {
  readonly raw: IncomingMessage;
  refill(piece: Buffer | null): void;
  passOn(chunks: readonly Buffer[]): void;
}

/** The parameters of putting back a spooled body. */
export interface RefillOptions {
  /** The answer. If no code reads the body by its end, the file is removed. */
  readonly response: EventEmitter;
  /** The bytes that follow the file, before the rest of the body; undefined if the file has the whole body. */
  readonly after?: readonly Buffer[];
}

/**
 * Puts a spooled body back for the next reader of the request: one piece of the file each time the stream asks for
 * more. So a slow reader keeps at most one piece in memory. The file is removed after its last byte, when the client
 * disconnects, or with the answer if no code reads it by then.
 */
export function refillFrom(spool: BodySpool, body: RefillableBody, options: RefillOptions): void {
  new BodyRefill(spool, body, options).start();
}

class BodyRefill {
  private readonly raw: IncomingMessage;
  private isOver = false;
  private isReading = false;
  /** Kept, since Node may remove it from an answered request. */
  private readonly connection: EventEmitter | undefined;
  private readonly response: EventEmitter;
  private readonly after: readonly Buffer[] | undefined;
  private readonly ask: IncomingMessage['_read'];

  constructor(
    private readonly spool: BodySpool,
    private readonly body: RefillableBody,
    { response, after }: RefillOptions,
  ) {
    this.raw = body.raw;
    this.response = response;
    this.after = after;
    this.ask = body.raw._read.bind(body.raw);
    this.connection = connectionOf(body.raw);
  }

  start(): void {
    this.raw.once('close', this.onRequestClosed);
    // A timeout may have answered while the body was verified: the response emits nothing any more.
    if (isAnswered(this.response)) this.connection?.once('close', this.onRequestClosed);
    else this.response.once('finish', this.onAnswered).once('close', this.onAnswered);
    // Like the option `read` of a stream: the socket has no more bytes.
    this.raw._read = () => void this.pull();
    // The stream has already asked for the bytes after the last drained ones.
    void this.pull();
  }

  private async pull(): Promise<void> {
    if (this.isReading || this.isOver) return;
    this.isReading = true;
    try {
      const piece = await this.spool.read();
      this.isReading = false; // the push may ask for more immediately
      if (this.isOver) return;
      if (piece) this.body.refill(piece);
      else this.end(this.after);
      // The stream of Node's request asks by itself only after Node's own `_read` has run, which hosts replace.
      if (!this.isOver && this.raw.readableLength === 0) this.raw.read(0);
    } catch (error) {
      this.fail(error);
    }
  }

  private readonly onRequestClosed = (): void => this.fail();

  /** Like Node, discards the unread rest of an answered request. */
  private readonly onAnswered = (): void => {
    this.response.off('finish', this.onAnswered).off('close', this.onAnswered);
    if (this.isOver) return;
    if (!isBeingRead(this.raw)) {
      this.end([]);
      this.raw.resume();
    } else {
      // A handler that answers early may read on while the connection lasts.
      this.connection?.once('close', this.onRequestClosed);
    }
  };

  /** @param after undefined if the file has the whole body */
  private end(after: readonly Buffer[] | undefined): void {
    this.stop();
    if (this.after === undefined || after === undefined) {
      this.body.refill(null);
      return;
    }
    // From now on the stream reads from the socket again.
    this.raw._read = this.ask;
    this.body.passOn(after);
    this.raw.read(0);
  }

  private fail(cause?: unknown): void {
    if (this.isOver) return;
    this.stop();
    // Without a listener an error would end the process. Readers see the early close.
    const canTell = this.raw.listenerCount('error') > 0;
    this.raw.destroy(canTell ? new Error('The rest of the body is gone.', { cause }) : undefined);
  }

  private stop(): void {
    this.isOver = true;
    this.raw.off('close', this.onRequestClosed);
    this.response.off('finish', this.onAnswered).off('close', this.onAnswered);
    this.connection?.off('close', this.onRequestClosed);
    void this.spool.close();
  }
}

function isAnswered(response: EventEmitter): boolean {
  return Reflect.get(response, 'writableEnded') === true;
}

function isBeingRead(raw: IncomingMessage): boolean {
  const listeners = raw.listenerCount('data') + raw.listenerCount('readable');
  return raw.readableFlowing === true || listeners > 0;
}
