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
import { type ExchangeSettings, HttpExchange } from './http/http-exchange.js';
import { instanceOf } from './provider-lookup.js';
import { noteGuard, requestStateOf, type Verification, verificationBy } from './request-state.js';
import type { Route } from './route-policy.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions, ServiceUserResolver } from './service-auth.options.js';
import { ServiceCallContext } from '../for-whom/service-call.context.js';
import { refuseUnsupported } from './unsupported-context.js';

type AuthenticatorOptions = Pick<
  ServiceAuthModuleOptions,
  'rawBody' | 'spoolDirectory' | 'tokenAfterVerification'
>;

/** Verifies a request once, whoever asks, and turns what was proved into the application's user. */
@Injectable()
export class RequestAuthenticator implements OnModuleInit {
  private userResolver: ServiceUserResolver | undefined;
  private readonly settingsByRoute = new WeakMap<Route, ExchangeSettings>();
  private readonly options: AuthenticatorOptions;
  /** A closure: a logger that prints a guard shows neither the application's container nor the options with the key. */
  private readonly findResolver: () => Promise<ServiceUserResolver | undefined>;

  constructor(
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
    @Inject(MODULE_OPTIONS_TOKEN) options: ServiceAuthModuleOptions,
    @Inject(ModuleRef) moduleRef: ModuleRef,
  ) {
    const { rawBody, spoolDirectory, tokenAfterVerification, userResolver } = options;
    this.options = { rawBody, spoolDirectory, tokenAfterVerification };
    this.findResolver = async () =>
      typeof userResolver === 'function' ? await instanceOf(userResolver, moduleRef) : userResolver;
  }

  async onModuleInit(): Promise<void> {
    this.userResolver = await this.findResolver();
  }

  /**
   * Refuses an execution context of any other type than `http`.
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
   * @throws an HTTP exception with the status and code of the refusal
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`
   */
  authenticate(context: ExecutionContext, route: Route): Promise<ServiceIdentity | undefined> {
    const exchange = new HttpExchange(context, this.settingsFor(route));
    const state = requestStateOf(exchange.key);
    const begun = verificationBy(this.serviceAuth, state)?.result;
    if (begun) return this.verifyAgain(begun, exchange, route);
    const verification: Verification = {
      verifier: this.serviceAuth,
      previous: state.verification,
    };
    state.verification = verification;
    noteGuard(exchange.key);
    verification.result = this.verify(exchange, route, verification);
    return verification.result;
  }

  private async verifyAgain(
    verification: Promise<ServiceIdentity | undefined>,
    exchange: HttpExchange,
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
    return { realm, body: { limits: bodyLimits, rawBody: this.options.rawBody } };
  }

  private assertRoute(
    exchange: HttpExchange,
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

  private async verify(
    exchange: HttpExchange,
    route: Route,
    verification: Verification,
  ): Promise<ServiceIdentity | undefined> {
    exchange.markPrivate();
    if (route.mode === 'optional' && !exchange.mayHaveToken) {
      if (this.userResolver) exchange.setUser(undefined);
      this.tell({ type: 'request_anonymous', route: exchange.route });
      return undefined;
    }
    const proof = this.serviceAuth.beginVerification({ route: exchange.route });
    try {
      const identity = await proof.prove(exchange.request, route.policy);
      if (this.userResolver) exchange.setUser(await this.resolveUser(identity));
      verification.identity = identity;
      proof.accepted(identity);
      return identity;
    } catch (error) {
      proof.failed(error);
      throw isRefusal(error) ? exchange.refuse(error) : error;
    } finally {
      if (this.options.tokenAfterVerification !== 'keep') exchange.removeToken();
    }
  }

  /** Calls that the resolver itself makes are on behalf of the user it looks up. */
  private async resolveUser(identity: ServiceIdentity): Promise<unknown> {
    const { subject } = identity;
    if (subject === undefined) return undefined;
    const user = await this.callContext.runOnBehalfOf(
      identity,
      async () => await this.userResolver?.resolveUser(subject, identity),
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
