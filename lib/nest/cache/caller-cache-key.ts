import { ServiceAuthUsageError, type ServiceIdentity } from '../../core/index.js';
import { digestOf } from '../cache-key.js';

/**
 * The key under which `ServiceCacheInterceptor` keeps an answer for a caller: for code that deletes or stores entries
 * itself. Different issuers, subjects and keys give different texts, which do not reveal them.
 *
 * @param caller the issuer and the subject, such as the identity that `@ServiceCaller()` gives; undefined for the
 *   anonymous callers of a route
 * @param key the key that the cache would use without callers: the URL of the request, the text of `@CacheKey()`, or
 *   the result of `trackBy()`
 * @throws ServiceAuthUsageError for a caller without an issuer, and for a key that is not a string
 *
 * @example
 * `await cache.del(callerCacheKey(caller, '/documents/7'))`
 */
export function callerCacheKey(
  caller: Pick<ServiceIdentity, 'issuer' | 'subject'> | undefined,
  key: string,
): string {
  // An object without an issuer would share the entries of anonymous callers.
  assertText(caller === undefined ? '' : caller.issuer, 'The issuer of a cached answer');
  assertText(caller?.subject ?? '', 'The subject of a cached answer');
  assertText(key, 'The key of a cached answer');
  return digestOf(caller?.issuer, caller?.subject, key);
}

function assertText(value: unknown, name: string): void {
  if (typeof value === 'string') return;
  throw new ServiceAuthUsageError(`${name} must be a string: got ${typeof value}.`);
}
