import type { IncomingMessage } from 'node:http';
import { Inject, Optional, type Type } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ServiceAuthConfigError, ServiceAuthUsageError } from '../../core/index.js';
import { markDriver } from '../graphql-endpoints.js';

import {
  type MountOptions,
  routeOfMount,
  type ServiceAuthFastifyHook,
  ServiceAuthMiddleware,
} from '../service-auth.middleware.js';
import { contextOfEachRequest } from './request-context.js';

/** What callers of a GraphQL endpoint need besides a good token. */
export interface GuardedDriverOptions extends Omit<MountOptions, 'route'> {
  /**
   * What the module does with a WebSocket transport for subscriptions, over which queries run too. Default `refuse`: the application
   * does not start with one. `open`: it is there, and verifies nothing. Guarded resolvers refuse what comes over it; all
   * others, and introspection, are open to everybody who reaches it.
   */
  readonly subscriptions?: 'refuse' | 'open';
}

/** A driver of GraphQLModule, as far as it is used. */
interface Driver {
  mergeDefaultOptions(options: DriverOptions, ...others: unknown[]): Promise<DriverOptions>;
  start(options: DriverOptions): Promise<unknown>;
}

/** What GraphQLModule gives a driver, as far as it is read. */
interface DriverOptions {
  readonly path?: string;
  /** What a gateway has its path and the rest of these in. */
  readonly server?: unknown;
  readonly context?: object;
  /** Whether Mercurius registers a route. */
  readonly routes?: unknown;
  readonly installSubscriptionHandlers?: unknown;
  readonly subscriptions?: unknown;
  readonly subscription?: unknown;
}

/** A route of Fastify that is being registered. */
interface FastifyRoute {
  preParsing?: unknown;
  preHandler?: unknown;
}

/** Fastify, as far as it is used. */
interface FastifyRoutes {
  after(): PromiseLike<unknown>;
  addHook(name: 'onRoute', hook: (route: FastifyRoute) => void): void;
}

/** The hooks of an endpoint. */
interface Hooks {
  readonly preParsing: ServiceAuthFastifyHook;
  readonly preHandler: ServiceAuthFastifyHook;
}

const NO_MODULE =
  'guardedDriver() needs ServiceAuthModule. Write imports: [ServiceAuthModule.forRoot({ issuer, trustedIssuers })] in the root module; with isGlobal: false, give what it returned to GraphQLModule.forRootAsync({ imports: [...] }).';

const NO_ROUTE =
  'routes: there is no endpoint to verify. Remove routes: false of this GraphQLModule, or use the driver without guardedDriver() and mount ServiceAuthMiddleware on your own route.';

const NO_PATH =
  'driver: guardedDriver() does not know where this driver has its endpoint, as that of a gateway. Use the driver without guardedDriver(), and mount ServiceAuthMiddleware under its path.';

/**
 * Makes a driver of @nestjs/graphql verify the requests of its endpoint: before GraphQL sees them, each once, wherever the
 * path leads that they are written with. Resolvers then say with the guard and its decorators what they ask of callers.
 *
 * @param driver `ApolloDriver`, `ApolloFederationDriver`, `MercuriusDriver`, `MercuriusFederationDriver`
 * @example
 * `GraphQLModule.forRoot<ApolloDriverConfig>({ driver: guardedDriver(ApolloDriver), autoSchemaFile: true })`
 * @throws ServiceAuthUsageError for options that cannot be meant
 */
export function guardedDriver<T extends object>(
  driver: Type<T>,
  options: GuardedDriverOptions = {},
): Type<T> {
  const { subscriptions = 'refuse', ...mount } = options;
  const { mode } = routeOfMount(mount);
  if (subscriptions !== 'refuse' && subscriptions !== 'open') {
    throw new ServiceAuthUsageError("subscriptions: write 'refuse' or 'open'.");
  }
  class GuardedDriver extends (driver as unknown as Type<Driver>) {
    @Optional()
    @Inject(ServiceAuthMiddleware)
    private readonly serviceAuthMiddleware: ServiceAuthMiddleware | undefined;

    @Inject(HttpAdapterHost)
    private readonly serviceAuthHost!: HttpAdapterHost;

    override async mergeDefaultOptions(
      endpoint: DriverOptions,
      ...others: unknown[]
    ): Promise<DriverOptions> {
      const context = contextOfEachRequest(endpoint.context);
      return await super.mergeDefaultOptions({ ...endpoint, context }, ...others);
    }

    override async start(endpoint: DriverOptions): Promise<unknown> {
      const { serviceAuthMiddleware: middleware, serviceAuthHost: host } = this;
      if (!middleware) throw new ServiceAuthUsageError(NO_MODULE);
      if (endpoint.routes === false) throw new ServiceAuthConfigError([NO_ROUTE]);
      if (subscriptions === 'refuse') assertNoSockets(endpoint);
      const begin = async (): Promise<unknown> => await super.start(endpoint);
      const { httpAdapter } = host;
      if (httpAdapter.getType() === 'fastify') {
        const hooks = hooksOf(middleware.fastify(mount), subscriptions);
        return await hookRoutes(httpAdapter.getInstance<FastifyRoutes>(), hooks, begin);
      }
      const { path, server } = endpoint;
      if (path === undefined || server !== undefined) throw new ServiceAuthConfigError([NO_PATH]);
      httpAdapter.use(path, middleware.express({ ...mount, route: path }));
      return await begin();
    }
  }
  Object.defineProperty(GuardedDriver, 'name', { value: `Guarded${driver.name}` });
  const hasOpenSocket = subscriptions === 'open';
  markDriver(GuardedDriver, { mode: mode === 'optional' ? mode : 'required', hasOpenSocket });
  return GuardedDriver as unknown as Type<T>;
}

/** @throws ServiceAuthConfigError where the endpoint has a transport that nobody verifies */
function assertNoSockets(endpoint: DriverOptions): void {
  const names = ['subscriptions', 'subscription', 'installSubscriptionHandlers'] as const;
  const problems = names
    .filter((name) => Boolean(endpoint[name]))
    .map(
      (name) =>
        `${name}: a WebSocket carries queries and introspection too, and nobody verifies it. Remove ${name} of this GraphQLModule, or write guardedDriver(driver, { subscriptions: 'open' }) where everybody may reach it.`,
    );
  if (problems.length > 0) throw new ServiceAuthConfigError(problems);
}

function hooksOf(verify: ServiceAuthFastifyHook, subscriptions: 'refuse' | 'open'): Hooks {
  return {
    preParsing: function verifyUpload(request, reply, ...rest) {
      // Parsers of uploads read as slowly as resolvers do: the body would never end.
      if (isMultipart(request.raw)) verify(request, reply, ...rest);
      else goOn(rest);
    },
    preHandler: function verifyOperation(request, reply, ...rest) {
      if (subscriptions === 'open' && isSocket(request)) goOn(rest);
      else verify(request, reply, ...rest);
    },
  };
}

/** Hooks the routes that a driver registers while it begins, and no others. */
async function hookRoutes(
  fastify: FastifyRoutes,
  hooks: Hooks,
  begin: () => Promise<unknown>,
): Promise<unknown> {
  // Plugins of the application that are still to be loaded would register their routes while the driver begins.
  await fastify.after();
  let isBeginning = true;
  fastify.addHook('onRoute', (route) => {
    if (!isBeginning) return;
    route.preParsing = before(hooks.preParsing, route.preParsing);
    route.preHandler = before(hooks.preHandler, route.preHandler);
  });
  try {
    return await begin();
  } finally {
    isBeginning = false;
  }
}

/** The hooks of a route with one before them, once: the route of HEAD takes over those of GET. */
function before(hook: ServiceAuthFastifyHook, hooks: unknown): unknown[] {
  const others: unknown[] = [hooks ?? []].flat();
  return [hook, ...others.filter((each) => each !== hook)];
}

function isMultipart({ headers }: IncomingMessage): boolean {
  return /^\s*multipart\//i.test(headers['content-type'] ?? '');
}

/** Whether @fastify/websocket has taken the request over, which sets this for upgrades alone. */
function isSocket(request: object): boolean {
  return 'ws' in request && request.ws === true;
}

function goOn(rest: readonly unknown[]): void {
  const done = rest.at(-1) as () => void;
  done();
}
