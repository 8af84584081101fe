import {
  createParamDecorator,
  type ExecutionContext,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import { ServiceTokenRefusedError } from '../core/index.js';
import { toHttpException } from '../nest/http/http-exception.js';
import { readCaller } from './service-caller.decorator.js';

/** What `@ServiceSubject()` takes besides pipes. */
export interface ServiceSubjectOptions {
  /** Whether the handler also serves calls that name no user. Default false: they get 403 `subject_missing`. */
  optional?: boolean;
}

type Pipe = Type<PipeTransform> | PipeTransform;

const decorateSubject = createParamDecorator(
  (options: ServiceSubjectOptions | undefined, context: ExecutionContext): string | undefined => {
    const caller = readCaller(context, '@ServiceSubject()');
    if (caller?.subject !== undefined || options?.optional) return caller?.subject;
    throw toHttpException(new ServiceTokenRefusedError('subject_missing'));
  },
);

/**
 * Injects the verified user on whose behalf the request is made: a URI, byte for byte as the caller
 * signed it. Pipes may turn it into something else.
 *
 * @example
 * `find(@ServiceSubject() subject: string)`, `find(@ServiceSubject(LoadUserPipe) user: User)`,
 * `find(@ServiceSubject({ optional: true }) subject?: string)`
 * @throws ServiceAuthUsageError where no guard has looked at the request
 * @throws ForbiddenException `subject_missing` when the caller acts for itself
 */
export function ServiceSubject(...pipes: Pipe[]): ParameterDecorator;
export function ServiceSubject(
  options: ServiceSubjectOptions,
  ...pipes: Pipe[]
): ParameterDecorator;
export function ServiceSubject(...args: (ServiceSubjectOptions | Pipe)[]): ParameterDecorator {
  const [first, ...pipes] = args as [ServiceSubjectOptions, ...Pipe[]];
  return decorateSubject(first, ...pipes);
}
