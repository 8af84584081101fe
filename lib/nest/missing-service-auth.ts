import { Inject, Injectable, type OnModuleInit, Optional, type Provider } from '@nestjs/common';
import { ServiceAuthUsageError } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';

/** The error of a signing client that sees no `ServiceAuthModule`. */
export function missingServiceAuth(client: string): ServiceAuthUsageError {
  return new ServiceAuthUsageError(
    `${client} needs ServiceAuthModule, whose service signs. Write imports: [ServiceAuthModule.forRoot({ issuer, signingKey, targets })] in the root module; with isGlobal: false, give what it returned to the client: ${client}.register({ imports: [...] }).`,
  );
}

/**
 * Lets an application without `ServiceAuthModule` fail at start, with an error of this library.
 *
 * Not in a constructor: with wrong options Nest does not create the service, and reports that itself.
 */
export function needServiceAuth(client: string): Provider {
  @Injectable()
  class ServiceAuthNeed implements OnModuleInit {
    constructor(
      @Optional() @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth | undefined,
    ) {}

    /** @throws ServiceAuthUsageError */
    onModuleInit(): void {
      if (!this.serviceAuth) throw missingServiceAuth(client);
    }
  }
  return ServiceAuthNeed;
}
