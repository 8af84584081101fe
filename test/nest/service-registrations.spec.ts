import { HttpService } from '@nestjs/axios';
import {
  type DynamicModule,
  forwardRef,
  Global,
  Inject,
  Injectable,
  Module,
  type ModuleMetadata,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  ServiceAuthConfigError,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { ADAPTERS, startService } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const ARCHIVE = 'https://archive.service/';
const TARGET = 'https://ledger.service/';
const KEYS = '/.well-known/jwks.json';
const [censusKey, archiveKey] = [createKey(), createKey()];

type Options = Partial<ServiceAuthModuleOptions> & { isGlobal?: boolean };

const optionsOf = (issuer: string, options: Options = {}) => ({
  issuer,
  signingKey: { privateKey: issuer === CENSUS ? censusKey.privatePem : archiveKey.privatePem },
  targets: [{ baseUrl: TARGET }],
  ...options,
});
const census = (options?: Options) => ServiceAuthModule.forRoot(optionsOf(CENSUS, options));
const archive = (options?: Options) =>
  ServiceAuthModule.forRoot(optionsOf(ARCHIVE, { publishedKeys: 'off', ...options }));

type Imports = NonNullable<ModuleMetadata['imports']>;

/** A module that other modules import, or that declares what needs a service. */
const moduleOf = (name: string, metadata: ModuleMetadata): Type => {
  const { [name]: type } = { [name]: class {} };
  Module(metadata)(type as Type);
  return type as Type;
};
const appOf = (...imports: Imports): Type => moduleOf('AppModule', { imports });

const quiet = { logger: false, abortOnError: false } as const;

/** Every way in which an application starts, up to where it is used. */
const STARTS: [string, (root: Type) => Promise<{ close(): Promise<void> }>][] = [
  ['express', async (root) => await NestFactory.create(root, new ExpressAdapter(), quiet)],
  ['fastify', async (root) => await NestFactory.create(root, new FastifyAdapter(), quiet)],
  ['a standalone context', async (root) => await NestFactory.createApplicationContext(root, quiet)],
  [
    'a microservice',
    async (root) =>
      await NestFactory.createMicroservice<MicroserviceOptions>(root, {
        ...quiet,
        transport: Transport.TCP,
      }),
  ],
  [
    'a testing module',
    async (root) => await Test.createTestingModule({ imports: [root] }).compile(),
  ],
];

async function problemsOf(starting: Promise<{ close(): Promise<void> }>): Promise<string[]> {
  try {
    await (await starting).close();
    return [];
  } catch (error) {
    if (error instanceof ServiceAuthConfigError) return [...error.problems];
    throw error;
  }
}

describe.each(STARTS)('CF-15 a second global service, in %s', (_name, start) => {
  @Global()
  @Module({ imports: [archive({ isGlobal: false })], exports: [ServiceAuthModule] })
  class SharedArchive {}
  class ArchiveAuth extends ServiceAuthModule {}

  it.each<[string, () => Imports]>([
    ['forRoot() twice', () => [census(), archive()]],
    [
      'forRoot() and forRootAsync()',
      () => [census(), ServiceAuthModule.forRootAsync({ useFactory: () => optionsOf(ARCHIVE) })],
    ],
    [
      'forRootAsync() twice',
      () =>
        [CENSUS, ARCHIVE].map((issuer) =>
          ServiceAuthModule.forRootAsync({ useFactory: () => optionsOf(issuer) }),
        ),
    ],
    ['far from the first', () => [census(), appOf(appOf(archive()))]],
    ['through a global module of the application', () => [census(), SharedArchive]],
    ['with a class of its own', () => [census(), ArchiveAuth.forRoot(optionsOf(ARCHIVE))]],
  ])('is refused: %s', async (_how, imports) => {
    const problems = await problemsOf(start(appOf(...imports())));
    expect(problems).toEqual([expect.stringMatching(/^isGlobal: .*Write isGlobal: false/)]);
    for (const module of ['ServiceHttpModule', 'ServiceFetchModule']) {
      expect(problems[0]).toContain(`${module}.register({ imports: [...] })`);
    }
  });

  it('is refused before a key is read', async () => {
    let asked = 0;
    const signingKey = async () => {
      asked += 1;
      return await Promise.resolve({ privateKey: censusKey.privatePem });
    };
    expect(await problemsOf(start(appOf(census({ signingKey }), archive())))).toHaveLength(1);
    expect(asked).toBe(0);
    expect(await problemsOf(start(appOf(census({ signingKey }))))).toEqual([]);
    expect(asked).toBe(1);
  });

  const [local, shared] = [archive({ isGlobal: false }), census()];
  @Global()
  @Module({ imports: [shared], exports: [ServiceAuthModule] })
  class SharedCensus {}
  it.each<[string, Imports]>([
    ['one that is global, and one that is not', [census(), local]],
    ['two that are not', [census({ isGlobal: false }), local]],
    ['one module that is imported twice', [shared, appOf(shared)]],
    ['one that is not global, imported twice', [census(), local, appOf(local)]],
    ['one that a global module of the application exports too', [shared, SharedCensus]],
  ])('is none: %s', async (_how, imports) => {
    expect(await problemsOf(start(appOf(...imports)))).toEqual([]);
  });
});

describe.each(ADAPTERS)('CF-15 two applications in one process, on %s', (adapter) => {
  it('have a global service each', async () => {
    const [one, other] = [
      await startService({ adapter, imports: [census()] }),
      await startService({ adapter, imports: [archive({ publishedKeys: undefined })] }),
    ];
    const keyIds = await Promise.all(
      [one, other].map(async ({ port }) => (await call(port, { target: KEYS })).json?.['keys']),
    );
    expect(keyIds).toMatchObject([[{ kid: censusKey.keyId }], [{ kid: archiveKey.keyId }]]);
    await Promise.all([one.close(), other.close()]);
  });
});

describe.each(ADAPTERS)('CF-16 two key sets of one application, on %s', (adapter) => {
  const start = async (path?: string) =>
    await startService({
      adapter,
      imports: [census(), archive({ isGlobal: false, publishedKeys: path ? { path } : {} })],
    });

  it.each([
    ['at the path that both have by default', undefined],
    ['at paths that differ in their case', '/.Well-Known/JWKS.json'],
  ])('%s: the application does not start', async (_where, path) => {
    expect(await problemsOf(start(path))).toEqual([
      expect.stringMatching(
        /^publishedKeys\.path: https:\/\/(census|archive)\.service\/ and .* at \/\.well-known\/jwks\.json; write another path/i,
      ),
    ]);
  });

  it('at two paths are served each', async () => {
    const service = await start('/archive/keys.json');
    for (const [target, { keyId }] of [
      [KEYS, censusKey],
      ['/archive/keys.json', archiveKey],
    ] as const) {
      expect((await call(service.port, { target })).json).toMatchObject({ keys: [{ kid: keyId }] });
    }
    await service.close();
  });

  it('are one where the other service publishes none', async () => {
    const silent = archive({ isGlobal: false, publishedKeys: 'off' });
    const service = await startService({ adapter, imports: [census(), silent] });
    expect((await call(service.port, { target: KEYS })).json).toMatchObject({
      keys: [{ kid: censusKey.keyId }],
    });
    await service.close();
  });
});

@Injectable()
class Fetching {
  constructor(@Inject(ServiceFetch) readonly fetch: ServiceFetch) {}
}
@Injectable()
class Requesting {
  @Inject(HttpService) readonly http: HttpService | undefined;
}

/** Each client, registered with what it is to sign with, and a provider that uses it. */
const CLIENTS: [string, (imports?: Imports) => DynamicModule | Type, Type][] = [
  ['ServiceHttpModule', (imports) => ServiceHttpModule.register({ imports }), Requesting],
  [
    'ServiceHttpModule',
    (imports) => ServiceHttpModule.registerAsync({ imports, useFactory: () => ({}) }),
    Requesting,
  ],
  [
    'ServiceFetchModule',
    (imports) => (imports ? ServiceFetchModule.register({ imports }) : ServiceFetchModule),
    Fetching,
  ],
  [
    'ServiceFetchModule',
    (imports) => ServiceFetchModule.registerAsync({ imports, useFactory: () => ({}) }),
    Fetching,
  ],
];

describe.each(CLIENTS)('CF-17 a %s beside a service that is not global', (name, client, user) => {
  const start = async (...imports: Imports) =>
    await NestFactory.createApplicationContext(appOf(...imports), quiet);
  const featureOf = (...imports: Imports): Type =>
    moduleOf('FeatureModule', { imports, providers: [user] });
  const [global, local] = [census(), archive({ isGlobal: false })];

  it('does not start where it would sign for the global one', async () => {
    for (const imports of [
      [local, client()],
      [client(), local],
    ]) {
      expect(await problemsOf(start(global, featureOf(...imports)))).toEqual([
        `imports: FeatureModule imports the ServiceAuthModule of ${ARCHIVE}, and its ${name} signs for ${CENSUS}, whose module is global. Write ${name}.register({ imports: [...] }) with the ServiceAuthModule that is to sign.`,
      ]);
    }
  });

  it.each<[string, () => Imports]>([
    ['with that service', () => [global, featureOf(local, client([local]))]],
    ['with the global one, in so many words', () => [global, featureOf(local, client([global]))]],
    [
      'with a reference to the global one',
      () => [global, featureOf(local, client([forwardRef(() => global)]))],
    ],
    [
      'with a module that exports it',
      () => [
        global,
        featureOf(
          local,
          client([moduleOf('Auth', { imports: [local], exports: [ServiceAuthModule] })]),
        ),
      ],
    ],
    ['in a module that imports no service', () => [global, local, featureOf(client())]],
    [
      'beside one that calls nobody',
      () => {
        const trustedIssuers = [{ issuer: CENSUS, publicKey: censusKey.publicPem }];
        const receiving = { signingKey: undefined, targets: undefined, trustedIssuers };
        const options = { ...receiving, isGlobal: false };
        return [global, featureOf(archive(options), client())];
      },
    ],
    [
      'where nothing uses it',
      () => [global, moduleOf('FeatureModule', { imports: [local, client()] })],
    ],
  ])('starts %s', async (_how, imports) => {
    expect(await problemsOf(start(...imports()))).toEqual([]);
  });

  it('does not start where no service is global and it is given none', async () => {
    await expect(start(local, featureOf(local, client()))).rejects.toThrow(
      // On Nest 11 the client itself is asked first.
      /its Service(Http|Fetch)Module has no service to sign for\. Write Service(Http|Fetch)Module\.register\(|needs ServiceAuthModule, whose service signs and verifies/,
    );
  });
});

describe('CF-15 an application with a second global service', () => {
  it.each(ADAPTERS)('opens no port, on %s', async (adapter) => {
    const sockets = (): number =>
      process.getActiveResourcesInfo().filter((each) => each === 'TCPServerWrap').length;
    const before = sockets();
    const imports = [census(), archive()];
    expect(await problemsOf(startService({ adapter, imports }))).toHaveLength(1);
    expect(sockets()).not.toBeGreaterThan(before);
  });
});
