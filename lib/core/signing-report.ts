import { ServiceSigningError } from './errors.js';
import { NO_OBSERVER, type ServiceAuthObserver, tell } from './events.js';
import type { RequestToDestination } from './request.js';
import type { Target } from './settings.js';
import { Stopwatch } from './verification-progress.js';

/** What is known of the service that a request goes to. */
export type CalledTarget = Pick<Target, 'audience'> & Partial<Pick<Target, 'signing'>>;

/** Whether a call that failed with this error is sent without a token: the target's signing is `best-effort`. */
export function isSentUnsigned(error: unknown, target: CalledTarget | undefined): boolean {
  return error instanceof ServiceSigningError && target?.signing === 'best-effort';
}

/** Tells observers what became of requests that go out: one event for each, whoever notices first. */
export class SigningReport {
  private readonly told = new WeakSet<object>();

  constructor(
    private readonly observer: ServiceAuthObserver,
    private readonly monotonicNow: () => number,
  ) {}

  /** Begins to time a signature; undefined where nobody listens. */
  start(): Stopwatch | undefined {
    return this.observer === NO_OBSERVER ? undefined : new Stopwatch(this.monotonicNow);
  }

  /** Tells that a request was signed. */
  signed(
    { subject }: Pick<RequestToDestination, 'subject'>,
    target: Pick<Target, 'audience' | 'profile'>,
    stopwatch: Stopwatch,
  ): void {
    tell(this.observer, {
      type: 'request_signed',
      audience: target.audience,
      hasSubject: subject !== undefined,
      profile: target.profile,
      durationMilliseconds: stopwatch.elapsed(),
    });
  }

  /** An error that was told before is not told again. */
  failed(error: unknown, target: CalledTarget | undefined): void {
    if (this.observer === NO_OBSERVER || this.wasTold(error)) return;
    const code = error instanceof ServiceSigningError ? error.code : 'unexpected_error';
    tell(this.observer, {
      type: 'signing_failed',
      code,
      audience: target?.audience,
      isSentUnsigned: isSentUnsigned(error, target),
    });
  }

  private wasTold(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return false;
    const wasTold = this.told.has(error);
    this.told.add(error);
    return wasTold;
  }
}
