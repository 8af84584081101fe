import { randomUUID } from 'node:crypto';
import { type Signing, signingOf } from '../../clients/axios.js';
import { isSentUnsigned, ServiceAuthUsageError } from '../../core/index.js';
import { digestOf } from '../cache-key.js';
import { subjectIn } from '../../for-whom/call-decision.js';
import { undecided } from '../../for-whom/named-subject.js';
import { ServiceAuth } from '../../service-auth.js';

/**
 * Adds the user of the call to the key of a cache above axios: for the `generateKey` of axios-cache-interceptor. With
 * equal `key`, calls of one service for one user with the same grant, or all without one, get equal keys; other calls
 * get different keys. The result reveals neither user nor grant. Given a key that it made for this call, it returns
 * that key. A call without a known user, to a target whose `signing` is `best-effort`, gets a unique key, so no other
 * call gets its answer.
 *
 * @param config the configuration that an interceptor of the `HttpService` gets
 * @param key the key that the cache would use without users
 * @throws ServiceSigningError `subject_undecided` for a call that would fail with it, so that the cache does not
 *   answer it either; `target_unknown`, `target_invalid`
 * @throws TypeError for an identity that the calling service did not verify
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

/** One length for all users, so that no user's key is a prefix of another user's key. */
function namespaceOf(config: object, owner: ServiceAuth, signing: Signing): string {
  try {
    const user = subjectIn(config, owner.settings);
    if (user === undefined) throw undecided('lost');
    const proof = user.grant ? [user.grant.digest] : [];
    return digestOf(owner.settings.issuer, user.subject, ...proof);
  } catch (error) {
    // The call leaves without a token. Whether something else in it, such as a header, names a user is unknown here.
    if (isSentUnsigned(error, owner.targetOf(signing.getUri(config)))) return randomUUID();
    throw error;
  }
}
