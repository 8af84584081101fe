import type { Type } from '@nestjs/common';
import { PATH_METADATA, ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import type { ModulesContainer } from '@nestjs/core';
import { boundProvidersIn, classOf, type Wrapper } from './bound-providers.js';
import { BindingWitness, type GlobalGuardReach, type Reach } from './global-guard-reach.js';
import {
  type GraphQLEndpoint,
  graphqlEndpointsIn,
  guardsOfResolver,
  isResolverClass,
  modulesServedBy,
  resolverKindOf,
  UNMARKED,
} from './graphql-endpoints.js';
import { guardsOn, handlerOf, hasGuard, isServiceGuard, methodNamesOf } from './guarded-routes.js';
import { type ModuleNode, serviceOf, sourceFor } from './module-graph.js';
import { needOfParameter } from './parameter-need.js';
import { isVerifiable } from './received-call.js';
import { readRoute } from './route-policy.js';
import { ServiceAuth } from '../service-auth.js';

/** The kind of call that reaches a handler. */
export type HandlerKind = 'HTTP' | 'message' | 'event' | 'job' | 'WebSocket' | 'GraphQL';

/**
 * `guarded`: requires a token. `optional`: admits callers without a token, as its decorator says. `skipped`: has
 * `@SkipServiceAuth()`. `open`: no `ServiceJwtGuard` protects it. `undecided`: Nest does not show the guards at
 * start. `unserved`: this application never calls it.
 */
export type Verdict = 'guarded' | 'optional' | 'skipped' | 'open' | 'undecided' | 'unserved';

/** How one handler of an application is guarded. Plain data, since it is sent to the command line. */
export interface HandlerCoverage {
  /** Its class and method, and its kind unless that is HTTP. */
  readonly handler: string;
  readonly kind: HandlerKind;
  readonly verdict: Verdict;
  /** `ServiceJwtGuard` refuses every call of it: its GraphQL endpoint, or its service, verifies none of this kind. */
  readonly refusesAll?: true;
  /** It takes messages that ask for signed answers, and its service has no `signingKey`: each of them fails. */
  readonly cannotAnswer?: true;
  /** It has guards that Nest never runs, since a factory has made its instance. */
  readonly losesGuards?: true;
  /** The names of its other guards. */
  readonly otherGuards: readonly string[];
  /** The decorators of its parameters that need a verified request. */
  readonly needs: readonly string[];
}

/** A handler, before its verdict. */
interface Found {
  readonly type: Type;
  readonly name: string;
  /** The function that Nest calls. Its guards count. */
  readonly called: object;
  /** The method of the class. Its decorators decide the kind. */
  readonly declared: object;
  readonly kind: HandlerKind;
  readonly isStatic: boolean;
  /** The module that declares its class. */
  readonly host: ModuleNode | undefined;
  /** The endpoints of GraphQL that serve it; undefined for other handlers. */
  readonly endpoints?: readonly GraphQLEndpoint[];
}

/** The metadata keys of optional packages. */
const MESSAGE_KIND = 'microservices:handler_type';
const MESSAGE_TRANSPORT = 'microservices:transport';
const IS_GATEWAY = 'websockets:is_gateway';
const IS_SOCKET_MESSAGE = 'websockets:message_mapping';
const PROCESSOR = 'bullmq:processor_metadata';

/** Where `@ServiceProcessor()` marks a class: its jobs are verified. */
export const SERVICE_PROCESSOR = 'nestjs-service-auth:service-processor';

/** `PatternHandler.EVENT` of @nestjs/microservices. */
const EVENT = 2;

/** Every handler of an application that a guard can protect, each once. */
export function coverageOf(modules: ModulesContainer, reach: GlobalGuardReach): HandlerCoverage[] {
  const nodes = [...modules.values()];
  const found = [
    ...unique(nodes.flatMap(({ controllers }) => [...controllers.values()])).flatMap(ofController),
    ...unique(boundProvidersIn(nodes, isBoundIfMade)).flatMap((wrapper) =>
      ofProvider(wrapper, () => endpointsServing(wrapper, modules)),
    ),
  ];
  // An application that guards no job has decided nothing about them.
  const guardsJobs = found.some(({ kind, type }) => kind === 'job' && isServiceProcessor(type));
  return found
    .filter(({ kind }) => guardsJobs || kind !== 'job')
    .map((handler) => judge(handler, reach));
}

function isServiceProcessor(type: Type): boolean {
  return Reflect.hasMetadata(SERVICE_PROCESSOR, type);
}

/** The names of guarded handlers of events that a server of this transport serves. */
export function guardedEvents(
  modules: ModulesContainer,
  reach: GlobalGuardReach,
  transportId: unknown,
): string[] {
  const wrappers = [...modules.values()].flatMap(({ controllers }) => [...controllers.values()]);
  const events = unique(wrappers)
    .flatMap(ofController)
    .filter(({ kind, declared }) => {
      const transport: unknown = Reflect.getMetadata(MESSAGE_TRANSPORT, declared);
      return kind === 'event' && (transport === undefined || transport === transportId);
    });
  return events
    .map((event) => judge(event, reach))
    .filter(({ verdict }) => verdict === 'guarded' || verdict === 'optional')
    .map(({ handler }) => handler);
}

/** @nestjs/bullmq and @nestjs/graphql bind the instances of factories too; Nest binds no gateway that a factory has made. */
function isBoundIfMade(type: Type): boolean {
  return Reflect.hasMetadata(PROCESSOR, type) || isResolverClass(type);
}

/** Each class once, since several modules may declare it. */
function unique(wrappers: readonly Wrapper[]): Wrapper[] {
  const classes = wrappers.filter(({ metatype, isNotMetatype }) => metatype && !isNotMetatype);
  return [...new Map(classes.map((wrapper) => [wrapper.metatype, wrapper])).values()];
}

function ofController(wrapper: Wrapper): Found[] {
  return methodsOf(wrapper).flatMap((method) => {
    const { declared } = method;
    const kinds: HandlerKind[] = [];
    if (Reflect.hasMetadata(PATH_METADATA, declared)) kinds.push('HTTP');
    const messageKind: unknown = Reflect.getMetadata(MESSAGE_KIND, declared);
    if (messageKind !== undefined) kinds.push(messageKind === EVENT ? 'event' : 'message');
    return kinds.map((kind) => ({ ...method, kind }));
  });
}

/** The endpoints that serve the resolvers of a class. */
function endpointsServing({ metatype }: Wrapper, modules: ModulesContainer): GraphQLEndpoint[] {
  const all = graphqlEndpointsIn(modules);
  // Something else than GraphQLModule serves them, and verifies nothing that we know of.
  if (all.length === 0) return [{ ...UNMARKED, guardsFields: false, include: [] }];
  const hosts = [...modules.values()].filter(({ providers }) =>
    [...providers.values()].some((each) => classOf(each) === metatype),
  );
  return all.filter((endpoint) => {
    const served = modulesServedBy(endpoint, modules);
    return hosts.some((host) => served.has(host));
  });
}

function ofProvider(wrapper: Wrapper, endpoints: () => GraphQLEndpoint[]): Found[] {
  const isGateway = Reflect.hasMetadata(IS_GATEWAY, wrapper.metatype as object);
  const isProcessor = Reflect.hasMetadata(PROCESSOR, wrapper.metatype as object);
  return methodsOf(wrapper).flatMap((method) => {
    const { declared } = method;
    const has = (key: string): boolean => Reflect.hasMetadata(key, declared);
    const kinds: HandlerKind[] = [];
    if (isGateway && has(IS_SOCKET_MESSAGE)) kinds.push('WebSocket');
    const resolver = resolverKindOf(declared);
    if (resolver && resolver !== 'field') kinds.push('GraphQL');
    if (isProcessor && method.name === 'process') kinds.push('job');
    return kinds.map((kind) => ({
      ...method,
      kind,
      called: declared,
      ...(kind === 'GraphQL' && { endpoints: endpoints() }),
    }));
  });
}

function methodsOf(wrapper: Wrapper): Omit<Found, 'kind'>[] {
  const type = wrapper.metatype as Type;
  if (!isObject(type.prototype)) return [];
  const { host } = wrapper;
  const isStatic = wrapper.isDependencyTreeStatic();
  return methodNamesOf(type).map((name) => {
    const declared = handlerOf(type, name);
    const instance: unknown = wrapper.instance;
    const called: unknown = isObject(instance) ? Reflect.get(instance, name) : declared;
    // An instance may have replaced the method by a function without decorators.
    return { type, name, declared, called: isObject(called) ? called : declared, isStatic, host };
  });
}

function judge(handler: Found, reach: GlobalGuardReach): HandlerCoverage {
  const { type, name, called, kind, host } = handler;
  const declared = guardsOn({ handler: called, controller: type });
  const guards = kind === 'GraphQL' ? guardsOfResolver(called, type, host) : declared;
  const suffix = kind === 'HTTP' ? '' : ` [${kind}]`;
  return {
    handler: `${type.name}.${name}()${suffix}`,
    kind,
    ...(handler.endpoints ? judgeResolver(handler, reach) : judgeOther(handler, reach)),
    ...(guards.length < declared.length && { losesGuards: true }),
    otherGuards: namesOfOthers([...(kind === 'HTTP' ? reach.globalGuards : []), ...guards]),
    needs: needsOf(type, name),
  };
}

function judgeOther(
  handler: Found,
  reach: GlobalGuardReach,
): Pick<HandlerCoverage, 'verdict' | 'refusesAll' | 'cannotAnswer'> {
  const { type, called, declared, kind } = handler;
  if (kind === 'job' && isServiceProcessor(type)) return { verdict: 'guarded' };
  const served = reachOf(handler, reach);
  if (served === undefined) return { verdict: 'unserved' };
  const isOwn = hasGuard({ handler: called, controller: type });
  const { mode } = readRoute(kind === 'HTTP' ? called : declared, type);
  const isGuarded = isOwn || served === 'guarded';
  // Decorators open only what the guard can verify. It refuses the rest.
  if (isGuarded && kind === 'WebSocket') return { verdict: 'guarded' };
  const isVerified =
    (!isOwn || isVerifiedByOwn(handler)) && (served !== 'guarded' || reach.verifies(typeOf(kind)));
  if (isGuarded && !isVerified) return { verdict: 'guarded', refusesAll: true };
  if (mode === 'skip') return { verdict: 'skipped' };
  if (!isGuarded) return { verdict: served };
  const verdict = mode === 'required' ? 'guarded' : 'optional';
  const canSign = (!isOwn || isSignedByOwn(handler)) && (served !== 'guarded' || reach.signs);
  return kind === 'message' && !canSign ? { verdict, cannotAnswer: true } : { verdict };
}

/** The type of the execution context of a call, in Nest's words. */
function typeOf(kind: HandlerKind): string {
  return kind === 'HTTP' ? 'http' : 'rpc';
}

/** Whether the service that Nest injects into the guard of a handler verifies calls of its kind. */
function isVerifiedByOwn({ kind, host }: Found): boolean {
  const service = serviceFor(host);
  return service === undefined || isVerifiable(typeOf(kind), service);
}

/** Whether the service that Nest injects into the guard of a handler has a key, which signs answers. */
function isSignedByOwn({ host }: Found): boolean {
  const service = serviceFor(host);
  return service === undefined || service.settings.sending !== undefined;
}

function serviceFor(host: ModuleNode | undefined): ServiceAuth | undefined {
  return host && serviceOf(sourceFor(host, ServiceAuth));
}

/** From the laxest on: a resolver that several endpoints serve is as open as through the laxest of them. */
const LAXNESS = ['open', 'skipped', 'optional', 'guarded'] as const satisfies Verdict[];

function judgeResolver(
  handler: Found,
  reach: GlobalGuardReach,
): Pick<HandlerCoverage, 'verdict' | 'refusesAll'> {
  const { type, declared, isStatic, endpoints = [] } = handler;
  if (!reach.servesHttp || endpoints.length === 0) return { verdict: 'unserved' };
  const hasAny =
    guardsOfResolver(declared, type, handler.host).some(isServiceGuard) ||
    reach.resolvers(isStatic) === 'guarded';
  const isField = resolverKindOf(declared) !== 'operation';
  const isGuardedBy = ({ guardsFields }: GraphQLEndpoint) => hasAny && (!isField || guardsFields);
  const { mode } = readRoute(declared, type);
  const through = (endpoint: GraphQLEndpoint): Verdict => {
    if (endpoint.mode === 'required' && !endpoint.hasOpenSocket) return 'guarded';
    if (mode === 'skip') return 'skipped';
    if (!isGuardedBy(endpoint)) return 'open';
    return mode === 'optional' && endpoint.mode === 'optional' ? 'optional' : 'guarded';
  };
  const verdicts = endpoints.map(through);
  const verdict = LAXNESS.find((each) => verdicts.includes(each)) ?? 'guarded';
  const refusesAll =
    mode !== 'skip' && endpoints.every((each) => each.mode === 'open' && isGuardedBy(each));
  return refusesAll ? { verdict, refusesAll } : { verdict };
}

/** Whether the guards of the application reach a handler; undefined where nothing calls it. */
function reachOf({ kind, declared, isStatic }: Found, reach: GlobalGuardReach): Reach | undefined {
  switch (kind) {
    case 'HTTP':
      return reach.servesHttp ? reach.http : undefined;
    case 'job':
      return 'open';
    case 'WebSocket':
      return reach.serves ? reach.gateways(isStatic) : undefined;
    default:
      return reach.messages(Reflect.getMetadata(MESSAGE_TRANSPORT, declared), isStatic);
  }
}

/** The names of guards other than `ServiceJwtGuard`, each once. */
export function namesOfOthers(guards: readonly unknown[]): string[] {
  const others = guards.filter(
    (guard): guard is object =>
      isObject(guard) && !isServiceGuard(guard) && !(guard instanceof BindingWitness),
  );
  const classes = others.map((guard) => (typeof guard === 'function' ? guard : guard.constructor));
  return [...new Set(classes.map(({ name }) => name))];
}

function needsOf(type: Type, name: string): string[] {
  const { constructor } = type.prototype as object;
  // A decorator may have replaced the class whose parameters were decorated.
  const parameters = [type, constructor].flatMap((place) => {
    const args: unknown = Reflect.getMetadata(ROUTE_ARGS_METADATA, place, name);
    return isObject(args) ? (Object.values(args) as unknown[]) : [];
  });
  return [...new Set(parameters.flatMap(needOfParameter))];
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}
