import { Module } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { ServiceAuth } from '../service-auth.js';
import { CallContextInterceptor } from './call-context.interceptor.js';
import { RequestAuthenticator } from './request-authenticator.js';
import { createServiceAuthFrom } from './service-auth.factory.js';
import { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import { ServiceCallContext } from './service-call.context.js';
import { ServiceJwtGuard } from './service-jwt.guard.js';
import { HttpRequestHooks } from './transports/http-request.hooks.js';

/**
 * Service tokens for a Nest application: `forRoot(options)` or `forRootAsync({ useFactory |
 * useClass | useExisting })`, global unless `isGlobal: false`. The application does not start with
 * wrong options: it fails with a `ServiceAuthConfigError` that lists all of them.
 */
@Module({
  providers: [
    {
      provide: ServiceAuth,
      useFactory: createServiceAuthFrom,
      inject: [MODULE_OPTIONS_TOKEN],
    },
    ServiceCallContext,
    RequestAuthenticator,
    ServiceJwtGuard,
    HttpRequestHooks,
    { provide: APP_INTERCEPTOR, useClass: CallContextInterceptor },
  ],
  exports: [ServiceAuth, ServiceCallContext, RequestAuthenticator, ServiceJwtGuard],
})
export class ServiceAuthModule extends ConfigurableModuleClass {}
