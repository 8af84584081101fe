import {
  createParamDecorator,
  type ExecutionContext,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import { ServiceAuthUsageError, type ServiceIdentity } from '../core/index.js';
import { callKindOf } from '../nest/received-call.js';
import { needsVerification } from '../nest/parameter-need.js';
import { rawRequestOf, type Verification, wasSeenByAGuard } from '../nest/request-state.js';

type Pipe = Type<PipeTransform> | PipeTransform;

/**
 * Injects the whole verified identity of the caller: a frozen {@link ServiceIdentity}; undefined for an anonymous
 * caller of a route marked `@OptionalServiceAuth()`. In report-only mode, also undefined for a request that
 * enforcement would refuse.
 *
 * If the guards of two services protect a route, the identity is from the guard that began its verification last.
 * Only the clients of that service accept it as the user of a call.
 *
 * @example
 * `greet(@ServiceCaller() caller: ServiceIdentity) { return this.http.get(url, onBehalfOf(caller)); }`
 * @throws ServiceAuthUsageError where no guard has looked at the request
 */
export const ServiceCaller: (...pipes: Pipe[]) => ParameterDecorator = createParamDecorator(
  needsVerification(
    '@ServiceCaller()',
    (_data: undefined, context: ExecutionContext): ServiceIdentity | undefined =>
      verificationFor(context, '@ServiceCaller()').identity,
  ),
);

/**
 * The verification of the request by the guard that began last.
 *
 * @throws ServiceAuthUsageError where no guard has looked at the request
 */
export function verificationFor(context: ExecutionContext, decorator: string): Verification {
  const kind = callKindOf(context);
  const verification = kind?.of(context)?.state.verification;
  if (verification === undefined) {
    throw new ServiceAuthUsageError(`${decorator} ${describeMissing(context)}`);
  }
  return verification;
}

const NO_GUARD =
  'needs a verified request: add @UseGuards(ServiceJwtGuard) to the route, or { provide: APP_GUARD, useExisting: ServiceJwtGuard } to the application, and no @SkipServiceAuth().';
const TWO_COPIES =
  'and the guard of this route are of two copies of nestjs-service-auth: let every file either import or require it, and install it once (npm ls nestjs-service-auth).';

function describeMissing(context: ExecutionContext): string {
  const request: unknown =
    context.getType() === 'http' ? context.switchToHttp().getRequest() : undefined;
  const isRequest = typeof request === 'object' && request !== null;
  return isRequest && wasSeenByAGuard(rawRequestOf(request)) ? TWO_COPIES : NO_GUARD;
}
