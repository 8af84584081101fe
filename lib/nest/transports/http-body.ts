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
  return {
    hasContent: true,
    digest: (algorithm) => body?.digest(algorithm, maxBufferedBytes) ?? refuseBody('not captured'),
  };
}

/** The framing says so: RFC 9112 section 6.3, RFC 9113 section 8.1. */
function mayHaveContent(raw: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers;
  if (coding !== undefined) return true;
  if (length !== undefined) return length !== '0';
  return raw.httpVersionMajor >= 2 && !endsAfterHeaders(raw);
}

/** HTTP/2 has no framing headers: the stream says whether DATA frames may follow. */
function endsAfterHeaders(raw: IncomingMessage): boolean {
  const stream: unknown = 'stream' in raw ? raw.stream : undefined;
  return (
    typeof stream === 'object' &&
    stream !== null &&
    'endAfterHeaders' in stream &&
    stream.endAfterHeaders === true
  );
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
  private reading: Promise<Uint8Array> | undefined;

  constructor(private readonly raw: IncomingMessage) {
    this.sawFirstByte = !raw.readableDidRead && raw.readableLength === 0 && !raw.readableEnded;
    this.push = raw.push.bind(raw);
    raw.push = (chunk: unknown, encoding?: BufferEncoding) => this.watch(chunk, encoding);
  }

  digest(algorithm: BodyHashAlgorithm, maxBytes: number): string | Promise<string> {
    if (this.reading) return this.reading.then((bytes) => hashBody(algorithm, bytes));
    if (this.sawFirstByte && this.ended) return this.digestWatched(algorithm);
    if (this.raw.readableDidRead || this.raw.readableFlowing || this.raw.readableEnded) {
      refuseBody('it was read before this library saw it, or is being read');
    }
    if (!this.sawFirstByte && this.raw.complete)
      refuseBody('it arrived before this library saw it');
    this.reading = this.readAndPutBack(maxBytes);
    return this.reading.then((bytes) => hashBody(algorithm, bytes));
  }

  private watch(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null) {
      this.ended = true;
      this.onEnd?.();
      return this.holdingEnd ? false : this.push(null);
    }
    if (this.reading === undefined && chunk !== undefined) this.keep(toBytes(chunk, encoding));
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
    const algorithm = readUnverifiedBodyHash(this.raw.rawHeaders) ?? 'sha256';
    const hash = createHash(algorithm);
    for (const part of this.kept) hash.update(part);
    this.kept = [];
    this.running = { algorithm, hash };
  }

  private digestWatched(algorithm: BodyHashAlgorithm): string {
    if (!this.running) return hashBody(algorithm, Buffer.concat(this.kept));
    if (this.running.algorithm !== algorithm) refuseBody('it was hashed with another algorithm');
    return this.running.hash.copy().digest('hex');
  }

  /** Reads a body that nothing has read yet, then gives it back to whoever reads next. */
  private async readAndPutBack(maxBytes: number): Promise<Uint8Array> {
    if (Number(this.raw.headers['content-length'] ?? 0) > maxBytes) this.discard(maxBytes);
    this.holdingEnd = true;
    const bytes = await this.drain(maxBytes);
    this.holdingEnd = false;
    if (bytes.length > 0) this.raw.unshift(bytes);
    this.push(null);
    return bytes;
  }

  private async drain(maxBytes: number): Promise<Buffer> {
    const { raw } = this;
    const chunks: Buffer[] = [];
    let size = 0;
    const readAvailable = (): void => {
      for (let chunk = readChunk(raw); chunk; chunk = readChunk(raw)) {
        chunks.push(chunk);
        size += chunk.length;
      }
      if (size > maxBytes) this.discard(maxBytes);
    };
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        raw.off('readable', onReadable).off('close', onClose).off('error', settle);
        this.onEnd = undefined;
        if (error) reject(error);
        else resolve();
      };
      const onReadable = (): void => {
        try {
          readAvailable();
          if (this.ended) settle();
        } catch (error) {
          settle(error instanceof Error ? error : new Error(String(error)));
        }
      };
      const onClose = (): void => settle(unverifiable('the client went away'));
      this.onEnd = () => queueMicrotask(onReadable);
      raw.on('readable', onReadable).on('close', onClose).on('error', settle);
      onReadable();
    });
    return Buffer.concat(chunks);
  }

  /** Lets the rest of a body that is too large run into nothing, so that the refusal can be sent. */
  private discard(maxBytes: number): never {
    this.holdingEnd = false;
    this.raw.removeAllListeners('readable');
    this.raw.resume();
    throw unverifiable(`larger than maxBufferedBodyBytes (${maxBytes})`, 413);
  }
}

function readChunk(raw: IncomingMessage): Buffer | undefined {
  const chunk: unknown = raw.read();
  return chunk === null || chunk === undefined ? undefined : toBytes(chunk);
}

function toBytes(chunk: unknown, encoding?: BufferEncoding): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding);
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  return refuseBody('its chunks are not bytes');
}

function unverifiable(detail: string, status?: number): ServiceTokenRefusedError {
  return new ServiceTokenRefusedError('body_unverifiable', {
    detail: `the body: ${detail}`,
    ...(status === undefined ? {} : { status }),
  });
}

function refuseBody(detail: string): never {
  throw unverifiable(detail);
}
