import { markRoute } from './route-mark.js';

export const ROUTE_MODE = 'nestjs-service-auth:route-mode';

/** `required`: a good token; `optional`: a good token or none; `skip`: the guard does nothing. */
export type RouteMode = 'required' | 'optional' | 'skip';

/**
 * Opens a route, or every route of a controller, to everybody: the guard does not look at it. Wins
 * over `@UseGuards(ServiceJwtGuard)`; loses to `@AllowIssuers()` and `@RequireSubject()` on the route.
 * Opens nothing but HTTP: what the guard does not know it refuses.
 */
export function SkipServiceAuth(): ClassDecorator & MethodDecorator {
  return markRoute<RouteMode>(ROUTE_MODE, () => 'skip');
}

/**
 * Lets callers without a token in as anonymous. A token that is there must still be good: a bad one
 * is refused, never taken for none. Loses to `@AllowIssuers()` and `@RequireSubject()` on the route.
 */
export function OptionalServiceAuth(): ClassDecorator & MethodDecorator {
  return markRoute<RouteMode>(ROUTE_MODE, () => 'optional');
}

/** Asks for a token where the controller is marked `@SkipServiceAuth()` or `@OptionalServiceAuth()`. */
export function RequireServiceAuth(): ClassDecorator & MethodDecorator {
  return markRoute<RouteMode>(ROUTE_MODE, () => 'required');
}
