import { Inject, Injectable, type OnModuleInit, Optional, type Provider } from '@nestjs/common';
import { ServiceAuthUsageError } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';

/** What a client that signs is told where no `ServiceAuthModule` is visible to it. */
export function missingServiceAuth(client: string): ServiceAuthUsageError {
  return new ServiceAuthUsageError(
    `${client} needs ServiceAuthModule, whose service signs. Write imports: [ServiceAuthModule.forRoot({ issuer, signingKey, targets })] in the root module; with isGlobal: false, give what it returned to the client: ${client}.register({ imports: [...] }).`,
  );
}

/**
 * Lets an application without `ServiceAuthModule` fail at start in our words.
 *
 * Not in a constructor: where options are wrong, Nest leaves the service out, and reports that itself.
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
