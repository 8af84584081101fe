import type { EventEmitter } from 'node:events';
import type { BodyHashAlgorithm } from '../../../core/index.js';
import { RunningDigest } from './body-digest.js';
import { announcedBytes } from './body-framing.js';
import { assertWithin, type BodyLimits, refuseBody } from './body-limits.js';
import { type RefillableBody, refillFrom } from './body-refill.js';
import { BodySpool, PIECE_BYTES } from './body-spool.js';
import { isGone } from './unread-stream.js';

/** A body that can be read to its end and put back. */
export interface DrainableBody extends RefillableBody {
  drain(): AsyncIterable<Buffer>;
  putBack(chunks: readonly Buffer[]): void;
  discard(): void;
  holdRest(): void;
}

/** The parameters of draining a body. */
export interface DrainOptions {
  readonly algorithm: BodyHashAlgorithm;
  readonly limits: BodyLimits;
  /** The answer. The temporary file is removed at its end at the latest. */
  readonly response: EventEmitter;
}

/**
 * Reads a body that no code has read yet, then puts it back for the next reader: from memory, or from a temporary
 * file if it is too large for memory.
 *
 * @returns the digest of all its bytes
 * @throws ServiceTokenRefusedError `body_unverifiable`: too large, or the client disconnected
 * @throws ServiceAuthUnavailableError `body_unverifiable`: no file can be written
 */
export async function drainBody(
  body: DrainableBody,
  { algorithm, limits, response }: DrainOptions,
): Promise<RunningDigest> {
  const reader = new BodyReader(algorithm, limits);
  try {
    assertWithin(limits, announcedBytes(body.raw));
    await reader.takeAll(body);
    return await reader.giveBack(body, response);
  } catch (error) {
    if (limits.isPassedOn && !isGone(body.raw)) {
      reader.passOn(body, response);
    } else {
      body.discard();
      await reader.close();
    }
    throw error;
  }
}

class BodyReader {
  private readonly digest: RunningDigest;
  private chunks: Buffer[] = [];
  private heldBytes = 0;
  private size = 0;
  private spool: BodySpool | undefined;

  constructor(
    algorithm: BodyHashAlgorithm,
    private readonly limits: BodyLimits,
  ) {
    this.digest = new RunningDigest(algorithm);
  }

  async takeAll(body: DrainableBody): Promise<void> {
    for await (const chunk of body.drain()) {
      const taking = this.take(chunk);
      if (taking) await taking;
    }
  }

  private take(chunk: Buffer): void | Promise<void> {
    const { maxBufferedBytes } = this.limits;
    this.size += chunk.length;
    this.chunks.push(chunk);
    assertWithin(this.limits, this.size);
    this.digest.update(chunk);
    this.heldBytes += chunk.length;
    const isTooMuch = this.size > maxBufferedBytes;
    return isTooMuch && this.heldBytes >= Math.min(PIECE_BYTES, maxBufferedBytes)
      ? this.moveToFile()
      : undefined;
  }

  async giveBack(body: DrainableBody, response: EventEmitter): Promise<RunningDigest> {
    if (this.spool) {
      await this.moveToFile();
      // It may have gone during the write: nothing would end the refill.
      if (isGone(body.raw)) refuseBody('the client went away');
      refillFrom(this.spool, body, { response });
    } else {
      body.putBack(this.chunks);
    }
    return this.digest;
  }

  /** Puts back the drained bytes, and lets the rest of the body follow. */
  passOn(body: DrainableBody, response: EventEmitter): void {
    body.holdRest();
    if (this.spool) refillFrom(this.spool, body, { response, after: this.chunks });
    else body.passOn(this.chunks);
  }

  async close(): Promise<void> {
    await this.spool?.close();
  }

  private async moveToFile(): Promise<void> {
    this.spool ??= await BodySpool.open(this.limits.spoolDirectory);
    if (this.chunks.length > 0) await this.spool.append(this.chunks);
    this.chunks = [];
    this.heldBytes = 0;
  }
}
