import { HttpModule, HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Module, type Type, UseGuards } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import axios from 'axios';
import {
  OptionalServiceAuth,
  ServiceAuthConfigError,
  ServiceAuthModule,
  ServiceAuthUsageError,
  ServiceCaller,
  ServiceJwtGuard,
  ServiceSubject,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { ServiceHttpModule, ServiceSigningInterceptor } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { RecordingServer } from '../support/http/recording-server.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { Caller } from '../support/services/caller.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { ADAPTERS, startService, type TestServiceOptions } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);
const running = closeAfterEach();

const receiving = { issuer: CENSUS, trustedIssuers: [herald.trusted] };
const sending = {
  issuer: CENSUS,
  signingKey: { privateKey: createKey().privatePem },
  targets: [{ baseUrl: 'https://herald.service/' }],
};

/** A client that signs for a service of its own, beside the global one. */
function clientOfAnother() {
  const other = ServiceAuthModule.forRoot({
    ...sending,
    issuer: 'https://other.service/',
    publishedKeys: 'off',
    isGlobal: false,
  });
  return ServiceHttpModule.register({ imports: [other] });
}

@Controller('guarded')
@UseGuards(ServiceJwtGuard)
class Guarded {
  @Get()
  list() {}
}

class Stricter extends ServiceJwtGuard {}

@Controller('stricter')
class GuardedBySubclass {
  @Get()
  @UseGuards(Stricter)
  list() {}
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  const start = async (options: Omit<TestServiceOptions, 'adapter'>) =>
    running(await startService({ adapter, ...options }));
  const failureOf = async (options: Omit<TestServiceOptions, 'adapter'>): Promise<unknown> =>
    await start(options).catch((error: unknown) => error);

  describe('a guard without ServiceAuthModule does not start', () => {
    it.each<[string, Omit<TestServiceOptions, 'adapter'>]>([
      ['on a controller', { controllers: [Guarded] }],
      ['of a class that extends it', { controllers: [GuardedBySubclass] }],
      ['as APP_GUARD', { providers: [{ provide: APP_GUARD, useClass: ServiceJwtGuard }] }],
    ])('%s, and the error names the module and the line', async (_title, options) => {
      const error = await failureOf(options);
      expect(error).toBeInstanceOf(ServiceAuthUsageError);
      expect(error).toHaveProperty(
        'message',
        expect.stringContaining('imports: [ServiceAuthModule.forRoot('),
      );
      await start({ ...options, imports: [ServiceAuthModule.forRoot(receiving)] });
    });

    it('in a module that does not see it', async () => {
      @Module({ controllers: [Guarded] })
      class Feature {}
      const service = ServiceAuthModule.forRoot({ ...receiving, isGlobal: false });
      expect(await failureOf({ imports: [service, Feature] })).toBeInstanceOf(
        ServiceAuthUsageError,
      );
      await start({ imports: [service, { module: Feature, imports: [service] }] });
    });

    it('and one with wrong options says what is wrong with them', async () => {
      const imports = [ServiceAuthModule.forRoot({ ...receiving, issuer: 'census' })];
      for (const controllers of [[Guarded], [GuardedBySubclass]]) {
        expect(await failureOf({ imports, controllers })).toBeInstanceOf(ServiceAuthConfigError);
      }
    });

    it('CF-19 and one that Nest did not make refuses every request', async () => {
      const guard = Reflect.construct(ServiceJwtGuard, []) as ServiceJwtGuard;
      await expect(guard.canActivate({} as never)).rejects.toBeInstanceOf(ServiceAuthUsageError);
    });
  });

  describe('a client that signs, without ServiceAuthModule, does not start', () => {
    const attaching = { imports: [HttpModule], providers: [ServiceSigningInterceptor] };
    const clients: [string, Omit<TestServiceOptions, 'adapter'>, string][] = [
      ['ServiceHttpModule', { imports: [ServiceHttpModule.register()] }, 'ServiceHttpModule'],
      [
        'ServiceHttpModule with options of a factory',
        { imports: [ServiceHttpModule.registerAsync({ useFactory: () => ({}) })] },
        'ServiceHttpModule',
      ],
      ['ServiceFetchModule', { imports: [ServiceFetchModule] }, 'ServiceFetchModule'],
      [
        'ServiceFetchModule with options',
        { imports: [ServiceFetchModule.register({ fetch })] },
        'ServiceFetchModule',
      ],
      ['ServiceSigningInterceptor', attaching, 'ServiceHttpModule'],
    ];
    it.each(clients)(
      '%s, and the error names the module and the line',
      async (_, options, name) => {
        const error = await failureOf(options);
        expect(error).toBeInstanceOf(ServiceAuthUsageError);
        expect(error).toHaveProperty(
          'message',
          expect.stringMatching(
            `^${name} needs ServiceAuthModule.*imports: \\[ServiceAuthModule.forRoot\\(`,
          ),
        );
        const imports = [...(options.imports ?? []), ServiceAuthModule.forRoot(sending)];
        await start({ ...options, imports });
      },
    );

    it.each(clients)('%s, and wrong options are told as such', async (_title, options) => {
      const wrong = ServiceAuthModule.forRoot({ ...sending, issuer: 'herald' });
      const imports = [...(options.imports ?? []), wrong];
      expect(await failureOf({ ...options, imports })).toBeInstanceOf(ServiceAuthConfigError);
    });

    it('and sends nothing before the start either', async () => {
      const server = running(await new RecordingServer().start());
      const imports = [ServiceHttpModule.register(), ServiceFetchModule];
      const context = await Test.createTestingModule({ imports }).compile();
      const { axiosRef } = context.get(HttpService, { strict: false });
      const adapter = axios.defaults.adapter;
      for (const sent of [
        axiosRef.get(server.url),
        axiosRef.get(server.url, { adapter }),
        context.get(ServiceFetch, { strict: false })(server.url),
      ]) {
        await expect(sent).rejects.toThrow(ServiceAuthUsageError);
      }
      expect(server.takeAll()).toEqual([]);
    });
  });

  describe('a parameter that needs a verified request', () => {
    const linesFor = async (controller: Type) => {
      const logger = new LogRecorder();
      const imports = [ServiceAuthModule.forRoot(receiving)];
      await start({ imports, controllers: [controller], logger });
      return logger.texts('warn').filter((text) => text.includes('every call fails'));
    };

    it('is told at start where nothing guards its route', async () => {
      @Controller('open')
      class Open {
        @Get('subject')
        subject(@ServiceSubject() _subject: string) {}
        @Get('caller')
        caller(@ServiceCaller() _caller: unknown, @ServiceSubject() _subject: string) {}
        @Get('skipped')
        @SkipServiceAuth()
        skipped(@ServiceCaller() _caller: unknown) {}
        @Get('none')
        none() {}
      }
      expect(await linesFor(Open)).toEqual([
        expect.stringContaining(
          'Open.subject() with @ServiceSubject(), Open.caller() with @ServiceSubject() and @ServiceCaller(), Open.skipped() with @ServiceCaller(): every call fails.',
        ),
      ]);
    });

    it('is not where one does', async () => {
      @Controller('guarded')
      @UseGuards(ServiceJwtGuard)
      class Verified {
        @Get('subject')
        subject(@ServiceSubject() _subject: string) {}
        @Get('optional')
        @OptionalServiceAuth()
        optional(@ServiceCaller() _caller: unknown) {}
      }
      expect(await linesFor(Verified)).toEqual([]);
    });

    it('is not advised to be open to everybody, as others are', async () => {
      @Controller('subject')
      class Subject {
        @Get()
        find(@ServiceSubject() _subject: string) {}
      }
      @Controller('plain')
      class Plain {
        @Get()
        find() {}
      }
      const openLineFor = async (controllers: Type[]) => {
        const logger = new LogRecorder();
        await start({ imports: [ServiceAuthModule.forRoot(receiving)], controllers, logger });
        return logger.texts('warn').find((text) => text.includes('does not guard'));
      };
      expect(await openLineFor([Subject])).not.toContain('@SkipServiceAuth()');
      expect(await openLineFor([Subject, Plain])).toContain('@SkipServiceAuth()');
    });
  });

  describe('a guard that reads request.user', () => {
    class Roles {
      canActivate = () => true;
    }
    @Controller('roles-first')
    @UseGuards(Roles, ServiceJwtGuard)
    class RolesFirst {
      @Get('one')
      one() {}
      @Get('two')
      two() {}
      @Get('skipped')
      @SkipServiceAuth()
      skipped() {}
    }
    @Controller('roles-last')
    @UseGuards(ServiceJwtGuard, Roles)
    class RolesLast {
      @Get()
      one() {}
    }
    const users = { resolveUser: async (uri: string) => ({ uri }) };
    const first = { controllers: [RolesFirst] };
    const globally = {
      controllers: [Guarded],
      providers: [{ provide: APP_GUARD, useClass: Roles }],
    };

    it.each<[string, Omit<TestServiceOptions, 'adapter'>, string[]]>([
      ['is told at start where it runs before ours', first, ['RolesFirst.one() and 1 more']],
      ['is told where it runs before all others', globally, ['Guarded.list()']],
      ['is not where it runs after ours', { controllers: [RolesLast] }, []],
    ])('%s', async (_title, options, places) => {
      const logger = new LogRecorder();
      const imports = [ServiceAuthModule.forRoot({ ...receiving, userResolver: users })];
      await start({ ...options, imports, logger });
      const told = logger.texts('log').filter((text) => text.includes('runs before'));
      expect(told).toEqual(
        places.map(
          (place) =>
            `Roles runs before ServiceJwtGuard at ${place}, and finds no request.user. If it reads request.user, put it after ServiceJwtGuard. ServiceAuth`,
        ),
      );
    });

    it('is told where it runs after ours, and no userResolver sets the user', async () => {
      const linesWith = async (controllers: Type[]) => {
        const logger = new LogRecorder();
        await start({ controllers, imports: [ServiceAuthModule.forRoot(receiving)], logger });
        return logger.texts('log').filter((text) => text.includes('userResolver'));
      };
      expect(await linesWith([RolesLast, Guarded])).toEqual([
        'Roles runs after ServiceJwtGuard at RolesLast.one(), and finds no request.user, since ServiceAuthModule has no userResolver. If it reads request.user, set userResolver. ServiceAuth',
      ]);
      expect(await linesWith([Guarded])).toEqual([]);
    });

    it('is told of both where there is no userResolver either', async () => {
      const logger = new LogRecorder();
      await start({ ...first, imports: [ServiceAuthModule.forRoot(receiving)], logger });
      expect(logger.texts('log').join('\n')).toContain(
        'Roles runs before ServiceJwtGuard at RolesFirst.one() and 1 more, and finds no request.user. If it reads request.user, put it after ServiceJwtGuard, and set userResolver in ServiceAuthModule: both are needed.',
      );
    });
  });

  describe('a service with a signingKey and no targets', () => {
    const { targets: _, ...keyAlone } = sending;
    const without = () => ServiceAuthModule.forRoot(keyAlone);
    const originate = { subjects: ['https://census.service/user/'] };
    class ServiceMessagesModule {}

    it.each<[string, Omit<TestServiceOptions, 'adapter'>, string | undefined]>([
      [
        'that imports ServiceHttpModule',
        { imports: [without(), ServiceHttpModule.register()] },
        'every request of ServiceHttpModule fails with target_unknown. Name the services that it calls: targets: [',
      ],
      [
        'that imports ServiceFetchModule',
        { imports: [without(), ServiceFetchModule] },
        'every request of ServiceFetchModule fails with target_unknown.',
      ],
      [
        'that imports HttpModule alone',
        { imports: [without(), HttpModule] },
        'signs nothing: it has no targets, and imports neither ServiceMessagesModule nor',
      ],
      ['that sends messages', { imports: [without(), ServiceMessagesModule] }, undefined],
      [
        'that makes grants',
        {
          imports: [
            ServiceAuthModule.forRoot({
              ...keyAlone,
              originate,
              trustDomain: 'https://prod.example/',
            }),
          ],
        },
        undefined,
      ],
      [
        'that wrote an empty list',
        { imports: [ServiceAuthModule.forRoot({ ...keyAlone, targets: [] }), HttpModule] },
        undefined,
      ],
      [
        'but with targets',
        { imports: [ServiceAuthModule.forRoot(sending), ServiceHttpModule.register()] },
        undefined,
      ],
      ['but only trusted issuers', { imports: [ServiceAuthModule.forRoot(receiving)] }, undefined],
      [
        'beside one whose client it is',
        {
          imports: [
            ServiceAuthModule.forRoot({
              ...keyAlone,
              originate,
              trustDomain: 'https://prod.example/',
            }),
            clientOfAnother(),
          ],
        },
        undefined,
      ],
    ])('%s', async (_title, options, told) => {
      const logger = new LogRecorder();
      await start({ ...options, logger });
      const lines = logger
        .texts('warn')
        .filter((text) => /has no targets|signs nothing/.test(text));
      expect(lines).toEqual(told === undefined ? [] : [expect.stringContaining(told)]);
    });
  });

  describe('an HttpService that signs nothing', () => {
    class Attaching {
      constructor(
        @Inject(ServiceSigningInterceptor) signing: ServiceSigningInterceptor,
        @Inject(HttpService) http: HttpService,
      ) {
        signing.attach(http);
      }
    }
    const attaching = [ServiceSigningInterceptor, Attaching];
    const service = () => ServiceAuthModule.forRoot(sending);

    it.each<[string, Omit<TestServiceOptions, 'adapter'>, number]>([
      ['is told at start', { imports: [service(), HttpModule] }, 1],
      [
        'is not, without targets',
        { imports: [ServiceAuthModule.forRoot(receiving), HttpModule] },
        0,
      ],
      [
        'is not where another one signs',
        { imports: [service(), HttpModule, ServiceFetchModule] },
        0,
      ],
      [
        'is not in the place of one that signs',
        { imports: [service(), ServiceHttpModule.register()] },
        0,
      ],
      ['is not once it is attached', { imports: [service(), HttpModule], providers: attaching }, 0],
    ])('%s', async (_title, options, lines) => {
      const logger = new LogRecorder();
      await start({ ...options, logger });
      const told = logger
        .texts('warn')
        .filter((text) => text.includes('imports: [ServiceHttpModule.register()]'));
      expect(told).toHaveLength(lines);
      if (lines > 0) expect(told[0]).toContain('HttpModule');
    });
  });
});
