import type { ExecutionContext } from '@nestjs/common';
import type { RoutePolicy } from '../core/index.js';
import { allowedIssuersOf } from './allow-issuers.decorator.js';
import { MAX_BODY_BYTES } from './max-body-bytes.decorator.js';
import { SUBJECT_REQUIRED } from './require-subject.decorator.js';
import { ROUTE_MODE, type RouteMode } from './route-mode.decorator.js';

/** What a route asks for, read from the decorators on its handler and controller. */
export interface Route {
  readonly mode: RouteMode;
  readonly policy: RoutePolicy;
  /** How large a body that no parser reads may be; undefined: as large as is kept in memory. */
  readonly maxBodyBytes: number | undefined;
}

/** By handler and by controller: controllers inherit handlers. What decorators say, they say once. */
const ROUTES = new WeakMap<object, WeakMap<object, Route>>();

/** What the route of a request asks for. */
export function routeOf(context: ExecutionContext): Route {
  const [handler, controller] = [context.getHandler(), context.getClass()];
  return ROUTES.get(handler)?.get(controller) ?? rememberRoute(handler, controller);
}

function rememberRoute(handler: object, controller: object): Route {
  const route = readRoute(handler, controller);
  const ofHandler = ROUTES.get(handler) ?? new WeakMap<object, Route>();
  ROUTES.set(handler, ofHandler.set(controller, route));
  return route;
}

/**
 * Reads what a route asks for. Requirements of controller and handler add up; the nearest of
 * `@SkipServiceAuth()` and `@OptionalServiceAuth()` loosens, unless the route also requires something;
 * the nearest `@MaxBodyBytes()` counts.
 */
export function readRoute(handler: object, controller: object): Route {
  const places = [handler, controller];
  const allowedIssuers = places.flatMap(allowedIssuersOf);
  const subjectRequired = places.some((place) => read<true>(SUBJECT_REQUIRED, place).length > 0);
  const requires = allowedIssuers.length > 0 || subjectRequired;
  const [maxBodyBytes] = places.flatMap((place) => read<number>(MAX_BODY_BYTES, place));
  const [mode = 'required'] = places.flatMap((place) => read<RouteMode>(ROUTE_MODE, place));
  return {
    mode: requires ? 'required' : mode,
    policy: { allowedIssuers, subjectRequired },
    maxBodyBytes,
  };
}

function read<T>(key: string, place: object): [T] | [] {
  const value = Reflect.getMetadata(key, place) as T | undefined;
  return value === undefined ? [] : [value];
}
