import type { ServiceIdentity } from '../core/index.js';
import type { ServiceAuth } from '../service-auth.js';
import { assertRefused } from './flawed-request.js';
import { applyFlaw, type Flaw, isTokenFlaw } from './flaws.js';
import { firstTrustedIssuer, type ServicesUnderTest } from './services-under-test.js';
import { signFor } from './sign-for.js';
import { createStandInService } from './stand-in-service.js';
import type { TestClock } from './test-clock.js';
import {
  type TestBody,
  type TestRequest,
  type TestRequestOptions,
  toRawHeaders,
  toTestRequest,
} from './test-request.js';
import { type ThrowAwayKeys, toSigningKey } from './throw-away-keys.js';
import { draftOf, signDraft, withClaims } from './token-draft.js';

/** The headers of one request: `JWT`, `Content-Type` where it has a body, and those that were given. */
export type TestHeaders = Record<string, string>;

/** What all callers of one test share. */
export interface TestCallerParts {
  readonly services: ServicesUnderTest;
  readonly keys: ThrowAwayKeys;
  readonly clock: TestClock;
}

/** What one caller differs in from others. */
interface Traits {
  readonly issuer?: string;
  readonly subject?: string;
  readonly audience?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly issuedAt?: Date;
  readonly flaw?: Flaw;
}

/**
 * A service that calls the application under test. Immutable: each method answers another caller, so that one can
 * be kept and varied.
 */
export class TestCaller {
  /** @internal */
  constructor(
    private readonly parts: TestCallerParts,
    private readonly traits: Traits,
  ) {}

  /** Calls on behalf of a user. */
  actingAs(subject: string): TestCaller {
    return this.with({ subject });
  }

  /** Calls in the service's own name: the token names no user. */
  actingAsItself(): TestCaller {
    return this.with({ subject: undefined });
  }

  /** Calls the service under this name, where it has several or there are several. */
  calling(audience: string): TestCaller {
    return this.with({ audience });
  }

  /** Signs these claims too, or instead; one that is `undefined` is left out. */
  withClaims(claims: Readonly<Record<string, unknown>>): TestCaller {
    return this.with({ claims: { ...this.traits.claims, ...claims } });
  }

  /** Signs as if it were this moment, whatever the clock says. */
  issuedAt(moment: Date): TestCaller {
    return this.with({ issuedAt: moment });
  }

  /**
   * Makes headers that are refused, for one reason: with the code that {@link FLAWS} names.
   *
   * @example
   * `it.each(Object.entries(FLAWS))('refuses: %s', ...)`
   */
  but(flaw: Flaw): TestCaller {
    return this.with({ flaw });
  }

  /**
   * The headers of one request, with a token that is good for it alone, and once. Give them and the same request
   * to any HTTP client.
   *
   * @param target path and query as they are sent, or the URL
   * @example
   * `request(server).get('/user/42').set(await caller.headersFor('GET', '/user/42'))`
   * @throws ServiceAuthUsageError before the application is made, or for a flaw that changes nothing here
   */
  async headersFor(
    method: string,
    target: string | URL,
    ...content: [body?: TestBody, options?: TestRequestOptions]
  ): Promise<TestHeaders> {
    const service = this.parts.services.receiving(this.traits.audience);
    return await this.headers(service, toTestRequest(method, target, content));
  }

  /**
   * The identity that the guard would prove for a request of this caller, for a unit test that calls a handler with
   * `@ServiceCaller() caller`. A request is really signed, and verified by the service under test, whose
   * observers are told of it; where no application was made, by a service that trusts this caller.
   *
   * @example
   * `await controller.greet('42', await auth.actingAs(USER).identity())`
   * @throws ServiceTokenRefusedError with a code of `REFUSALS`, where the service under test refuses this caller
   * @throws ServiceAuthUsageError where one of several services has to be named with `calling()`
   */
  async identity(): Promise<ServiceIdentity> {
    const { services, ...parts } = this.parts;
    const { issuer, audience } = this.traits;
    if (services.all().length > 0) return await this.identityBy(services.receiving(audience));
    const standIn = await createStandInService({ ...parts, issuer, audience });
    try {
      return await this.identityBy(standIn);
    } finally {
      standIn.close();
    }
  }

  private async identityBy(service: ServiceAuth): Promise<ServiceIdentity> {
    const request = toTestRequest('GET', '/', []);
    const rawHeaders = toRawHeaders(await this.headers(service, request));
    return await service.verify({ ...request, rawHeaders, body: request.bytes });
  }

  private async headers(service: ServiceAuth, request: TestRequest): Promise<TestHeaders> {
    const { flaw } = this.traits;
    if (flaw === undefined) return { ...request.headers, JWT: await this.token(service, request) };
    const token: TestHeaders =
      flaw === 'no-token' ? {} : { JWT: await this.token(service, request) };
    const headers = { ...request.headers, ...token };
    const received = { ...request, rawHeaders: toRawHeaders(headers), body: request.bytes };
    await assertRefused(flaw, received, service);
    return headers;
  }

  private async token(service: ServiceAuth, request: TestRequest): Promise<string> {
    const { claims, flaw, issuedAt, subject, audience = service.settings.issuer } = this.traits;
    const { keys, clock } = this.parts;
    const issuer = this.traits.issuer ?? firstTrustedIssuer(service);
    const key = await toSigningKey(keys.keyOf(issuer));
    const now = issuedAt ? () => issuedAt.getTime() : clock.now;
    const token = await signFor(service, request, { issuer, subject, audience, key, now });
    if (claims === undefined && flaw === undefined) return token;
    const draft = withClaims(draftOf(token, key), claims ?? {});
    if (flaw === undefined || !isTokenFlaw(flaw)) return await signDraft(draft);
    return await signDraft(await applyFlaw(flaw, draft, clock.seconds));
  }

  private with(traits: Traits): TestCaller {
    return new TestCaller(this.parts, { ...this.traits, ...traits });
  }
}
