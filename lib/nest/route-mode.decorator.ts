import { markRoute } from './route-mark.js';

export const ROUTE_MODE = 'nestjs-service-auth:route-mode';

/** `required`: a valid token; `optional`: a valid token or none; `skip`: the guard does nothing. */
export type RouteMode = 'required' | 'optional' | 'skip';

/**
 * Opens a route, or every route of a controller, to everybody: the guard skips it. It overrides
 * `@UseGuards(ServiceJwtGuard)`, but `@AllowIssuers()` and `@RequireSubject()` on the route override it. It opens
 * only HTTP: the guard refuses other contexts.
 */
export function SkipServiceAuth(): ClassDecorator & MethodDecorator {
  return markRoute<RouteMode>(ROUTE_MODE, () => 'skip');
}

/**
 * Lets callers without a token in as anonymous. A token must still be valid: the guard refuses a request with an
 * invalid one. `@AllowIssuers()` and `@RequireSubject()` on the route override it.
 */
export function OptionalServiceAuth(): ClassDecorator & MethodDecorator {
  return markRoute<RouteMode>(ROUTE_MODE, () => 'optional');
}

/** Requires a token although the controller has `@SkipServiceAuth()` or `@OptionalServiceAuth()`. */
export function RequireServiceAuth(): ClassDecorator & MethodDecorator {
  return markRoute<RouteMode>(ROUTE_MODE, () => 'required');
}
