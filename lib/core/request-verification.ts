import { ServiceTokenRefusedError } from './errors.js';
import { NO_OBSERVER, tell } from './events.js';
import type { ServiceIdentity } from './identity.js';
import type { IncomingRequest } from './request.js';
import type { ReceivingSettings, ServiceAuthSettings } from './settings.js';
import { type DecisionMode, Stopwatch, VerificationProgress } from './verification-progress.js';
import { type RoutePolicy, verifyRequest } from './verify-request.js';

/** What is known of a request besides what it carries. */
interface RequestVerificationOptions {
  /** The pattern of the route, as `/users/:id`, for the event; undefined where it is not known. */
  readonly route?: string | undefined;
  readonly enforcement?: DecisionMode;
}

/**
 * The verification of one request: {@link prove} verifies it, then {@link accepted} or {@link failed} takes the decision
 * of the application. Observers get one event, for the first of these two calls.
 */
export class RequestVerification {
  /** Undefined where no observer is configured: then no clock is read. */
  private readonly progress: VerificationProgress | undefined;
  private isDecided = false;

  private readonly mode: DecisionMode;

  constructor(
    private readonly settings: ServiceAuthSettings,
    private readonly receiving: ReceivingSettings,
    { route, enforcement = 'enforce' }: RequestVerificationOptions = {},
  ) {
    const { observer, monotonicNow } = settings;
    this.mode = enforcement;
    if (observer === NO_OBSERVER) return;
    this.progress = new VerificationProgress(new Stopwatch(monotonicNow), route);
  }

  /** Verifies the request, and emits nothing. Returns, checks and throws what {@link verifyRequest} does. */
  async prove(request: IncomingRequest, policy?: RoutePolicy): Promise<ServiceIdentity> {
    return await verifyRequest(request, this.receiving, this.settings.now, policy, this.progress);
  }

  /** Whether the signature of the token is that of a trusted issuer. False where no observer is configured. */
  get isIssuerVerified(): boolean {
    return this.progress?.trust === 'verified';
  }

  /** The application lets the request in: emits `request_accepted`. */
  accepted(identity: ServiceIdentity): void {
    if (this.isDecided) return;
    this.isDecided = true;
    const event = this.progress?.acceptance(identity);
    if (event) tell(this.settings.observer, event);
  }

  /**
   * The request is not let in, by {@link prove} or by the application: emits `request_refused` (or
   * `request_would_be_refused`) or `request_failed`.
   */
  failed(error: unknown): void {
    // Not by assignment: an application may throw a refusal that is frozen.
    if (error instanceof ServiceTokenRefusedError) {
      Reflect.set(error, 'realm', this.receiving.realm);
    }
    if (this.isDecided) return;
    this.isDecided = true;
    if (this.progress) tell(this.settings.observer, this.progress.failure(error, this.mode));
  }
}
