import { randomFillSync } from 'node:crypto';

/** 24 random bytes: 192 bits, 32 characters. */
const TOKEN_ID_BYTES = 24;
const IDS_PER_DRAW = 128;

/** Clones of a process have what was drawn in common, so nothing is used that was drawn longer ago. */
const MAX_AGE_MILLISECONDS = 100;

/**
 * Makes token ids. Randomness is drawn for many at once, since each draw costs more than what it gives, and is used
 * for 100 milliseconds: two clones of a virtual machine or a snapshot of one do not give out what was drawn before it.
 *
 * What remains: clones that go on within those 100 milliseconds by `now`, or whose clock stands still meanwhile; and the
 * generator of the crypto library, whose state is a part of the snapshot. Where a platform makes clones of a running process,
 * let it start signing after that. A receiver refuses the second of two tokens with one id from one issuer.
 */
export class TokenIds {
  private readonly drawn = Buffer.alloc(TOKEN_ID_BYTES * IDS_PER_DRAW);
  private nextAt = this.drawn.length;
  private drawnAt = Number.NaN;

  /** @param now milliseconds; a clock that goes on while the process is stopped finds more clones */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** A `jti` that was never given before. */
  next(): string {
    const age = this.now() - this.drawnAt;
    // Not `age > MAX`: a clock that was put back, or says nothing, must not keep them.
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
