import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import {
  type BodyHashAlgorithm,
  hashBody,
  readUnverifiedBodyHash,
  type RequestBody,
  TOKEN_HEADER,
} from '../../core/index.js';
import { createSlot } from '../slot.js';
import { WatchedDigest } from './body-digest.js';
import { drainBody, type DrainedBody } from './body-drain.js';
import { isAnnounced, mayHaveContent } from './body-framing.js';
import { assertWithin, type BodyLimits, refuseBody } from './body-limits.js';
import { BodyWatch } from './body-watch.js';

const BODY = createSlot<HttpBody>();

/** Whether a request carries a token, or what would be one. */
export function hasToken(raw: IncomingMessage): boolean {
  return raw.headers[TOKEN_HEADER] !== undefined;
}

/**
 * Watches the body of a request from its first byte on, where it has one and carries a token. Must
 * run before anything reads the request. Reads nothing itself and keeps at most 64 KiB.
 */
export function captureBody(raw: IncomingMessage): void {
  if (mayHaveContent(raw) && !BODY.get(raw)) BODY.set(raw, new HttpBody(raw));
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
  limits: BodyLimits,
): RequestBody {
  if (!mayHaveContent(raw)) {
    return { hasContent: false, digest: (algorithm) => hashBody(algorithm, new Uint8Array()) };
  }
  captureBody(raw);
  const body = BODY.get(raw) ?? refuseBody('not captured');
  return isAnnounced(raw)
    ? new AnnouncedBody(body, limits, response)
    : new UnannouncedBody(body, limits, response);
}

// Classes, since a getter in an object literal lives as long as a class does: with all it knows.
class AnnouncedBody implements RequestBody {
  constructor(
    protected readonly body: HttpBody,
    private readonly limits: BodyLimits,
    private readonly response: EventEmitter,
  ) {}

  get hasContent(): boolean {
    return true;
  }

  digest(algorithm: BodyHashAlgorithm): string | Promise<string> {
    return this.body.digest(algorithm, this.limits, this.response);
  }
}

class UnannouncedBody extends AnnouncedBody {
  /** Until it has ended without a byte, there may be some. */
  override get hasContent(): boolean {
    return !this.body.watch.isEmpty;
  }

  async settle(): Promise<void> {
    await this.body.watch.untilFirstByte();
  }
}

class HttpBody {
  readonly watch: BodyWatch;
  private readonly watched: WatchedDigest;
  private draining: Promise<DrainedBody> | undefined;
  private othersReading: Promise<void> | undefined;

  constructor(private readonly raw: IncomingMessage) {
    this.watched = new WatchedDigest(() => readUnverifiedBodyHash(raw.rawHeaders) ?? 'sha256');
    this.watch = new BodyWatch(raw, (bytes) => this.watched.update(bytes));
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
      return this.watched.hex(algorithm);
    }
    if (this.raw.destroyed) refuseBody('the client went away');
    if (this.watch.sawFirstByte && this.raw.readableFlowing) return this.digestWhenRead(algorithm);
    this.watch.assertUnread();
    this.watched.forget();
    this.draining = drainBody(this.watch, algorithm, limits, response);
    return this.digestDrained(this.draining, algorithm);
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
    return this.watched.hex(algorithm);
  }
}
