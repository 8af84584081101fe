import { markRoute } from './route-mark.js';

export const REPORT_ONLY = 'nestjs-service-auth:report-only';

/**
 * Until `reportUntil`, lets requests that fail verification reach the route, or every route of a controller, without
 * an identity. Needs that option of the module.
 */
export function ReportOnly(): ClassDecorator & MethodDecorator {
  return markRoute<true>(REPORT_ONLY, () => true);
}
