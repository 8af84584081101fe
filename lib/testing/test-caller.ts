import {
  type IncomingRequest,
  type ReceivingSettings,
  ServiceAuthError,
  ServiceAuthUsageError,
  type SendingSettings,
  type SigningKey,
  signRequest,
} from '../core/index.js';
import type { ServiceAuth } from '../service-auth.js';
import { applyFlaw, type Flaw, FLAWS, isTokenFlaw } from './flaws.js';
import { firstTrustedIssuer, type ServicesUnderTest } from './services-under-test.js';
import {
  type TestBody,
  type TestRequest,
  type TestRequestOptions,
  toRawHeaders,
  toTestRequest,
} from './test-request.js';
import type { TestClock } from './test-clock.js';
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

/** A life that every receiver accepts which takes the default one. */
const LIFETIME_SECONDS = 60;

/**
 * A service that calls the application under test. Immutable: each method answers another caller, so that one can
 * be kept and varied.
 */
export class TestCaller {
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
    body?: TestBody,
    options: TestRequestOptions = {},
  ): Promise<TestHeaders> {
    const service = this.parts.services.receiving(this.traits.audience);
    const request = toTestRequest(method, target, body, options);
    const { flaw } = this.traits;
    if (flaw === undefined) return { ...request.headers, JWT: await this.token(service, request) };
    const token = flaw === 'no-token' ? undefined : await this.token(service, request);
    const headers = token === undefined ? request.headers : { ...request.headers, JWT: token };
    const received = toIncoming(request, headers);
    if (flaw === 'replayed') await answerOf(service, received);
    assertRefused(flaw, await answerOf(service, received));
    return { ...headers };
  }

  private async token(service: ServiceAuth, request: TestRequest): Promise<string> {
    const { claims, flaw } = this.traits;
    const issuer = this.traits.issuer ?? firstTrustedIssuer(service);
    const key = await toSigningKey(this.parts.keys.keyOf(issuer));
    const token = await this.sign(service, request, issuer, key);
    if (claims === undefined && flaw === undefined) return token;
    const draft = withClaims(draftOf(token, key), claims ?? {});
    if (flaw === undefined || !isTokenFlaw(flaw)) return await signDraft(draft);
    return await signDraft(await applyFlaw(flaw, draft, this.parts.clock.seconds));
  }

  /** By the signer of the library: a test that stays green while the protocol changes is of no use. */
  private async sign(
    { receiving, settings }: ServiceAuth,
    { method, target, headers, bytes }: TestRequest,
    issuer: string,
    key: SigningKey,
  ): Promise<string> {
    const { issuedAt, subject, audience = settings.issuer } = this.traits;
    const trusted = await receiving.trustedIssuers.find(issuer);
    const profile = trusted?.profile ?? 'strict';
    const origin = 'http://localhost';
    const url = origin + receiving.publicPathPrefix + target;
    const now = issuedAt ? () => issuedAt.getTime() : this.parts.clock.now;
    return await signRequest(
      { method, url, headers, body: bytes, subject },
      { origin, pathPrefix: '/', audience, profile },
      sendingSettings(key, receiving),
      { issuer, now },
    );
  }

  private with(traits: Traits): TestCaller {
    return new TestCaller(this.parts, { ...this.traits, ...traits });
  }
}

function sendingSettings(key: SigningKey, receiving: ReceivingSettings): SendingSettings {
  const { maxTokenLifetimeSeconds, requiredHeaders, maxBufferedBodyBytes } = receiving;
  return {
    signingKeys: {
      current: () => key,
      published: () => [],
      refreshIfDue: () => undefined,
      close: () => undefined,
    },
    publishedKeys: undefined,
    targets: [],
    unknownTargets: 'refuse',
    tokenLifetimeSeconds: Math.min(LIFETIME_SECONDS, maxTokenLifetimeSeconds.strict),
    signedHeaders: requiredHeaders,
    subjectOutsideRequest: 'refuse',
    maxBufferedBodyBytes,
  };
}

function toIncoming(request: TestRequest, headers: TestHeaders): IncomingRequest {
  const { method, target, bytes } = request;
  return { method, target, rawHeaders: toRawHeaders(headers), body: bytes };
}

/** What the service under test makes of a request: the code of the refusal, or undefined. */
async function answerOf(
  service: ServiceAuth,
  request: IncomingRequest,
): Promise<string | undefined> {
  try {
    await service.verify(request);
    return undefined;
  } catch (error) {
    if (error instanceof ServiceAuthError) return error.code;
    throw error;
  }
}

/** A test of a refusal must not pass, or fail, for another reason than the one it names. */
function assertRefused(flaw: Flaw, code: string | undefined): void {
  if (code === FLAWS[flaw]) return;
  const instead = code === undefined ? 'it is accepted' : `it is refused with ${code}`;
  throw new ServiceAuthUsageError(
    `This request cannot be refused as '${flaw}' (${FLAWS[flaw]}): ${instead}.`,
  );
}
