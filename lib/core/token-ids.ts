import { randomFillSync } from 'node:crypto';

/** 24 random bytes: 192 bits, 32 characters. */
const TOKEN_ID_BYTES = 24;
const IDS_PER_DRAW = 128;

/** Makes token ids. Randomness is drawn for many at once, since each draw costs more than what it gives. */
export class TokenIds {
  private readonly drawn = Buffer.alloc(TOKEN_ID_BYTES * IDS_PER_DRAW);
  private nextAt = this.drawn.length;

  /** A `jti` that was never given before. */
  next(): string {
    if (this.nextAt === this.drawn.length) {
      randomFillSync(this.drawn);
      this.nextAt = 0;
    }
    const end = this.nextAt + TOKEN_ID_BYTES;
    const tokenId = this.drawn.toString('base64url', this.nextAt, end);
    this.drawn.fill(0, this.nextAt, end);
    this.nextAt = end;
    return tokenId;
  }
}
