import {
  createParamDecorator,
  type ExecutionContext,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import type { VerifiedGrant } from '../core/index.js';
import { needsVerification } from '../nest/parameter-need.js';
import { verificationFor } from './service-caller.decorator.js';

type Pipe = Type<PipeTransform> | PipeTransform;

/**
 * Injects the proof that the user asked: a frozen {@link VerifiedGrant}; undefined if neither the `subjectProof` of
 * its issuer (`required`) nor `@RequireSubjectProof()` required a proof.
 *
 * @example
 * `remove(@ServiceGrant() grant: VerifiedGrant) { this.audit.log(grant.transaction, grant.acr); }`
 * @throws ServiceAuthUsageError if no guard has handled the request
 */
export const ServiceGrant: (...pipes: Pipe[]) => ParameterDecorator = createParamDecorator(
  needsVerification(
    '@ServiceGrant()',
    (_data: undefined, context: ExecutionContext): VerifiedGrant | undefined =>
      verificationFor(context, '@ServiceGrant()').identity?.grant,
  ),
);
