import { tmpdir } from 'node:os';
import { type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import {
  assertRoutePolicy,
  type CallTransport,
  type DecisionMode,
  describeRefusal,
  type IncomingMessage,
  type IncomingRequest,
  isRefusal,
  type ServiceAuthEvent,
  type ServiceIdentity,
  ServiceTokenRefusedError,
  tell,
} from '../core/index.js';
import { ServiceAuth } from '../service-auth.js';
import type { BodySettings } from './http/body/verifiable-body.js';
import { Enforcement } from './enforcement.js';
import { canVerify, isVerifiable, type ReceivedCall } from './received-call.js';
import { type Verification, verificationBy } from './request-state.js';
import { placeOfResolver, requestBehind, toResolverException } from './resolver-context.js';
import { asksNothing, type Route } from './route-policy.js';
import { MODULE_OPTIONS_TOKEN } from './service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';
import { refuseUnsupported } from './unsupported-context.js';
import { UserLookup } from './user-lookup.js';

type AuthenticatorOptions = Pick<
  ServiceAuthModuleOptions,
  'rawBody' | 'spoolDirectory' | 'tokenAfterVerification'
>;

/** One verification of a request, after its begin. */
interface Attempt {
  readonly request: ReceivedCall;
  readonly incoming: IncomingMessage | IncomingRequest;
  readonly route: Route;
  readonly verification: Verification;
}

/** A request that one route handed on to another, or an endpoint of GraphQL to a resolver. */
interface Handover extends Pick<Attempt, 'request' | 'route'> {
  readonly isReport: boolean;
  /** The route, for the event. */
  readonly place: string | undefined;
  /** The exception that answers a refusal. */
  readonly answer: (error: Refusal) => Error;
}

type Refusal = Parameters<typeof describeRefusal>[0];

/** What the event of a refusal says of the call, whose token may be verified. */
interface RefusedCall {
  readonly transport: CallTransport;
  readonly issuer?: string | undefined;
  readonly route?: string | undefined;
  /** Default `enforce`. */
  readonly mode?: DecisionMode;
}

/** Verifies a request or message once, whatever asks, and turns what was proved into the application's user. */
@Injectable()
export class RequestAuthenticator {
  private readonly bodySettingsByRoute = new WeakMap<Route, BodySettings>();
  private readonly options: AuthenticatorOptions;
  private readonly enforcement: Enforcement;

  constructor(
    @Inject(ServiceAuth) private readonly serviceAuth: ServiceAuth,
    @Inject(UserLookup) private readonly users: UserLookup,
    @Inject(MODULE_OPTIONS_TOKEN) options: ServiceAuthModuleOptions,
  ) {
    // Not all options, so that a logger that prints a guard does not show the key.
    const { rawBody, spoolDirectory, tokenAfterVerification } = options;
    this.options = { rawBody, spoolDirectory, tokenAfterVerification };
    this.enforcement = Enforcement.of(options, serviceAuth.settings.now);
  }

  /** Whether this service verifies calls of a type of execution context. */
  verifies(type: string): boolean {
    return isVerifiable(type, this.serviceAuth);
  }

  /** Whether this service has a key, which signs the answers to messages. */
  get signs(): boolean {
    return this.serviceAuth.settings.sending !== undefined;
  }

  /** Whether this service can verify the call of an execution context. */
  canVerify(context: ExecutionContext): boolean {
    return canVerify(this.serviceAuth, context);
  }

  /**
   * Refuses an execution context that this service cannot verify: of a type that it knows no module of, or of a transport that
   * carries no tokens.
   *
   * @throws the exception of that type, with `context_unsupported`
   */
  async refuseContext(context: ExecutionContext): Promise<never> {
    const type = context.getType();
    const error = new ServiceTokenRefusedError('context_unsupported', { detail: type });
    this.tellRefusal(error, { transport: type === 'rpc' || type === 'ws' ? 'messages' : 'http' });
    return await refuseUnsupported(type);
  }

  /**
   * Verifies a request, or waits for a running verification. It asserts the requirements of each route: a handler
   * that calls next() hands the request on to another route.
   *
   * @returns who calls; undefined for an anonymous caller where the route admits one
   * @throws an exception of the context's own kind, with the code of the refusal
   * @throws ServiceAuthUsageError in a service without `trustedIssuers`
   */
  authenticate(request: ReceivedCall, route: Route): Promise<ServiceIdentity | undefined> {
    const isReport = this.enforcement.reports(route);
    const begun = this.begunFor(request);
    if (begun?.result && (isReport || !begun.isReport)) {
      const answer = (error: Refusal): Error => this.refuse(request, error);
      const next = { request, route, isReport, place: request.route, answer };
      return this.verifyAgain(begun, begun.result, next);
    }
    // Read first: if reading fails, no verification has begun that would never end.
    const incoming = request.toVerify(this.bodySettingsFor(route, isReport));
    const verification = request.beginVerification(this.serviceAuth, isReport);
    verification.result = this.verify({ request, incoming, route, verification });
    return verification.result;
  }

  /**
   * Asserts what a resolver asks of the request that its endpoint has verified for this service. Verifies nothing itself, and
   * changes nothing for other resolvers, but that all of them may read the grant that one has asked for.
   *
   * @throws an exception with `extensions.serviceAuth.code`; `token_missing` where no endpoint has verified the request
   */
  async admitToResolver(context: ExecutionContext, route: Route): Promise<void> {
    const request = requestBehind(context);
    const begun = request && this.begunFor(request);
    if (!request || !begun?.result) return this.refuseUnverified(context, route);
    const identity = begun.identity ?? (await begun.result);
    if (identity ? asksNothing(route) : route.mode === 'optional') return;
    const isReport = this.enforcement.reports(route);
    // The endpoint has reported it.
    if (!identity && isReport && begun.wouldBeRefused) return;
    const place = placeOfResolver(context, request.route);
    const answer = toResolverException;
    const admitted = await this.admit(identity, { request, route, isReport, place, answer });
    if (admitted?.identity) begun.identity = admitted.identity;
    if (admitted) begun.inResolvers?.delete(route);
    else (begun.inResolvers ??= new Map()).set(route, { wouldBeRefused: true });
  }

  private begunFor(request: ReceivedCall): Verification | undefined {
    return verificationBy(this.serviceAuth, request.state);
  }

  /** @throws unless the resolver only reports */
  private refuseUnverified(context: ExecutionContext, route: Route): void {
    const isReport = this.enforcement.reports(route);
    const mode = isReport ? 'report' : 'enforce';
    const detail = 'its GraphQL endpoint has verified no request';
    const error = new ServiceTokenRefusedError('token_missing', { detail });
    this.tellRefusal(error, { transport: 'http', route: placeOfResolver(context), mode });
    if (!isReport) throw toResolverException(error);
  }

  private async verifyAgain(
    verification: Verification,
    result: Promise<ServiceIdentity | undefined>,
    next: Handover,
  ): Promise<ServiceIdentity | undefined> {
    const identity = await result;
    // A reported request without an identity has nothing that another route could check.
    if (next.isReport && !identity && verification.wouldBeRefused) return undefined;
    const admitted = await this.admit(identity, next);
    verification.wouldBeRefused = admitted === undefined;
    verification.identity = admitted?.identity;
    return verification.identity;
  }

  /** The same for every request of a route, so created once. */
  private bodySettingsFor(route: Route, isReport: boolean): BodySettings {
    const settings = this.bodySettingsByRoute.get(route) ?? this.createBodySettings(route);
    this.bodySettingsByRoute.set(route, settings);
    const { limits, rawBody } = settings;
    return isReport ? { limits: { ...limits, isPassedOn: true }, rawBody } : settings;
  }

  private createBodySettings({ maxBodyBytes }: Route): BodySettings {
    const limits = {
      maxBufferedBytes: this.serviceAuth.receiving.maxBufferedBodyBytes,
      maxBytes: maxBodyBytes,
      spoolDirectory: this.options.spoolDirectory ?? tmpdir(),
      isPassedOn: false,
    };
    return { limits, rawBody: this.options.rawBody };
  }

  /**
   * Checks whether a route admits the request. A route that enforces throws the refusal.
   *
   * @returns the identity, with the grant if this route is the first that requires one; undefined for a request that
   *   a route only reports
   */
  private async admit(
    identity: ServiceIdentity | undefined,
    handover: Handover,
  ): Promise<{ readonly identity: ServiceIdentity | undefined } | undefined> {
    const { request, route, isReport, place, answer } = handover;
    try {
      if (!identity && route.mode !== 'optional')
        throw new ServiceTokenRefusedError('token_missing');
      return { identity: identity && (await this.proveFor(identity, handover)) };
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // A decision of its own: the route before has let the request in.
      const mode = isReport ? 'report' : 'enforce';
      const { transport } = request;
      this.tellRefusal(error, { transport, issuer: identity?.issuer, route: place, mode });
      if (!isReport) throw answer(error);
      if (identity) request.reportRefusal?.(error);
      return undefined;
    }
  }

  private async proveFor(
    identity: ServiceIdentity,
    { request, route, isReport }: Handover,
  ): Promise<ServiceIdentity> {
    const { policy } = route;
    // Reading the headers again is for a grant alone: resolvers come here by the hundred.
    if (policy.proof === undefined) {
      assertRoutePolicy(identity, policy);
      return identity;
    }
    const incoming = request.toVerify(this.bodySettingsFor(route, isReport));
    const enforcement = isReport ? 'report' : 'enforce';
    const proof = this.serviceAuth.beginVerification({ route: request.route, enforcement });
    return await proof.proveForRoute(identity, incoming, policy);
  }

  private async verify({
    request,
    incoming,
    route,
    verification,
  }: Attempt): Promise<ServiceIdentity | undefined> {
    request.markPrivate?.();
    if (route.mode === 'optional' && !request.hasToken) {
      if (this.users.isConfigured) request.setUser(undefined);
      const { transport } = request;
      this.tell({ type: 'request_anonymous', transport, route: request.route });
      this.removeToken(request);
      return undefined;
    }
    const enforcement = verification.isReport ? 'report' : 'enforce';
    const { route: place, transport } = request;
    const proof = this.serviceAuth.beginVerification({ route: place, enforcement, transport });
    try {
      const identity = await request.prove(incoming, route.policy, proof);
      verification.isOfService = true;
      if (this.users.isConfigured) request.setUser(await this.users.resolve(identity));
      verification.identity = identity;
      proof.accepted(identity);
      return identity;
    } catch (error) {
      proof.failed(error);
      if (!verification.isReport) throw isRefusal(error) ? this.refuse(request, error) : error;
      verification.wouldBeRefused = true;
      if (isRefusal(error) && proof.isIssuerVerified) request.reportRefusal?.(error);
      return undefined;
    } finally {
      this.removeToken(request);
    }
  }

  private removeToken(request: ReceivedCall): void {
    if (this.options.tokenAfterVerification !== 'keep') request.removeToken();
  }

  private refuse(request: ReceivedCall, error: Refusal): Error {
    return request.refuse(error, this.serviceAuth.receiving.realm);
  }

  private tellRefusal(
    error: Refusal,
    { transport, issuer, route, mode = 'enforce' }: RefusedCall,
  ): void {
    const issuerTrust = issuer === undefined ? 'unknown' : 'verified';
    const about = {
      transport,
      issuer,
      issuerTrust,
      route,
      durationMilliseconds: undefined,
    } as const;
    this.tell({ ...describeRefusal(error, mode), ...about });
  }

  private tell(event: ServiceAuthEvent): void {
    tell(this.serviceAuth.settings.observer, event);
  }
}
