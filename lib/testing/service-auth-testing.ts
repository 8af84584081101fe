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

/** The options of the testing kit. */
export interface ServiceAuthTestingOptions {
  /** The first time of the clock. Default: the time of creation. */
  readonly startAt?: Date;
}

/** The options of `module()`: those of the module, and whether it is global. */
export interface ServiceAuthTestModuleOptions extends ServiceAuthTestOptions {
  readonly isGlobal?: boolean;
}

type ServiceAuthParts = [ServiceAuthModuleOptions, TrustedIssuerFinderProvider];

/** The providers that the factory of a replaced `ServiceAuth` gets. */
const SERVICE_AUTH_PARTS = [MODULE_OPTIONS_TOKEN, TrustedIssuerFinderProvider];

/**
 * Plays the other services in the tests of one service: it signs their requests, and verifies the requests that they
 * get. It creates all keys, which end with the process. Guard, signer and verifier are the real ones.
 *
 * @example
 * `const auth = new ServiceAuthTesting();`
 * `const app = (await auth.override(Test.createTestingModule({ imports: [AppModule] })).compile()).createNestApplication();`
 * `await request(app.getHttpServer()).get('/user/42').set(await auth.actingAs(USER).headersFor('GET', '/user/42'));`
 */
export class ServiceAuthTesting {
  /** The clock for issuing and verifying tokens, here and in the application under test. */
  readonly clock: TestClock;
  private readonly keys = new ThrowAwayKeys();
  private readonly services = new ServicesUnderTest();
  private readonly verifier: SentRequestVerifier;

  constructor({ startAt }: ServiceAuthTestingOptions = {}) {
    this.clock = new TestClock(startAt);
    this.verifier = new SentRequestVerifier(this.services, this.keys, this.clock);
  }

  /**
   * Replaces `ServiceAuthModule.forRoot(...)` in a test that builds its own module.
   *
   * @param options the options that matter for the test. Default: the service is `https://service.test/` and trusts
   *   `https://caller.test/`
   * @param options.isGlobal as for `forRoot`. Default: true
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
   * Replaces keys, clock and replay store in the `ServiceAuthModule` of the application, wherever it is imported. The
   * options for trust and policy stay; those for keys are ignored. An application with several services keeps them
   * all: name the called one with `calling(audience)`.
   *
   * @param builder the result of `Test.createTestingModule()`
   * @param options replace the application's own, whose factory is then not called. With several services the
   *   application fails to start, with a ServiceAuthUsageError
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
   * As `override`, but the guard requires no token: every request counts as one of `caller`. Use it for tests of
   * other things. Such tests do not show whether the application is protected.
   *
   * The requirements of routes still apply. In a service with `originators`, `@ServiceGrant()` gives the grant from
   * the caller's `grant`.
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
   * @param issuer its URI; the guard refuses an untrusted one, as in production. Default: the first of
   *   `trustedIssuers`
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
   * Verifies a request that the application under test has sent, as the called service would: signature, times,
   * audience, binding and first use, and the grant if there is one.
   *
   * @param audience the name of the called service. Default: that of the URL's target
   * @returns what the token proves
   * @throws ServiceTokenRefusedError with a code of `REFUSALS`
   * @throws ServiceAuthUsageError if the URL belongs to no target of the application
   */
  async verifySent(request: SentRequest, audience?: string): Promise<ServiceIdentity> {
    const received = toIncoming(request);
    const receiver = audience ?? this.verifier.audienceOf(request.url);
    return await this.verifier.verify(receiver, received);
  }

  /** Starts a server that plays a service which the application under test calls. Close it at the end. */
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

/** Replaced options replace those of every service. @throws ServiceAuthUsageError if there are several services */
function assertOneService(modules: ModulesContainer): void {
  const services = [...modules.values()].filter(({ providers }) => providers.has(ServiceAuth));
  if (services.length < 2) return;
  throw new ServiceAuthUsageError(
    'The application has several services, and one set of options would make them the same: call override(builder) without options, so that each keeps its own.',
  );
}
