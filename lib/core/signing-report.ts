import { ServiceAuthUnavailableError, ServiceSigningError } from './errors.js';
import { NO_OBSERVER, type ServiceAuthObserver, type SigningFailed, tell } from './events.js';
import type { CallTransport } from './messages/message.js';
import type { RequestToDestination } from './request.js';
import type { Target } from './settings.js';
import { Stopwatch } from './verification-progress.js';

/** The properties of the called service that events contain. */
export interface CalledTarget extends Pick<Target, 'audience'>, Partial<Pick<Target, 'signing'>> {
  /** Default `http`. */
  readonly transport?: CallTransport | undefined;
}

/** Whether a call that failed with this error goes out without a token: `signing` of the target is `best-effort`. */
export function isSentUnsigned(error: unknown, target: CalledTarget | undefined): boolean {
  return error instanceof ServiceSigningError && target?.signing === 'best-effort';
}

/** Calls observers with the result of outgoing requests: one event for each, from the first code that notices. */
export class SigningReport {
  private readonly told = new WeakSet<object>();

  constructor(
    private readonly observer: ServiceAuthObserver,
    private readonly monotonicNow: () => number,
  ) {}

  /** Begins to time a signature; undefined without observers. */
  start(): Stopwatch | undefined {
    return this.observer === NO_OBSERVER ? undefined : new Stopwatch(this.monotonicNow);
  }

  /** Reports a request, message or job that was signed. */
  signed(
    { subject }: Pick<RequestToDestination, 'subject'>,
    { audience, profile, transport = 'http' }: CalledTarget & Pick<Target, 'profile'>,
    stopwatch: Stopwatch,
  ): void {
    tell(this.observer, {
      type: 'request_signed',
      transport,
      audience,
      hasSubject: subject !== undefined,
      profile,
      durationMilliseconds: stopwatch.elapsed(),
    });
  }

  /** Emits the failure, unless the same error was emitted before. */
  failed(error: unknown, target: CalledTarget | undefined): void {
    if (this.observer === NO_OBSERVER || this.wasTold(error)) return;
    tell(this.observer, {
      type: 'signing_failed',
      transport: target?.transport ?? 'http',
      code: codeOf(error),
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

function codeOf(error: unknown): SigningFailed['code'] {
  if (error instanceof ServiceSigningError) return error.code;
  const isUnavailable = error instanceof ServiceAuthUnavailableError;
  return isUnavailable && error.code === 'key_unavailable' ? error.code : 'unexpected_error';
}
