import type { ExecutionContext, HttpException } from '@nestjs/common';
import { type ServiceAuthUnavailableError, type ServiceTokenRefusedError } from '../core/index.js';
import { toHttpException } from './http/http-exception.js';
import { ReceivedRequest } from './http/received-request.js';
import type { Outcome } from './request-state.js';
import { routeOf } from './route-policy.js';

/** What @nestjs/graphql gives a resolver, as far as it is read. */
interface Info {
  readonly parentType?: { readonly name?: unknown };
  readonly fieldName?: unknown;
}

/**
 * Under this symbol a guarded endpoint names the request in the context of its resolvers. Enumerable, since Apollo copies
 * contexts.
 */
export const ENDPOINT_REQUEST = Symbol('nestjs-service-auth:endpoint-request');

/** How many arguments the reference resolver of an entity gets: the reference, the context, the info. */
const REFERENCE_ARGUMENTS = 3;

/** What clients of GraphQL read beside the code of this library. */
const CODES: Readonly<Record<number, string>> = { 401: 'UNAUTHENTICATED', 403: 'FORBIDDEN' };

/** Whether it is the context of a resolver of GraphQL. */
export function isResolver(context: ExecutionContext): boolean {
  return context.getType<string>() === 'graphql';
}

/**
 * The request over HTTP that a resolver works for: as its guarded endpoint has named it, else as the context of Apollo or
 * Mercurius has it. Undefined where nobody has begun to verify one, and where that context has two. What else the
 * application keeps there is never taken for a request.
 */
export function requestBehind(context: ExecutionContext): ReceivedRequest | undefined {
  const args = context.getArgs<unknown[]>();
  const gqlContext = args.length === REFERENCE_ARGUMENTS ? args[1] : args[2];
  const named = read(gqlContext, ENDPOINT_REQUEST);
  if (named !== undefined) return verifiedIn(named);
  const ofApollo = verifiedIn(read(gqlContext, 'req'));
  const ofMercurius = verifiedIn(read(read(gqlContext, 'reply'), 'request'));
  // Several requests share the context.
  if (ofApollo && ofMercurius && ofApollo !== ofMercurius) return undefined;
  return ofApollo ?? ofMercurius;
}

/** What a resolver may know of its caller; undefined where nobody has verified the request. */
export function outcomeInResolver(context: ExecutionContext): Outcome | undefined {
  const verification = requestBehind(context)?.state.verification;
  return verification?.inResolvers?.get(routeOf(context)) ?? verification;
}

/** The field of a resolver, for events: `/graphql Query.user`. Its parts come from the schema, never from the caller. */
export function placeOfResolver(context: ExecutionContext, endpoint?: string): string | undefined {
  const { parentType, fieldName } = Object(context.getArgs<unknown[]>().at(-1)) as Info;
  const type = parentType?.name;
  if (typeof type !== 'string' || typeof fieldName !== 'string') return endpoint;
  return endpoint === undefined ? `${type}.${fieldName}` : `${endpoint} ${type}.${fieldName}`;
}

/** The exception that refuses one field: that of a route, with the code where clients of GraphQL look for it. */
export function toResolverException(
  error: ServiceTokenRefusedError | ServiceAuthUnavailableError,
): HttpException {
  const exception = toHttpException(error);
  const code = CODES[exception.getStatus()];
  const extensions = { ...(code !== undefined && { code }), serviceAuth: { code: error.code } };
  return Object.assign(exception, { extensions });
}

function verifiedIn(request: unknown): ReceivedRequest | undefined {
  return isObject(request) ? ReceivedRequest.verified(request) : undefined;
}

function read(owner: unknown, name: string | symbol): unknown {
  return isObject(owner) ? (Reflect.get(owner, name) as unknown) : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
