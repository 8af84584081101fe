import 'reflect-metadata';
import { ServiceAuthUsageError } from '../core/index.js';

const ALLOWED_ISSUERS = 'nestjs-service-auth:allowed-issuers';

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
  return (target: object, _name?: unknown, descriptor?: { value?: unknown }) => {
    const place = typeof descriptor?.value === 'function' ? descriptor.value : target;
    const lists = allowedIssuersOf(place);
    Reflect.defineMetadata(ALLOWED_ISSUERS, [...lists, new Set(issuers)], place);
  };
}

/** Every list on a handler or controller, those of the classes it extends included. */
export function allowedIssuersOf(place: object): readonly ReadonlySet<string>[] {
  return (Reflect.getMetadata(ALLOWED_ISSUERS, place) ?? []) as readonly ReadonlySet<string>[];
}
