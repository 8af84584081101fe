import { type ExecutionContext, Logger } from '@nestjs/common';
import {
  assertRoutePolicy,
  GrantCache,
  grantHash,
  holdGrant,
  type IncomingRequest,
  markVerified,
  NO_OBSERVER,
  NO_PROOF,
  type ProofOutcome,
  proveSubject,
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
import { makeGrant, originatorOf, type TestGrantOptions, trustDomainOf } from './test-grant.js';
import type { ThrowAwayKeys } from './throw-away-keys.js';

/** The caller of every request, in tests without tokens. */
export interface TokenlessCaller {
  /** The service that calls. Default: the first of `trustedIssuers`. */
  readonly issuer?: string;
  /** The user of its calls. If omitted: it acts for itself. */
  readonly subject?: string;
  /**
   * The grant of that user, which routes and issuers may require. `false`: no grant. Default: a grant with the
   * defaults, in a service with a `trustDomain`.
   */
  readonly grant?: false | TestGrantOptions;
}

/** Makes the grant of the fixed caller, a new one for each request. */
type MakeGrant = () => Promise<string | undefined>;

/** Proves the same caller for each request, and emits no event. */
class TokenlessVerification extends RequestVerification {
  constructor(
    private readonly serviceAuth: ServiceAuth,
    private readonly identity: ServiceIdentity,
    private readonly makeGrant: MakeGrant,
  ) {
    const { settings, receiving } = serviceAuth;
    super({ settings: receiving, now: settings.now }, NO_OBSERVER);
  }

  override async prove(
    _request: IncomingRequest,
    policy: RoutePolicy = {},
  ): Promise<ServiceIdentity> {
    assertRoutePolicy(this.identity, policy);
    const { grant, held } = await this.proveSubject(policy);
    const identity = markVerified({ ...this.identity, grant }, this.serviceAuth.receiving);
    if (held) holdGrant(identity, held);
    return identity;
  }

  override async proveForRoute(
    _identity: ServiceIdentity,
    request: IncomingRequest,
    policy: RoutePolicy,
  ): Promise<ServiceIdentity> {
    return await this.prove(request, policy);
  }

  /** As if the fixed caller had sent its grant. */
  private async proveSubject({ proof: asked }: RoutePolicy): Promise<ProofOutcome> {
    const { settings, receiving } = this.serviceAuth;
    const { subject, issuer } = this.identity;
    const trusted = await receiving.trustedIssuers.find(issuer);
    const text = await this.makeGrant();
    const tth = text === undefined ? undefined : grantHash(text);
    return await proveSubject(
      { subject, tth, headerValues: () => (text === undefined ? [] : [text]) },
      { proof: trusted?.subjectProof ?? NO_PROOF, asked },
      { ...receiving, now: settings.now, cache: new GrantCache() },
    );
  }
}

/** Treats every request as one of a fixed caller. The requirements of routes still apply. */
class TokenlessServiceAuth extends ServiceAuth {
  private readonly identity: ServiceIdentity;

  constructor(
    private readonly serviceAuth: ServiceAuth,
    caller: TokenlessCaller & { readonly issuer: string },
    private readonly makeGrant: MakeGrant,
  ) {
    super(serviceAuth.settings);
    this.identity = identityOf(caller, serviceAuth.settings.issuer);
  }

  override beginVerification(): RequestVerification {
    return new TokenlessVerification(this.serviceAuth, this.identity, this.makeGrant);
  }

  override close(): void {
    super.close();
    this.serviceAuth.close();
  }
}

/** The fixed caller also applies where callers may be anonymous. */
class TokenlessAuthenticator extends RequestAuthenticator {
  override async authenticate(
    context: ExecutionContext,
    route: Route,
  ): Promise<ServiceIdentity | undefined> {
    return await super.authenticate(context, { ...route, mode: 'required' });
  }
}

/**
 * The same service, but it requires no token, and says so in the log. A service that receives no requests stays
 * unchanged.
 *
 * @param keys of the originators
 */
export function withoutTokens(
  serviceAuth: ServiceAuth,
  caller: TokenlessCaller,
  keys: ThrowAwayKeys,
): ServiceAuth {
  if (!serviceAuth.settings.receiving) return serviceAuth;
  new Logger('ServiceAuth').warn('Requests are served without service tokens, for a test.');
  const issuer = caller.issuer ?? firstTrustedIssuer(serviceAuth);
  const makeGrant = async () => await grantOf(caller, serviceAuth, keys);
  return new TokenlessServiceAuth(serviceAuth, { ...caller, issuer }, makeGrant);
}

async function grantOf(
  { subject, grant = {} }: TokenlessCaller,
  serviceAuth: ServiceAuth,
  keys: ThrowAwayKeys,
): Promise<string | undefined> {
  const { settings } = serviceAuth;
  const isKnown = settings.receiving?.grants ?? settings.sending?.trustDomain;
  if (subject === undefined || grant === false || isKnown === undefined) return undefined;
  const originator = originatorOf(serviceAuth, subject, grant);
  return await makeGrant(subject, grant, {
    originator,
    trustDomain: trustDomainOf(serviceAuth),
    key: keys.keyOf(originator),
    now: settings.now,
  });
}

/** Replaces the `RequestAuthenticator` of an application without tokens. */
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
