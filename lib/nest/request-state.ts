import type { ServiceIdentity } from '../core/index.js';

/** What a handler may know of the caller. */
export interface Outcome {
  /** What was proved, once it is; undefined for a route that would refuse the request. */
  readonly identity?: ServiceIdentity | undefined;
  /** Whether the route would refuse the request, and lets it in without an identity. */
  readonly wouldBeRefused?: boolean;
}

/** What the guard of one service has made of a request. */
export interface Verification extends Outcome {
  /** The `ServiceAuth` that verifies: what one service proved is nothing to another in the same application. */
  readonly verifier: object;
  /** A second guard of the same service waits for the same result. */
  result?: Promise<ServiceIdentity | undefined>;
  identity?: ServiceIdentity | undefined;
  /** Whether the caller is proved to be a service, also while the user of the application is looked up, or not found. */
  isOfService?: boolean;
  /** Whether it only reports: its result counts for no route that refuses. */
  readonly isReport: boolean;
  wouldBeRefused?: boolean;
  /** What the resolvers of a GraphQL request made of it that would refuse it, by what they ask: one request has many. */
  inResolvers?: Map<object, Outcome>;
  /** That of another service of the application, whose guard ran before. */
  readonly previous: Verification | undefined;
}

/** What is known of one request being served, without the request itself: calls that it makes keep this in memory. */
export interface RequestState {
  /** The verification that was begun last. */
  verification?: Verification;
  /** When it was answered, in milliseconds of `performance.now()`; undefined while it is served. */
  endedAt?: number;
}

/** The verification of a request by one service; undefined where its guard has not begun one. */
export function verificationBy(verifier: object, state: RequestState): Verification | undefined {
  let verification = state.verification;
  while (verification && verification.verifier !== verifier) verification = verification.previous;
  return verification;
}

/** The same in every copy of the package. It proves nothing, and only chooses the words of an error. */
const SEEN_BY_A_GUARD = Symbol.for('nestjs-service-auth:seen-by-a-guard');

/** Leaves word for other copies of the package, which do not see the state of this one. */
export function noteGuard(raw: object): void {
  Object.defineProperty(raw, SEEN_BY_A_GUARD, { value: true, configurable: true });
}

/** Whether a guard of any copy of the package has looked at a request. */
export function wasSeenByAGuard(raw: object): boolean {
  return Object.hasOwn(raw, SEEN_BY_A_GUARD);
}

/** Fastify wraps Node's request, Express extends it. */
export function rawRequestOf(request: object): object {
  const raw: unknown = 'raw' in request ? request.raw : undefined;
  return typeof raw === 'object' && raw !== null ? raw : request;
}
