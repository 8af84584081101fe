import {
  createParamDecorator,
  type ExecutionContext,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import type { VerifiedGrant } from '../core/index.js';
import { needsVerification } from '../nest/parameter-need.js';
import { outcomeFor } from './service-caller.decorator.js';

type Pipe = Type<PipeTransform> | PipeTransform;

/**
 * Injects the proof that the user asked: a frozen {@link VerifiedGrant}; undefined where no proof was required of the
 * request, by the `subjectProof` of its issuer (`required`) or by `@RequireSubjectProof()`.
 *
 * @example
 * `remove(@ServiceGrant() grant: VerifiedGrant) { this.audit.log(grant.transaction, grant.acr); }`
 * @throws ServiceAuthUsageError where no guard has looked at the request
 */
export const ServiceGrant: (...pipes: Pipe[]) => ParameterDecorator = createParamDecorator(
  needsVerification(
    '@ServiceGrant()',
    (_data: undefined, context: ExecutionContext): VerifiedGrant | undefined =>
      outcomeFor(context, '@ServiceGrant()').identity?.grant,
  ),
);
