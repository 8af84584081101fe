import type { EventEmitter } from 'node:events';
import type { BodyHashAlgorithm } from '../../../core/index.js';
import { RunningDigest } from './body-digest.js';
import { announcedBytes } from './body-framing.js';
import { assertWithin, type BodyLimits } from './body-limits.js';
import { refillFrom } from './body-refill.js';
import { BodySpool, PIECE_BYTES } from './body-spool.js';
import type { BodyWatch } from './body-watch.js';

/** What is known of a body that was read to its end and given back. */
export interface DrainedBody {
  hex(algorithm: BodyHashAlgorithm): string;
}

/**
 * Reads a body that nothing has read yet, then gives it back to whoever reads next: from memory, or
 * from a temporary file once it is larger than what is kept in memory.
 *
 * @param response the answer, with which the file goes at the latest
 * @throws ServiceTokenRefusedError `body_unverifiable`: too large, or the client went away
 * @throws ServiceAuthUnavailableError `body_unverifiable`: no file can be written
 */
export async function drainBody(
  watch: BodyWatch,
  algorithm: BodyHashAlgorithm,
  limits: BodyLimits,
  response: EventEmitter,
): Promise<DrainedBody> {
  const reader = new BodyReader(algorithm, limits);
  try {
    assertWithin(limits, announcedBytes(watch.raw));
    for await (const chunk of watch.drain()) {
      const taking = reader.take(chunk);
      if (taking) await taking;
    }
    return await reader.giveBack(watch, response);
  } catch (error) {
    watch.discard();
    await reader.close();
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

  take(chunk: Buffer): void | Promise<void> {
    const { maxBufferedBytes } = this.limits;
    this.size += chunk.length;
    assertWithin(this.limits, this.size);
    this.digest.update(chunk);
    this.chunks.push(chunk);
    this.heldBytes += chunk.length;
    const isTooMuch = this.size > maxBufferedBytes;
    return isTooMuch && this.heldBytes >= Math.min(PIECE_BYTES, maxBufferedBytes)
      ? this.moveToFile()
      : undefined;
  }

  async giveBack(watch: BodyWatch, response: EventEmitter): Promise<DrainedBody> {
    if (this.spool) {
      await this.moveToFile();
      refillFrom(this.spool, watch, response);
    } else {
      watch.putBack(this.chunks);
    }
    return this.digest;
  }

  async close(): Promise<void> {
    await this.spool?.close();
  }

  private async moveToFile(): Promise<void> {
    const chunks = this.chunks.splice(0);
    this.heldBytes = 0;
    this.spool ??= await BodySpool.open(this.limits.spoolDirectory);
    if (chunks.length > 0) await this.spool.append(chunks);
  }
}
