import { signingOf } from '../../clients/axios.js';
import { ServiceAuthUsageError } from '../../core/index.js';
import { digestOf } from '../cache-key.js';
import { subjectIn } from '../../for-whom/call-decision.js';
import { undecided } from '../../for-whom/named-subject.js';
import { ServiceAuth } from '../../service-auth.js';

/**
 * Makes the key of a cache above axios name the user of the call: for the `generateKey` of axios-cache-interceptor. Calls
 * of one service for one user, with the same grant or without one, have the same key where `key` is the same; all others
 * have another one. It shows neither user nor grant, and given a key that it has made for this call, it returns that key.
 *
 * @param config what an interceptor of the `HttpService` gets
 * @param key what the cache would use without users
 * @throws ServiceSigningError `subject_undecided` for a call that would be refused with it, so that it is not answered from
 *   the cache either
 * @throws TypeError for an identity that the service which calls did not verify
 * @throws ServiceAuthUsageError for a configuration of a client that does not sign
 *
 * @example
 * `setupCache(http.axiosRef, {
 *   generateKey: (config, meta) => userCacheKey(config, defaultKeyGenerator(config, meta)),
 * })`
 */
export function userCacheKey(config: object, key: string): string {
  const owner = signingOf(Reflect.get(config, 'adapter'))?.owner;
  if (!(owner instanceof ServiceAuth)) {
    throw new ServiceAuthUsageError(
      'userCacheKey() needs the configuration of a call by an HttpService that signs: import ServiceHttpModule in the module that injects it.',
    );
  }
  if (typeof key !== 'string') {
    throw new ServiceAuthUsageError(
      `The key of a cached answer must be a string: got ${typeof key}.`,
    );
  }
  const user = subjectIn(config, owner.settings);
  if (user === undefined) throw undecided('lost');
  // One length for all, so that no key of one user begins like another user's.
  const proof = user.grant ? [user.grant.digest] : [];
  const prefix = `${digestOf(owner.settings.issuer, user.subject, ...proof)}:`;
  return key.startsWith(prefix) ? key : `${prefix}${key}`;
}
