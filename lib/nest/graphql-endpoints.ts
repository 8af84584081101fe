import 'reflect-metadata';
import type { Type } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { boundProvidersIn } from './bound-providers.js';
import { guardsOn, handlerOf, isServiceGuard, methodNamesOf } from './guarded-routes.js';
import type { ModuleNode } from './module-graph.js';

/** How an endpoint of GraphQL treats requests: `open` verifies none, `optional` admits those without a token. */
export type EndpointMode = 'required' | 'optional' | 'open';

/** What a guarded driver says of its endpoint. */
export interface EndpointMark {
  readonly mode: EndpointMode;
  /** Whether operations reach it over a WebSocket too, which nobody verifies. */
  readonly hasOpenSocket: boolean;
}

/** One GraphQLModule of an application. */
export interface GraphQLEndpoint extends EndpointMark {
  /** Whether guards run before `@ResolveField()` and `@ResolveReference()` too. */
  readonly guardsFields: boolean;
  /** The modules whose resolvers it serves, with those of their imports; empty: all. */
  readonly include: readonly unknown[];
}

/** A method of a class that GraphQL calls. */
export interface ResolverMethod {
  readonly type: Type;
  readonly name: string;
  /** Whether guards run before it only where its endpoint says so: a field, or a reference. */
  readonly isField: boolean;
  /** Whether a guard of its own runs before it, where guards do. */
  readonly hasOwnGuard: boolean;
}

/** Where @nestjs/graphql keeps what its decorators say. */
const OPERATION = 'graphql:resolver_type';
const REFERENCE = 'graphql:resolve_reference';
const FIELD = 'graphql:resolve_property';

/** Whether GraphQL calls a method, and how; a field is reached by what returns its object alone. */
export function resolverKindOf(method: object): 'operation' | 'reference' | 'field' | undefined {
  if (Reflect.hasMetadata(OPERATION, method)) return 'operation';
  if (Reflect.hasMetadata(REFERENCE, method)) return 'reference';
  return Reflect.hasMetadata(FIELD, method) ? 'field' : undefined;
}

/** On the class of a driver: how its endpoint treats requests. */
const ENDPOINT_MARK = 'nestjs-service-auth:graphql-endpoint';

/** The endpoint of a driver without a mark, or of something else than GraphQLModule. */
export const UNMARKED: EndpointMark = { mode: 'open', hasOpenSocket: false };

/** `GRAPHQL_MODULE_OPTIONS` of @nestjs/graphql. */
const GRAPHQL_MODULE_OPTIONS = 'GqlModuleOptions';

/** Marks the driver of an endpoint that verifies its requests. */
export function markDriver(driver: Type<object>, mark: EndpointMark): void {
  Reflect.defineMetadata(ENDPOINT_MARK, mark, driver);
}

/** The GraphQLModules of an application. Their package need not be installed. */
export function graphqlEndpointsIn(modules: ModulesContainer): GraphQLEndpoint[] {
  return [...modules.values()].flatMap((node) => endpointOf(node));
}

/** Each method of a provider that is a resolver, of an operation, a reference or a field. */
export function resolversIn(modules: ModulesContainer): ResolverMethod[] {
  const wrappers = boundProvidersIn([...modules.values()], isResolverClass);
  // Several modules may declare one class.
  const byClass = new Map(wrappers.map(({ metatype, host }) => [metatype as Type, host]));
  return [...byClass].flatMap(([type, host]) =>
    methodNamesOf(type).flatMap((name) => {
      const method = handlerOf(type, name);
      const kind = resolverKindOf(method);
      if (kind === undefined) return [];
      const hasOwnGuard = guardsOfResolver(method, type, host).some(isServiceGuard);
      return [{ type, name, isField: kind !== 'operation', hasOwnGuard }];
    }),
  );
}

/** Whether GraphQL calls a method of a class. It calls those of an instance that a factory has made too. */
export function isResolverClass(type: Type): boolean {
  return methodNamesOf(type).some((name) => resolverKindOf(handlerOf(type, name)) !== undefined);
}

/**
 * The guards that Nest runs before a resolver. It finds those that are classes in the module of the resolver, where it puts
 * only those of the classes that it makes itself.
 */
export function guardsOfResolver(
  method: object,
  type: Type,
  host: ModuleNode | undefined,
): unknown[] {
  return guardsOn({ handler: method, controller: type }).filter(
    (guard) => typeof guard !== 'function' || host?.injectables.has(guard),
  );
}

/** The modules whose resolvers an endpoint serves: those that it includes, and all that they import. */
export function modulesServedBy(
  { include }: GraphQLEndpoint,
  modules: ModulesContainer,
): ReadonlySet<ModuleNode> {
  const all = [...modules.values()];
  if (include.length === 0) return new Set(all);
  const served = new Set(all.filter(({ metatype }) => include.includes(metatype)));
  for (const { imports } of served) {
    for (const imported of imports) served.add(imported);
  }
  return served;
}

function endpointOf({ providers }: ModuleNode): GraphQLEndpoint[] {
  const options: unknown = providers.get(GRAPHQL_MODULE_OPTIONS)?.instance;
  if (typeof options !== 'object' || options === null) return [];
  const { include, fieldResolverEnhancers: enhancers } = options as Record<string, unknown>;
  return [
    {
      ...markIn(providers),
      guardsFields: Array.isArray(enhancers) && enhancers.includes('guards'),
      include: Array.isArray(include) ? include : [],
    },
  ];
}

/** Not from the options: those of `forRootAsync()` need not name the driver. */
function markIn(providers: ModuleNode['providers']): EndpointMark {
  for (const { metatype } of providers.values()) {
    const mark: unknown =
      typeof metatype === 'function' ? Reflect.getMetadata(ENDPOINT_MARK, metatype) : undefined;
    if (mark !== undefined) return mark as EndpointMark;
  }
  return UNMARKED;
}
