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
 * Stands in for `CacheInterceptor` of @nestjs/cache-manager on guarded routes: each answer is kept for the issuer and the
 * subject that the guard verified, and given to no other caller. `@CacheKey()`, `@CacheTTL()` and the `trackBy()` of a
 * subclass work as they do there. Anonymous callers of `@OptionalServiceAuth()` routes share answers with each other alone.
 *
 * Where no guard has verified the request, it answers 500 with a `ServiceAuthUsageError` in the log. On a route marked
 * `@SkipServiceAuth()` it caches nothing: this library does not know who calls there.
 *
 * @example
 * `@UseGuards(ServiceJwtGuard) @UseInterceptors(ServiceCacheInterceptor)`
 */
@Injectable()
export class ServiceCacheInterceptor extends CacheInterceptor {
  /**
   * Answers from the cache what this caller was answered before.
   *
   * @throws ServiceAuthUsageError where no guard has looked at the request
   */
  override async intercept(
    context: ExecutionContext,
    next: CallHandler,
  ): Promise<Observable<unknown>> {
    if (routeOf(context).mode === 'skip') return next.handle();
    const { result, wouldBeRefused } = await verified(context);
    // Whom the application takes that caller for is not known here, so nothing is kept for it.
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
 * What the guard has made of the request, its result undefined for an anonymous caller. Rejects for a refused one, as a
 * guard of the application may have let in whom the guard of this library refused.
 */
async function verified(context: ExecutionContext): Promise<VerifiedResult> {
  const verification = verificationFor(context, 'ServiceCacheInterceptor');
  const result = await verification.result;
  return { result, wouldBeRefused: verification.wouldBeRefused };
}

interface VerifiedResult extends Pick<Verification, 'wouldBeRefused'> {
  readonly result: ServiceIdentity | undefined;
}
