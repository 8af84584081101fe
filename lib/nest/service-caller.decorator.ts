import {
  createParamDecorator,
  type ExecutionContext,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import { ServiceAuthUsageError, type ServiceIdentity } from '../core/index.js';
import { requestStateOf } from './request-state.js';

type Pipe = Type<PipeTransform> | PipeTransform;

/**
 * Injects the whole verified identity of the caller: a frozen {@link ServiceIdentity}; undefined for
 * an anonymous caller of a route marked `@OptionalServiceAuth()`.
 *
 * @throws ServiceAuthUsageError where no guard has looked at the request
 */
export const ServiceCaller: (...pipes: Pipe[]) => ParameterDecorator = createParamDecorator(
  (_data: undefined, context: ExecutionContext): ServiceIdentity | undefined =>
    readCaller(context, '@ServiceCaller()'),
);

/** The identity the guard has verified; undefined when it let an anonymous caller in. */
export function readCaller(
  context: ExecutionContext,
  decorator: string,
): ServiceIdentity | undefined {
  const request: unknown =
    context.getType() === 'http' ? context.switchToHttp().getRequest() : undefined;
  const state =
    typeof request === 'object' && request !== null ? requestStateOf(request) : undefined;
  if (state?.verification === undefined) {
    throw new ServiceAuthUsageError(
      `${decorator} needs a verified request: add @UseGuards(ServiceJwtGuard) to the route, or { provide: APP_GUARD, useExisting: ServiceJwtGuard } to the application, and no @SkipServiceAuth().`,
    );
  }
  return state.identity;
}
