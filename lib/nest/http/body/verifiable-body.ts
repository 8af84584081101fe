import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import {
  type BodyArrival,
  type BodyHashAlgorithm,
  hashBody,
  type RequestBody,
  ServiceAuthUsageError,
} from '../../../core/index.js';
import { announcesContent } from './body-framing.js';
import { type BodyLimits, refuseConsumed } from './body-limits.js';
import type { ReceivedBody } from './received-body.js';

/** The source of the bytes of a body, and their limits. */
export interface BodySettings {
  readonly limits: BodyLimits;
  /** The option `rawBody`. */
  readonly rawBody: ((request: IncomingMessage) => unknown) | undefined;
}

// Classes, since a getter in an object literal keeps its closure alive as long as a class does.

/** A body watched from its first byte, within the limits of one route. */
export class WatchedBody implements RequestBody {
  /** @param response the answer to the request; after its end nothing of the body stays on disk */
  constructor(
    private readonly body: ReceivedBody,
    private readonly limits: BodyLimits,
    private readonly response: EventEmitter,
  ) {}

  get hasContent(): boolean {
    return this.body.hasContent;
  }

  settle(): void | Promise<void> {
    return this.body.settle();
  }

  digest(algorithm: BodyHashAlgorithm): string | Promise<string> {
    return this.body.digest(algorithm, this.limits, this.response);
  }

  arrival(): BodyArrival {
    return this.body.arrival();
  }
}

/** A body that other code read before the watch began. The platform may have kept its bytes. */
export class KeptBody implements RequestBody {
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

  arrival(): BodyArrival {
    return { bytes: this.bytes?.length ?? 0, isReadByOthers: true };
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
