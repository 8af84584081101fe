import type { ServiceIdentity } from '../core/index.js';

/** What a handler may know of the caller. */
export interface Outcome {
  /** The proved identity, after verification; undefined on a route that would refuse the request. */
  readonly identity?: ServiceIdentity | undefined;
  /** Whether the route would refuse the request, but lets it in without an identity. */
  readonly wouldBeRefused?: boolean;
}

/** The verification of a request by the guard of one service. */
export interface Verification extends Outcome {
  /** The `ServiceAuth` that verifies: proofs do not count for another service of the same application. */
  readonly verifier: object;
  /** A second guard of the same service waits for the same result. */
  result?: Promise<ServiceIdentity | undefined>;
  identity?: ServiceIdentity | undefined;
  /** Whether the caller is proved to be a service, even while the user is being looked up, or is not found. */
  isOfService?: boolean;
  /** Whether it only reports. Then its result does not count for routes that enforce. */
  readonly isReport: boolean;
  wouldBeRefused?: boolean;
  /** The refusals by resolvers of a GraphQL request that only report, by route: one request has many resolvers. */
  inResolvers?: Map<object, Outcome>;
  /** The verification by another service of the application, whose guard ran before. */
  readonly previous: Verification | undefined;
}

/** The state of one request being served, without the request itself: its calls keep this object in memory. */
export interface RequestState {
  /** The verification that began last. */
  verification?: Verification;
  /** The time of its answer, in milliseconds of `performance.now()`; undefined while the request is served. */
  endedAt?: number;
}

/** Notes that a service begins to verify a request. Its verification stays apart from those by others. */
export function noteVerification(
  state: RequestState,
  verifier: object,
  isReport: boolean,
): Verification {
  const verification: Verification = { verifier, isReport, previous: state.verification };
  state.verification = verification;
  return verification;
}

/** The verification of a request by one service; undefined if its guard has not begun one. */
export function verificationBy(verifier: object, state: RequestState): Verification | undefined {
  let verification = state.verification;
  while (verification && verification.verifier !== verifier) verification = verification.previous;
  return verification;
}

/** The same symbol in every copy of the package. It proves nothing, and only chooses the text of an error. */
const SEEN_BY_A_GUARD = Symbol.for('nestjs-service-auth:seen-by-a-guard');

/** Marks a request for other copies of the package, which do not see this state. */
export function noteGuard(raw: object): void {
  Object.defineProperty(raw, SEEN_BY_A_GUARD, { value: true, configurable: true });
}

/** Whether a guard of any copy of the package has handled a request. */
export function wasSeenByAGuard(raw: object): boolean {
  return Object.hasOwn(raw, SEEN_BY_A_GUARD);
}

/** Node's own request: Fastify wraps it, Express extends it. */
export function rawRequestOf(request: object): object {
  const raw: unknown = 'raw' in request ? request.raw : undefined;
  return typeof raw === 'object' && raw !== null ? raw : request;
}
