import { Inject, Injectable } from '@nestjs/common';
import type { OriginateCall } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';
import { ServiceCallContext } from './service-call.context.js';

/**
 * Makes grants, in a service that authenticates users (`originate`). For immediate calls, write
 * `runOnBehalfOf(subject, fn, { originate })`. A grant from here is for queued work.
 */
@Injectable()
export class ServiceGrants {
  /** @internal */
  constructor(
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {}

  /**
   * Makes a grant: this service vouches for the user. Observers are called with `grant_issued`.
   *
   * @param subject the URI of a user whom this service has authenticated
   * @returns the text for `runOnBehalfOf(subject, fn, { grant })`. Store it like a secret
   * @throws ServiceSigningError `originate_refused`, also if the request being served came from another service,
   *   unless `insteadOf` is set
   */
  async issue(subject: string, options: OriginateCall = {}): Promise<string> {
    this.callContext.assertMayOriginate(options);
    return await this.serviceAuth.originate(subject, options).text;
  }
}
