import type { EventEmitter } from 'node:events';
import { type BodyHashAlgorithm, hashBody } from '../../core/index.js';
import { RunningDigest } from './body-digest.js';
import { announcedBytes } from './body-framing.js';
import { assertWithin, type BodyLimits } from './body-limits.js';
import { refillFrom } from './body-refill.js';
import { BodySpool } from './body-spool.js';
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
    for await (const chunk of watch.drain()) await reader.take(chunk);
  } catch (error) {
    watch.discard();
    await reader.close();
    throw error;
  }
  return reader.giveBack(watch, response);
}

class BodyReader {
  private chunks: Buffer[] = [];
  private size = 0;
  private spooled: { readonly spool: BodySpool; readonly digest: RunningDigest } | undefined;

  constructor(
    private readonly algorithm: BodyHashAlgorithm,
    private readonly limits: BodyLimits,
  ) {}

  async take(chunk: Buffer): Promise<void> {
    this.size += chunk.length;
    assertWithin(this.limits, this.size);
    this.chunks.push(chunk);
    if (this.size > this.limits.maxBufferedBytes) await this.moveToFile();
  }

  giveBack(watch: BodyWatch, response: EventEmitter): DrainedBody {
    if (this.spooled) {
      refillFrom(this.spooled.spool, watch, response);
      return this.spooled.digest;
    }
    const bytes = Buffer.concat(this.chunks, this.size);
    watch.putBack(bytes);
    return { hex: (algorithm) => hashBody(algorithm, bytes) };
  }

  async close(): Promise<void> {
    await this.spooled?.spool.close();
  }

  private async moveToFile(): Promise<void> {
    this.spooled ??= {
      spool: await BodySpool.open(this.limits.spoolDirectory),
      digest: new RunningDigest(this.algorithm),
    };
    for (const chunk of this.chunks.splice(0)) {
      this.spooled.digest.update(chunk);
      await this.spooled.spool.append(chunk);
    }
  }
}
