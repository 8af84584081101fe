import {
  createParamDecorator,
  type ExecutionContext,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import { ServiceTokenRefusedError } from '../core/index.js';
import { needsVerification } from '../nest/parameter-need.js';
import { refusalIn } from '../nest/received-call.js';
import { verificationFor } from './service-caller.decorator.js';

/** The options of `@ServiceSubject()`. */
export interface ServiceSubjectOptions {
  /** Whether the handler also serves calls without a user. Default false: they get 403 `subject_missing`. */
  optional?: boolean;
}

type Pipe = Type<PipeTransform> | PipeTransform;

const decorateSubject = createParamDecorator(
  needsVerification(
    '@ServiceSubject()',
    (options: ServiceSubjectOptions | undefined, context: ExecutionContext): string | undefined => {
      const { identity, wouldBeRefused } = verificationFor(context, '@ServiceSubject()');
      if (identity?.subject !== undefined || options?.optional) return identity?.subject;
      if (wouldBeRefused) return undefined;
      throw refusalIn(context, new ServiceTokenRefusedError('subject_missing'));
    },
  ),
);

/**
 * Injects the verified user of the request: a URI, byte for byte as the caller signed it. Pipes may transform it.
 *
 * @example
 * `find(@ServiceSubject() subject: string)`, `find(@ServiceSubject(LoadUserPipe) user: User)`,
 * `find(@ServiceSubject({ optional: true }) subject?: string)`
 * Undefined for a request that would be refused, in report-only mode.
 *
 * @throws ServiceAuthUsageError if no guard has handled the request
 * @throws ForbiddenException `subject_missing` if the caller acts for itself
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
