import { randomUUID } from 'node:crypto';
import { type Signing, signingOf } from '../../clients/axios.js';
import { isSentUnsigned, ServiceAuthUsageError } from '../../core/index.js';
import { digestOf } from '../cache-key.js';
import { subjectIn } from '../../for-whom/call-decision.js';
import { undecided } from '../../for-whom/named-subject.js';
import { ServiceAuth } from '../../service-auth.js';

/**
 * Makes the key of a cache above axios name the user of the call: for the `generateKey` of axios-cache-interceptor. Calls
 * of one service for one user, with the same grant or without one, have the same key where `key` is the same; all others
 * have another one. It shows neither user nor grant, and given a key that it has made for this call, it returns that key. A
 * call without a known user, to a target whose `signing` is `best-effort`, has a key that no other call has: its answer is
 * for no other call.
 *
 * @param config what an interceptor of the `HttpService` gets
 * @param key what the cache would use without users
 * @throws ServiceSigningError `subject_undecided` for a call that would be refused with it, so that it is not answered from
 *   the cache either; `target_unknown`, `target_invalid`
 * @throws TypeError for an identity that the service which calls did not verify
 * @throws ServiceAuthUsageError for a configuration of a client that does not sign
 *
 * @example
 * `setupCache(http.axiosRef, {
 *   generateKey: (config, meta) => userCacheKey(config, defaultKeyGenerator(config, meta)),
 * })`
 */
export function userCacheKey(config: object, key: string): string {
  const signing = signingOf(Reflect.get(config, 'adapter'));
  if (!(signing?.owner instanceof ServiceAuth)) {
    throw new ServiceAuthUsageError(
      'userCacheKey() needs the configuration of a call by an HttpService that signs: import ServiceHttpModule in the module that injects it.',
    );
  }
  if (typeof key !== 'string') {
    throw new ServiceAuthUsageError(
      `The key of a cached answer must be a string: got ${typeof key}.`,
    );
  }
  const prefix = `${namespaceOf(config, signing.owner, signing)}:`;
  return key.startsWith(prefix) ? key : `${prefix}${key}`;
}

/** One length for all users, so that no key of one user begins like another user's. */
function namespaceOf(config: object, owner: ServiceAuth, signing: Signing): string {
  try {
    const user = subjectIn(config, owner.settings);
    if (user === undefined) throw undecided('lost');
    const proof = user.grant ? [user.grant.digest] : [];
    return digestOf(owner.settings.issuer, user.subject, ...proof);
  } catch (error) {
    // It leaves without a token. What else in it names a user, such as another header, is not known here.
    if (isSentUnsigned(error, owner.targetOf(signing.getUri(config)))) return randomUUID();
    throw error;
  }
}
