import {
  type Cache,
  CACHE_MANAGER,
  CacheInterceptor,
  CacheKey,
  CacheModule,
  CacheTTL,
} from '@nestjs/cache-manager';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Head,
  Inject,
  Injectable,
  Param,
  Post,
  Scope,
  type Type,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, Reflector } from '@nestjs/core';
import {
  OptionalServiceAuth,
  ServiceAuthModule,
  ServiceAuthUsageError,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { callerCacheKey, ServiceCacheInterceptor } from 'nestjs-service-auth/cache';
import { Keyv } from 'keyv';
import { Caller } from '../support/services/caller.js';
import { type Answer, call } from '../support/http/http.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const ALICE = 'https://census.service/user/alice/';
const BOB = 'https://census.service/user/bob/';
const herald = new Caller(HERALD, CENSUS);
const chronicle = new Caller('https://chronicle.service/', CENSUS);
const auth = () =>
  ServiceAuthModule.forRoot({
    issuer: CENSUS,
    trustedIssuers: [herald.trusted, chronicle.trusted],
  });
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** When an entry of the store expires, in milliseconds since the epoch. */
const expiryOf = (entry: unknown) =>
  (typeof entry === 'string'
    ? (JSON.parse(entry) as { expires: number })
    : (entry as { expires: number })
  ).expires;

/** What a handler answers: for whom it ran, and how often it has. */
interface Ran {
  readonly user: string;
  readonly run: number;
}
let runs = 0;
const ran = (caller: ServiceIdentity | undefined): Ran => ({
  user: caller?.subject ?? 'nobody',
  run: (runs += 1),
});
const hit = ({ headers }: Answer): boolean => headers['x-cache'] === 'HIT';
const userIn = ({ json }: Answer): unknown => json?.['user'];

/** A cache whose own keys name nobody. */
@Injectable()
class ByPath extends ServiceCacheInterceptor {
  protected override trackBy(context: ExecutionContext): string | undefined {
    const url = context.switchToHttp().getRequest<{ url: string }>().url;
    return url.startsWith('/own/uncached') ? undefined : 'one key';
  }
}

/** Lets in whom `ServiceJwtGuard` refuses, as an application may that knows its users in two ways. */
@Injectable()
class EitherGuard implements CanActivate {
  constructor(@Inject(ServiceJwtGuard) private readonly guard: ServiceJwtGuard) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    return await this.guard.canActivate(context).catch(() => true);
  }
}

@Controller('cached')
@UseGuards(ServiceJwtGuard)
@UseInterceptors(ServiceCacheInterceptor)
class CachedController {
  @Get('documents/:id')
  document(@ServiceCaller() caller: ServiceIdentity, @Param('id') id: string) {
    return { ...ran(caller), id };
  }
  @Get('short')
  @CacheTTL(SECOND)
  short(@ServiceCaller() caller: ServiceIdentity) {
    return ran(caller);
  }
  @Get('named/:id')
  @CacheKey('named')
  named(@ServiceCaller() caller: ServiceIdentity) {
    return ran(caller);
  }
  @Get('made/:id')
  @CacheKey((context) => context.switchToHttp().getRequest<{ params: { id: string } }>().params.id)
  made(@ServiceCaller() caller: ServiceIdentity) {
    return ran(caller);
  }
  @Post('documents')
  create(@ServiceCaller() caller: ServiceIdentity) {
    return ran(caller);
  }
  @Get('optional')
  @OptionalServiceAuth()
  optional(@ServiceCaller() caller?: ServiceIdentity) {
    return ran(caller);
  }
  @Get('skipped')
  @SkipServiceAuth()
  skipped() {
    return ran(undefined);
  }
}

@Controller('own')
@UseGuards(ServiceJwtGuard)
@UseInterceptors(ByPath)
class OwnKeysController {
  @Get(':name')
  get(@ServiceCaller() caller: ServiceIdentity) {
    return ran(caller);
  }
}

@Controller('plain')
@UseGuards(ServiceJwtGuard)
@UseInterceptors(CacheInterceptor)
class PlainController {
  @Get('documents/:id')
  document(@ServiceCaller() caller: ServiceIdentity, @Param('id') id: string) {
    return { ...ran(caller), id };
  }
}

@Controller('open')
@UseInterceptors(ServiceCacheInterceptor)
class UnguardedController {
  @Get()
  open() {
    return ran(undefined);
  }
  @Get('either')
  @UseGuards(EitherGuard)
  either() {
    return ran(undefined);
  }
}

/** The two users ask for the same five documents, in turns that dice choose, forty at once. */
async function crowd(
  port: number,
  folder: string,
  count = 1000,
): Promise<{ hits: number; mixedUp: number }> {
  const sums = { hits: 0, mixedUp: 0 };
  const one = async () => {
    const user = Math.random() < 0.5 ? ALICE : BOB;
    const id = Math.floor(Math.random() * 5);
    const answer = await herald.get(port, `${folder}/documents/${id}`, user);
    expect(answer).toMatchObject({ status: 200, json: { id: String(id) } });
    if (hit(answer)) sums.hits += 1;
    if (userIn(answer) !== user) sums.mixedUp += 1;
  };
  for (let sent = 0; sent < count; sent += 40) {
    await Promise.all(Array.from({ length: Math.min(40, count - sent) }, one));
  }
  return sums;
}

describe('callerCacheKey() (CA-03)', () => {
  it('is another one for each issuer, subject and key', () => {
    const texts = [
      '',
      '"',
      ',',
      '","',
      'null',
      '\\',
      '\u0000',
      'a',
      'a,a',
      '\ud800',
      '\ud801',
      '\ufffd',
    ];
    const subjects = [undefined, ...texts];
    const callers = texts.flatMap((issuer) => subjects.map((subject) => ({ issuer, subject })));
    const keys = [undefined, ...callers].flatMap((caller) =>
      texts.map((key) => callerCacheKey(caller, key)),
    );
    expect(new Set(keys).size).toBe(keys.length);
    for (const key of keys) expect(key).toMatch(/^[\w-]{43}$/);
  });

  it.each<[string, () => unknown]>([
    ['a caller without an issuer', () => callerCacheKey({} as ServiceIdentity, 'key')],
    ['a key that is no text', () => callerCacheKey(undefined, 7 as unknown as string)],
    [
      'a subject that is no text',
      () => callerCacheKey({ issuer: HERALD, subject: [ALICE] as unknown as string }, 'key'),
    ],
  ])('is not made of %s', (_name, make) => {
    expect(make).toThrow(ServiceAuthUsageError);
    expect(callerCacheKey({ issuer: HERALD, subject: ALICE }, 'key')).toHaveLength(43);
  });
});

describe.each(ADAPTERS)('ServiceCacheInterceptor on %s', (adapter) => {
  let store: Map<string, unknown>;
  let service: TestService;
  beforeAll(async () => {
    store = new Map();
    service = await startService({
      adapter,
      imports: [
        auth(),
        CacheModule.register({
          ttl: MINUTE,
          stores: [new Keyv({ store })],
        }),
      ],
      controllers: [CachedController, OwnKeysController, PlainController, UnguardedController],
    });
  });
  beforeEach(() => store.clear());
  afterAll(() => service.close());
  const get = async (target: string, user?: string, caller = herald) =>
    await caller.get(service.port, target, user);

  describe('an answer from the cache is the caller’s own (CA-01)', () => {
    it('of 1,000 for two users', async () => {
      const { hits, mixedUp } = await crowd(service.port, '/cached');
      expect(mixedUp).toBe(0);
      expect(hits).toBeGreaterThan(500);
    }, 120_000);

    it('and is not with CacheInterceptor', async () => {
      const { hits, mixedUp } = await crowd(service.port, '/plain', 200);
      expect(mixedUp).toBeGreaterThan(0);
      expect(hits).toBeGreaterThan(0);
    });

    it.each([
      ['a text in @CacheKey()', '/cached/named/1', '/cached/named/2'],
      ['a function in @CacheKey()', '/cached/made/7', '/cached/made/7'],
      ['a trackBy() of its own', '/own/a', '/own/b'],
    ])('with %s', async (_name, target, again) => {
      const answers = [await get(target, ALICE), await get(again, BOB), await get(again, ALICE)];
      expect(answers.map(userIn)).toEqual([ALICE, BOB, ALICE]);
      expect(answers.map(hit)).toEqual([false, false, true]);
    });

    it('for as long as @CacheTTL() says', async () => {
      await get('/cached/short', ALICE);
      await get('/cached/documents/1', ALICE);
      const [short, long] = [...store.values()].map(expiryOf);
      const now = Date.now();
      expect(short).toBeLessThanOrEqual(now + SECOND);
      expect(long).toBeGreaterThan(now + SECOND);
    });

    it('for GET alone, as CacheInterceptor has it', async () => {
      for (const method of ['POST', 'HEAD']) {
        const target = '/cached/documents' + (method === 'HEAD' ? '/1' : '');
        const answers = [1, 2].map(
          async () => await herald.send(service.port, { method, target, subject: ALICE }),
        );
        expect((await Promise.all(answers)).map(hit)).toEqual([false, false]);
      }
      expect(store.size).toBe(0);
      expect(hit(await get('/own/uncached', ALICE)) || hit(await get('/own/uncached', ALICE))).toBe(
        false,
      );
    });
  });

  it('callers without a user, of another service and without a token have answers of their own (CA-02)', async () => {
    const target = '/cached/optional';
    const anonymous = async () => await call(service.port, { target });
    const asked = async () => [
      await get(target, ALICE),
      await get(target, ALICE, chronicle),
      await get(target),
      await get(target, undefined, chronicle),
      await anonymous(),
    ];
    const [first, again] = [await asked(), await asked()];
    expect(first.map(userIn)).toEqual([ALICE, ALICE, 'nobody', 'nobody', 'nobody']);
    expect(new Set(first.map(({ json }) => json?.['run'])).size).toBe(5);
    expect(first.map(hit)).toEqual([false, false, false, false, false]);
    expect(again.map(hit)).toEqual([true, true, true, true, true]);
    expect(again.map(({ json }) => json)).toEqual(first.map(({ json }) => json));
  });

  it('the store shows nobody (CA-03)', async () => {
    await get('/cached/documents/1', ALICE);
    const [key = ''] = store.keys();
    const shown = [HERALD, 'herald', ALICE, 'alice', '/cached', 'documents'];
    for (const text of shown) expect(key).not.toContain(text);
    expect(key).toContain(
      callerCacheKey({ issuer: HERALD, subject: ALICE }, '/cached/documents/1'),
    );
  });

  it('an entry can be deleted by its caller', async () => {
    const target = '/cached/documents/1';
    for (const user of [ALICE, BOB]) await get(target, user);
    const cache = service.app.get<Cache>(CACHE_MANAGER);
    await cache.del(callerCacheKey({ issuer: HERALD, subject: ALICE }, target));
    expect([hit(await get(target, ALICE)), hit(await get(target, BOB))]).toEqual([false, true]);
  });

  describe('where no guard has verified the request (CA-04)', () => {
    it('it answers 500 without a guard', async () => {
      const before = runs;
      expect((await get('/open', ALICE)).status).toBe(500);
      expect(runs).toBe(before);
    });

    it('it answers as the guard did, whose refusal another guard overruled', async () => {
      const before = runs;
      const forged = { jwt: chronicle.token({ target: '/elsewhere' }) };
      for (const headers of [forged, {}]) {
        const answer = await call(service.port, { target: '/open/either', headers });
        expect(answer.status).toBe(401);
      }
      expect(runs).toBe(before);
      expect((await get('/open/either', ALICE)).status).toBe(200);
      expect(hit(await get('/open/either', ALICE))).toBe(true);
    });

    it('it caches nothing on a route that is marked @SkipServiceAuth()', async () => {
      const answers = [await get('/cached/skipped', ALICE), await get('/cached/skipped', ALICE)];
      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
      expect(store.size).toBe(0);
    });
  });

  describe('the start', () => {
    const read = (): Ran => ran(undefined);

    @Controller('routes')
    @UseGuards(ServiceJwtGuard)
    class GuardedController {
      @Get()
      read() {
        return read();
      }
      @Post()
      write() {
        return read();
      }
      @Head('head')
      head() {
        return read();
      }
      @Get('own')
      @CacheKey(() => 'own')
      own() {
        return read();
      }
      @Get('skipped')
      @SkipServiceAuth()
      skipped() {
        return read();
      }
    }

    @Controller('open')
    class OpenController {
      @Get()
      open() {
        return read();
      }
    }

    @Injectable()
    class OnlyPosts extends CacheInterceptor {
      protected override allowedMethods = ['POST'];
    }

    @Injectable()
    class OwnKeys extends CacheInterceptor {
      protected override trackBy(): string {
        return 'own';
      }
    }

    @Injectable({ scope: Scope.REQUEST })
    class PerRequest extends CacheInterceptor {}

    @Injectable()
    class Mine extends ServiceCacheInterceptor {}

    /** The same controller with these decorators on its class. */
    const controllerWith = (...decorators: ClassDecorator[]): Type => {
      class Decorated extends GuardedController {}
      Reflect.decorate([...decorators, Controller('routes')], Decorated);
      return Decorated;
    };
    const controllerOf = (...decorators: ClassDecorator[]): Type => {
      class Undecorated extends OpenController {}
      Reflect.decorate([...decorators, Controller('others')], Undecorated);
      return Undecorated;
    };
    const routeWith = (...decorators: MethodDecorator[]): Type => {
      @Controller('route')
      @UseGuards(ServiceJwtGuard)
      class RouteController {
        one() {
          return read();
        }
      }
      const descriptor = Object.getOwnPropertyDescriptor(RouteController.prototype, 'one');
      Reflect.decorate([...decorators, Get()], RouteController.prototype, 'one', descriptor);
      return RouteController;
    };

    type Parts = Partial<Parameters<typeof startService>[0]>;
    async function warningsOf(parts: Parts): Promise<string[]> {
      const logger = new LogRecorder();
      const { imports = [], ...rest } = parts;
      const started = await startService({
        adapter,
        logger,
        ...rest,
        imports: [auth(), CacheModule.register({ isGlobal: true }), ...imports],
      });
      await started.close();
      return logger.texts('warn').filter((text) => text.includes('CacheInterceptor'));
    }

    const using = (...interceptors: Parameters<typeof UseInterceptors>) =>
      UseInterceptors(...interceptors);
    const globally = (interceptor: Type): Parts => ({
      controllers: [GuardedController, OpenController],
      providers: [{ provide: APP_INTERCEPTOR, useClass: interceptor }],
    });
    const configured = (make: (cache: unknown, reflector: Reflector) => object): Parts => ({
      controllers: [GuardedController, OpenController],
      configure: (app) =>
        app.useGlobalInterceptors(make(app.get(CACHE_MANAGER), app.get(Reflector)) as never),
    });
    const READ = 'GuardedController.read()';

    it.each<[string, () => Parts, string]>([
      [
        'on a route',
        () => ({ controllers: [routeWith(using(CacheInterceptor))] }),
        'RouteController.one()',
      ],
      [
        'on a route, with a text in @CacheKey()',
        () => ({ controllers: [routeWith(using(CacheInterceptor), CacheKey('one'))] }),
        'RouteController.one()',
      ],
      [
        'on a controller',
        () => ({ controllers: [controllerWith(using(CacheInterceptor))] }),
        'Decorated.read()',
      ],
      [
        'on a controller, of a subclass',
        () => ({ controllers: [controllerWith(using(PerRequest))] }),
        'Decorated.read(), Decorated.write()',
      ],
      ['as APP_INTERCEPTOR', () => globally(CacheInterceptor), READ],
      ['as APP_INTERCEPTOR for each request', () => globally(PerRequest), READ],
      [
        'as an object for every route',
        () => configured((cache, reflector) => new CacheInterceptor(cache, reflector)),
        READ,
      ],
      [
        'of a subclass that caches what is no GET',
        () => configured((cache, reflector) => new OnlyPosts(cache, reflector)),
        'GuardedController.write()',
      ],
      [
        'on a route that APP_GUARD guards',
        () => ({
          controllers: [OpenController],
          providers: [
            { provide: APP_GUARD, useExisting: ServiceJwtGuard },
            { provide: APP_INTERCEPTOR, useClass: CacheInterceptor },
          ],
        }),
        'OpenController.open()',
      ],
    ])('warns of CacheInterceptor %s (CA-05)', async (_name, parts, routes) => {
      const [warning = '', ...others] = await warningsOf(parts());
      expect(others).toEqual([]);
      expect(warning).toContain(routes);
      expect(warning).toContain('nestjs-service-auth/cache');
      expect(warning).not.toMatch(/\.(own|skipped)\(\)/);
    });

    it.each<[string, () => Parts]>([
      [
        'ServiceCacheInterceptor on a route',
        () => ({ controllers: [routeWith(using(ServiceCacheInterceptor))] }),
      ],
      ['ServiceCacheInterceptor everywhere', () => globally(ServiceCacheInterceptor)],
      [
        'an object of it',
        () => configured((cache, reflector) => new ServiceCacheInterceptor(cache, reflector)),
      ],
      ['a subclass of it', () => globally(Mine)],
      ['a subclass with a trackBy() of its own', () => globally(OwnKeys)],
      [
        'an object with a trackBy() of its own',
        () =>
          configured((cache, reflector) =>
            Object.assign(new CacheInterceptor(cache, reflector), { trackBy: () => 'own' }),
          ),
      ],
      [
        'keys that a function makes',
        () => ({
          controllers: [
            routeWith(
              using(CacheInterceptor),
              CacheKey(() => 'own'),
            ),
          ],
        }),
      ],
      [
        'an unguarded route',
        () => ({
          controllers: [OpenController],
          providers: [{ provide: APP_INTERCEPTOR, useClass: CacheInterceptor }],
        }),
      ],
      [
        'an unguarded route beside guarded ones',
        () => ({ controllers: [GuardedController, controllerOf(using(CacheInterceptor))] }),
      ],
      [
        'a route that is marked @SkipServiceAuth()',
        () => ({ controllers: [routeWith(using(CacheInterceptor), SkipServiceAuth())] }),
      ],
      [
        'another interceptor',
        () => ({
          controllers: [routeWith(using({ intercept: (_context, next) => next.handle() }))],
        }),
      ],
    ])('does not warn of %s (CA-05)', async (_name, parts) => {
      expect(await warningsOf(parts())).toEqual([]);
    });
  });
});
