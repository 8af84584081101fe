import type { Type } from '@nestjs/common';
import { GUARDS_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { type ApplicationConfig, MetadataScanner, type ModulesContainer } from '@nestjs/core';
import type { RouteMode } from './route-mode.decorator.js';
import { readRoute } from './route-policy.js';
import { ServiceJwtGuard } from './service-jwt.guard.js';

/** The places of a route's decorators: a method, and its controller. */
export interface RoutePlace {
  readonly handler: object;
  readonly controller: object;
}

/** The controllers of an application. */
export function controllersIn(container: ModulesContainer): Type[] {
  const modules = [...container.values()];
  const wrappers = modules.flatMap(({ controllers }) => [...controllers.values()]);
  return [...new Set(wrappers.map(({ metatype }) => metatype as Type))];
}

/** The names of the methods of a class, inherited ones included. */
export function methodNamesOf(type: Type): string[] {
  return new MetadataScanner().getAllMethodNames(type.prototype as object);
}

/** The names of the methods of a controller that are routes, inherited ones included. */
export function routeNamesOf(controller: Type): string[] {
  return methodNamesOf(controller).filter((name) =>
    Reflect.hasMetadata(PATH_METADATA, handlerOf(controller, name)),
  );
}

/** The method of a controller with this name. */
export function handlerOf(controller: Type, name: string): object {
  return Reflect.get(controller.prototype as object, name) as object;
}

/** The global guards: instances, and the classes of guards that Nest makes for each request. */
export function globalGuards(config: ApplicationConfig): {
  readonly made: readonly unknown[];
  readonly perRequest: readonly unknown[];
} {
  return {
    made: config.getGlobalGuards(),
    perRequest: config.getGlobalRequestGuards().map(({ metatype }) => metatype),
  };
}

/** Whether a global guard is a `ServiceJwtGuard`. */
export function guardsEveryRoute(config: ApplicationConfig): boolean {
  const { made, perRequest } = globalGuards(config);
  return [...made, ...perRequest].some(isServiceGuard);
}

/** How the guard treats a route; `skip` without a guard. */
export function modeOf(route: RoutePlace, guardedThroughout: boolean): RouteMode {
  const isGuarded = guardedThroughout || hasGuard(route);
  return isGuarded ? readRoute(route.handler, route.controller).mode : 'skip';
}

/** Whether the route itself or its controller has the guard. */
export function hasGuard(route: RoutePlace): boolean {
  return guardsOn(route).some(isServiceGuard);
}

/** The guards on a route itself, and on its controller: `@UseGuards()` takes classes and objects. */
export function guardsOn({ handler, controller }: RoutePlace): unknown[] {
  return [handler, controller].flatMap(
    (place) => (Reflect.getMetadata(GUARDS_METADATA, place) ?? []) as readonly unknown[],
  );
}

/** Whether a guard, or a class, is `ServiceJwtGuard` or extends it. */
export function isServiceGuard(guard: unknown): boolean {
  if (guard instanceof ServiceJwtGuard || guard === ServiceJwtGuard) return true;
  return typeof guard === 'function' && guard.prototype instanceof ServiceJwtGuard;
}
