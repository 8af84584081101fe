import { createHash, type Hash } from 'node:crypto';
import { type BodyHashAlgorithm, hashBody } from '../../../core/index.js';
import { refuseBody } from './body-limits.js';

/** Larger bodies are hashed while they arrive, instead of being kept for one hash at the end. */
const MAX_KEPT_BYTES = 64 * 1024;

/** The digest of bytes that arrive in pieces. */
export class RunningDigest {
  private readonly hash: Hash;
  private readonly algorithm: BodyHashAlgorithm;

  constructor(algorithm: BodyHashAlgorithm) {
    try {
      this.hash = createHash(algorithm);
      this.algorithm = algorithm;
    } catch {
      // Node in FIPS mode has no MD5. `hex()` then refuses the digest.
      this.hash = createHash('sha256');
      this.algorithm = 'sha256';
    }
  }

  update(bytes: Uint8Array): void {
    this.hash.update(bytes);
  }

  /** @throws ServiceTokenRefusedError `body_unverifiable` if the bytes were hashed with another algorithm */
  hex(algorithm: BodyHashAlgorithm): string {
    if (this.algorithm !== algorithm) refuseBody('it was hashed with another algorithm');
    return this.hash.copy().digest('hex');
  }
}

/**
 * The digest of bytes that other code reads. A small body can be digested with any algorithm, a large one only with
 * that of `expectedAlgorithm`.
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

  /** @throws ServiceTokenRefusedError `body_unverifiable` if the bytes were hashed with another algorithm */
  hex(algorithm: BodyHashAlgorithm): string {
    return this.running?.hex(algorithm) ?? hashBody(algorithm, this.join());
  }

  /** Most bodies arrive in one piece, which needs no copy. */
  private join(): Uint8Array {
    const [first] = this.kept;
    return first && this.kept.length === 1 ? first : Buffer.concat(this.kept);
  }

  /** Releases the bytes: other code has them now. */
  forget(): void {
    this.kept = [];
  }
}
