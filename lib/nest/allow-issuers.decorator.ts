import { ServiceAuthUsageError } from '../core/index.js';
import { markRoute } from './route-mark.js';

export const ALLOWED_ISSUERS = 'nestjs-service-auth:allowed-issuers';

/**
 * Lets only these services call a route, or every route of a controller; others get 403
 * `issuer_not_allowed`. It narrows: an issuer must be trusted in the options too, and a list never
 * replaces another one, be it on the controller, on the class that extends, or beside it.
 *
 * @example
 * `@AllowIssuers('https://herald.service/')`
 * @throws ServiceAuthUsageError when no issuer is named
 */
export function AllowIssuers(...issuers: [string, ...string[]]): ClassDecorator & MethodDecorator {
  if (issuers.length === 0) {
    throw new ServiceAuthUsageError('@AllowIssuers() names nobody: write the URI of each service.');
  }
  const allowed: ReadonlySet<string> = new Set(issuers);
  return markRoute<readonly ReadonlySet<string>[]>(ALLOWED_ISSUERS, (lists = []) => [
    ...lists,
    allowed,
  ]);
}
