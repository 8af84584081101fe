import { ServiceAuthUsageError } from '../core/index.js';
import { markRoute } from './route-mark.js';

export const MAX_BODY_BYTES = 'nestjs-service-auth:max-body-bytes';

/**
 * How large a body that no parser reads (an upload) may be on a route, or on every route of a
 * controller; the nearest one counts. What is over `maxBufferedBodyBytes` waits in a temporary file
 * until it is verified, and only then does the handler run. More than `bytes` is answered 413.
 *
 * Decorators of this library narrow what the options allow; this one may widen it. The option bounds
 * the memory that a request takes, and an upload that goes to disk takes no more of it. What it takes
 * is disk, which only the author of the route can put a price on, and only for callers whose token is
 * good so far.
 *
 * @example
 * `@MaxBodyBytes(100 * 1024 * 1024)`
 * @throws ServiceAuthUsageError when `bytes` is not a whole number above 0
 */
export function MaxBodyBytes(bytes: number): ClassDecorator & MethodDecorator {
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new ServiceAuthUsageError(
      '@MaxBodyBytes() takes a whole number of bytes above 0, such as 100 * 1024 * 1024.',
    );
  }
  return markRoute(MAX_BODY_BYTES, () => bytes);
}
