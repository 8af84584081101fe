import { Inject, Injectable, Logger, type OnModuleInit, type Type } from '@nestjs/common';
import { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import {
  controllersIn,
  guardsEveryRoute,
  handlerOf,
  hasGuard,
  routeNamesOf,
} from './guarded-routes.js';
import { graphqlEndpointsIn, type ResolverMethod, resolversIn } from './graphql-endpoints.js';
import { asksNothing, readRoute } from './route-policy.js';
import { earlierGuards, laterGuards } from './guard-order.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';

/**
 * Checks at start that the decorators of each route take effect. Refuses to start if they cannot be read, and warns
 * if they narrow a route without a guard.
 */
@Injectable()
export class RouteMarksCheck implements OnModuleInit {
  private readonly logger = new Logger('ServiceAuth');
  private readonly canReport: boolean;
  private readonly believesGrants: boolean;
  private readonly setsUsers: boolean;

  constructor(
    @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    @Inject(ApplicationConfig) private readonly config: ApplicationConfig,
    @Inject(MODULE_OPTIONS_TOKEN) options: ServiceAuthModuleOptions,
  ) {
    // A factory may have returned undefined, which ServiceAuth reports.
    const { reportUntil, originators, userResolver } = { ...options };
    this.canReport = reportUntil !== undefined;
    this.believesGrants = originators !== undefined;
    this.setsUsers = userResolver !== undefined;
  }

  /** @throws ServiceAuthUsageError naming the class of a method whose decorators cannot be read */
  onModuleInit(): void {
    for (const { controllers } of this.modules.values()) {
      for (const { metatype, instance } of controllers.values()) {
        assertReadable(metatype as Type, instance);
      }
    }
    // What cannot be read is refused here too.
    const resolvers = resolversIn(this.modules).filter(isNarrowed);
    if (!this.canReport) this.warnOfReportOnly();
    if (!this.believesGrants) this.warnOfUnprovable();
    this.tellEarlierGuards();
    if (!this.setsUsers) this.tellGuardsWithoutUser();
    const isGuarded = guardsEveryRoute(this.config);
    for (const resolver of resolvers) this.warnOfResolver(resolver, isGuarded);
    if (isGuarded) return;
    for (const controller of controllersIn(this.modules)) {
      for (const name of routesNarrowedInVain(controller)) {
        this.logger.warn(
          `${controller.name}.${name}() has @AllowIssuers(), @RequireSubject() or @RequireSubjectProof(), and no ServiceJwtGuard enforces it: everybody may call it. Add @UseGuards(ServiceJwtGuard), above every decorator that replaces the method.`,
        );
      }
    }
  }

  private warnOfResolver(
    { type, name, isField, hasOwnGuard }: ResolverMethod,
    isGuarded: boolean,
  ): void {
    const what = `${type.name}.${name}() has @AllowIssuers(), @RequireSubject() or @RequireSubjectProof(), and`;
    if (!isGuarded && !hasOwnGuard) {
      const isLost = hasGuard({ handler: handlerOf(type, name), controller: type });
      const advice = isLost
        ? 'Nest runs no guard of what a factory has made: write the class itself among the providers'
        : 'Add @UseGuards(ServiceJwtGuard)';
      this.logger.warn(
        `${what} no ServiceJwtGuard enforces it. ${advice}: a guarded endpoint asks for a token alone.`,
      );
    } else if (isField && !graphqlEndpointsIn(this.modules).every((each) => each.guardsFields)) {
      this.logger.warn(
        `${what} GraphQL runs no guard before fields and references. Write fieldResolverEnhancers: ['guards'] in GraphQLModule, or move the decorator to the query.`,
      );
    }
  }

  /** No warning: only the application knows whether these guards read the user. */
  private tellEarlierGuards(): void {
    const order = 'put it after ServiceJwtGuard';
    const advice = this.setsUsers
      ? order
      : `${order}, and set userResolver in ServiceAuthModule: both are needed`;
    for (const [guard, routes] of earlierGuards(this.modules, this.config)) {
      this.logger.log(
        `${guard} runs before ServiceJwtGuard at ${firstOf(routes)}, and finds no request.user. If it reads request.user, ${advice}.`,
      );
    }
  }

  /** Most services need no `request.user`. One with a guard after ours may. */
  private tellGuardsWithoutUser(): void {
    for (const [guard, routes] of laterGuards(this.modules, this.config)) {
      this.logger.log(
        `${guard} runs after ServiceJwtGuard at ${firstOf(routes)}, and finds no request.user, since ServiceAuthModule has no userResolver. If it reads request.user, set userResolver.`,
      );
    }
  }

  private warnOfUnprovable(): void {
    for (const [controller, name] of routesIn(this.modules)) {
      if (readRoute(handlerOf(controller, name), controller).policy.proof === undefined) continue;
      this.logger.warn(
        `${controller.name}.${name}() has @RequireSubjectProof(), and ServiceAuthModule has no originators: the guard refuses every call there. Set originators and trustDomain.`,
      );
    }
  }

  private warnOfReportOnly(): void {
    for (const [controller, name] of routesIn(this.modules)) {
      if (!isReportOnly(controller, name)) continue;
      this.logger.warn(
        `${controller.name}.${name}() has @ReportOnly(), and ServiceAuthModule has no reportUntil: the guard refuses calls there. Set reportUntil.`,
      );
    }
  }
}

function firstOf([first, ...others]: readonly string[]): string {
  return others.length === 0 ? `${first}` : `${first} and ${others.length} more`;
}

function routesIn(modules: ModulesContainer): [controller: Type, name: string][] {
  const routes = [...controllersIn(modules)].flatMap((controller) =>
    routeNamesOf(controller).map((name): [Type, string] => [controller, name]),
  );
  return [...routes, ...resolversIn(modules).map(({ type, name }): [Type, string] => [type, name])];
}

function isNarrowed({ type, name }: ResolverMethod): boolean {
  return !asksNothing(readRoute(handlerOf(type, name), type));
}

function isReportOnly(controller: Type, name: string): boolean {
  return readRoute(handlerOf(controller, name), controller).isReportOnly;
}

/** Nest calls the functions of the instance, which may differ from those of its class. */
function assertReadable(controller: Type, instance: unknown): void {
  if (typeof instance !== 'object' || instance === null) return;
  for (const name of routeNamesOf(controller)) {
    const handler: unknown = Reflect.get(instance, name);
    if (typeof handler === 'function') readRoute(handler, controller);
  }
}

function routesNarrowedInVain(controller: Type): string[] {
  return routeNamesOf(controller).filter((name) => isNarrowedInVain(controller, name));
}

function isNarrowedInVain(controller: Type, name: string): boolean {
  const handler = handlerOf(controller, name);
  const { allowedIssuers = [], subjectRequired } = readRoute(handler, controller).policy;
  const isNarrowed = allowedIssuers.length > 0 || subjectRequired === true;
  return isNarrowed && !hasGuard({ handler, controller });
}
