import { ServiceAuthUsageError } from '../core/index.js';
import { markRoute } from './route-mark.js';

export const ALLOWED_ISSUERS = 'nestjs-service-auth:allowed-issuers';

/**
 * Lets only these services call a route, or every route of a controller; others get 403 `issuer_not_allowed`. It only
 * narrows. The options must trust the issuer too, and the issuer must be in every list: on the route, on the
 * controller, and on the classes that it extends.
 *
 * @example
 * `@AllowIssuers('https://herald.service/')`
 * @throws ServiceAuthUsageError if no issuer is named
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
