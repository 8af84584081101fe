import {
  applyDecorators,
  Controller,
  Get,
  HttpCode,
  Post,
  type Provider,
  Req,
  Scope,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import {
  AllowIssuers,
  MaxBodyBytes,
  OptionalServiceAuth,
  RequireServiceAuth,
  RequireSubject,
  ServiceAuthModule,
  ServiceAuthUsageError,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { closeAfterEach } from '../support/services/receiver.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const herald = new Caller('https://herald.service/', CENSUS);
const archive = new Caller('https://archive.service/', CENSUS);
const everywhere: Provider = { provide: APP_GUARD, useExisting: ServiceJwtGuard };
const keep = closeAfterEach();

type Method = (...args: unknown[]) => unknown;

/** Puts another function in the place of a method, as decorators for transactions, traces or retries do. */
function Wrapped(): MethodDecorator {
  return (_target, _name, descriptor) => {
    const inner = descriptor.value as Method;
    descriptor.value = function wrapped(this: unknown, ...args: unknown[]) {
      return inner.apply(this, args);
    } as never;
  };
}

/** The same with the metadata of what is replaced. */
function WrappedWithMetadata(): MethodDecorator {
  return (target, name, descriptor) => {
    const inner = descriptor.value as Method;
    Wrapped()(target, name, descriptor);
    for (const key of Reflect.getMetadataKeys(inner) as string[]) {
      Reflect.defineMetadata(key, Reflect.getMetadata(key, inner), descriptor.value as Method);
    }
  };
}

const WRAPPERS: readonly [name: string, wrapper: () => MethodDecorator][] = [
  ['drops metadata', Wrapped],
  ['keeps metadata', WrappedWithMetadata],
];

/** Puts a proxy in the place of a class. */
function Observed(): ClassDecorator {
  return (target) => new Proxy(target, {});
}

/** Binds every method to its instance. */
abstract class Bound {
  constructor() {
    for (const name of ['read', 'open'] as const) {
      const method = Reflect.get(this, name) as Method | undefined;
      if (method) Reflect.set(this, name, method.bind(this));
    }
  }
}

async function start(
  adapter: Adapter,
  controllers: Type[],
  providers: Provider[] = [everywhere],
  logger?: LogRecorder,
): Promise<TestService> {
  return keep(
    await startService({
      adapter,
      logger,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted, archive.trusted],
        }),
      ],
      controllers,
      providers,
    }),
  );
}

const ok = () => ({ ok: true });
const ask = async ({ port }: TestService, caller: Caller, target: string, subject?: string) => {
  const { status, code } = await caller.get(port, target, subject);
  return status === 200 ? 'ok' : code;
};
const askWithout = async ({ port }: TestService, target: string) => {
  const { status, code } = await call(port, { target });
  return status === 200 ? 'ok' : code;
};

describe.each(ADAPTERS)('on %s', (adapter) => {
  describe.each(WRAPPERS)('TF-32 under a decorator that %s', (_name, Wrap) => {
    @Controller('marks')
    class MarksController {
      @Get('issuers')
      @Wrap()
      @AllowIssuers(archive.issuer)
      issuers() {
        return ok();
      }
      @Get('issuers-above')
      @AllowIssuers(archive.issuer)
      @Wrap()
      issuersAbove() {
        return ok();
      }
      @Get('issuers-around')
      @AllowIssuers(archive.issuer, herald.issuer)
      @Wrap()
      @AllowIssuers(archive.issuer)
      issuersAround() {
        return ok();
      }
      @Get('twice')
      @Wrap()
      @Wrap()
      @AllowIssuers(archive.issuer)
      twice() {
        return ok();
      }
      @Get('composed')
      @Wrap()
      @applyDecorators(AllowIssuers(archive.issuer), RequireSubject())
      composed() {
        return ok();
      }
      @Get('subject')
      @Wrap()
      @RequireSubject()
      subject() {
        return ok();
      }
      @Get('optional')
      @Wrap()
      @OptionalServiceAuth()
      optional() {
        return ok();
      }
      @Get('skip')
      @Wrap()
      @SkipServiceAuth()
      skip() {
        return ok();
      }
      @Get('unmarked')
      @Wrap()
      unmarked() {
        return ok();
      }
      @Post('small')
      @HttpCode(200)
      @Wrap()
      @MaxBodyBytes(10)
      small(@Req() _request: unknown) {
        return ok();
      }
    }

    @Controller('open')
    @SkipServiceAuth()
    class OpenController {
      @Get()
      @Wrap()
      open() {
        return ok();
      }
      @Get('closed')
      @Wrap()
      @RequireServiceAuth()
      closed() {
        return ok();
      }
    }

    it.each(['issuers', 'issuers-above', 'issuers-around', 'twice', 'composed'])(
      '@AllowIssuers() narrows: /marks/%s',
      async (name) => {
        const census = await start(adapter, [MarksController]);
        expect(await ask(census, herald, `/marks/${name}`, USER)).toBe('issuer_not_allowed');
        expect(await ask(census, archive, `/marks/${name}`, USER)).toBe('ok');
      },
    );

    it.each(['subject', 'composed'])('@RequireSubject() narrows: /marks/%s', async (name) => {
      const census = await start(adapter, [MarksController]);
      expect(await ask(census, archive, `/marks/${name}`)).toBe('subject_missing');
      expect(await ask(census, archive, `/marks/${name}`, USER)).toBe('ok');
    });

    it('@RequireServiceAuth() closes a route of an open controller', async () => {
      const census = await start(adapter, [OpenController]);
      expect(await askWithout(census, '/open/closed')).toBe('token_missing');
      expect(await ask(census, herald, '/open/closed')).toBe('ok');
      expect(await askWithout(census, '/open')).toBe('ok');
    });

    it('what opens a route still opens it, and nothing else', async () => {
      const census = await start(adapter, [MarksController]);
      expect(await askWithout(census, '/marks/optional')).toBe('ok');
      expect(await askWithout(census, '/marks/skip')).toBe('ok');
      expect(await askWithout(census, '/marks/unmarked')).toBe('token_missing');
      expect(await ask(census, herald, '/marks/unmarked')).toBe('ok');
    });

    it('@MaxBodyBytes() limits', async () => {
      const census = await start(adapter, [MarksController]);
      const post = async (body: string) => {
        const request = { method: 'POST', target: '/marks/small', body, contentType: 'text/plain' };
        return (await herald.send(census.port, request)).status;
      };
      // Fastify parses text itself, and a body that is parsed has no limit of ours.
      expect(await post('12345678901')).toBe(adapter === 'express' ? 413 : 200);
      expect(await post('1234567890')).toBe(200);
    });

    it('a class that extends has the marks of what it inherits, and none of what it overrides', async () => {
      @Controller('child')
      class ChildController extends MarksController {
        @Get('subject')
        @Wrap()
        override subject() {
          return ok();
        }
        @Get('skip')
        @Wrap()
        override skip() {
          return ok();
        }
      }
      const census = await start(adapter, [ChildController, MarksController]);
      expect(await ask(census, herald, '/child/issuers')).toBe('issuer_not_allowed');
      expect(await ask(census, herald, '/child/subject')).toBe('ok');
      expect(await askWithout(census, '/child/skip')).toBe('token_missing');
      expect(await ask(census, herald, '/marks/subject')).toBe('subject_missing');
    });

    it('each class of a mixin has marks of its own', async () => {
      const create = (path: string, issuer: string): Type => {
        @Controller(path)
        class MixedController {
          @Get()
          @Wrap()
          @AllowIssuers(issuer)
          read() {
            return ok();
          }
        }
        return MixedController;
      };
      const census = await start(adapter, [
        create('a', herald.issuer),
        create('b', archive.issuer),
      ]);
      expect(await ask(census, herald, '/a')).toBe('ok');
      expect(await ask(census, herald, '/b')).toBe('issuer_not_allowed');
      expect(await ask(census, archive, '/a')).toBe('issuer_not_allowed');
      expect(await ask(census, archive, '/b')).toBe('ok');
    });
  });

  it('TF-33 marks of a class count under a decorator that replaces the class', async () => {
    @Controller('observed')
    @Observed()
    @AllowIssuers(archive.issuer)
    class ObservedController {
      @Get()
      read() {
        return ok();
      }
    }
    @Controller('extends')
    class ExtendingController extends ObservedController {}
    const census = await start(adapter, [ObservedController, ExtendingController]);
    for (const target of ['/observed', '/extends']) {
      expect(await ask(census, herald, target)).toBe('issuer_not_allowed');
      expect(await ask(census, archive, target)).toBe('ok');
    }
  });

  it.each([Scope.DEFAULT, Scope.REQUEST])(
    'TF-34 marks count where an instance binds its methods, in scope %i',
    async (scope) => {
      @Controller({ path: 'bound', scope })
      class BoundController extends Bound {
        @Get()
        @AllowIssuers(archive.issuer)
        read() {
          return ok();
        }
        @Get('open')
        @SkipServiceAuth()
        open() {
          return ok();
        }
      }
      const census = await start(adapter, [BoundController]);
      expect(await ask(census, herald, '/bound')).toBe('issuer_not_allowed');
      expect(await ask(census, archive, '/bound')).toBe('ok');
      // A name alone opens nothing.
      expect(await askWithout(census, '/bound/open')).toBe('token_missing');
    },
  );

  it('TF-34 a bound method of an open controller stays closed', async () => {
    @Controller('bound')
    @SkipServiceAuth()
    class BoundController extends Bound {
      @Get()
      @RequireServiceAuth()
      read() {
        return ok();
      }
      @Get('open')
      open() {
        return ok();
      }
    }
    const census = await start(adapter, [BoundController]);
    expect(await askWithout(census, '/bound')).toBe('token_missing');
    expect(await ask(census, herald, '/bound')).toBe('ok');
    expect(await askWithout(census, '/bound/open')).toBe('ok');
  });

  describe('TF-34 an instance that replaces a method by one of another name', () => {
    const create = (scope: Scope, ...decorators: MethodDecorator[]): Type => {
      @Controller({ path: 'replaced', scope })
      class ReplacedController {
        constructor() {
          this.read = Object.defineProperty(() => ok(), 'name', { value: 'another' });
        }
        @Get()
        @applyDecorators(...decorators)
        read() {
          return ok();
        }
      }
      return ReplacedController;
    };

    it('does not start where the method is marked', async () => {
      const marked = create(Scope.DEFAULT, AllowIssuers(archive.issuer));
      await expect(start(adapter, [marked])).rejects.toThrow(ServiceAuthUsageError);
    });

    it('is a 500 where the instance is made for the request', async () => {
      const census = await start(adapter, [create(Scope.REQUEST, AllowIssuers(archive.issuer))]);
      expect((await herald.get(census.port, '/replaced')).status).toBe(500);
      expect((await archive.get(census.port, '/replaced')).status).toBe(500);
    });

    it.each([Scope.DEFAULT, Scope.REQUEST])(
      'is served where it is not, in scope %i',
      async (scope) => {
        const census = await start(adapter, [create(scope)]);
        expect(await ask(census, herald, '/replaced')).toBe('ok');
      },
    );
  });

  describe('TF-35 at start', () => {
    @Controller('guarded')
    class GuardedController {
      @Get()
      @UseGuards(ServiceJwtGuard)
      @Wrapped()
      @AllowIssuers(archive.issuer)
      read() {
        return ok();
      }
    }
    @Controller('lost')
    class LostController {
      @Get()
      @Wrapped()
      @UseGuards(ServiceJwtGuard)
      @AllowIssuers(archive.issuer)
      read() {
        return ok();
      }
    }
    @Controller('never')
    @RequireSubject()
    class NeverController {
      @Get()
      read() {
        return ok();
      }
    }
    const warningsOf = async (controller: Type, providers: Provider[]): Promise<string[]> => {
      const logger = new LogRecorder();
      await start(adapter, [controller], providers, logger);
      return logger.texts('warn');
    };

    it.each([
      ['dropped by a decorator above it', LostController],
      ['never written', NeverController],
    ])('a warning where the guard was %s', async (_name, controller) => {
      expect(await warningsOf(controller, [])).toEqual([
        expect.stringContaining(`${controller.name}.read() has @AllowIssuers()`),
        expect.stringContaining(`does not guard 1 of 1 handlers: ${controller.name}.read()`),
      ]);
    });

    it('none where it stands on the route, or before every route', async () => {
      expect(await warningsOf(GuardedController, [])).toEqual([]);
      expect(await warningsOf(LostController, [everywhere])).toEqual([]);
    });
  });
});
