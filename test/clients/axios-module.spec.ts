import { readFileSync } from 'node:fs';
import {
  HttpModule,
  type HttpModuleOptions,
  type HttpModuleOptionsFactory,
  HttpService,
} from '@nestjs/axios';
import {
  type DynamicModule,
  Inject,
  Injectable,
  Module,
  type ModuleMetadata,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ServiceAuthModule, ServiceSigningError } from 'nestjs-service-auth';
import {
  onBehalfOf,
  ServiceHttpModule,
  ServiceSigningInterceptor,
} from 'nestjs-service-auth/axios';
import { ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import {
  axiosOfNest,
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

const CONFIGURED = 'CONFIGURED_URL';

@Module({
  providers: [{ provide: CONFIGURED, useFactory: () => wire.url }],
  exports: [CONFIGURED],
})
class ConfiguredModule {}

@Injectable()
class OptionsFactory implements HttpModuleOptionsFactory {
  constructor(@Inject(CONFIGURED) private readonly baseURL: string) {}
  createHttpOptions(): HttpModuleOptions {
    return { baseURL: this.baseURL, headers: { 'x-made-by': 'factory' } };
  }
}

@Injectable()
class SlowOptionsFactory implements HttpModuleOptionsFactory {
  constructor(@Inject(CONFIGURED) private readonly baseURL: string) {}
  async createHttpOptions(): Promise<HttpModuleOptions> {
    return await Promise.resolve({ baseURL: this.baseURL, headers: { 'x-made-by': 'factory' } });
  }
}

@Module({ imports: [ConfiguredModule], providers: [OptionsFactory], exports: [OptionsFactory] })
class FactoryModule {}

const headers = { 'x-made-by': 'factory' };

describe('ServiceHttpModule', () => {
  it.each<[string, () => DynamicModule]>([
    ['register', () => ServiceHttpModule.register({ baseURL: wire.url, headers })],
    [
      'registerAsync with useFactory',
      () => ServiceHttpModule.registerAsync({ useFactory: () => ({ baseURL: wire.url, headers }) }),
    ],
    [
      'registerAsync with useFactory, imports and inject',
      () =>
        ServiceHttpModule.registerAsync({
          imports: [ConfiguredModule],
          inject: [CONFIGURED],
          useFactory: async (baseURL: string) => await Promise.resolve({ baseURL, headers }),
        }),
    ],
    [
      'registerAsync with useClass',
      () =>
        ServiceHttpModule.registerAsync({ imports: [ConfiguredModule], useClass: OptionsFactory }),
    ],
    [
      'registerAsync with a class that takes its time',
      () =>
        ServiceHttpModule.registerAsync({
          imports: [ConfiguredModule],
          useClass: SlowOptionsFactory,
        }),
    ],
    [
      'registerAsync with useExisting',
      () =>
        ServiceHttpModule.registerAsync({ imports: [FactoryModule], useExisting: OptionsFactory }),
    ],
    [
      'registerAsync with extraProviders',
      () =>
        ServiceHttpModule.registerAsync({
          extraProviders: [{ provide: 'EXTRA', useFactory: () => wire.url }],
          inject: ['EXTRA'],
          useFactory: (baseURL: string) => ({ baseURL, headers }),
        }),
    ],
  ])('%s gives an HttpService that signs', async (_name, define) => {
    const herald = await SendingService.start([wire.url], {}, [define()]);
    expect(herald.http).toBeInstanceOf(HttpService);
    await herald.send({ method: 'post', url: '/a', data: { a: 1 } });
    const recorded = wire.takeOne();
    expect(valuesOf(recorded, 'x-made-by')).toEqual(['factory']);
    checkStrict(recorded, FROM_HERALD);
    await herald.close();
  });

  it('honours the defaults of the instance', async () => {
    const herald = await SendingService.start([wire.url]);
    const { defaults } = herald.http.axiosRef;
    Object.assign(defaults, { baseURL: wire.url, params: { a: 1 } });
    defaults.headers.common['x-later'] = 'yes';
    await herald.send({ url: '/b' });
    const recorded = wire.takeOne();
    expect([recorded.target, ...valuesOf(recorded, 'x-later')]).toEqual(['/b?a=1', 'yes']);
    checkStrict(recorded, FROM_HERALD);
    await herald.close();
  });

  it('refuses registerAsync without anything that makes options', () => {
    expect(() => ServiceHttpModule.registerAsync({})).toThrow(
      'useFactory, useClass or useExisting',
    );
  });

  it('exports what attaches signing to other instances', async () => {
    const herald = await SendingService.start([wire.url]);
    const other = new HttpService(herald.http.axiosRef.create());
    herald.context.get(ServiceSigningInterceptor, { strict: false }).attach(other);
    await other.axiosRef.get(wire.url, onBehalfOf(USER));
    checkStrict(wire.takeOne(), FROM_HERALD);
    await herald.close();
  });

  it('does not start in a service that has no key', async () => {
    const starting = SendingService.start([], {
      signingKey: undefined,
      targets: undefined,
      trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
    });
    await expect(starting).rejects.toThrow(ServiceSigningError);
    await expect(starting).rejects.toMatchObject({ code: 'sending_disabled' });
  });
});

describe('axios', () => {
  /** The first version without the ways in which requests were sent elsewhere or with foreign credentials. */
  const FLOOR = [1, 20];
  const isAtLeastFloor = (version: string) => {
    const [major = 0, minor = 0] = version.split('.').map(Number);
    return major === FLOOR[0] && minor >= (FLOOR[1] ?? 0);
  };

  it('OS-23 is asked for in no version below the floor', () => {
    const path = new URL('../../package.json', import.meta.url);
    const manifest = JSON.parse(readFileSync(path, 'utf8')) as Record<
      'peerDependencies' | 'devDependencies',
      Readonly<Record<string, string>> | undefined
    >;
    // Where the tests run on Nest 11, the manifest says what is installed, and of no peers.
    const { axios = '' } = manifest.peerDependencies ?? manifest.devDependencies ?? {};
    expect(axios).toMatch(/^\^\d+\.\d+\.\d+$/);
    expect(isAtLeastFloor(axios.slice(1))).toBe(true);
    expect(isAtLeastFloor('1.19.9')).toBe(false);
  });

  it('OS-23 is no older here, in the very copy that sends', () => {
    expect(isAtLeastFloor(axiosOfNest.VERSION)).toBe(true);
  });
});

describe('two registrations', () => {
  @Injectable()
  class One {
    constructor(@Inject(HttpService) readonly http: HttpService) {}
  }
  @Injectable()
  class Other extends One {}

  const feature = (provider: typeof One, http: DynamicModule | undefined): DynamicModule => ({
    module: class {},
    imports: http ? [http] : [],
    providers: [provider],
    exports: [provider],
  });

  @Module({})
  class Root {}

  const start = async (
    imports: ModuleMetadata['imports'] = [],
    moduleIdGeneratorAlgorithm: 'reference' | 'deep-hash' = 'reference',
  ) => {
    const auth = ServiceAuthModule.forRoot({
      issuer: HERALD,
      signingKey: { privateKey: heraldKey.privatePem },
      targets: [{ baseUrl: wire.url, audience: CENSUS }],
    });
    const root = { module: Root, imports: [auth, ...imports] };
    const options = { logger: false, abortOnError: false, moduleIdGeneratorAlgorithm } as const;
    return await NestFactory.createApplicationContext(root as never, options);
  };

  it.each(['reference', 'deep-hash'] as const)(
    'have an instance each (modules told by %s)',
    async (algorithm) => {
      const context = await start(
        [feature(One, ServiceHttpModule.register()), feature(Other, ServiceHttpModule.register())],
        algorithm,
      );
      const [one, other] = [
        context.get(One, { strict: false }).http,
        context.get(Other, { strict: false }).http,
      ];
      expect(one.axiosRef).not.toBe(other.axiosRef);
      one.axiosRef.defaults.headers.common['x-one'] = 'yes';
      for (const http of [one, other]) await http.axiosRef.get(wire.url, onBehalfOf(USER));
      const recorded = wire.takeAll();
      expect(recorded.map((each) => valuesOf(each, 'x-one'))).toEqual([['yes'], []]);
      for (const each of recorded) checkStrict(each, FROM_HERALD);
      await context.close();
    },
  );

  it.each<[string, () => DynamicModule]>([
    ['register', () => ServiceHttpModule.register({ global: true, baseURL: wire.url })],
    [
      'registerAsync',
      () =>
        ServiceHttpModule.registerAsync({
          global: true,
          useFactory: () => ({ baseURL: wire.url }),
        }),
    ],
  ])('need but one where %s is global', async (_name, define) => {
    const context = await start([define(), feature(One, undefined)]);
    await context.get(One, { strict: false }).http.axiosRef.get('/', onBehalfOf(USER));
    checkStrict(wire.takeOne(), FROM_HERALD);
    await context.close();
    await expect(start([ServiceHttpModule.register(), feature(One, undefined)])).rejects.toThrow(
      'HttpService',
    );
  });
});

describe.each(ADAPTERS)('CF-18 HttpModule beside ServiceHttpModule, on %s', (adapter) => {
  type Imports = NonNullable<ModuleMetadata['imports']>;
  const plain = HttpModule.register({});
  const signing = ServiceHttpModule.register();
  @Module({ imports: [HttpModule], exports: [HttpModule] })
  class SharedHttpModule {}

  /** What a feature that imports these warns of, and the `HttpService` that its provider gets. */
  const start = async (imports: Imports, everywhere: Imports = []) => {
    @Injectable()
    class Calls {
      constructor(@Inject(HttpService) readonly http: HttpService) {}
    }
    @Module({ imports, providers: [Calls] })
    class FeatureModule {}
    const auth = ServiceAuthModule.forRoot({
      issuer: HERALD,
      signingKey: { privateKey: heraldKey.privatePem },
      targets: [{ baseUrl: wire.url, audience: CENSUS }],
    });
    const logger = new LogRecorder();
    const service = await startService({
      adapter,
      logger,
      imports: [auth, ...everywhere, FeatureModule],
    });
    const { http } = service.app.get(Calls, { strict: false });
    const isSigned = await http.axiosRef.get(wire.url, onBehalfOf(USER)).then(
      () => true,
      () => false,
    );
    wire.takeAll();
    await service.close();
    return { warnings: logger.texts('warn'), isSigned };
  };
  const UNSIGNED =
    /^FeatureModule imports both (Shared)?HttpModule and ServiceHttpModule.* that of (Shared)?HttpModule, which is imported first: its requests leave unsigned/;
  const SIGNED =
    /^FeatureModule imports both (Shared)?HttpModule and ServiceHttpModule.* that of ServiceHttpModule, which is imported first/;
  const globally = () => HttpModule.register({ global: true });

  it.each<[string, Imports, RegExp, boolean]>([
    ['which comes first', [HttpModule, signing], UNSIGNED, false],
    ['which comes second', [signing, HttpModule], SIGNED, true],
    ['with options, first', [plain, signing], UNSIGNED, false],
    ['with options, second', [signing, plain], SIGNED, true],
    ['in another module that exports it, first', [SharedHttpModule, signing], UNSIGNED, false],
    ['in another module that exports it, second', [signing, SharedHttpModule], SIGNED, true],
    ['that is global, first', [globally(), signing], UNSIGNED, false],
    ['alone', [HttpModule], /has targets, and the HttpService of HttpModule sends/, false],
  ])('is warned of: %s', async (_how, imports, warning, isSigned) => {
    expect(await start(imports)).toEqual({
      warnings: [expect.stringMatching(warning)],
      isSigned,
    });
  });

  it('is warned of once where both are global', async () => {
    const everywhere = [globally(), ServiceHttpModule.register({ global: true })];
    const { warnings, isSigned } = await start([], everywhere);
    expect(warnings).toEqual([
      expect.stringMatching(/^\w+ imports both HttpModule and .*unsigned/),
    ]);
    expect(isSigned).toBe(false);
  });

  it.each<[string, Imports, Imports, boolean]>([
    ['ServiceHttpModule alone', [signing], [], true],
    ['HttpModule alone, in another module than ServiceHttpModule', [plain], [signing], false],
    ['ServiceHttpModule alone, where HttpModule is global', [signing], [globally()], true],
    [
      'HttpModule alone, where ServiceHttpModule is global',
      [plain],
      [ServiceHttpModule.register({ global: true })],
      false,
    ],
    ['two of ServiceHttpModule', [signing, ServiceHttpModule.register()], [], true],
    ['HttpModule beside the signing fetch', [HttpModule, ServiceFetchModule], [], false],
  ])('is not warned of: %s', async (_how, imports, everywhere, isSigned) => {
    expect(await start(imports, everywhere)).toEqual({ warnings: [], isSigned });
  });
});
