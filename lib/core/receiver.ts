import { ServiceAuthUsageError } from './errors.js';
import { NO_OBSERVER } from './events.js';
import { GrantCache } from './grants/grant-cache.js';
import { KnownHeaders } from './known-headers.js';
import type { CallTransport } from './messages/message.js';
import { RequestVerification } from './request-verification.js';
import { VerificationLoad } from './scheduling.js';
import type { ReceivingSettings, ServiceAuthSettings } from './settings.js';
import { type DecisionMode, Stopwatch, VerificationProgress } from './verification-progress.js';

/** Facts about a call that it does not carry itself. */
export interface VerificationOptions {
  /** The pattern of its route, such as `/users/:id`, for the event; undefined if unknown. */
  readonly route?: string | undefined;
  /** Whether a request that fails is refused, or only reported. Default `enforce`. */
  readonly enforcement?: DecisionMode | undefined;
  /** The way in which it came, for the event. Default `http`. */
  readonly transport?: CallTransport | undefined;
}

/** The receiving half of one service, with its changing state. */
export class Receiver {
  readonly knownHeaders = new KnownHeaders();
  private readonly knownGrants = new GrantCache();
  private readonly load = new VerificationLoad();

  constructor(private readonly settings: ServiceAuthSettings) {}

  /** @throws ServiceAuthUsageError if the service has no `trustedIssuers` */
  get receiving(): ReceivingSettings {
    const { receiving } = this.settings;
    if (receiving) return receiving;
    throw new ServiceAuthUsageError(
      'This service has no `trustedIssuers`, so it cannot verify calls: name the services that may call.',
    );
  }

  /**
   * Begins to verify one request, message or job.
   *
   * @throws ServiceAuthUsageError if the service has no `trustedIssuers`
   */
  begin({ route, enforcement, transport = 'http' }: VerificationOptions): RequestVerification {
    const { receiving, knownHeaders, knownGrants, load } = this;
    const { now, observer } = this.settings;
    const progress = this.measure(route, transport);
    return new RequestVerification(
      { settings: receiving, now, knownHeaders, knownGrants, load, progress, enforcement },
      observer,
    );
  }

  /** Undefined if no observer is configured; then no clock is read. */
  private measure(
    route: string | undefined,
    transport: CallTransport,
  ): VerificationProgress | undefined {
    const { observer, monotonicNow } = this.settings;
    if (observer === NO_OBSERVER) return undefined;
    return new VerificationProgress(new Stopwatch(monotonicNow), route, transport);
  }
}
