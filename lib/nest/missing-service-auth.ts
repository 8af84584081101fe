import { Inject, Injectable, type OnModuleInit, Optional, type Provider } from '@nestjs/common';
import { ServiceAuthUsageError } from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';

/** How a module is given the service of a `ServiceAuthModule` with `isGlobal: false`. */
const GIVEN: Readonly<Record<string, string>> = {
  ServiceMessagesModule: 'ServiceMessagesModule.forRoot({}, [...]) or .forClients([...], [...])',
  ServiceJobsModule: 'ServiceJobsModule.forQueues([...], [...])',
};

/** The error of a module of this library that sees no `ServiceAuthModule`. */
export function missingServiceAuth(module: string): ServiceAuthUsageError {
  const given = GIVEN[module] ?? `${module}.register({ imports: [...] })`;
  return new ServiceAuthUsageError(
    `${module} needs ServiceAuthModule, whose service signs and verifies. Write imports: [ServiceAuthModule.forRoot({ issuer, signingKey, targets })] in the root module; with isGlobal: false, give what it returned to the module: ${given}.`,
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
