import { type ExecutionContext, Logger } from '@nestjs/common';
import {
  assertRoutePolicy,
  type IncomingRequest,
  markVerified,
  NO_OBSERVER,
  RequestVerification,
  type RoutePolicy,
  type ServiceIdentity,
} from '../core/index.js';
import { RequestAuthenticator } from '../nest/request-authenticator.js';
import type { Route } from '../nest/route-policy.js';
import { MODULE_OPTIONS_TOKEN } from '../nest/service-auth.module-definition.js';
import { UserLookup } from '../nest/user-lookup.js';
import { ServiceAuth } from '../service-auth.js';
import type { ProviderFactory } from './provider-overrides.js';
import { firstTrustedIssuer } from './services-under-test.js';

/** Who every request counts as coming from, where a test does without tokens. */
export interface TokenlessCaller {
  /** The service that calls. Default: the first of `trustedIssuers`. */
  readonly issuer?: string;
  /** The user it calls for. Left out: it acts for itself. */
  readonly subject?: string;
}

/** Proves the same caller of each request, and emits no event. */
class TokenlessVerification extends RequestVerification {
  constructor(
    { settings, receiving }: ServiceAuth,
    private readonly identity: ServiceIdentity,
  ) {
    super({ settings: receiving, now: settings.now }, NO_OBSERVER);
  }

  override async prove(
    _request: IncomingRequest,
    policy: RoutePolicy = {},
  ): Promise<ServiceIdentity> {
    assertRoutePolicy(this.identity, policy);
    return await Promise.resolve(this.identity);
  }
}

/** Takes every request for one of a fixed caller. What a route asks of its callers still holds. */
class TokenlessServiceAuth extends ServiceAuth {
  private readonly identity: ServiceIdentity;

  constructor(
    private readonly serviceAuth: ServiceAuth,
    caller: TokenlessCaller & { readonly issuer: string },
  ) {
    super(serviceAuth.settings);
    this.identity = markVerified(
      identityOf(caller, serviceAuth.settings.issuer),
      serviceAuth.receiving,
    );
  }

  override beginVerification(): RequestVerification {
    return new TokenlessVerification(this.serviceAuth, this.identity);
  }

  override close(): void {
    super.close();
    this.serviceAuth.close();
  }
}

/** Where callers may be anonymous, they are who they are fixed to be as well. */
class TokenlessAuthenticator extends RequestAuthenticator {
  override async authenticate(
    context: ExecutionContext,
    route: Route,
  ): Promise<ServiceIdentity | undefined> {
    return await super.authenticate(context, { ...route, mode: 'required' });
  }
}

/** The same service, asking for no token; says so in the log. One that receives no requests stays as it is. */
export function withoutTokens(serviceAuth: ServiceAuth, caller: TokenlessCaller): ServiceAuth {
  if (!serviceAuth.settings.receiving) return serviceAuth;
  new Logger('ServiceAuth').warn('Requests are served without service tokens, for a test.');
  const issuer = caller.issuer ?? firstTrustedIssuer(serviceAuth);
  return new TokenlessServiceAuth(serviceAuth, { ...caller, issuer });
}

/** What stands for the `RequestAuthenticator` of an application without tokens. */
export const TOKENLESS_AUTHENTICATOR: ProviderFactory = {
  factory: (...parts: ConstructorParameters<typeof RequestAuthenticator>) =>
    new TokenlessAuthenticator(...parts),
  inject: [ServiceAuth, UserLookup, MODULE_OPTIONS_TOKEN],
};

function identityOf(
  { issuer, subject }: TokenlessCaller & { readonly issuer: string },
  audience: string,
): ServiceIdentity {
  return {
    issuer,
    audience,
    subject,
    tokenId: undefined,
    issuedAtSeconds: undefined,
    expiresAtSeconds: undefined,
    keyId: 'none',
    profile: 'strict',
    grant: undefined,
    claims: Object.freeze({ iss: issuer, aud: audience, ...(subject && { sub: subject }) }),
  };
}
