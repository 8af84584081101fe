import { tmpdir } from 'node:os';
import {
  type ExecutionContext,
  Inject,
  Injectable,
  Logger,
  type OnModuleInit,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import {
  assertRoutePolicy,
  ServiceAuthError,
  ServiceAuthUnavailableError,
  type ServiceIdentity,
  ServiceTokenRefusedError,
} from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';
import { instanceOf } from './provider-lookup.js';
import { requestStateOf } from './request-state.js';
import type { Route } from './route-policy.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions, ServiceUserResolver } from './service-auth.options.js';
import { ServiceCallContext } from './service-call.context.js';
import type { Exchange, ExchangeSettings, Transport } from './transports/transport.js';

/** Verifies a request once, whoever asks, and turns what was proved into the application's user. */
@Injectable()
export class RequestAuthenticator implements OnModuleInit {
  private readonly logger = new Logger('ServiceAuth');
  private userResolver: ServiceUserResolver | undefined;

  constructor(
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
    @Inject(MODULE_OPTIONS_TOKEN) private readonly options: ServiceAuthModuleOptions,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {}

  async onModuleInit(): Promise<void> {
    const { userResolver } = this.options;
    this.userResolver =
      typeof userResolver === 'function'
        ? await instanceOf(userResolver, this.moduleRef)
        : userResolver;
  }

  /**
   * Verifies a request, or waits for the verification that is under way. What the route asks is
   * asserted for each route: a handler that calls next() hands the request on to another one.
   *
   * @returns who calls; undefined for an anonymous caller where the route admits one
   * @throws the transport's exception, with the status and code of the refusal
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`
   */
  async authenticate(
    transport: Transport,
    context: ExecutionContext,
    route: Route,
  ): Promise<ServiceIdentity | undefined> {
    const exchange = transport.open(context, this.settingsFor(route));
    const state = requestStateOf(exchange.key);
    if (state.verification === undefined || state.verifier !== this) {
      state.identity = undefined;
      state.verifier = this;
      state.verification = this.verify(exchange, route);
      return await state.verification;
    }
    const identity = await state.verification;
    this.assertRoute(exchange, identity, route);
    return identity;
  }

  private settingsFor({ maxBodyBytes }: Route): ExchangeSettings {
    const { realm, maxBufferedBodyBytes } = this.serviceAuth.receiving;
    const bodyLimits = {
      maxBufferedBytes: maxBufferedBodyBytes,
      maxBytes: maxBodyBytes,
      spoolDirectory: this.options.spoolDirectory ?? tmpdir(),
    };
    return { realm, bodyLimits };
  }

  private assertRoute(
    exchange: Exchange,
    identity: ServiceIdentity | undefined,
    route: Route,
  ): void {
    try {
      if (identity) assertRoutePolicy(identity, route.policy);
      else if (route.mode !== 'optional') throw new ServiceTokenRefusedError('token_missing');
    } catch (error) {
      throw error instanceof ServiceAuthError ? this.refuse(exchange, error) : error;
    }
  }

  private async verify(exchange: Exchange, route: Route): Promise<ServiceIdentity | undefined> {
    exchange.describeResponse();
    if (route.mode === 'optional' && !exchange.hasToken) {
      if (this.userResolver) exchange.setUser(undefined);
      return undefined;
    }
    try {
      const identity = await this.serviceAuth.verify(exchange.request, route.policy);
      await this.admit(exchange, identity);
      return identity;
    } catch (error) {
      if (!(error instanceof ServiceAuthError)) throw error;
      throw this.refuse(exchange, error);
    } finally {
      if (this.options.tokenAfterVerification !== 'keep') exchange.removeToken();
    }
  }

  private async admit(exchange: Exchange, identity: ServiceIdentity): Promise<void> {
    if (this.userResolver) exchange.setUser(await this.resolveUser(this.userResolver, identity));
    requestStateOf(exchange.key).identity = identity;
  }

  /** Calls that the resolver itself makes are on behalf of the user it looks up. */
  private async resolveUser(
    resolver: ServiceUserResolver,
    identity: ServiceIdentity,
  ): Promise<unknown> {
    const { subject } = identity;
    if (subject === undefined) return undefined;
    const user = await this.callContext.runOnBehalfOf(
      subject,
      async () => await resolver.resolveUser(subject, identity),
    );
    if (user === null || user === undefined) throw new ServiceTokenRefusedError('subject_unknown');
    return user;
  }

  private refuse(exchange: Exchange, error: ServiceAuthError): Error {
    if (error instanceof ServiceTokenRefusedError) {
      this.logger.debug(`Refused with ${error.code}${error.detail ? `: ${error.detail}` : ''}`);
      return exchange.refuse(error);
    }
    if (error instanceof ServiceAuthUnavailableError) {
      this.logger.warn(`Undecided with ${error.code}${error.detail ? `: ${error.detail}` : ''}`);
      return exchange.refuse(error);
    }
    return error;
  }
}
