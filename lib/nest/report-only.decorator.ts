import { markRoute } from './route-mark.js';

export const REPORT_ONLY = 'nestjs-service-auth:report-only';

/**
 * Lets requests that fail their verification go on to the route, or to every route of a controller, without an identity,
 * until `reportUntil`. Needs that option of the module.
 */
export function ReportOnly(): ClassDecorator & MethodDecorator {
  return markRoute<true>(REPORT_ONLY, () => true);
}
