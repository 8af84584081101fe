import type { INestApplication, Type } from '@nestjs/common';
import { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { ServiceAuthUsageError } from '../../core/index.js';
import { controllersIn, guardsEveryRoute } from '../guarded-routes.js';

export { handlerOf, modeOf, type RoutePlace, routeNamesOf } from '../guarded-routes.js';

/** The controllers of an application. */
export function controllersOf(app: INestApplication): Type[] {
  return controllersIn(app.get(ModulesContainer));
}

/**
 * Whether a global guard is a `ServiceJwtGuard`.
 *
 * @throws ServiceAuthUsageError if that is unknown: a guarded route must not look open
 */
export function isGuardedThroughout(app: INestApplication): boolean {
  const config: unknown = Reflect.get(app, 'config');
  if (config instanceof ApplicationConfig) return guardsEveryRoute(config);
  throw new ServiceAuthUsageError(
    'createServiceAuthDocument() needs the application as NestFactory.create() has made it.',
  );
}
