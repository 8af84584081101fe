import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import {
  type BodyHashAlgorithm,
  hashBody,
  readUnverifiedBodyHash,
  type RequestBody,
  ServiceTokenRefusedError,
} from '../../core/index.js';

/** Beyond this the bytes are hashed as they arrive instead of being kept for one hash at the end. */
const MAX_KEPT_BYTES = 64 * 1024;

const BODIES = new WeakMap<IncomingMessage, HttpBody>();

/**
 * Watches the body of a request from its first byte on, where it has one and carries a token. Must
 * run before anything reads the request. Reads nothing itself and keeps at most 64 KiB.
 */
export function captureBody(raw: IncomingMessage): void {
  if (mayHaveContent(raw) && !BODIES.has(raw)) BODIES.set(raw, new HttpBody(raw));
}

/**
 * The body of a request as the verifier needs it. What no parser has read is read here, up to
 * `maxBufferedBytes`, and given back for whoever reads next.
 */
export function bodyOf(raw: IncomingMessage, maxBufferedBytes: number): RequestBody {
  if (!mayHaveContent(raw)) {
    return { hasContent: false, digest: (algorithm) => hashBody(algorithm, new Uint8Array()) };
  }
  captureBody(raw);
  const body = BODIES.get(raw);
  const announced = isAnnounced(raw);
  return {
    // Until it has ended without a byte, a body that no header announces may have some.
    get hasContent() {
      return announced || body?.isEmpty !== true;
    },
    ...(announced ? {} : { settle: async () => await body?.untilFirstByte() }),
    digest: (algorithm) => body?.digest(algorithm, maxBufferedBytes) ?? refuseBody('not captured'),
  };
}

/** The framing says so: RFC 9112 section 6.3, RFC 9113 section 8.1. */
function mayHaveContent(raw: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers;
  if (coding !== undefined) return true;
  if (length !== undefined) return length !== '0';
  return raw.httpVersionMajor >= 2 ? !endsAfterHeaders(raw) : isInjectedStream(raw);
}

function isAnnounced(raw: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers;
  return length !== undefined || coding !== undefined;
}

/** HTTP/2 has no framing headers: the stream says whether DATA frames may follow. */
function endsAfterHeaders(raw: IncomingMessage): boolean {
  return memberOf(memberOf(raw, 'stream'), 'endAfterHeaders') === true;
}

/** Fastify's `inject()` gives a stream no framing headers either: its own record is all that tells. */
function isInjectedStream(raw: IncomingMessage): boolean {
  const payload = memberOf(memberOf(raw, '_lightMyRequest'), 'payload');
  return payload !== undefined && payload !== null;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

class HttpBody {
  private readonly push: IncomingMessage['push'];
  /** False when bytes had been pushed before anybody watched: then only reading them all tells. */
  private readonly sawFirstByte: boolean;
  private kept: Uint8Array[] = [];
  private keptBytes = 0;
  private running: { readonly algorithm: BodyHashAlgorithm; readonly hash: Hash } | undefined;
  private ended = false;
  /** While the guard reads, the end of the stream is held back: nothing can be put back after it. */
  private holdingEnd = false;
  private onEnd: (() => void) | undefined;
  private sawBytes = false;
  private onFirstPush: (() => void) | undefined;
  private reading: Promise<Uint8Array> | undefined;
  private othersReading: Promise<void> | undefined;

  constructor(private readonly raw: IncomingMessage) {
    this.sawFirstByte = !raw.readableDidRead && raw.readableLength === 0 && !raw.readableEnded;
    this.push = raw.push.bind(raw);
    raw.push = (chunk: unknown, encoding?: BufferEncoding) => this.watch(chunk, encoding);
  }

  /** Known to be without a byte, from its first to its end. */
  get isEmpty(): boolean {
    return this.sawFirstByte && this.ended && !this.sawBytes;
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

  digest(algorithm: BodyHashAlgorithm, maxBytes: number): string | Promise<string> {
    if (this.reading) return this.reading.then((bytes) => hashBody(algorithm, bytes));
    if (this.sawFirstByte && this.ended) {
      // What nobody has read lies in memory because of this guard, be it here already or not.
      if (!this.raw.readableDidRead) assertWithin(maxBytes, this.raw.readableLength);
      return this.digestWatched(algorithm);
    }
    if (this.raw.destroyed) refuseBody('the client went away');
    if (this.sawFirstByte && this.raw.readableFlowing) return this.digestWhenRead(algorithm);
    this.assertUnread();
    this.reading = this.readAndPutBack(maxBytes);
    return this.reading.then((bytes) => hashBody(algorithm, bytes));
  }

  private watch(chunk: unknown, encoding?: BufferEncoding): boolean {
    this.onFirstPush?.();
    if (chunk === null) {
      this.ended = true;
      this.onEnd?.();
      return this.holdingEnd ? false : this.push(null);
    }
    this.sawBytes ||= isBytes(chunk) && chunk.length > 0;
    // A throw in here would end the process: what is no bytes is left to the stream to refuse.
    if (this.reading === undefined && isBytes(chunk)) this.keep(toBytes(chunk, encoding));
    return this.push(chunk, encoding);
  }

  private keep(bytes: Uint8Array): void {
    if (this.running) {
      this.running.hash.update(bytes);
      return;
    }
    this.kept.push(bytes);
    this.keptBytes += bytes.length;
    if (this.keptBytes <= MAX_KEPT_BYTES) return;
    this.running = startHash(readUnverifiedBodyHash(this.raw.rawHeaders) ?? 'sha256');
    for (const part of this.kept) this.running.hash.update(part);
    this.kept = [];
  }

  private digestWatched(algorithm: BodyHashAlgorithm): string {
    if (!this.running) return hashBody(algorithm, Buffer.concat(this.kept));
    if (this.running.algorithm !== algorithm) refuseBody('it was hashed with another algorithm');
    return this.running.hash.copy().digest('hex');
  }

  /** A decoder is done at the end of what it decodes, which may come before the end of the body. */
  private async digestWhenRead(algorithm: BodyHashAlgorithm): Promise<string> {
    this.othersReading ??= this.untilLastByte();
    await this.othersReading;
    return this.digestWatched(algorithm);
  }

  private assertUnread(): void {
    const { raw } = this;
    if (raw.readableDidRead || raw.readableFlowing || raw.readableEnded) {
      refuseBody('it was read before this library saw it, or is being read');
    }
    if (raw.readableEncoding !== null) refuseBody('it is being decoded to text');
    if (!this.sawFirstByte && raw.complete) refuseBody('it arrived before this library saw it');
  }

  /** Reads a body that nothing has read yet, then gives it back to whoever reads next. */
  private async readAndPutBack(maxBytes: number): Promise<Uint8Array> {
    this.holdingEnd = true;
    try {
      const bytes = await this.drain(maxBytes);
      if (bytes.length > 0) this.raw.unshift(bytes);
      return bytes;
    } catch (error) {
      // What is left runs into nothing, so that the refusal can be sent.
      this.raw.resume();
      throw error;
    } finally {
      this.holdingEnd = false;
      if (this.ended) this.push(null);
    }
  }

  private async drain(maxBytes: number): Promise<Buffer> {
    assertWithin(maxBytes, Number(this.raw.headers['content-length'] ?? 0));
    const chunks: Buffer[] = [];
    let size = 0;
    await this.untilLastByte(() => {
      for (let chunk = readChunk(this.raw); chunk; chunk = readChunk(this.raw)) {
        chunks.push(chunk);
        size += chunk.length;
      }
      assertWithin(maxBytes, size);
    });
    return Buffer.concat(chunks, size);
  }

  /**
   * Waits until the last byte has come. With `read`, whoever waits is the one who reads: it is called
   * whenever there may be bytes.
   */
  private async untilLastByte(read?: () => void): Promise<void> {
    const { raw } = this;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        if (read) raw.off('readable', proceed);
        raw.off('close', onGone).off('error', onGone);
        this.onEnd = undefined;
        if (error) reject(error);
        else resolve();
      };
      const proceed = (): void => {
        try {
          read?.();
          if (this.ended) settle();
        } catch (error) {
          settle(error instanceof Error ? error : new Error(String(error)));
        }
      };
      const onGone = (cause?: unknown): void => settle(unverifiable('the client went away', cause));
      // Where others read, 'close' follows at once; where the end is held back, it means an abort.
      this.onEnd = read ? () => queueMicrotask(proceed) : proceed;
      if (read) raw.on('readable', proceed);
      raw.on('close', onGone).on('error', onGone);
      proceed();
    });
  }
}

function startHash(algorithm: BodyHashAlgorithm): { algorithm: BodyHashAlgorithm; hash: Hash } {
  try {
    return { algorithm, hash: createHash(algorithm) };
  } catch {
    // Node in FIPS mode has no MD5. The digest is then refused when it is asked for.
    return { algorithm: 'sha256', hash: createHash('sha256') };
  }
}

function assertWithin(maxBytes: number, size: number): void {
  if (size <= maxBytes) return;
  throw unverifiable(`larger than maxBufferedBodyBytes (${maxBytes})`, undefined, 413);
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
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
}

function unverifiable(detail: string, cause?: unknown, status?: number): ServiceTokenRefusedError {
  return new ServiceTokenRefusedError('body_unverifiable', {
    detail: `the body: ${detail}`,
    cause,
    ...(status === undefined ? {} : { status }),
  });
}

function refuseBody(detail: string): never {
  throw unverifiable(detail);
}
