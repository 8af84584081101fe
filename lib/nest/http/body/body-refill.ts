import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { BodySpool } from './body-spool.js';

/** A drained body that takes its bytes back; null is the end. */
export interface RefillableBody {
  readonly raw: IncomingMessage;
  refill(piece: Buffer | null): void;
  passOn(chunks: readonly Buffer[]): void;
}

/** How a spooled body goes back. */
export interface RefillOptions {
  /** The answer: the file goes with it if nobody reads by then. */
  readonly response: EventEmitter;
  /** What comes after the file, before the rest of the body; undefined where the file holds all of the body. */
  readonly after?: readonly Buffer[];
}

/**
 * Gives a spooled body to whoever reads the request next: a piece of the file whenever the stream asks
 * for more, so that a slow reader holds no more than a piece in memory. The file goes with its last
 * byte, with the client, or with the answer if nobody reads by then.
 */
export function refillFrom(spool: BodySpool, body: RefillableBody, options: RefillOptions): void {
  new BodyRefill(spool, body, options).start();
}

class BodyRefill {
  private readonly raw: IncomingMessage;
  private isOver = false;
  private isReading = false;
  /** Node may take it from the request once that is answered; injected requests may have none. */
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
    const { httpVersionMajor, socket } = body.raw as {
      httpVersionMajor: number;
      socket?: unknown;
    };
    this.connection = httpVersionMajor < 2 && isEmitter(socket) ? socket : undefined;
  }

  start(): void {
    this.raw.once('close', this.onRequestClosed);
    this.response.once('finish', this.onAnswered).once('close', this.onAnswered);
    // As the option `read` of a stream would: the socket has nothing left to give.
    this.raw._read = () => void this.pull();
    // The stream has asked already, for the bytes after the last that were drained.
    void this.pull();
  }

  private async pull(): Promise<void> {
    if (this.isReading || this.isOver) return;
    this.isReading = true;
    try {
      const piece = await this.spool.read();
      this.isReading = false; // the push may ask for more at once
      if (this.isOver) return;
      if (piece) this.body.refill(piece);
      else this.end(this.after);
      // Node's request lets its stream ask by itself only once Node's own `_read` has run, which hosts replace.
      if (!this.isOver && this.raw.readableLength === 0) this.raw.read(0);
    } catch (error) {
      this.fail(error);
    }
  }

  private readonly onRequestClosed = (): void => this.fail();

  /** Node throws away what nobody reads of a request that is answered, and so does this. */
  private readonly onAnswered = (): void => {
    this.response.off('finish', this.onAnswered).off('close', this.onAnswered);
    if (this.isOver) return;
    if (!isBeingRead(this.raw)) {
      this.end([]);
      this.raw.resume();
    } else {
      // Whoever answers early may read on while the connection lasts.
      this.connection?.once('close', this.onRequestClosed);
    }
  };

  /** @param after undefined where the file held all of the body */
  private end(after: readonly Buffer[] | undefined): void {
    this.stop();
    if (this.after === undefined || after === undefined) {
      this.body.refill(null);
      return;
    }
    // From now on the stream asks the socket again.
    this.raw._read = this.ask;
    this.body.passOn(after);
    this.raw.read(0);
  }

  private fail(cause?: unknown): void {
    if (this.isOver) return;
    this.stop();
    // Without a listener an error would end the process: closing too early tells readers enough.
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

/** A host that is no Node server gives an object of its own as the socket. */
function isEmitter(socket: unknown): socket is EventEmitter {
  const { once, off } = (socket ?? {}) as { once?: unknown; off?: unknown };
  return typeof once === 'function' && typeof off === 'function';
}

function isBeingRead(raw: IncomingMessage): boolean {
  const listeners = raw.listenerCount('data') + raw.listenerCount('readable');
  return raw.readableFlowing === true || listeners > 0;
}
