import type { ExecutionContext } from '@nestjs/common';
import {
  type CallTransport,
  type IncomingMessage,
  type IncomingRequest,
  type RequestVerification,
  type RoutePolicy,
  type ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  type ServiceIdentity,
  type ServiceTokenRefusedError,
} from '../core/index.js';
import type { BodySettings } from './http/body/verifiable-body.js';
import { ReceivedRequest } from './http/received-request.js';
import { toHttpException } from './http/http-exception.js';
import type { RequestState, Verification } from './request-state.js';

/** What answers a call that is not let in. */
export type CallRefusal = ServiceTokenRefusedError | ServiceAuthUnavailableError;

/**
 * One call that was received, of whatever kind: an HTTP request, a message. There is one for each call, made when it is
 * first asked for.
 */
export interface ReceivedCall<
  Incoming extends IncomingRequest | IncomingMessage = IncomingRequest | IncomingMessage,
> {
  /** The way in which it came. */
  readonly transport: CallTransport;
  /** Apart from this object, so that the contexts of calls do not keep what was received in memory. */
  readonly state: RequestState;
  /** The pattern of the handler, for events: never a text of the caller's choosing. */
  readonly route: string | undefined;
  /** Whether it has a token, or may have one: false only where that is certain. */
  readonly hasToken: boolean;
  /** Begins the verification by one service, which stays apart from those by others. */
  beginVerification(verifier: object, isReport: boolean): Verification;
  /** The call as the verifier needs it, with the token, also where a guard has removed that. */
  toVerify(settings: BodySettings): Incoming;
  /** Verifies it. Emits nothing. */
  prove(
    incoming: Incoming,
    policy: RoutePolicy,
    verification: RequestVerification,
  ): Promise<ServiceIdentity>;
  /** Hands the user of the application to handlers. */
  setUser(user: unknown): void;
  /** Takes the token out of the call, so that no logger and no handler passes it on. */
  removeToken(): void;
  /** Marks for caches that the answer depends on the token. Messages and jobs have no caches. */
  markPrivate?(): void;
  /** The exception that answers a refusal. @param realm the name of the service in a challenge */
  refuse(error: CallRefusal, realm: string): Error;
  /** Notes for the caller why its call would be refused. The answers to messages and jobs have no room for it. */
  reportRefusal?(error: CallRefusal): void;
}

/** How calls of one type of execution context are received. */
export interface CallKind {
  /** Whether the call came in a way that carries tokens. */
  carriesTokens(context: ExecutionContext): boolean;
  /** The call of a context; undefined where nothing of it was seen. */
  of(context: ExecutionContext): ReceivedCall | undefined;
  /** The exception that answers a refusal by a decorator. */
  exceptionFor(error: CallRefusal): Error;
}

const HTTP: CallKind = {
  carriesTokens: () => true,
  of: (context) => ReceivedRequest.servedIn(context),
  exceptionFor: toHttpException,
};

const KINDS = new Map<string, CallKind>([['http', HTTP]]);

/** The services that verify calls of a type. Those of HTTP are verified by each. */
const VERIFIERS = new Map<string, WeakSet<object>>();

/**
 * Lets decorators know one more type of execution context, and the guard of one service verify it: other applications of
 * this process may not import its module. The last kind registered for a type counts.
 */
export function registerCallKind(type: string, kind: CallKind, verifier: object): void {
  KINDS.set(type, kind);
  VERIFIERS.set(type, (VERIFIERS.get(type) ?? new WeakSet()).add(verifier));
}

/** Whether the guard of a service verifies calls of this type of execution context. */
export function isVerifiable(type: string, verifier: object): boolean {
  return type === 'http' || VERIFIERS.get(type)?.has(verifier) === true;
}

/** How calls of this context are received; undefined for a type that no imported module knows. */
export function callKindOf(context: ExecutionContext): CallKind | undefined {
  return KINDS.get(context.getType());
}

/**
 * Whether the guard of a service can verify the call of this context: not one of a type whose module the service does not
 * import, nor one of a transport that carries no token, such as Kafka.
 */
export function canVerify(verifier: object, context: ExecutionContext): boolean {
  const carriesTokens = callKindOf(context)?.carriesTokens(context) === true;
  return carriesTokens && isVerifiable(context.getType(), verifier);
}

/**
 * The call of an execution context.
 *
 * @throws ServiceAuthUsageError where its type is not known, or nothing of it was seen
 */
export function receivedCallIn(context: ExecutionContext): ReceivedCall {
  const call = callKindOf(context)?.of(context);
  if (call) return call;
  throw new ServiceAuthUsageError(`The guard knows nothing of this ${context.getType()} call.`);
}

/** The exception that answers a refusal by a decorator. */
export function refusalIn(context: ExecutionContext, error: CallRefusal): Error {
  return (callKindOf(context) ?? HTTP).exceptionFor(error);
}
