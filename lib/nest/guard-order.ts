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

/** Names of guards, each with the routes where it runs. */
type RoutesOfGuards = ReadonlyMap<string, readonly string[]>;

/** The other guards that run before `ServiceJwtGuard`. */
export function earlierGuards(
  modules: ModulesContainer,
  config: ApplicationConfig,
): RoutesOfGuards {
  return routesOfGuards(modules, config, (guards, ours) => guards.slice(0, ours));
}

/** The other guards that run after `ServiceJwtGuard`. */
export function laterGuards(modules: ModulesContainer, config: ApplicationConfig): RoutesOfGuards {
  return routesOfGuards(modules, config, (guards, ours) => guards.slice(ours + 1));
}

type Selection = (guards: readonly unknown[], ours: number) => readonly unknown[];

/** @param select takes the guards of a route in the order of Nest's calls, and the place of `ServiceJwtGuard` */
function routesOfGuards(
  modules: ModulesContainer,
  config: ApplicationConfig,
  select: Selection,
): RoutesOfGuards {
  const { made, perRequest } = globalGuards(config);
  const pairs = controllersIn(modules).flatMap((controller) =>
    routeNamesOf(controller).flatMap((name) => {
      const handler = handlerOf(controller, name);
      if (readRoute(handler, controller).mode === 'skip') return [];
      const guards = [...made, ...perRequest, ...guardsAt(controller), ...guardsAt(handler)];
      const ours = guards.findIndex(isServiceGuard);
      if (ours < 0) return [];
      const route = `${controller.name}.${name}()`;
      return namesOfOthers(select(guards, ours)).map((guard) => ({ guard, route }));
    }),
  );
  const found = new Map<string, string[]>();
  for (const { guard, route } of pairs) found.set(guard, [...(found.get(guard) ?? []), route]);
  return found;
}

function guardsAt(place: object): readonly unknown[] {
  return (Reflect.getMetadata(GUARDS_METADATA, place) ?? []) as readonly unknown[];
}
