import type { DynamicModule, FactoryProvider } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { ServiceAuthUsageError, type ServiceIdentity } from '../core/index.js';
import { RequestAuthenticator } from '../nest/request-authenticator.js';
import { createServiceAuthFrom } from '../nest/service-auth.factory.js';
import { ServiceAuthModule } from '../nest/service-auth.module.js';
import { MODULE_OPTIONS_TOKEN } from '../nest/service-auth.module-definition.js';
import type { ServiceAuthModuleOptions } from '../nest/service-auth.options.js';
import { TrustedIssuerFinderProvider } from '../nest/trusted-issuer-finder.provider.js';
import { ServiceAuth } from '../service-auth.js';
import type { ProviderFactory, ProviderOverrides } from './provider-overrides.js';
import { SentRequestVerifier } from './sent-requests.js';
import { ServicesUnderTest } from './services-under-test.js';
import { type ActingAsOptions, TestCaller } from './test-caller.js';
import { TestClock } from './test-clock.js';
import { completeOptions, type ServiceAuthTestOptions, withSubstitutes } from './test-options.js';
import { TestReceiver, type TestReceiverOptions } from './test-receiver.js';
import { type SentRequest, toIncoming } from './test-request.js';
import { ThrowAwayKeys } from './throw-away-keys.js';
import { TOKENLESS_AUTHENTICATOR, type TokenlessCaller, withoutTokens } from './tokenless.js';

/** What the testing kit is made with. */
export interface ServiceAuthTestingOptions {
  /** Where the clock stands at first. Default: the time at which this is made. */
  readonly startAt?: Date;
}

/** What `module()` takes: the options of the module, and whether it is visible everywhere. */
export interface ServiceAuthTestModuleOptions extends ServiceAuthTestOptions {
  readonly isGlobal?: boolean;
}

type ServiceAuthParts = [ServiceAuthModuleOptions, TrustedIssuerFinderProvider];

/** What the factory of a replaced `ServiceAuth` is given. */
const SERVICE_AUTH_PARTS = [MODULE_OPTIONS_TOKEN, TrustedIssuerFinderProvider];

/**
 * The other services, for the tests of one: it signs what they send, and verifies what they get. Every key is
 * made here and dies with the process; guard, signer and verifier are the real ones.
 *
 * @example
 * `const auth = new ServiceAuthTesting();`
 * `const app = (await auth.override(Test.createTestingModule({ imports: [AppModule] })).compile()).createNestApplication();`
 * `await request(app.getHttpServer()).get('/user/42').set(await auth.actingAs(USER).headersFor('GET', '/user/42'));`
 */
export class ServiceAuthTesting {
  /** By which tokens are issued and verified, here and in the application under test. */
  readonly clock: TestClock;
  private readonly keys = new ThrowAwayKeys();
  private readonly services = new ServicesUnderTest();
  private readonly verifier: SentRequestVerifier;

  constructor({ startAt }: ServiceAuthTestingOptions = {}) {
    this.clock = new TestClock(startAt);
    this.verifier = new SentRequestVerifier(this.services, this.keys, this.clock);
  }

  /**
   * Stands in for `ServiceAuthModule.forRoot(...)` where a test puts its module together itself.
   *
   * @param options what the test has to say. Default: the service is `https://service.test/` and trusts
   *   `https://caller.test/`
   * @param options.isGlobal as `forRoot` takes it. Default: true
   */
  module({ isGlobal = true, ...options }: ServiceAuthTestModuleOptions = {}): DynamicModule {
    const module = ServiceAuthModule.forRoot({ ...this.complete(options), isGlobal });
    const serviceAuth: FactoryProvider = {
      provide: ServiceAuth,
      useFactory: this.createServiceAuth,
      inject: SERVICE_AUTH_PARTS,
    };
    return { ...module, providers: [...(module.providers ?? []), serviceAuth] };
  }

  /**
   * Replaces keys, clock and replay store in the `ServiceAuthModule` of the application, wherever it is imported.
   * What its options say of trust and policy stays; what they say of keys is not looked at. An application with several
   * services keeps them all: name the one that is called with `calling(audience)`.
   *
   * @param builder what `Test.createTestingModule()` gives
   * @param options stand in for the application's own, which are then not made at all. With several services the
   *   application does not start: with a ServiceAuthUsageError
   * @returns the same builder
   */
  override<Builder extends ProviderOverrides<Builder>>(
    builder: Builder,
    options?: ServiceAuthTestOptions,
  ): Builder {
    return this.overrideOptions(builder, options)
      .overrideProvider(ServiceAuth)
      .useFactory(this.factoryOf(this.createServiceAuth, options));
  }

  /**
   * As `override`, but the guard asks for no token: every request counts as one of `caller`. For tests
   * about something else; says nothing about whether the application is protected.
   *
   * What routes and their decorators ask of callers still holds. In a service with `originators` the user of the caller
   * is there: `@ServiceGrant()` gives a grant of the caller's `grant`.
   */
  overrideWithoutTokens<Builder extends ProviderOverrides<Builder>>(
    builder: Builder,
    caller: TokenlessCaller,
    options?: ServiceAuthTestOptions,
  ): Builder {
    const factory = async (...parts: ServiceAuthParts): Promise<ServiceAuth> =>
      withoutTokens(await this.createServiceAuth(...parts), caller, this.keys);
    return this.overrideOptions(builder, options)
      .overrideProvider(ServiceAuth)
      .useFactory(this.factoryOf(factory, options))
      .overrideProvider(RequestAuthenticator)
      .useFactory(TOKENLESS_AUTHENTICATOR);
  }

  /**
   * A service that calls the application under test.
   *
   * @param issuer its URI; an untrusted one is refused, as in production. Default: the first of `trustedIssuers`
   */
  caller(issuer?: string): TestCaller {
    const { services, keys, clock } = this;
    return new TestCaller({ services, keys, clock }, { issuer });
  }

  /** A trusted service that calls on behalf of a user, with a grant of that user if `options` say so. */
  actingAs(subject: string, options?: ActingAsOptions): TestCaller {
    return this.caller().actingAs(subject, options);
  }

  /** A trusted service that calls in its own name. */
  actingAsItself(): TestCaller {
    return this.caller().actingAsItself();
  }

  /**
   * Verifies a request that the application under test has sent, as the service it was sent to would: signature,
   * times, audience, binding and first use, and the grant where one goes along.
   *
   * @param audience the name of that service. Default: that of the target which the URL belongs to
   * @returns what the token proves
   * @throws ServiceTokenRefusedError with a code of `REFUSALS`
   * @throws ServiceAuthUsageError where the URL belongs to no target of the application
   */
  async verifySent(request: SentRequest, audience?: string): Promise<ServiceIdentity> {
    const received = toIncoming(request);
    const receiver = audience ?? this.verifier.audienceOf(request.url);
    return await this.verifier.verify(receiver, received);
  }

  /** Starts a server that stands for a service which the application under test calls. Close it in the end. */
  async startReceiver(audience: string, options: TestReceiverOptions = {}): Promise<TestReceiver> {
    return await new TestReceiver(audience, this.verifier, options).listen();
  }

  private readonly createServiceAuth = async (
    ...[options, finderOfClass]: ServiceAuthParts
  ): Promise<ServiceAuth> => {
    const { keys, clock } = this;
    const substituted = withSubstitutes({ ...options }, finderOfClass, { keys, clock });
    const serviceAuth = await createServiceAuthFrom(substituted, finderOfClass);
    this.services.add(serviceAuth);
    return serviceAuth;
  };

  private factoryOf(
    create: (...parts: ServiceAuthParts) => Promise<ServiceAuth>,
    options: ServiceAuthTestOptions | undefined,
  ): ProviderFactory {
    const factory = async (modules: ModulesContainer, ...parts: ServiceAuthParts) => {
      if (options !== undefined) assertOneService(modules);
      return await create(...parts);
    };
    return { factory, inject: [ModulesContainer, ...SERVICE_AUTH_PARTS] };
  }

  private overrideOptions<Builder extends ProviderOverrides<Builder>>(
    builder: Builder,
    options: ServiceAuthTestOptions | undefined,
  ): Builder {
    if (options === undefined) return builder;
    return builder.overrideProvider(MODULE_OPTIONS_TOKEN).useValue(this.complete(options));
  }

  private complete(options: ServiceAuthTestOptions): ServiceAuthModuleOptions {
    return completeOptions(options, { keys: this.keys, clock: this.clock });
  }
}

/** Replaced options replace those of every service. @throws ServiceAuthUsageError where there are several */
function assertOneService(modules: ModulesContainer): void {
  const services = [...modules.values()].filter(({ providers }) => providers.has(ServiceAuth));
  if (services.length < 2) return;
  throw new ServiceAuthUsageError(
    'The application has several services, and one set of options would make them the same: call override(builder) without options, so that each keeps its own.',
  );
}
