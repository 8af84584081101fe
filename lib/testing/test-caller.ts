import { type RoutePolicy, type ServiceIdentity, ServiceAuthUsageError } from '../core/index.js';
import type { ServiceAuth } from '../service-auth.js';
import { assertRefused } from './flawed-request.js';
import { applyFlaw, type Flaw, isTokenFlaw } from './flaws.js';
import { flawGrant, type GrantFlaw, isGrantFlaw, sendPair, type SentPair } from './grant-flaws.js';
import { firstTrustedIssuer, type ServicesUnderTest } from './services-under-test.js';
import { signFor, signMessageFor, type Signer } from './sign-for.js';
import { createStandInService } from './stand-in-service.js';
import type { TestClock } from './test-clock.js';
import { makeGrant, originatorOf, type TestGrantOptions, trustDomainOf } from './test-grant.js';
import {
  assertFlawOfMessages,
  type TestJob,
  type TestJobOptions,
  type TestMessage,
  toIncomingMessage,
  toTestJob,
  toTestMessage,
} from './test-message.js';
import {
  type TestBody,
  type TestRequest,
  type TestRequestOptions,
  toRawHeaders,
  toTestRequest,
} from './test-request.js';
import { type ThrowAwayKeys, toSigningKey } from './throw-away-keys.js';
import { draftOf, signDraft, withClaims } from './token-draft.js';

/**
 * The headers of one request: `JWT`, `Txn-Token` if it has a grant, `Content-Type` if it has a body, and the given
 * headers.
 */
export type TestHeaders = Record<string, string>;

/** The parts that all callers of one test share. */
export interface TestCallerParts {
  readonly services: ServicesUnderTest;
  readonly keys: ThrowAwayKeys;
  readonly clock: TestClock;
}

/** The options of a user for whom a caller calls. */
export interface ActingAsOptions {
  /** Adds a grant, which proves that the user asked; `true`: a grant with the defaults. */
  readonly grant?: true | TestGrantOptions;
}

/** Signs one request, or one message. */
type Sign = (signer: Signer) => Promise<string>;

/** The properties of one caller. */
interface Traits {
  readonly issuer?: string;
  readonly subject?: string | undefined;
  readonly grant?: TestGrantOptions | undefined;
  readonly audience?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly issuedAt?: Date;
  readonly flaw?: Flaw | GrantFlaw;
}

/**
 * A service that calls the application under test. It is immutable: each method returns another caller, so one caller
 * can be kept and varied.
 */
export class TestCaller {
  /** @internal */
  constructor(
    private readonly parts: TestCallerParts,
    private readonly traits: Traits,
  ) {}

  /** Calls on behalf of a user, with a grant of that user if `options` say so. */
  actingAs(subject: string, { grant }: ActingAsOptions = {}): TestCaller {
    return this.with({ subject, grant: grant === true ? {} : grant });
  }

  /** Calls in the service's own name: the token names no user. */
  actingAsItself(): TestCaller {
    return this.with({ subject: undefined, grant: undefined });
  }

  /** Calls the service under this name, if it has several names, or if there are several services. */
  calling(audience: string): TestCaller {
    return this.with({ audience });
  }

  /** Adds or replaces these claims; a claim that is `undefined` is omitted. */
  withClaims(claims: Readonly<Record<string, unknown>>): TestCaller {
    return this.with({ claims: { ...this.traits.claims, ...claims } });
  }

  /** Signs as if it were this time, whatever the clock says. */
  issuedAt(moment: Date): TestCaller {
    return this.with({ issuedAt: moment });
  }

  /**
   * Makes headers with one flaw. The guard refuses them with the code in {@link FLAWS}, or in {@link GRANT_FLAWS} if
   * a proof is required. A flaw of a grant gives the caller a grant.
   *
   * @example
   * `it.each(Object.entries(FLAWS))('refuses: %s', ...)`
   */
  but(flaw: Flaw | GrantFlaw): TestCaller {
    return this.with({ flaw });
  }

  /**
   * The headers of one request, with a token that is valid for this request only, and once. Pass them and the same
   * request to any HTTP client.
   *
   * @param target path and query as sent, or the URL
   * @example
   * `request(server).get('/user/42').set(await caller.headersFor('GET', '/user/42'))`
   * @throws ServiceAuthUsageError before the application is created, or for a flaw without an effect here
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
   * The headers of one message, `JWT` and `Txn-Token` if it has a grant: for the metadata of a packet over TCP and Redis, the
   * headers of a record over RabbitMQ and NATS, the `userProperties` of MQTT. Good for this message only, and once.
   *
   * @param verb `SEND` for a handler with `@MessagePattern()`, `EMIT` for one with `@EventPattern()`
   * @param pattern as the receiver sees it: an object as its JSON text
   * @example
   * `new RmqRecordBuilder(data).setOptions({ headers: await caller.messageHeadersFor('SEND', 'user.get', data) }).build()`
   * @throws ServiceAuthUsageError before the application is created, or for a flaw without an effect here
   */
  async messageHeadersFor(
    verb: 'SEND' | 'EMIT',
    pattern: string,
    data: unknown,
  ): Promise<TestHeaders> {
    return await this.messageHeaders(toTestMessage(verb, pattern, data));
  }

  /**
   * The options of one job of BullMQ, with its token. Queue it with a plain queue, which signs nothing itself.
   *
   * @example
   * `await queue.add('welcome', data, await caller.jobOptionsFor({ queue: 'mail', name: 'welcome', data }))`
   * @throws ServiceAuthUsageError before the application is created, or for a flaw without an effect here
   */
  async jobOptionsFor(job: TestJob): Promise<TestJobOptions> {
    const headers = await this.messageHeaders(toTestJob(job));
    const isSigned = Object.keys(headers).length > 0;
    return {
      ...(job.delay !== undefined && { delay: job.delay }),
      ...(isSigned && { serviceAuth: headers }),
    };
  }

  /**
   * The identity that the guard would prove for a request of this caller, for a unit test that calls a handler with
   * `@ServiceCaller() caller`. It signs a real request. The service under test verifies it, and its observers are
   * called. Without an application, a service that trusts this caller verifies it.
   *
   * @example
   * `await controller.greet('42', await auth.actingAs(USER).identity())`
   * @throws ServiceTokenRefusedError with a code of `REFUSALS`, if the service under test refuses this caller
   * @throws ServiceAuthUsageError if one of several services must be named with `calling()`
   */
  async identity(): Promise<ServiceIdentity> {
    const { services, ...parts } = this.parts;
    const { issuer, audience, subject, grant } = this.traits;
    if (services.all().length > 0) return await this.identityBy(services.receiving(audience));
    const vouched = grant && subject !== undefined ? { subject, ...grant } : undefined;
    const standIn = await createStandInService({ ...parts, issuer, audience, vouched });
    try {
      return await this.identityBy(standIn);
    } finally {
      standIn.close();
    }
  }

  private async identityBy(service: ServiceAuth): Promise<ServiceIdentity> {
    const request = toTestRequest('GET', '/', []);
    const rawHeaders = toRawHeaders(await this.headers(service, request));
    const incoming = { ...request, rawHeaders, body: request.bytes };
    return await service.verify(incoming, this.policyFor(service));
  }

  /** The policy of a route that requires the grant of this caller, of any age. */
  private policyFor({ receiving }: ServiceAuth): RoutePolicy {
    const isRead = this.traits.grant !== undefined && receiving.grants !== undefined;
    return isRead ? { proof: { maxAgeSeconds: Number.POSITIVE_INFINITY } } : {};
  }

  private async headers(service: ServiceAuth, request: TestRequest): Promise<TestHeaders> {
    const { flaw } = this.traits;
    const tokens = await this.tokens(
      service,
      async (signer) => await signFor(service, request, signer),
    );
    const headers = { ...request.headers, ...tokens };
    if (flaw === undefined) return headers;
    const received = { ...request, rawHeaders: toRawHeaders(headers), body: request.bytes };
    await assertRefused(flaw, async (policy) => await service.verify(received, policy));
    return headers;
  }

  private async messageHeaders(message: TestMessage): Promise<TestHeaders> {
    const { flaw, audience } = this.traits;
    assertFlawOfMessages(flaw);
    const service = this.parts.services.receiving(audience);
    const headers = await this.tokens(
      service,
      async (signer) => await signMessageFor(service, message, signer),
    );
    if (flaw === undefined) return headers;
    const received = toIncomingMessage(message, headers);
    await assertRefused(flaw, async (policy) => await service.verifyMessage(received, policy));
    return headers;
  }

  /** The token and the grant of one request or message. */
  private async tokens(service: ServiceAuth, sign: Sign): Promise<TestHeaders> {
    const { named, sent } = await this.pair(service);
    const isMissing = this.traits.flaw === 'no-token';
    const token: TestHeaders = isMissing ? {} : { JWT: await this.token(service, sign, named) };
    return sent === undefined ? token : { ...token, 'Txn-Token': sent };
  }

  /** The grant in the header, and the grant that the token names. */
  private async pair(service: ServiceAuth): Promise<SentPair> {
    const { subject, flaw } = this.traits;
    const grantFlaw = isGrantFlaw(flaw) ? flaw : undefined;
    const grant = this.traits.grant ?? (grantFlaw ? {} : undefined);
    if (grant === undefined) return { named: undefined, sent: undefined };
    if (subject === undefined) {
      throw new ServiceAuthUsageError('A grant is of a user: say actingAs(user) before but(...).');
    }
    const { keys, clock } = this.parts;
    const originator = originatorOf(service, subject, grant);
    const key = keys.keyOf(originator);
    const maker = { originator, trustDomain: trustDomainOf(service), key, now: clock.now };
    const make = async () => await makeGrant(subject, grant, maker);
    const flawed = await flawGrant(await make(), grantFlaw, { key, nowSeconds: clock.seconds });
    return await sendPair(flawed, grantFlaw, make);
  }

  private async token(
    service: ServiceAuth,
    sign: Sign,
    grant: string | undefined,
  ): Promise<string> {
    const { claims, flaw, issuedAt, subject, audience = service.settings.issuer } = this.traits;
    const { keys, clock } = this.parts;
    const issuer = this.traits.issuer ?? firstTrustedIssuer(service);
    const key = await toSigningKey(keys.keyOf(issuer));
    const now = issuedAt ? () => issuedAt.getTime() : clock.now;
    const token = await sign({ issuer, subject, audience, grant, key, now });
    const tokenFlaw = flaw !== undefined && !isGrantFlaw(flaw) && isTokenFlaw(flaw);
    if (claims === undefined && !tokenFlaw) return token;
    const draft = withClaims(draftOf(token, key), claims ?? {});
    return await signDraft(tokenFlaw ? await applyFlaw(flaw, draft, clock.seconds) : draft);
  }

  private with(traits: Traits): TestCaller {
    return new TestCaller(this.parts, { ...this.traits, ...traits });
  }
}
