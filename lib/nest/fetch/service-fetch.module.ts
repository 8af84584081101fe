import { type InjectionToken, Module } from '@nestjs/common';
import { createSignedFetch, type SignedFetch } from '../../clients/fetch.js';
import { ServiceAuth } from '../../service-auth.js';
import { ServiceCallContext } from '../../for-whom/service-call.context.js';
import { missingServiceAuth, needServiceAuth } from '../missing-service-auth.js';
import { markSigningClient } from '../signing-client.js';
import { ServiceFetch } from './service-fetch.js';
import {
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN,
  type ServiceFetchModuleOptions,
} from './service-fetch.module-definition.js';

/**
 * Exports a `ServiceFetch`, which signs every request to a configured target. Import the class itself, or `register({
 * fetch })` / `registerAsync(...)` to send with another fetch than the global one. It needs a `ServiceAuthModule`
 * with `signingKey` and `targets`. Either that module is global, or it has `isGlobal: false` and is in `imports`.
 *
 * @example
 * `ServiceFetchModule.register({ imports: [censusAuth] })`
 */
@Module({
  providers: [
    markSigningClient(),
    needServiceAuth('ServiceFetchModule'),
    {
      provide: ServiceFetch,
      useFactory: createFetch,
      inject: [ServiceAuth, ServiceCallContext, MODULE_OPTIONS_TOKEN].map(optional),
    },
  ],
  exports: [ServiceFetch],
})
export class ServiceFetchModule extends ConfigurableModuleClass {}

function optional(token: InjectionToken) {
  return { token, optional: true };
}

function createFetch(
  serviceAuth?: ServiceAuth,
  callContext?: ServiceCallContext,
  options?: ServiceFetchModuleOptions,
): SignedFetch {
  // Without a service the application fails to start. Calls before that must not leave unsigned.
  if (!serviceAuth)
    return async () => await Promise.reject(missingServiceAuth('ServiceFetchModule'));
  return createSignedFetch(serviceAuth, { ...options, ...(callContext && { callContext }) });
}
