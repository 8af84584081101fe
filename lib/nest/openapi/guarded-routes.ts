import type { INestApplication, Type } from '@nestjs/common';
import { GUARDS_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { ApplicationConfig, MetadataScanner, ModulesContainer } from '@nestjs/core';
import { ServiceAuthUsageError } from '../../core/index.js';
import type { RouteMode } from '../route-mode.decorator.js';
import { readRoute } from '../route-policy.js';
import { ServiceJwtGuard } from '../service-jwt.guard.js';

/** Where the decorators of a route stand: a method, and the controller it serves. */
export interface RoutePlace {
  readonly handler: object;
  readonly controller: object;
}

/** The controllers of an application. */
export function controllersOf(app: INestApplication): Type[] {
  const modules = [...app.get(ModulesContainer).values()];
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

/**
 * Whether a guard for every route is one of ours.
 *
 * @throws ServiceAuthUsageError where that cannot be told: a guarded route must not look open
 */
export function isGuardedThroughout(app: INestApplication): boolean {
  const config: unknown = Reflect.get(app, 'config');
  if (!(config instanceof ApplicationConfig)) {
    throw new ServiceAuthUsageError(
      'createServiceAuthDocument() needs the application as NestFactory.create() has made it.',
    );
  }
  const scoped = config.getGlobalRequestGuards().map(({ metatype }) => metatype);
  return [...config.getGlobalGuards(), ...scoped].some(isServiceGuard);
}

/** How the guard treats a route; `skip` where it does not stand. */
export function modeOf({ handler, controller }: RoutePlace, guardedThroughout: boolean): RouteMode {
  const isGuarded = guardedThroughout || [handler, controller].some(hasServiceGuard);
  return isGuarded ? readRoute(handler, controller).mode : 'skip';
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
