import { tmpdir } from 'node:os';
import { type ExecutionContext, Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import {
  assertRoutePolicy,
  describeRefusal,
  isRefusal,
  type ServiceAuthEvent,
  type ServiceIdentity,
  ServiceTokenRefusedError,
  tell,
} from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';
import { instanceOf } from './provider-lookup.js';
import { requestStateOf } from './request-state.js';
import type { Route } from './route-policy.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions, ServiceUserResolver } from './service-auth.options.js';
import { ServiceCallContext } from './service-call.context.js';
import { type Exchange, type ExchangeSettings, type Transport } from './transports/transport.js';
import { refuseUnsupported } from './transports/unsupported.transport.js';

/** Verifies a request once, whoever asks, and turns what was proved into the application's user. */
@Injectable()
export class RequestAuthenticator implements OnModuleInit {
  private userResolver: ServiceUserResolver | undefined;
  private readonly settingsByRoute = new WeakMap<Route, ExchangeSettings>();

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
   * Refuses an execution context that no transport knows.
   *
   * @throws its own kind of exception, with `context_unsupported`
   */
  async refuseContext(context: ExecutionContext): Promise<never> {
    const type = context.getType();
    this.tellRefusal(new ServiceTokenRefusedError('context_unsupported', { detail: type }), {});
    return await refuseUnsupported(type);
  }

  /**
   * Verifies a request, or waits for the verification that is under way. What the route asks is
   * asserted for each route: a handler that calls next() hands the request on to another one.
   *
   * @returns who calls; undefined for an anonymous caller where the route admits one
   * @throws the transport's exception, with the status and code of the refusal
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`
   */
  authenticate(
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
      return state.verification;
    }
    return this.verifyAgain(state.verification, exchange, route);
  }

  private async verifyAgain(
    verification: Promise<ServiceIdentity | undefined>,
    exchange: Exchange,
    route: Route,
  ): Promise<ServiceIdentity | undefined> {
    const identity = await verification;
    this.assertRoute(exchange, identity, route);
    return identity;
  }

  /** The same for every request of a route, so made once. */
  private settingsFor(route: Route): ExchangeSettings {
    const known = this.settingsByRoute.get(route);
    if (known) return known;
    const settings = this.createSettings(route);
    this.settingsByRoute.set(route, settings);
    return settings;
  }

  private createSettings({ maxBodyBytes }: Route): ExchangeSettings {
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
      if (!isRefusal(error)) throw error;
      // A decision of its own: the route before has let the request in.
      this.tellRefusal(error, { issuer: identity?.issuer, route: exchange.route });
      throw exchange.refuse(error);
    }
  }

  private async verify(exchange: Exchange, route: Route): Promise<ServiceIdentity | undefined> {
    exchange.describeResponse();
    if (route.mode === 'optional' && !exchange.hasToken) {
      if (this.userResolver) exchange.setUser(undefined);
      this.tell({ type: 'request_anonymous', route: exchange.route });
      return undefined;
    }
    try {
      return await this.serviceAuth.verify(exchange.request, route.policy, {
        route: exchange.route,
        admit: (identity) => this.admit(exchange, identity),
      });
    } catch (error) {
      throw isRefusal(error) ? exchange.refuse(error) : error;
    } finally {
      if (this.options.tokenAfterVerification !== 'keep') exchange.removeToken();
    }
  }

  private admit(exchange: Exchange, identity: ServiceIdentity): void | Promise<void> {
    if (this.userResolver) return this.admitUser(this.userResolver, exchange, identity);
    requestStateOf(exchange.key).identity = identity;
  }

  private async admitUser(
    resolver: ServiceUserResolver,
    exchange: Exchange,
    identity: ServiceIdentity,
  ): Promise<void> {
    exchange.setUser(await this.resolveUser(resolver, identity));
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

  private tellRefusal(
    error: Parameters<typeof describeRefusal>[0],
    { issuer, route }: { issuer?: string; route?: string },
  ): void {
    const issuerTrust = issuer === undefined ? 'unknown' : 'verified';
    const about = { issuer, issuerTrust, route, durationMilliseconds: undefined } as const;
    this.tell({ ...describeRefusal(error), ...about });
  }

  private tell(event: ServiceAuthEvent): void {
    tell(this.serviceAuth.settings.observer, event);
  }
}
