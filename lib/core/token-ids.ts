import { randomFillSync } from 'node:crypto';

/** 24 random bytes: 192 bits, 32 characters. */
const TOKEN_ID_BYTES = 24;
const IDS_PER_DRAW = 128;

/** Clones of a process share the drawn bytes, so older bytes are dropped. */
const MAX_AGE_MILLISECONDS = 100;

/**
 * Makes token ids. One draw serves many ids, since a draw costs more than its bytes. The bytes are used for 100
 * milliseconds, so two clones of a virtual machine or of a snapshot do not use bytes drawn before the snapshot.
 *
 * Two risks remain. Clones may continue within those 100 milliseconds of `now`, or with a clock that does not
 * advance. And the generator of the crypto library has its state in the snapshot. If a platform clones running
 * processes, let a process start signing after that. A receiver refuses the second of two tokens with one id from one
 * issuer.
 */
export class TokenIds {
  private readonly drawn = Buffer.alloc(TOKEN_ID_BYTES * IDS_PER_DRAW);
  private nextAt = this.drawn.length;
  private drawnAt = Number.NaN;

  /** @param now milliseconds; a clock that advances while the process is stopped detects more clones */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** A `jti` that was never returned before. */
  next(): string {
    const age = this.now() - this.drawnAt;
    // Not `age > MAX`: a clock that steps back or returns NaN must not keep the bytes.
    if (this.nextAt === this.drawn.length || !(age >= 0 && age <= MAX_AGE_MILLISECONDS)) {
      this.draw();
    }
    const end = this.nextAt + TOKEN_ID_BYTES;
    const tokenId = this.drawn.toString('base64url', this.nextAt, end);
    this.drawn.fill(0, this.nextAt, end);
    this.nextAt = end;
    return tokenId;
  }

  private draw(): void {
    randomFillSync(this.drawn);
    this.nextAt = 0;
    this.drawnAt = this.now();
  }
}
