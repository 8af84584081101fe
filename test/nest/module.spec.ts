import { HttpService } from '@nestjs/axios';
import {
  type CanActivate,
  Controller,
  type DynamicModule,
  type ExecutionContext,
  Get,
  Inject,
  Injectable,
  Module,
  Req,
  UseGuards,
} from '@nestjs/common';
import {
  ServiceAuthConfigError,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  type ServiceAuthOptionsFactory,
  ServiceCallContext,
  ServiceJwtGuard,
  ServiceSigningError,
  ServiceSubject,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { callInMemory } from '../support/http/in-memory.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const OTHER_USER = 'https://census.service/user/42/';
const herald = new Caller(HERALD, CENSUS);
const censusKey = createKey();

const receivingOptions: ServiceAuthModuleOptions = {
  issuer: CENSUS,
  trustedIssuers: [herald.trusted],
};

@Controller()
class GuardedController {
  @Get('whoami')
  @UseGuards(ServiceJwtGuard)
  whoAmI(@ServiceSubject() subject: string) {
    return { subject };
  }
  @Get('open')
  open() {
    return { open: true };
  }
}

@Injectable()
class Settings {
  readonly issuer = CENSUS;
}

@Module({ providers: [Settings], exports: [Settings] })
class SettingsModule {}

@Injectable()
class OptionsFactory implements ServiceAuthOptionsFactory {
  constructor(@Inject(Settings) private readonly settings: Settings) {}

  async createServiceAuthOptions(): Promise<ServiceAuthModuleOptions> {
    return await Promise.resolve({ ...receivingOptions, issuer: this.settings.issuer });
  }
}

@Module({
  imports: [SettingsModule],
  providers: [OptionsFactory],
  exports: [OptionsFactory],
})
class OptionsModule {}

/** Listening sockets that are open or about to be closed: only more of them than before mean anything. */
const listeningSockets = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;

describe.each(ADAPTERS)('ServiceAuthModule on %s', (adapter) => {
  const running: TestService[] = [];
  const start = async (options: Omit<Parameters<typeof startService>[0], 'adapter'>) => {
    const service = await startService({ adapter, ...options });
    running.push(service);
    return service;
  };
  afterEach(async () => {
    await Promise.all(running.splice(0).map(async (service) => await service.close()));
  });

  const waysIn: [string, () => DynamicModule][] = [
    ['forRoot', () => ServiceAuthModule.forRoot(receivingOptions)],
    [
      'forRootAsync with useFactory, inject and imports',
      () =>
        ServiceAuthModule.forRootAsync({
          imports: [SettingsModule],
          inject: [Settings],
          useFactory: async ({ issuer }: Settings) =>
            await Promise.resolve({ ...receivingOptions, issuer }),
        }),
    ],
    [
      'forRootAsync with useClass',
      () => ServiceAuthModule.forRootAsync({ imports: [SettingsModule], useClass: OptionsFactory }),
    ],
    [
      'forRootAsync with useExisting',
      () =>
        ServiceAuthModule.forRootAsync({ imports: [OptionsModule], useExisting: OptionsFactory }),
    ],
  ];

  it.each(waysIn)('%s configures the guard', async (_way, createModule) => {
    const census = await start({ imports: [createModule()], controllers: [GuardedController] });
    expect((await herald.get(census.port, '/whoami', USER)).json).toEqual({ subject: USER });
    expect(await call(census.port, { target: '/whoami' })).toMatchObject({
      status: 401,
      code: 'token_missing',
    });
  });

  describe('isGlobal', () => {
    @Module({ controllers: [GuardedController] })
    class FeatureModule {}
    const featureWith = (...imports: DynamicModule[]): DynamicModule => ({
      module: FeatureModule,
      imports,
    });

    it.each([
      ['by default', receivingOptions],
      ['when true', { ...receivingOptions, isGlobal: true }],
    ])('%s: a feature module need not import the module', async (_title, options) => {
      const census = await start({ imports: [ServiceAuthModule.forRoot(options), featureWith()] });
      expect(await herald.get(census.port, '/whoami', USER)).toMatchObject({ status: 200 });
    });

    const localModules: [string, () => DynamicModule][] = [
      ['forRoot', () => ServiceAuthModule.forRoot({ ...receivingOptions, isGlobal: false })],
      [
        'forRootAsync',
        () =>
          ServiceAuthModule.forRootAsync({ isGlobal: false, useFactory: () => receivingOptions }),
      ],
    ];
    it.each(localModules)(
      'false in %s: a feature module that does not import it fails to start, one that does works',
      async (_way, createModule) => {
        const serviceAuth = createModule();
        await expect(start({ imports: [serviceAuth, featureWith()] })).rejects.toThrow(
          /ServiceJwtGuard/,
        );
        const census = await start({ imports: [serviceAuth, featureWith(serviceAuth)] });
        expect(await herald.get(census.port, '/whoami', USER)).toMatchObject({ status: 200 });
        expect(await call(census.port, { target: '/whoami' })).toMatchObject({ status: 401 });
      },
    );
  });

  describe('an application with wrong options does not start', () => {
    const wrong = {
      issuer: 'census',
      audience: ['https://census.service/', 'nonsense'],
      trustedIssuers: [
        { issuer: HERALD, publicKey: 'no key' },
        { issuer: 'https://archive.service/', publicKey: herald.key.publicPem, profil: 'strict' },
      ],
      targets: [{ baseUrl: 'https://archive.service/' }],
      clockToleranceSeconds: 3600,
      unknownTargets: 'send',
      trustedIsuers: [],
      userResolver: { resolve: () => 'x' },
      tokenAfterVerification: 'retain',
      subjectPropagation: 'implicit',
    } as unknown as ServiceAuthModuleOptions;
    const wrongFields = [
      'trustedIsuers',
      'issuer',
      'audience[1]',
      'clockToleranceSeconds',
      'trustedIssuers[0].publicKey',
      'trustedIssuers[1].profil',
      'unknownTargets',
      'signingKey',
      'userResolver',
      'tokenAfterVerification',
      'subjectPropagation',
    ];

    const failing: [string, () => DynamicModule][] = [
      ['forRoot', () => ServiceAuthModule.forRoot(wrong)],
      ['forRootAsync', () => ServiceAuthModule.forRootAsync({ useFactory: () => wrong })],
    ];
    it.each(failing)(
      'CF-09 %s reports all mistakes together, and opens no port',
      async (_way, createModule) => {
        const socketsBefore = listeningSockets();
        const failure: unknown = await start({ imports: [createModule()] }).catch(
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(ServiceAuthConfigError);
        if (!(failure instanceof ServiceAuthConfigError)) return;
        const fields = failure.problems.map((problem) => problem.split(': ')[0]);
        expect(new Set(fields)).toEqual(new Set(wrongFields));
        expect(fields).toHaveLength(wrongFields.length);
        for (const problem of failure.problems) {
          expect(problem).toMatch(/^[\w.[\]]+: .+/);
          expect(failure.message).toContain(problem);
        }
        expect(listeningSockets()).not.toBeGreaterThan(socketsBefore);
      },
    );

    it.each([
      ['userResolvr', 'userResolver'],
      ['reportUntill', 'reportUntil'],
      ['rawbody', 'rawBody'],
      ['audiance', 'audience'],
    ])('names the option that %s is nearly', async (name, meant) => {
      const options = { ...receivingOptions, [name]: undefined } as never;
      await expect(start({ imports: [ServiceAuthModule.forRoot(options)] })).rejects.toMatchObject({
        problems: [`${name}: unknown option; did you mean ${meant}?`],
      });
    });

    it('is logged as its list, with no line of a stack', async () => {
      const logger = new LogRecorder();
      const options = { ...receivingOptions, issuer: 'census' };
      const failing = start({ imports: [ServiceAuthModule.forRoot(options)], logger });
      await expect(failing).rejects.toThrow(ServiceAuthConfigError);
      const lines = logger.texts('error').join('\n').split('\n');
      expect(lines.filter((line) => /^\s+at /.test(line))).toEqual([]);
      expect(lines.join()).toContain("issuer: 'census' is no absolute URI");
      expect(lines.length).toBeLessThanOrEqual(8);
    });

    it('reports wrong module options even when everything else is right', async () => {
      const options = { ...receivingOptions, userResolver: 'UserResolver' } as never;
      await expect(start({ imports: [ServiceAuthModule.forRoot(options)] })).rejects.toMatchObject({
        problems: [expect.stringMatching(/^userResolver: write /)],
      });
    });

    it.each([
      ['an arrow function', (): null => null],
      ['a function of a class without resolveUser', class NoResolver {}],
    ])('CF-09 a userResolver that is %s is a ServiceAuthConfigError', async (_title, value) => {
      const options = { ...receivingOptions, userResolver: value } as never;
      await expect(start({ imports: [ServiceAuthModule.forRoot(options)] })).rejects.toMatchObject({
        problems: [
          expect.stringMatching(/^userResolver: .*write a class or an object with a method/),
        ],
      });
    });

    it.each([
      ['nothing', undefined],
      ['null', null],
      ['a string', 'census'],
      ['an empty object', {}],
    ])('CF-09 a factory that returns %s is a ServiceAuthConfigError', async (_title, options) => {
      const module = ServiceAuthModule.forRootAsync({ useFactory: () => options as never });
      await expect(start({ imports: [module] })).rejects.toBeInstanceOf(ServiceAuthConfigError);
    });

    it('CF-09 a factory that rejects: the port is never opened', async () => {
      const socketsBefore = listeningSockets();
      const outage = new Error('the configuration server is down');
      const module = ServiceAuthModule.forRootAsync({
        useFactory: async () => await Promise.reject(outage),
      });
      await expect(start({ imports: [module] })).rejects.toBe(outage);
      expect(listeningSockets()).not.toBeGreaterThan(socketsBefore);
    });

    it.each(['issuer', 'audience', 'signingKey'])(
      'CF-09 a factory that reads %s from a variable that is not set',
      async (name) => {
        const socketsBefore = listeningSockets();
        const unset = process.env['SERVICE_AUTH_TEST_UNSET'];
        const good = {
          ...receivingOptions,
          audience: [CENSUS],
          signingKey: { privateKey: censusKey.privatePem },
          targets: [{ baseUrl: 'http://127.0.0.1:9/' }],
        };
        const wrong = { issuer: unset, audience: [unset], signingKey: { privateKey: unset } };
        const optionsWith = (value: object) => ({ ...good, ...value }) as ServiceAuthModuleOptions;
        const startWith = async (options: ServiceAuthModuleOptions) =>
          await start({
            imports: [ServiceAuthModule.forRootAsync({ useFactory: () => options })],
          });
        const option = { [name]: wrong[name as keyof typeof wrong] };
        await expect(startWith(optionsWith(option))).rejects.toMatchObject({
          problems: [expect.stringMatching(new RegExp(`^${name}`))],
        });
        expect(listeningSockets()).not.toBeGreaterThan(socketsBefore);
        await startWith(optionsWith({}));
      },
    );

    it('one that is right opens a port, so that the counts above mean something', async () => {
      const socketsBefore = listeningSockets();
      for (let count = 0; count < 3; count++) {
        await start({ imports: [ServiceAuthModule.forRoot(receivingOptions)] });
      }
      expect(listeningSockets()).toBeGreaterThan(socketsBefore);
    });
  });

  describe('halves of the configuration', () => {
    it('a service that only sends never lets a request pass its guard: 500, and the log says why', async () => {
      const logger = new LogRecorder();
      const sender = await start({
        logger,
        imports: [
          ServiceAuthModule.forRoot({
            issuer: CENSUS,
            signingKey: { privateKey: censusKey.privatePem },
            targets: [{ baseUrl: 'http://127.0.0.1:9/' }],
          }),
        ],
        controllers: [GuardedController],
      });
      expect(await call(sender.port, { target: '/open' })).toMatchObject({ status: 200 });
      expect(logger.texts('error')).toEqual([]);
      const answers = [
        await herald.get(sender.port, '/whoami', USER),
        await call(sender.port, { target: '/whoami' }),
      ];
      for (const { status, text } of answers) {
        expect(status).toBe(500);
        expect(text).not.toMatch(/trustedIssuers|subject/);
      }
      const errors = logger.texts('error');
      expect(errors).toHaveLength(2);
      for (const error of errors) {
        expect(error).toMatch(/ServiceAuthUsageError/);
        expect(error).toMatch(/no `trustedIssuers`/);
      }
    });

    it('a service that only receives starts without a key', async () => {
      const census = await start({
        imports: [ServiceAuthModule.forRoot(receivingOptions)],
        controllers: [GuardedController],
      });
      expect(await herald.get(census.port, '/whoami', USER)).toMatchObject({ status: 200 });
    });
  });

  describe('CF-12 an option that protects less than its default', () => {
    const sending = {
      signingKey: { privateKey: censusKey.privatePem },
      targets: [{ baseUrl: 'http://127.0.0.1:9/' }],
    };
    const warningsOf = async (options: Partial<ServiceAuthModuleOptions>) => {
      const logger = new LogRecorder();
      const all = { ...receivingOptions, ...sending, ...options };
      await start({ logger, imports: [ServiceAuthModule.forRoot(all)] });
      return logger.texts('warn');
    };

    it.each<[string, Partial<ServiceAuthModuleOptions>, Partial<ServiceAuthModuleOptions>]>([
      ['unknownTargets', { unknownTargets: 'send-unsigned' }, { unknownTargets: 'refuse' }],
      ['allowInsecureKeyUrls', { allowInsecureKeyUrls: true }, { allowInsecureKeyUrls: false }],
      [
        'tokenAfterVerification',
        { tokenAfterVerification: 'keep' },
        { tokenAfterVerification: 'remove' },
      ],
      ['subjectPropagation', { subjectPropagation: 'ambient' }, { subjectPropagation: 'explicit' }],
    ])('is warned of at start: %s', async (name, loosened, asByDefault) => {
      expect(await warningsOf(loosened)).toEqual([expect.stringContaining(name)]);
      expect(await warningsOf(asByDefault)).toEqual([]);
    });
  });

  describe('the original profile', () => {
    const ARCHIVE = 'https://archive.service/';
    const LEDGER = 'https://ledger.service/';
    const archive = new Caller(ARCHIVE, CENSUS);

    it('is warned of once for each peer that uses it, and for no other', async () => {
      const logger = new LogRecorder();
      const service = await start({
        logger,
        imports: [
          ServiceAuthModule.forRoot({
            issuer: CENSUS,
            signingKey: { privateKey: censusKey.privatePem },
            trustedIssuers: [herald.trusted, { ...archive.trusted, profile: 'original' }],
            targets: [
              { baseUrl: 'https://a.service/', audience: LEDGER, profile: 'original' },
              { baseUrl: 'https://b.service/', audience: 'https://b.service/' },
            ],
          }),
        ],
        controllers: [GuardedController],
      });
      await herald.get(service.port, '/whoami', USER);
      await archive.get(service.port, '/whoami', USER);
      const warnings = logger.texts('warn').filter((text) => text.includes('original profile'));
      expect(warnings).toHaveLength(2);
      expect(warnings.filter((warning) => warning.includes(ARCHIVE))).toHaveLength(1);
      expect(warnings.filter((warning) => warning.includes(LEDGER))).toHaveLength(1);
    });

    it('CF-12 is warned of at start, and never the default', async () => {
      const logger = new LogRecorder();
      const service = ServiceAuthModule.forRoot({
        ...receivingOptions,
        trustedIssuers: [{ ...archive.trusted, profile: 'original' }],
      });
      await start({ logger, imports: [service] });
      expect(logger.texts('warn')).toEqual([expect.stringContaining('may be replayed')]);
    });

    it('CF-12 is not warned of where nobody uses it', async () => {
      const logger = new LogRecorder();
      await start({ logger, imports: [ServiceAuthModule.forRoot(receivingOptions)] });
      expect(logger.texts('warn')).toEqual([]);
    });
  });
});

describe.each(ADAPTERS)('two applications in one process on %s', (adapter) => {
  const CHRONICLE = 'https://chronicle.service/';
  const scribe = new Caller('https://scribe.service/', CHRONICLE);

  it('trust their own issuers and answer to their own names', async () => {
    const census = await startService({
      adapter,
      imports: [ServiceAuthModule.forRoot(receivingOptions)],
      controllers: [GuardedController],
    });
    const chronicle = await startService({
      adapter,
      imports: [ServiceAuthModule.forRoot({ issuer: CHRONICLE, trustedIssuers: [scribe.trusted] })],
      controllers: [GuardedController],
    });
    try {
      expect(await herald.get(census.port, '/whoami', USER)).toMatchObject({ status: 200 });
      expect(await scribe.get(chronicle.port, '/whoami', USER)).toMatchObject({ status: 200 });
      expect(await herald.get(chronicle.port, '/whoami', USER)).toMatchObject({
        code: 'issuer_unknown',
      });
      expect(await scribe.get(census.port, '/whoami', USER)).toMatchObject({
        code: 'issuer_unknown',
      });
      const challenge = await call(chronicle.port, { target: '/whoami' });
      expect(challenge.headers['www-authenticate']).toBe(`JWT realm="${CHRONICLE}"`);
    } finally {
      await Promise.all([census.close(), chronicle.close()]);
    }
  });
});

describe.each(ADAPTERS)('in-process calls on %s', (adapter) => {
  const CHRONICLE = 'https://chronicle.service/';

  /** A guard of the application, on a route that this library does not guard. */
  @Injectable()
  class LookingGuard implements CanActivate {
    constructor(@Inject(ServiceCallContext) private readonly callContext: ServiceCallContext) {}

    canActivate(context: ExecutionContext): boolean {
      const seen = { current: this.callContext.current() ?? null };
      return Boolean(Object.assign(context.switchToHttp().getRequest<object>(), { seen }));
    }
  }

  @Controller()
  class InnerController {
    constructor(
      @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
      @Inject(HttpService) private readonly http: HttpService,
    ) {}
    @Get('open')
    open() {
      return { current: this.callContext.current() ?? null };
    }
    @Get('other-guard')
    @UseGuards(LookingGuard)
    otherGuard(@Req() request: { seen: unknown }) {
      return request.seen;
    }
    @Get('outgoing')
    async outgoing() {
      const failure: unknown = await firstValueFrom(this.http.get('http://127.0.0.1:9/')).catch(
        (error: unknown) => error,
      );
      return { code: failure instanceof ServiceSigningError ? failure.code : String(failure) };
    }
    @Get('whoami')
    @UseGuards(ServiceJwtGuard)
    whoAmI(@ServiceSubject() subject: string) {
      return { subject, current: this.callContext.current() ?? null };
    }
  }

  const importsFor = (issuer: string, trusted: Caller) => [
    ServiceAuthModule.forRoot({
      issuer,
      trustedIssuers: [trusted.trusted],
      signingKey: { privateKey: censusKey.privatePem },
      targets: [{ baseUrl: 'http://127.0.0.1:9/' }],
      subjectPropagation: 'ambient',
    }),
    ServiceHttpModule.register(),
  ];

  it('of another application, and of the same one, inherit no subject from the handler that makes them', async () => {
    const other = await startService({
      adapter,
      imports: importsFor(CHRONICLE, new Caller('https://scribe.service/', CHRONICLE)),
      controllers: [InnerController],
    });

    @Controller('outer')
    class OuterController {
      constructor(@Inject(ServiceCallContext) private readonly callContext: ServiceCallContext) {}
      @Get()
      @UseGuards(ServiceJwtGuard)
      async callBoth(@ServiceSubject() subject: string) {
        const answers: unknown[] = [];
        for (const { app } of [other, same]) {
          for (const target of ['/open', '/other-guard', '/outgoing', '/whoami']) {
            answers.push(await callInMemory(app, { target }));
          }
          const headers = herald.headers({ target: '/whoami', subject: OTHER_USER });
          answers.push(await callInMemory(app, { target: '/whoami', headers }));
        }
        return { subject, current: this.callContext.current() ?? null, answers };
      }
    }
    const same = await startService({
      adapter,
      imports: importsFor(CENSUS, herald),
      controllers: [InnerController, OuterController],
    });
    try {
      const answer = await herald.get(same.port, '/outer', USER);
      const refused = (code: string) => ({
        status: 401,
        body: expect.objectContaining({ code }) as unknown,
      });
      const withoutToken = [
        { status: 200, body: { current: null } },
        { status: 200, body: { current: null } },
        { status: 200, body: { code: 'subject_undecided' } },
        refused('token_missing'),
      ];
      const otherUser = { subject: OTHER_USER, current: { subject: OTHER_USER } };
      expect(answer.json).toEqual({
        subject: USER,
        current: { subject: USER },
        answers: [
          ...withoutToken,
          refused('issuer_unknown'),
          ...withoutToken,
          { status: 200, body: otherUser },
        ],
      });
    } finally {
      await Promise.all([other.close(), same.close()]);
    }
  });
});
