import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import {
  type BodyArrival,
  type BodyHashAlgorithm,
  readUnverifiedBodyHash,
} from '../../../core/index.js';
import { headerListOf } from '../header-list.js';
import { type RunningDigest, WatchedDigest } from './body-digest.js';
import { type DrainableBody, drainBody } from './body-drain.js';
import { announcesContent, endsWithHeaders, hasEnded } from './body-framing.js';
import {
  assertWithin,
  type BodyLimits,
  refuseBody,
  refuseConsumed,
  unverifiable,
} from './body-limits.js';
import {
  connectionOf,
  isBytes,
  isClaimed,
  isGone,
  leavingUnread,
  markUnread,
  peek,
  readChunk,
  toBytes,
} from './unread-stream.js';

/** The state of a body: the table of {@link ReceivedBody}. */
type BodyState =
  'untouched' | 'missed' | 'watched' | 'draining' | 'drained' | 'held' | 'passed' | 'refused';

/**
 * The body of one request. It watches the bytes as the server pushes them, keeps at most 64 KiB, and reads nothing
 * until a digest is requested.
 *
 * | state | bytes come | the end comes | a digest is asked for | next state |
 * | --- | --- | --- | --- | --- |
 * | `untouched` | pass | passes | | its buffer was looked at: `watched`, or `missed` if bytes had reached a reader |
 * | `missed` | pass | passes | refused: `body_consumed`, unless the option `rawBody` gives them | |
 * | `watched` | digested, pass | passes | all seen: answered. Others read: answered at the end. Read in part:
 *   refused. Unread: drained | unread: `draining` |
 * | `draining` | read here | held back | answered at the end | given back: `drained`. Too large, or client gone:
 *   `refused`. Too large, in report-only mode: `held` |
 * | `drained` | none come | came before | answered | |
 * | `held` | wait | waits | refused as before | what was drained is given back: `passed` |
 * | `passed` | pass | passes | refused as before | |
 * | `refused` | run into nothing | passes | refused as before | |
 */
export class ReceivedBody implements DrainableBody {
  /** Whether the headers announced content when the watch began. Deleting headers later has no effect. */
  private readonly announced: boolean;
  private readonly endsWithHeaders: boolean;
  private readonly push: IncomingMessage['push'];
  private state: BodyState = 'untouched';
  private seenBytes = 0;
  /** The bytes that arrived while the body was `held`. */
  private readonly rest: Buffer[] = [];
  /** Whether the server has pushed the end. Later bytes are not part of the body. */
  private ended: boolean;
  private readonly watched: WatchedDigest;
  private drained: Promise<RunningDigest> | undefined;
  private settling: Promise<void> | undefined;
  private readByOthers: Promise<void> | undefined;
  /** Functions to call at the first bytes, or at the end. */
  private listeners: readonly (() => void)[] = [];

  constructor(readonly raw: IncomingMessage) {
    this.announced = announcesContent(raw);
    this.ended = hasEnded(raw);
    this.endsWithHeaders = endsWithHeaders(raw);
    this.watched = new WatchedDigest(
      () => readUnverifiedBodyHash(headerListOf(this.raw)) ?? 'sha256',
    );
    this.push = raw.push.bind(raw);
    raw.push = (chunk: unknown, encoding?: BufferEncoding) => this.receive(chunk, encoding);
    this.state = this.seeBuffered() ? 'watched' : 'missed';
  }

  /** Whether bytes had reached a reader before the watch began. Nothing shows which bytes. */
  get isMissed(): boolean {
    return this.state === 'missed';
  }

  /** False only after the stream has ended without a byte, and no header announced content. */
  get hasContent(): boolean {
    return this.announced || this.seenBytes > 0 || !this.sawAll;
  }

  /**
   * Waits until `hasContent` is certain. Returns undefined if it is certain already.
   *
   * @throws ServiceTokenRefusedError `body_unverifiable` if the stream closes, or sends nothing, without an end
   */
  settle(): void | Promise<void> {
    if (this.announced || this.seenBytes > 0 || this.sawAll) return undefined;
    return (this.settling ??= this.untilFirstPush());
  }

  /**
   * The lower-case hex digest of the body. Drains the body if no code has read it.
   *
   * @param response the answer; after its end nothing of the body stays on disk
   * @throws ServiceTokenRefusedError `body_consumed`, `body_unverifiable`
   * @throws ServiceAuthUnavailableError `body_unverifiable`: no file can be written
   */
  digest(
    algorithm: BodyHashAlgorithm,
    limits: BodyLimits,
    response: EventEmitter,
  ): string | Promise<string> {
    if (this.state === 'missed') refuseConsumed('something read it before this library saw it');
    if (this.state === 'watched') {
      if (this.sawAll) return this.digestWatched(algorithm, limits);
      if (isGone(this.raw)) refuseBody('the client went away');
      if (this.raw.readableFlowing) return this.digestWhenRead(algorithm);
      this.assertUnread();
      this.watched.forget();
      this.state = 'draining';
    }
    this.drained ??= drainBody(this, { algorithm, limits, response });
    return this.drained.then((digest) => digest.hex(algorithm));
  }

  /** What has arrived so far. No other code has read a drained body. */
  arrival(): BodyArrival {
    const isReadByOthers = this.state === 'watched' && this.raw.readableDidRead;
    return { bytes: this.seenBytes, isReadByOthers };
  }

  /**
   * Reads the body to its last byte, at the speed of the consumer, and leaves the stream open. Call {@link putBack},
   * {@link refill}, or {@link discard} next.
   *
   * @throws ServiceTokenRefusedError `body_unverifiable` if the client disconnects
   */
  async *drain(): AsyncGenerator<Buffer, void> {
    const { raw } = this;
    let wake = (): void => undefined;
    let gone: Error | undefined;
    const nextWake = (): Promise<void> => {
      if (gone) throw gone;
      return new Promise((resolve) => (wake = resolve));
    };
    const onReadable = (): void => wake();
    const onGone = (cause?: unknown): void => {
      gone = clientGone(cause);
      wake();
    };
    const connection = connectionOf(raw)?.once('close', onGone);
    this.listen(onReadable);
    raw.on('readable', onReadable).on('close', onGone).on('error', onGone);
    try {
      yield* this.pieces(nextWake);
    } finally {
      raw.off('readable', onReadable).off('close', onGone).off('error', onGone);
      connection?.off('close', onGone);
      this.unlisten(onReadable);
      markUnread(raw);
    }
  }

  /** @param nextWake resolves when the stream may have more; rejects after the client has disconnected */
  private async *pieces(nextWake: () => Promise<void>): AsyncGenerator<Buffer, void> {
    for (;;) {
      const woken = nextWake();
      const chunk = readChunk(this.raw);
      if (chunk) yield chunk;
      else if (this.ended) return;
      else await woken;
    }
  }

  /** Puts drained bytes back for the next reader, in the pieces in which they arrived. */
  putBack(chunks: readonly Buffer[]): void {
    this.state = 'drained';
    for (const chunk of chunks) this.push(chunk);
    this.push(null);
  }

  /** Puts back one piece of a drained body that is not completely in memory; null is the end. */
  refill(piece: Buffer | null): void {
    if (this.state === 'draining') this.state = 'drained';
    this.push(piece);
  }

  /** Stops draining before the end. Later bytes wait until {@link passOn}. */
  holdRest(): void {
    this.state = 'held';
    const chunk = readChunk(this.raw);
    if (chunk) this.rest.push(chunk);
    markUnread(this.raw);
  }

  /** Gives the next reader the last drained bytes, then the rest of the body as it arrives. */
  passOn(chunks: readonly Buffer[]): void {
    this.state = 'passed';
    for (const chunk of [...chunks, ...this.rest.splice(0)]) this.push(chunk);
    if (this.ended) this.push(null);
  }

  /** Discards the rest of the body, so that a refusal can be sent. */
  discard(): void {
    this.state = 'refused';
    this.raw.resume();
    if (this.ended) this.push(null);
  }

  /** Whether every byte has been watched. */
  private get sawAll(): boolean {
    return this.state !== 'missed' && (this.ended || this.endsWithHeaders);
  }

  private receive(chunk: unknown, encoding?: BufferEncoding): boolean {
    // A host may push the same bytes again each time the stream reads.
    if (this.ended) return false;
    if (chunk === null) return this.receiveEnd();
    // An error here would end the process: the stream refuses chunks that are not bytes. Chunks that arrive during
    // the look at the buffer are part of the buffer.
    if (isBytes(chunk) && this.state !== 'untouched') this.see(toBytes(chunk, encoding));
    if (isBytes(chunk) && this.state === 'held') {
      this.rest.push(toBytes(chunk, encoding));
      return false;
    }
    return this.push(chunk, encoding);
  }

  private receiveEnd(): boolean {
    // HTTP/2 also ends the stream of a reset request. That is not the end of its body.
    if (this.raw.aborted) return this.push(null);
    this.ended = true;
    this.callListeners();
    // Nothing can be put back after the end.
    return this.state === 'draining' || this.state === 'held' ? false : this.push(null);
  }

  private see(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const isFirst = this.seenBytes === 0;
    this.seenBytes += bytes.length;
    if (this.state === 'untouched' || this.state === 'watched') this.watched.update(bytes);
    if (isFirst) this.callListeners();
  }

  private listen(listener: () => void): void {
    this.listeners = [...this.listeners, listener];
  }

  private unlisten(listener: () => void): void {
    this.listeners = this.listeners.filter((each) => each !== listener);
  }

  private callListeners(): void {
    for (const listener of this.listeners) listener();
  }

  /**
   * Reads the stream's buffer, which the server filled before the watch began.
   *
   * @returns false if bytes have reached a reader, or are about to
   */
  private seeBuffered(): boolean {
    const { raw } = this;
    if (raw.readableDidRead) return false;
    if (raw.readableLength === 0) return true;
    if (isClaimed(raw)) return false;
    const bytes = peek(raw);
    if (bytes) this.see(bytes);
    return bytes !== undefined;
  }

  private async untilFirstPush(): Promise<void> {
    const { raw } = this;
    const connection = connectionOf(raw);
    let onPush = (): void => undefined;
    try {
      await new Promise<void>((resolve) => {
        onPush = resolve;
        this.listen(onPush);
        raw.once('close', onPush);
        connection?.once('close', onPush);
        leavingUnread(raw, () => void raw.read(0)); // starts the flow into the buffer
        if (isGone(raw)) resolve();
        // All bytes have arrived, but Bun pushes the end in a later turn.
        else if (raw.complete) setImmediate(resolve);
      });
    } finally {
      this.unlisten(onPush);
      raw.off('close', onPush);
      connection?.off('close', onPush);
    }
    if (this.seenBytes === 0 && !this.ended) throw unverifiable('its end never came');
  }

  private digestWatched(algorithm: BodyHashAlgorithm, limits: BodyLimits): string {
    // This guard keeps an unread body in memory, including the bytes that have not arrived yet.
    if (!this.raw.readableDidRead) assertWithin(limits, this.raw.readableLength);
    return this.watched.hex(algorithm);
  }

  /** A decoder stops at the end of its data, which may come before the end of the body. */
  private async digestWhenRead(algorithm: BodyHashAlgorithm): Promise<string> {
    await (this.readByOthers ??= this.untilEnd());
    return this.watched.hex(algorithm);
  }

  /** Resolves after the last byte has arrived, while other code reads. */
  private async untilEnd(): Promise<void> {
    const { raw } = this;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        raw.off('close', onGone).off('error', onGone);
        connection?.off('close', onGone);
        this.unlisten(onChange);
        if (error) reject(error);
        else resolve();
      };
      const onGone = (cause?: unknown): void => settle(clientGone(cause));
      const onChange = (): void => {
        if (this.ended) settle();
      };
      const connection = connectionOf(raw)?.once('close', onGone);
      this.listen(onChange);
      raw.on('close', onGone).on('error', onGone);
    });
  }

  /** @throws ServiceTokenRefusedError `body_consumed` if other code has read, or is reading */
  private assertUnread(): void {
    const { raw } = this;
    if (raw.readableDidRead || raw.readableFlowing || raw.readableEnded) {
      refuseConsumed('something else is reading it');
    }
    if (raw.readableEncoding !== null) refuseConsumed('something decodes it to text');
  }
}

function clientGone(cause: unknown): Error {
  return unverifiable('the client went away', { cause });
}
