import { Inject, Module, type NestModule, type OnApplicationShutdown } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ServiceAuth } from '../service-auth.js';
import { CallContexts } from './call-contexts.js';
import { CachedRoutesWarning } from './cached-routes.warning.js';
import { KeyHealth } from './key-health.js';
import { LoggedTokenWarning } from './logged-token.warning.js';
import { MissingTargetsWarning } from './missing-targets.warning.js';
import { RequestAuthenticator } from './request-authenticator.js';
import { GlobalGuardReach } from './global-guard-reach.js';
import { RouteCoverageCheck } from './route-coverage.check.js';
import { RouteMarksCheck } from './route-marks.check.js';
import { createServiceAuthFrom } from './service-auth.factory.js';
import { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import { ServiceCallContext } from '../for-whom/service-call.context.js';
import { ServiceGrants } from '../for-whom/service-grants.js';
import { ServiceAuthMiddleware } from './service-auth.middleware.js';
import { ServiceJwtGuard } from './service-jwt.guard.js';
import { SeveralServicesCheck } from './several-services.check.js';
import { TrustedIssuerFinderProvider } from './trusted-issuer-finder.provider.js';
import { HttpRequestHooks } from './http/http-request.hooks.js';
import { servePublishedKeys } from './http/published-keys.route.js';
import { UnboundRoutingWarning } from './unbound-routing.warning.js';
import { UserLookup } from './user-lookup.js';
import { UnsignedClientsWarning } from './unsigned-clients.warning.js';

/**
 * Service tokens for a Nest application: `forRoot(options)` or `forRootAsync({ useFactory | useClass | useExisting
 * })`, global unless `isGlobal: false`. With wrong options the application fails to start, with a
 * `ServiceAuthConfigError` that lists all problems.
 *
 * One application may have several services, of which at most one is global. Guards, clients, `ServiceCallContext`
 * and key sets belong to the module that is imported where they are used. Keep the result of `forRoot` in a constant,
 * import that constant, and pass it to the clients: `ServiceHttpModule.register({ imports: [...] })`.
 */
@Module({
  providers: [
    {
      provide: ServiceAuth,
      useFactory: createServiceAuthFrom,
      // The check first: if it refuses, no service starts.
      inject: [MODULE_OPTIONS_TOKEN, TrustedIssuerFinderProvider, SeveralServicesCheck],
    },
    SeveralServicesCheck,
    TrustedIssuerFinderProvider,
    KeyHealth,
    ServiceCallContext,
    ServiceGrants,
    UserLookup,
    RequestAuthenticator,
    ServiceJwtGuard,
    CallContexts,
    ServiceAuthMiddleware,
    HttpRequestHooks,
    CachedRoutesWarning,
    LoggedTokenWarning,
    MissingTargetsWarning,
    GlobalGuardReach,
    RouteCoverageCheck,
    RouteMarksCheck,
    UnboundRoutingWarning,
    UnsignedClientsWarning,
  ],
  exports: [
    ServiceAuth,
    KeyHealth,
    ServiceCallContext,
    ServiceGrants,
    RequestAuthenticator,
    ServiceJwtGuard,
    ServiceAuthMiddleware,
  ],
})
export class ServiceAuthModule
  extends ConfigurableModuleClass
  implements NestModule, OnApplicationShutdown
{
  /** @internal */
  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(RouteCoverageCheck) private readonly coverage: RouteCoverageCheck,
  ) {
    super();
  }

  /**
   * Nest calls this before it registers the routes.
   *
   * @throws ServiceAuthConfigError if two services publish their keys at one path
   */
  configure(): void {
    this.coverage.noteGatewaysBound();
    servePublishedKeys(this.host.httpAdapter, this.serviceAuth);
  }

  /**
   * Closes the service after the HTTP server has closed. Until then it verifies remaining requests and signs their
   * calls. Afterwards it signs nothing.
   */
  onApplicationShutdown(): void {
    this.serviceAuth.close();
  }
}
