import { GUARDS_METADATA } from '@nestjs/common/constants.js';
import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import {
  controllersIn,
  globalGuards,
  handlerOf,
  isServiceGuard,
  routeNamesOf,
} from './guarded-routes.js';
import { namesOfOthers } from './handler-coverage.js';
import { readRoute } from './route-policy.js';

/** The other guards that run before `ServiceJwtGuard`, by name, each with its routes. */
export function earlierGuards(
  modules: ModulesContainer,
  config: ApplicationConfig,
): ReadonlyMap<string, readonly string[]> {
  const { made, perRequest } = globalGuards(config);
  const pairs = controllersIn(modules).flatMap((controller) =>
    routeNamesOf(controller).flatMap((name) => {
      const handler = handlerOf(controller, name);
      if (readRoute(handler, controller).mode === 'skip') return [];
      // In the order of Nest's calls.
      const guards = [...made, ...perRequest, ...guardsAt(controller), ...guardsAt(handler)];
      const route = `${controller.name}.${name}()`;
      return namesBeforeOurs(guards).map((guard) => ({ guard, route }));
    }),
  );
  const found = new Map<string, string[]>();
  for (const { guard, route } of pairs) found.set(guard, [...(found.get(guard) ?? []), route]);
  return found;
}

function guardsAt(place: object): readonly unknown[] {
  return (Reflect.getMetadata(GUARDS_METADATA, place) ?? []) as readonly unknown[];
}

/** Empty if `ServiceJwtGuard` is not in the list. */
function namesBeforeOurs(guards: readonly unknown[]): string[] {
  const at = guards.findIndex(isServiceGuard);
  return namesOfOthers(guards.slice(0, Math.max(at, 0)));
}
