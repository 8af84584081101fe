import { ServiceAuthUsageError } from '../core/index.js';
import { markRoute } from './route-mark.js';

export const MAX_BODY_BYTES = 'nestjs-service-auth:max-body-bytes';

/**
 * Limits a body that no parser reads (an upload) on a route, or on every route of a controller. The decorator of the
 * route wins. A body over `maxBufferedBodyBytes` waits in a temporary file until it is verified, and only then the
 * handler runs. A body over `bytes` is answered 413.
 *
 * Other decorators only narrow the options; this one may widen them. The option limits the memory of a request, and
 * an upload on disk needs no more memory. It needs disk space, and only the author of the route knows how much is
 * acceptable. Only callers whose token is valid so far can use it.
 *
 * @example
 * `@MaxBodyBytes(100 * 1024 * 1024)`
 * @throws ServiceAuthUsageError if `bytes` is not a whole number above 0
 */
export function MaxBodyBytes(bytes: number): ClassDecorator & MethodDecorator {
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new ServiceAuthUsageError(
      '@MaxBodyBytes() takes a whole number of bytes above 0, such as 100 * 1024 * 1024.',
    );
  }
  return markRoute(MAX_BODY_BYTES, () => bytes);
}
