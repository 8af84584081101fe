import { Module } from '@nestjs/common';
import { createSignedFetch } from '../../clients/fetch.js';
import { ServiceAuth } from '../../service-auth.js';
import { ServiceCallContext } from '../../for-whom/service-call.context.js';
import { markSigningClient } from '../signing-client.js';
import { ServiceFetch } from './service-fetch.js';
import {
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN,
  type ServiceFetchModuleOptions,
} from './service-fetch.module-definition.js';

/**
 * Exports a `ServiceFetch`, which signs every request to a configured target. Import it as it is, or
 * `register({ fetch })` / `registerAsync(...)` where something else than the global fetch is to send. Needs
 * a `ServiceAuthModule` with `signingKey` and `targets`: the global one, or one with `isGlobal: false` among its
 * `imports`, whose service signs then.
 *
 * @example
 * `ServiceFetchModule.register({ imports: [censusAuth] })`
 */
@Module({
  providers: [
    markSigningClient(),
    {
      provide: ServiceFetch,
      useFactory: (
        serviceAuth: ServiceAuth,
        callContext: ServiceCallContext,
        options?: ServiceFetchModuleOptions,
      ) => createSignedFetch(serviceAuth, { ...options, callContext }),
      inject: [ServiceAuth, ServiceCallContext, { token: MODULE_OPTIONS_TOKEN, optional: true }],
    },
  ],
  exports: [ServiceFetch],
})
export class ServiceFetchModule extends ConfigurableModuleClass {}
