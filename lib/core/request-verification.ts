import { ServiceTokenRefusedError } from './errors.js';
import { type ServiceAuthObserver, tell } from './events.js';
import type { ServiceIdentity } from './identity.js';
import type { IncomingRequest } from './request.js';
import type { IncomingMessage, MessageTransport } from './messages/message.js';
import {
  type MessageTerms,
  type VerifiedMessage,
  verifyMessage,
} from './messages/verify-message.js';
import type { RoutePolicy, Verifier } from './verification-steps.js';
import { verifyForRoute, verifyRequest } from './verify-request.js';

/**
 * The verification of one request or message: {@link prove} verifies it, then {@link accepted} or {@link failed} takes the decision
 * of the application. Observers get one event, for the first of these two calls, and `grant_unbound` beside it where a
 * grant came that is not the token's.
 */
export class RequestVerification {
  private isDecided = false;

  /** @param verifier emits no event if it has no `progress` */
  constructor(
    private readonly verifier: Verifier,
    private readonly observer: ServiceAuthObserver,
  ) {}

  /** Verifies the request, and emits nothing. Returns, checks and throws what {@link verifyRequest} does. */
  prove(request: IncomingRequest, policy: RoutePolicy = {}): Promise<ServiceIdentity> {
    return verifyRequest(request, policy, this.verifier);
  }

  /** Verifies a message, and emits nothing. Returns, checks and throws what {@link verifyMessage} does. */
  proveMessage(message: IncomingMessage, terms: MessageTerms): Promise<VerifiedMessage> {
    return verifyMessage(message, terms, this.verifier);
  }

  /**
   * Asserts what another route requires of a verified request, and emits nothing. Returns the identity, with the
   * grant if that route requires a proof; throws what {@link verifyForRoute} does.
   */
  async proveForRoute(
    identity: ServiceIdentity,
    call: IncomingRequest | IncomingMessage,
    policy: RoutePolicy,
  ): Promise<ServiceIdentity> {
    return await verifyForRoute(identity, { call, policy }, this.verifier);
  }

  /** Whether a trusted issuer has signed the token. False if no observer is configured. */
  get isIssuerVerified(): boolean {
    return this.verifier.progress?.trust === 'verified';
  }

  /** The application lets the request in: emits `request_accepted`. */
  accepted(identity: ServiceIdentity): void {
    if (this.isDecided) return;
    this.isDecided = true;
    for (const event of this.verifier.progress?.acceptance(identity) ?? []) {
      tell(this.observer, event);
    }
  }

  /** A broker has delivered a message that was handled before: emits `duplicate_dropped` instead of a decision. */
  duplicate(transport: MessageTransport, route: string | undefined): void {
    if (this.isDecided) return;
    this.isDecided = true;
    const { issuer } = this.verifier.progress ?? {};
    if (issuer === undefined) return;
    tell(this.observer, { type: 'duplicate_dropped', transport, issuer, route });
  }

  /**
   * The request is not let in, by {@link prove} or by the application: emits `request_refused` (or
   * `request_would_be_refused`) or `request_failed`.
   */
  failed(error: unknown): void {
    // An assignment would fail: an application may throw a frozen refusal.
    const { settings, progress, enforcement = 'enforce' } = this.verifier;
    if (error instanceof ServiceTokenRefusedError) Reflect.set(error, 'realm', settings.realm);
    if (this.isDecided) return;
    this.isDecided = true;
    if (progress) tell(this.observer, progress.failure(error, enforcement));
  }
}
