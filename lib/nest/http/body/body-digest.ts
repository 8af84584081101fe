import { createHash, type Hash } from 'node:crypto';
import { type BodyHashAlgorithm, hashBody } from '../../../core/index.js';
import { refuseBody } from './body-limits.js';

/** Beyond this the bytes are hashed as they arrive instead of being kept for one hash at the end. */
const MAX_KEPT_BYTES = 64 * 1024;

/** The digest of bytes that come one piece after the other. */
export class RunningDigest {
  private readonly hash: Hash;
  private readonly algorithm: BodyHashAlgorithm;

  constructor(algorithm: BodyHashAlgorithm) {
    try {
      this.hash = createHash(algorithm);
      this.algorithm = algorithm;
    } catch {
      // Node in FIPS mode has no MD5. The digest is then refused when it is asked for.
      this.hash = createHash('sha256');
      this.algorithm = 'sha256';
    }
  }

  update(bytes: Uint8Array): void {
    this.hash.update(bytes);
  }

  /** @throws ServiceTokenRefusedError `body_unverifiable` when the bytes were hashed otherwise */
  hex(algorithm: BodyHashAlgorithm): string {
    if (this.algorithm !== algorithm) refuseBody('it was hashed with another algorithm');
    return this.hash.copy().digest('hex');
  }
}

/**
 * The digest of bytes that others read, in whatever algorithm it is asked for while there are few of
 * them; in the one that `expectedAlgorithm` names when there are many.
 */
export class WatchedDigest {
  private kept: Uint8Array[] = [];
  private keptBytes = 0;
  private running: RunningDigest | undefined;

  constructor(private readonly expectedAlgorithm: () => BodyHashAlgorithm) {}

  update(bytes: Uint8Array): void {
    if (this.running) {
      this.running.update(bytes);
      return;
    }
    this.kept.push(bytes);
    this.keptBytes += bytes.length;
    if (this.keptBytes <= MAX_KEPT_BYTES) return;
    this.running = new RunningDigest(this.expectedAlgorithm());
    for (const part of this.kept) this.running.update(part);
    this.kept = [];
  }

  /** @throws ServiceTokenRefusedError `body_unverifiable` when the bytes were hashed otherwise */
  hex(algorithm: BodyHashAlgorithm): string {
    return this.running?.hex(algorithm) ?? hashBody(algorithm, this.join());
  }

  /** Most bodies come in one piece, which needs no copy. */
  private join(): Uint8Array {
    const [first] = this.kept;
    return first && this.kept.length === 1 ? first : Buffer.concat(this.kept);
  }

  /** Lets go of the bytes: somebody else has them. */
  forget(): void {
    this.kept = [];
  }
}
