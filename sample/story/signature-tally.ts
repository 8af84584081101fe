import { setTimeout as sleep } from 'node:timers/promises';
import type { Hop } from './messages.js';

/** With which keys the requests to a service were signed, and until when their tokens are good. */
export class SignatureTally {
  private readonly counts = new Map<string, number>();
  private readonly expiries = new Map<string, number>();

  add({ keyId = '', claims }: Hop): void {
    this.counts.set(keyId, this.countOf(keyId) + 1);
    this.expiries.set(keyId, Math.max(this.expiryOf(keyId), Number(claims?.['exp'])));
  }

  countOf(keyId: string): number {
    return this.counts.get(keyId) ?? 0;
  }

  /** Waits until every token that was signed with the key has expired, on a clock so far behind. */
  async untilExpired(keyId: string, toleranceSeconds: number): Promise<void> {
    for (;;) {
      const left = this.expiryOf(keyId) + toleranceSeconds - Date.now() / 1000;
      if (left <= 0) return;
      await sleep(left * 1000, undefined, { ref: false });
    }
  }

  private expiryOf(keyId: string): number {
    return this.expiries.get(keyId) ?? 0;
  }
}
