import { Controller, Get, Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ServiceAuth,
  ServiceAuthConfigError,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCallContext,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { createServiceAuth, createSignedFetch as createFromCore } from 'nestjs-service-auth/core';
import {
  actingAsItself,
  type AnyFetch,
  createSignedFetch,
  onBehalfOf,
  ServiceFetch,
  ServiceFetchModule,
} from 'nestjs-service-auth/fetch';
import { RecordingServer } from '../support/http/recording-server.js';
import {
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

const auth = (options: Partial<ServiceAuthModuleOptions> = {}) =>
  ServiceAuthModule.forRoot({
    issuer: HERALD,
    signingKey: { privateKey: heraldKey.privatePem },
    targets: [{ baseUrl: wire.url, audience: CENSUS }],
    ...options,
  });

/** A fetch that leaves a note of each URL. */
function noting(seen: string[]): AnyFetch {
  return async (input: string, init: RequestInit) => {
    seen.push(input);
    return await fetch(input, init);
  };
}

@Injectable()
class FetchOptions {
  static seen: string[] = [];
  createServiceFetchOptions() {
    return { fetch: noting(FetchOptions.seen) };
  }
}
@Module({ providers: [FetchOptions], exports: [FetchOptions] })
class FetchOptionsModule {}

describe('ServiceFetchModule', () => {
  const seen: string[] = [];
  it.each([
    ['as it is', ServiceFetchModule, undefined],
    ['register()', ServiceFetchModule.register({}), undefined],
    ['register({ fetch })', ServiceFetchModule.register({ fetch: noting(seen) }), seen],
    [
      'register({ fetch: undefined })',
      ServiceFetchModule.register({ fetch: undefined, isGlobal: true }),
      undefined,
    ],
    [
      'registerAsync({ useFactory })',
      ServiceFetchModule.registerAsync({
        imports: [FetchOptionsModule],
        inject: [FetchOptions],
        useFactory: (options: FetchOptions) => options.createServiceFetchOptions(),
      }),
      FetchOptions.seen,
    ],
    [
      'registerAsync({ useClass })',
      ServiceFetchModule.registerAsync({ useClass: FetchOptions }),
      FetchOptions.seen,
    ],
    [
      'registerAsync({ useExisting })',
      ServiceFetchModule.registerAsync({
        imports: [FetchOptionsModule],
        useExisting: FetchOptions,
      }),
      FetchOptions.seen,
    ],
  ])('%s provides a fetch that signs', async (_name, module, notes) => {
    notes?.splice(0);
    @Injectable()
    class Census {
      constructor(@Inject(ServiceFetch) readonly fetch: ServiceFetch) {}
    }
    @Module({ imports: [auth(), module], providers: [Census] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    const { fetch: signedFetch } = app.get(Census);
    await (await signedFetch(`${wire.url}/a`, onBehalfOf(USER))).text();
    checkStrict(wire.takeOne(), FROM_HERALD);
    if (notes) expect(notes).toEqual([`${wire.url}/a`]);
    await app.close();
  });

  it.each(ADAPTERS)('is one for each module that registers it, on %s', async (adapter) => {
    const [ours, theirs]: [string[], string[]] = [[], []];
    const feature = (name: string, notes: string[]) => {
      // Without @Inject: the class is the token.
      @Controller(name)
      class FeatureController {
        constructor(private readonly fetch: ServiceFetch) {}
        @Get()
        async get() {
          return await (await this.fetch(`${wire.url}/${name}`, actingAsItself())).text();
        }
      }
      @Module({
        imports: [ServiceFetchModule.register({ fetch: noting(notes) })],
        controllers: [FeatureController],
      })
      class FeatureModule {}
      return FeatureModule;
    };
    const imports = [auth(), feature('ours', ours), feature('theirs', theirs)];
    const nest = { moduleIdGeneratorAlgorithm: 'deep-hash' } as const;
    const service = await startService({ adapter, imports, nest });
    for (const name of ['ours', 'theirs', 'theirs'])
      await (await fetch(`${service.url}/${name}`)).text();
    expect(ours).toEqual([`${wire.url}/ours`]);
    expect(theirs).toEqual([`${wire.url}/theirs`, `${wire.url}/theirs`]);
    for (const recorded of wire.takeAll())
      checkStrict(recorded, { ...FROM_HERALD, subject: undefined });
    await service.close();
  });

  const startWith = async (...imports: unknown[]) => {
    const module = { module: class AppModule {}, imports };
    return await NestFactory.createApplicationContext(module as never, {
      logger: false,
      abortOnError: false,
    });
  };

  it('does not let a service start that has no key to sign with, though one without it does', async () => {
    const trustedIssuers = [{ issuer: CENSUS, publicKey: heraldKey.publicPem }];
    const receiving = auth({ signingKey: undefined, targets: undefined, trustedIssuers });
    const error: unknown = await startWith(receiving, ServiceFetchModule).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ServiceSigningError);
    expect(error).toMatchObject({ code: 'sending_disabled' });
    await (await startWith(receiving)).close();
  });

  it.each<[string, object, string]>([
    ['no function', { fetch: 'fetch' }, 'fetch: write a function that is called like fetch'],
    ['an unknown name', { fetchh: fetch }, 'fetchh: unknown option; did you mean fetch?'],
  ])('does not let a service start with %s in its options', async (_name, options, problem) => {
    const starting = startWith(auth(), ServiceFetchModule.register(options));
    const error: unknown = await starting.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ServiceAuthConfigError);
    expect((error as ServiceAuthConfigError).problems).toEqual([problem]);
  });
});

describe('createSignedFetch', () => {
  const options = {
    issuer: HERALD,
    signingKey: { privateKey: heraldKey.privatePem },
    targets: [{ baseUrl: 'http://will.be.replaced/', audience: CENSUS }],
  };
  const here = () => ({ ...options, targets: [{ baseUrl: wire.url, audience: CENSUS }] });

  it('signs without Nest, and is the same from both entry points', async () => {
    expect(createFromCore).toBe(createSignedFetch);
    const herald = await createServiceAuth(here());
    const signedFetch = createSignedFetch(herald);
    await (await signedFetch(wire.url, onBehalfOf(USER))).text();
    checkStrict(wire.takeOne(), FROM_HERALD);
    await expect(signedFetch(wire.url)).rejects.toMatchObject({ code: 'subject_undecided' });
    herald.close();
  });

  it('asks the call context it is given', async () => {
    const herald = await createServiceAuth(here());
    const callContext = new ServiceCallContext(herald, {});
    const signedFetch = createSignedFetch(herald, { callContext });
    await callContext.runOnBehalfOf(USER, async () => await (await signedFetch(wire.url)).text());
    checkStrict(wire.takeOne(), FROM_HERALD);
    herald.close();
  });

  it('sends by the fetch that the process has when it is called', async () => {
    const herald = await createServiceAuth(here());
    const signedFetch = createSignedFetch(herald);
    const original = globalThis.fetch;
    const seen: string[] = [];
    globalThis.fetch = noting(seen) as typeof fetch;
    try {
      // What replaces it here calls the global one.
      globalThis.fetch = (async (input: string, init: RequestInit) => {
        seen.push(input);
        return await original(input, init);
      }) as typeof fetch;
      await (await signedFetch(`${wire.url}/a`, onBehalfOf(USER))).text();
    } finally {
      globalThis.fetch = original;
    }
    expect(seen).toEqual([`${wire.url}/a`]);
    checkStrict(wire.takeOne(), FROM_HERALD);
    herald.close();
  });

  it('signs once more where it is the fetch of another, for the user who was named', async () => {
    const herald = await createServiceAuth(here());
    const callContext = new ServiceCallContext(herald, {});
    const inner = createSignedFetch(herald, { callContext });
    const outer = createSignedFetch(herald, { callContext, fetch: inner });
    await callContext.runOnBehalfOf('https://census.service/user/42/', async () => {
      await (await outer(wire.url, onBehalfOf(USER, { method: 'POST', body: 'x' }))).text();
    });
    checkStrict(wire.takeOne(), FROM_HERALD);
    herald.close();
  });

  it.each<[string, unknown, string[]]>([
    ['no object', 'fetch', ['options: write an object']],
    ['null', null, ['options: write an object']],
    [
      'several mistakes',
      { fetch: 1, callContext: {}, fetcher: 1 },
      [
        'fetcher: unknown option; did you mean fetch?',
        'fetch: write a function that is called like fetch',
        'callContext: write an object with a method current',
      ],
    ],
  ])('refuses options of %s', async (_name, wrong, problems) => {
    const herald = await createServiceAuth(here());
    const create = (given: unknown) => () => createSignedFetch(herald, given as object);
    expect(create(wrong)).toThrow(new ServiceAuthConfigError(problems));
    expect(create({ fetch: undefined, callContext: undefined })).not.toThrow();
    herald.close();
  });

  it('refuses a service without a signing key at once', async () => {
    const census = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
    });
    expect(census).toBeInstanceOf(ServiceAuth);
    expect(() => createSignedFetch(census)).toThrow(ServiceSigningError);
    census.close();
  });
});
