import type { Algorithm } from './algorithms.js';
import {
  isRefusal,
  type ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  type ServiceTokenRefusedError,
} from './errors.js';
import type { ProofOutcome } from './grants/prove-subject.js';
import type {
  GrantUnbound,
  IssuerTrust,
  RequestAccepted,
  RequestFailed,
  RequestRefused,
  RequestWouldBeRefused,
} from './events.js';
import type { ServiceIdentity } from './identity.js';
import type { CallTransport } from './messages/message.js';

/** Measures a duration, from its creation. */
export class Stopwatch {
  private readonly startedAt: number;

  constructor(private readonly monotonicNow: () => number) {
    this.startedAt = this.read();
  }

  /** Milliseconds since the start; 0 if the clock fails, since no decision depends on it. */
  elapsed(): number {
    const milliseconds = this.read() - this.startedAt;
    return milliseconds > 0 && Number.isFinite(milliseconds) ? milliseconds : 0;
  }

  private read(): number {
    try {
      return this.monotonicNow();
    } catch {
      return Number.NaN;
    }
  }
}

/** The progress of the verification of one request, from which the event of the decision is made. */
export class VerificationProgress {
  private namedIssuer: string | undefined;
  private algorithm: Algorithm | undefined;
  private verifiedAfter: number | undefined;
  private proof: ProofOutcome = {};

  constructor(
    private readonly stopwatch: Stopwatch,
    private readonly route: string | undefined,
    private readonly transport: CallTransport,
  ) {}

  /** The token names this trusted issuer. */
  nameIssuer(issuer: string): void {
    this.namedIssuer = issuer;
  }

  /** The signature is valid. */
  proveSignature(algorithm: Algorithm): void {
    this.algorithm = algorithm;
  }

  /** The verification is complete. The time from now on is the application's. */
  finishVerification(proof: ProofOutcome): void {
    this.proof = proof;
    this.verifiedAfter = this.stopwatch.elapsed();
  }

  /** The events of an accepted request; none without a proved signature, which cannot happen. */
  acceptance(identity: ServiceIdentity): (RequestAccepted | GrantUnbound)[] {
    const { algorithm, transport, route, proof } = this;
    if (algorithm === undefined) return [];
    const accepted = this.acceptedWith(algorithm, identity);
    if (proof.unbound === undefined) return [accepted];
    const { issuer } = identity;
    return [accepted, { type: 'grant_unbound', transport, issuer, route, reason: proof.unbound }];
  }

  private acceptedWith(algorithm: Algorithm, identity: ServiceIdentity): RequestAccepted {
    const { grant } = identity;
    return {
      type: 'request_accepted',
      transport: this.transport,
      issuer: identity.issuer,
      audience: identity.audience,
      hasSubject: identity.subject !== undefined,
      algorithm,
      keyId: identity.keyId,
      profile: identity.profile,
      route: this.route,
      proof: grant ? 'grant' : 'none',
      originator: grant?.originator,
      transaction: grant?.transaction,
      proofRefusal: this.proof.refusal,
      durationMilliseconds: this.duration,
    };
  }

  /** The event of a refused request, or of one that report-only mode lets in without an identity. */
  failure(
    error: unknown,
    mode: DecisionMode,
  ): RequestRefused | RequestWouldBeRefused | RequestFailed {
    const { transport, route, duration: durationMilliseconds } = this;
    const common = { transport, route, durationMilliseconds };
    if (isRefusal(error)) {
      const { issuer, trust: issuerTrust } = this;
      return { ...describeRefusal(error, mode), issuer, issuerTrust, ...common };
    }
    return { type: 'request_failed', reason: this.reasonOf(error), ...common };
  }

  private reasonOf(error: unknown): RequestFailed['reason'] {
    if (error instanceof ServiceAuthUsageError) return 'usage_error';
    return this.verifiedAfter === undefined ? 'unexpected_error' : 'admission_error';
  }

  /** The trusted issuer that the token names. */
  get issuer(): string | undefined {
    return this.namedIssuer;
  }

  /** How far the issuer can be believed, as far as the verification has come. */
  get trust(): IssuerTrust {
    if (this.issuer === undefined) return 'unknown';
    return this.algorithm === undefined ? 'claimed' : 'verified';
  }

  private get duration(): number {
    return this.verifiedAfter ?? this.stopwatch.elapsed();
  }
}

type DescribedMembers = 'type' | 'code' | 'status' | 'detail';
type RefusalDescription =
  Pick<RequestRefused, DescribedMembers> | Pick<RequestWouldBeRefused, DescribedMembers>;

/** Whether a request that fails verification is refused (`enforce`), or let in without an identity (`report`). */
export type DecisionMode = 'enforce' | 'report';

/** The members of the event of any refusal, by the token or by the route. */
export function describeRefusal(
  { code, status, detail }: ServiceTokenRefusedError | ServiceAuthUnavailableError,
  mode: DecisionMode,
): RefusalDescription {
  const described = { code, status, detail };
  if (mode === 'report') return { type: 'request_would_be_refused', ...described };
  return { type: 'request_refused', ...described };
}
