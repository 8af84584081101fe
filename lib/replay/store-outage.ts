import type { ServiceAuthEvent } from '../core/index.js';

/** A store that fails now and then is failing: one good answer amid the others ends nothing. */
const QUIET_MILLISECONDS = 1000;

/** Reports when a store begins and ceases to fail, rather than each failure, and what it came to. */
export class StoreOutage {
  private failedAt: number | undefined;
  private refused = 0;
  private acceptedUnchecked = 0;
  private acceptedUncheckedEver = 0;

  constructor(private readonly report: (event: ServiceAuthEvent) => void) {}

  /** Something failed. */
  begin(reason: string): void {
    const isNew = this.failedAt === undefined;
    this.failedAt = performance.now();
    if (isNew) this.report({ type: 'replay_store_failed', reason });
  }

  /** A request could not be decided: refused, or accepted all the same where its issuer is given. */
  count(reason: string, acceptedIssuer: string | undefined): void {
    this.begin(reason);
    if (acceptedIssuer === undefined) {
      this.refused += 1;
      return;
    }
    this.acceptedUnchecked += 1;
    const count = ++this.acceptedUncheckedEver;
    this.report({ type: 'token_accepted_unchecked', issuer: acceptedIssuer, reason, count });
  }

  /** A request was decided. */
  end(): void {
    if (this.failedAt === undefined) return;
    if (performance.now() - this.failedAt < QUIET_MILLISECONDS) return;
    const { refused, acceptedUnchecked } = this;
    this.failedAt = undefined;
    this.refused = 0;
    this.acceptedUnchecked = 0;
    this.report({ type: 'replay_store_recovered', refused, acceptedUnchecked });
  }
}
