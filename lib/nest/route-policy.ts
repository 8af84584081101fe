import type { ExecutionContext } from '@nestjs/common';
import type { ProofPolicy, RoutePolicy } from '../core/index.js';
import { ALLOWED_ISSUERS } from './allow-issuers.decorator.js';
import { REPORT_ONLY } from './report-only.decorator.js';
import { MAX_BODY_BYTES } from './max-body-bytes.decorator.js';
import { mergeProofs, SUBJECT_PROOF } from '../for-whom/require-subject-proof.decorator.js';
import { SUBJECT_REQUIRED } from '../for-whom/require-subject.decorator.js';
import {
  assertMarksAreKnown,
  type MarkedRoute,
  marksOfController,
  marksOfFunction,
  marksOfMethod,
} from './route-mark.js';
import { ROUTE_MODE, type RouteMode } from './route-mode.decorator.js';

/** The requirements of a route, from the decorators on its handler and controller. */
export interface Route {
  readonly mode: RouteMode;
  readonly policy: RoutePolicy;
  /** The limit of a body that no parser reads, in bytes; undefined: what is kept in memory. */
  readonly maxBodyBytes: number | undefined;
  /** Whether it has `@ReportOnly()`. */
  readonly isReportOnly: boolean;
}

/** By handler and by controller, since controllers inherit handlers. Decorators do not change later. */
const ROUTES = new WeakMap<object, WeakMap<object, Route>>();

/** The requirements of the route of a request. */
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

const KEYS = [
  ALLOWED_ISSUERS,
  SUBJECT_REQUIRED,
  SUBJECT_PROOF,
  ROUTE_MODE,
  MAX_BODY_BYTES,
  REPORT_ONLY,
];

/** From strict to lax: a mark that is lost in one of its places must not loosen the route. */
const MODES = ['required', 'optional', 'skip'] as const satisfies readonly RouteMode[];

/**
 * Reads the requirements of a route. Those of controller and handler add up. The nearest of `@SkipServiceAuth()` and
 * `@OptionalServiceAuth()` loosens them, unless the route also requires something. The nearest `@MaxBodyBytes()`
 * counts.
 *
 * @throws ServiceAuthUsageError if the decorators of the route cannot be read
 */
export function readRoute(handler: object, controller: object): Route {
  const route = { handler, controller };
  assertMarksAreKnown(KEYS, route);
  const allOf = <T>(key: string): T[] => [
    ...marksOfMethod<T>(key, route),
    ...marksOfController<T>(key, controller),
  ];
  // Each list is in two places.
  const allowedIssuers = [
    ...new Set(allOf<readonly ReadonlySet<string>[]>(ALLOWED_ISSUERS).flat()),
  ];
  const subjectRequired = allOf<true>(SUBJECT_REQUIRED).length > 0;
  const asked = allOf<readonly ProofPolicy[]>(SUBJECT_PROOF).flat();
  const proof = mergeProofs([...new Set(asked)]);
  const requires = allowedIssuers.length > 0 || subjectRequired || proof !== undefined;
  return {
    mode: requires ? 'required' : readMode(route),
    policy: { allowedIssuers, subjectRequired, proof },
    maxBodyBytes:
      smallest(marksOfMethod(MAX_BODY_BYTES, route)) ??
      smallest(marksOfController(MAX_BODY_BYTES, controller)),
    isReportOnly: isReportOnly(route),
  };
}

function isReportOnly(route: MarkedRoute): boolean {
  const marks = [
    ...marksOfFunction<true>(REPORT_ONLY, route),
    ...marksOfController<true>(REPORT_ONLY, route.controller),
  ];
  return marks.length > 0;
}

function readMode(route: MarkedRoute): RouteMode {
  const isRequired = marksOfMethod<RouteMode>(ROUTE_MODE, route).includes('required');
  const ofFunction = strictest(marksOfFunction<RouteMode>(ROUTE_MODE, route));
  const ofController = strictest(marksOfController<RouteMode>(ROUTE_MODE, route.controller));
  return isRequired ? 'required' : (ofFunction ?? ofController ?? 'required');
}

function strictest(modes: readonly RouteMode[]): RouteMode | undefined {
  return MODES.find((mode) => modes.includes(mode));
}

function smallest(numbers: readonly number[]): number | undefined {
  return numbers.length > 0 ? Math.min(...numbers) : undefined;
}
