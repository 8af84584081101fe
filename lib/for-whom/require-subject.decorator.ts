import { markRoute } from '../nest/route-mark.js';

export const SUBJECT_REQUIRED = 'nestjs-service-auth:subject-required';

/**
 * Requires callers of a route, or of every route of a controller, to name a user. A service that acts for itself gets
 * 403 `subject_missing`.
 */
export function RequireSubject(): ClassDecorator & MethodDecorator {
  return markRoute(SUBJECT_REQUIRED, () => true);
}
