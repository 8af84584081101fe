import type { ServiceAuthEvent } from '../core/index.js';

/** A store that fails at times is failing: one good answer between failures does not end the outage. */
const QUIET_MILLISECONDS = 1000;

/** Reports the begin and the end of an outage of a store, with its counts, instead of each failure. */
export class StoreOutage {
  private failedAt: number | undefined;
  private refused = 0;
  private acceptedUnchecked = 0;
  private acceptedUncheckedEver = 0;

  /** @param acceptsUnchecked whether requests that cannot be decided are accepted, as a rule */
  constructor(
    private readonly report: (event: ServiceAuthEvent) => void,
    private readonly acceptsUnchecked = false,
  ) {}

  /** The store failed. */
  begin(reason: string, acceptsUnchecked = this.acceptsUnchecked): void {
    const isNew = this.failedAt === undefined;
    this.failedAt = performance.now();
    if (isNew) this.report(failureOf(reason, acceptsUnchecked));
  }

  /** A call could not be decided, and was refused for a reason that refuses every call. */
  countRefused(reason: string): void {
    this.begin(reason, false);
    this.refused += 1;
  }

  /** A call could not be decided: it was refused, or accepted anyway if its issuer is given. */
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

  /** A call was decided. */
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

/** The event of a store that cannot decide. */
export function failureOf(reason: string, acceptsUnchecked: boolean): ServiceAuthEvent {
  const failed = { type: 'replay_store_failed', reason } as const;
  return acceptsUnchecked ? { ...failed, acceptsUnchecked } : failed;
}
