import { Inject, Module, type NestModule, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ServiceAuth } from '../service-auth.js';
import { KeyHealth } from './key-health.js';
import { RequestAuthenticator } from './request-authenticator.js';
import { createServiceAuthFrom } from './service-auth.factory.js';
import { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import { ServiceCallContext } from './service-call.context.js';
import { ServiceJwtGuard } from './service-jwt.guard.js';
import { TrustedIssuerFinderProvider } from './trusted-issuer-finder.provider.js';
import { HttpRequestHooks } from './transports/http-request.hooks.js';
import { servePublishedKeys } from './transports/published-keys.route.js';

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
      inject: [MODULE_OPTIONS_TOKEN, TrustedIssuerFinderProvider],
    },
    TrustedIssuerFinderProvider,
    KeyHealth,
    ServiceCallContext,
    RequestAuthenticator,
    ServiceJwtGuard,
    HttpRequestHooks,
  ],
  exports: [ServiceAuth, KeyHealth, ServiceCallContext, RequestAuthenticator, ServiceJwtGuard],
})
export class ServiceAuthModule
  extends ConfigurableModuleClass
  implements NestModule, OnModuleDestroy
{
  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
  ) {
    super();
  }

  /** Nest calls this before it registers the routes. */
  configure(): void {
    servePublishedKeys(this.host.httpAdapter, this.serviceAuth);
  }

  /** Ends the fetching of keys, and what else runs in the background. */
  onModuleDestroy(): void {
    this.serviceAuth.close();
  }
}
