import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import {
  type BodyHashAlgorithm,
  hashBody,
  readUnverifiedBodyHash,
  type RequestBody,
  ServiceAuthUsageError,
} from '../../../core/index.js';
import { createSlot } from '../../../core/slot.js';
import { WatchedDigest } from './body-digest.js';
import { drainBody, type DrainedBody } from './body-drain.js';
import { announcesContent } from './body-framing.js';
import { assertWithin, type BodyLimits, refuseBody, refuseConsumed } from './body-limits.js';
import { BodyWatch } from './body-watch.js';
import { headerListOf } from '../header-list.js';

/** Where the bytes of a body come from, and how many of them are taken in. */
export interface BodySettings {
  readonly limits: BodyLimits;
  /** The option `rawBody`. */
  readonly rawBody: ((request: IncomingMessage) => unknown) | undefined;
}

const BODY = createSlot<HttpBody>();

/**
 * Watches the body of a request from its first byte on. Must run before anything reads the request. Reads
 * nothing itself and keeps at most 64 KiB.
 */
export function captureBody(raw: IncomingMessage): void {
  if (!BODY.get(raw) && isStream(raw)) BODY.set(raw, new HttpBody(raw));
}

/**
 * The body of a request as the verifier needs it. What no parser has read is read here, within
 * `limits`, once its digest is asked for, and given back for whoever reads next.
 *
 * @param response the answer to the request: nothing of the body is kept on disk beyond it
 */
export function bodyOf(
  raw: IncomingMessage,
  response: EventEmitter,
  settings: BodySettings,
): RequestBody {
  captureBody(raw);
  const body = BODY.get(raw);
  return body?.watch.sawFirstByte
    ? new WatchedBody(body, settings.limits, response)
    : new KeptBody(raw, settings.rawBody);
}

/**
 * A host that is no Node server may give an object that holds a parsed body, and no bytes. The methods do not tell:
 * Express gives those of a stream to every request.
 */
function isStream(raw: IncomingMessage): boolean {
  const { push, read, _readableState } = raw as {
    push?: unknown;
    read?: unknown;
    _readableState?: unknown;
  };
  const isReadable = typeof push === 'function' && typeof read === 'function';
  return isReadable && typeof _readableState === 'object' && _readableState !== null;
}

// Classes, since a getter in an object literal lives as long as a class does: with all it knows.
class WatchedBody implements RequestBody {
  constructor(
    private readonly body: HttpBody,
    private readonly limits: BodyLimits,
    private readonly response: EventEmitter,
  ) {}

  get hasContent(): boolean {
    return this.body.watch.hasContent;
  }

  settle(): void | Promise<void> {
    return this.body.watch.settle();
  }

  digest(algorithm: BodyHashAlgorithm): string | Promise<string> {
    return this.body.digest(algorithm, this.limits, this.response);
  }
}

/** A body that somebody read before this library saw its first byte: what is known of it, the platform kept. */
class KeptBody implements RequestBody {
  private bytes: Uint8Array | undefined;

  constructor(
    private readonly raw: IncomingMessage,
    private readonly rawBody: BodySettings['rawBody'],
  ) {}

  get hasContent(): boolean {
    return this.bytes?.length !== 0 || announcesContent(this.raw);
  }

  settle(): void {
    this.bytes ??= this.read();
  }

  digest(algorithm: BodyHashAlgorithm): string {
    return hashBody(algorithm, (this.bytes ??= this.read()));
  }

  private read(): Uint8Array {
    const bytes: unknown = this.rawBody?.(this.raw);
    if (bytes instanceof Uint8Array) return bytes;
    if (bytes !== undefined && bytes !== null) {
      throw new ServiceAuthUsageError(
        `The option \`rawBody\` answered ${typeof bytes === 'object' ? 'an object' : `a ${typeof bytes}`}: it must give the bytes as they travelled, as a Uint8Array, or undefined.`,
      );
    }
    return refuseConsumed('something read it before this library saw it');
  }
}

class HttpBody {
  readonly watch: BodyWatch;
  private watched: WatchedDigest | undefined;
  private draining: Promise<DrainedBody> | undefined;
  private othersReading: Promise<void> | undefined;

  constructor(private readonly raw: IncomingMessage) {
    this.watch = new BodyWatch(raw, (bytes) => this.digestWatched().update(bytes));
  }

  digest(
    algorithm: BodyHashAlgorithm,
    limits: BodyLimits,
    response: EventEmitter,
  ): string | Promise<string> {
    if (this.draining) return this.digestDrained(this.draining, algorithm);
    if (this.watch.sawAll) {
      // What nobody has read lies in memory because of this guard, be it here already or not.
      if (!this.raw.readableDidRead) assertWithin(limits, this.raw.readableLength);
      return this.digestWatched().hex(algorithm);
    }
    if (this.raw.destroyed) refuseBody('the client went away');
    if (this.raw.readableFlowing) return this.digestWhenRead(algorithm);
    this.watch.assertUnread();
    this.watched?.forget();
    this.draining = drainBody(this.watch, algorithm, limits, response);
    return this.digestDrained(this.draining, algorithm);
  }

  private digestWatched(): WatchedDigest {
    this.watched ??= new WatchedDigest(
      () => readUnverifiedBodyHash(headerListOf(this.raw)) ?? 'sha256',
    );
    return this.watched;
  }

  private async digestDrained(
    draining: Promise<DrainedBody>,
    algorithm: BodyHashAlgorithm,
  ): Promise<string> {
    const body = await draining;
    return body.hex(algorithm);
  }

  /** A decoder is done at the end of what it decodes, which may come before the end of the body. */
  private async digestWhenRead(algorithm: BodyHashAlgorithm): Promise<string> {
    this.othersReading ??= this.watch.untilEnd();
    await this.othersReading;
    return this.digestWatched().hex(algorithm);
  }
}
