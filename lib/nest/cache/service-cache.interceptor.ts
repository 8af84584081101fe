import { CacheInterceptor } from '@nestjs/cache-manager';
import { type CallHandler, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Observable } from 'rxjs';
import type { ServiceIdentity } from '../../core/index.js';
import { verificationFor } from '../../for-whom/service-caller.decorator.js';
import { markKeysByCaller } from '../cached-routes.warning.js';
import type { Verification } from '../request-state.js';
import { routeOf } from '../route-policy.js';
import { callerCacheKey } from './caller-cache-key.js';

/**
 * Replaces `CacheInterceptor` of @nestjs/cache-manager on guarded routes. It caches each answer for the issuer and
 * the subject that the guard verified, and for no other caller. `@CacheKey()`, `@CacheTTL()` and the `trackBy()` of a
 * subclass work as with `CacheInterceptor`. Anonymous callers of `@OptionalServiceAuth()` routes share answers only
 * with each other.
 *
 * If no guard has verified the request, it answers 500 with a `ServiceAuthUsageError` in the log. On a route marked
 * `@SkipServiceAuth()` it caches nothing, since this library does not know the caller.
 *
 * @example
 * `@UseGuards(ServiceJwtGuard) @UseInterceptors(ServiceCacheInterceptor)`
 */
@Injectable()
export class ServiceCacheInterceptor extends CacheInterceptor {
  /**
   * Answers from the cache, with an answer that the same caller got before.
   *
   * @throws ServiceAuthUsageError if no guard has handled the request
   */
  override async intercept(
    context: ExecutionContext,
    next: CallHandler,
  ): Promise<Observable<unknown>> {
    if (routeOf(context).mode === 'skip') return next.handle();
    const { result, wouldBeRefused } = await verified(context);
    // This library does not know whom the application takes that caller for, so it caches nothing.
    if (wouldBeRefused) return next.handle();
    const key = await this.trackBy(context);
    if (!key) return next.handle();
    const callerKey = callerCacheKey(result, key);
    // The key of this one request, whatever trackBy() a subclass has.
    const ofCaller = Object.create(this, { trackBy: { value: () => callerKey } }) as this;
    return await super.intercept.call(ofCaller, context, next);
  }
}

markKeysByCaller(ServiceCacheInterceptor);

/**
 * The guard's verification of the request; its result is undefined for an anonymous caller. Rejects for a refused
 * request: a guard of the application may have let it in although this library refused it.
 */
async function verified(context: ExecutionContext): Promise<VerifiedResult> {
  const verification = verificationFor(context, 'ServiceCacheInterceptor');
  const result = await verification.result;
  return { result, wouldBeRefused: verification.wouldBeRefused };
}

interface VerifiedResult extends Pick<Verification, 'wouldBeRefused'> {
  readonly result: ServiceIdentity | undefined;
}
