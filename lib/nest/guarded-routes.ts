import type { Type } from '@nestjs/common';
import { GUARDS_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { type ApplicationConfig, MetadataScanner, type ModulesContainer } from '@nestjs/core';
import type { RouteMode } from './route-mode.decorator.js';
import { readRoute } from './route-policy.js';
import { ServiceJwtGuard } from './service-jwt.guard.js';

/** Where the decorators of a route stand: a method, and the controller it serves. */
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

/** The names of the methods of a controller that are routes, inherited ones included. */
export function routeNamesOf(controller: Type): string[] {
  const prototype = controller.prototype as object;
  return new MetadataScanner()
    .getAllMethodNames(prototype)
    .filter((name) => Reflect.hasMetadata(PATH_METADATA, handlerOf(controller, name)));
}

/** The method of a controller that is called so. */
export function handlerOf(controller: Type, name: string): object {
  return Reflect.get(controller.prototype as object, name) as object;
}

/** Whether a guard for every route is one of ours. */
export function guardsEveryRoute(config: ApplicationConfig): boolean {
  const scoped = config.getGlobalRequestGuards().map(({ metatype }) => metatype);
  return [...config.getGlobalGuards(), ...scoped].some(isServiceGuard);
}

/** How the guard treats a route; `skip` where it does not stand. */
export function modeOf(route: RoutePlace, guardedThroughout: boolean): RouteMode {
  const isGuarded = guardedThroughout || hasGuard(route);
  return isGuarded ? readRoute(route.handler, route.controller).mode : 'skip';
}

/** Whether the guard stands on a route itself, or on its controller. */
export function hasGuard({ handler, controller }: RoutePlace): boolean {
  return [handler, controller].some(hasServiceGuard);
}

function hasServiceGuard(place: object): boolean {
  const guards = (Reflect.getMetadata(GUARDS_METADATA, place) ?? []) as readonly unknown[];
  return guards.some(isServiceGuard);
}

/** `@UseGuards()` takes classes and objects. */
function isServiceGuard(guard: unknown): boolean {
  if (guard instanceof ServiceJwtGuard || guard === ServiceJwtGuard) return true;
  return typeof guard === 'function' && guard.prototype instanceof ServiceJwtGuard;
}
