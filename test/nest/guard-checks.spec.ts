import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import {
  Controller,
  Get,
  Inject,
  Injectable,
  Next,
  Post,
  Req,
  Res,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD, ExternalContextCreator } from '@nestjs/core';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireSubject,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Caller } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { rawRequest, useFirst } from '../support/services/middleware.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const STRANGER = 'https://census.service/user/unknown/';
const herald = new Caller('https://herald.service/', CENSUS);
const archive = new Caller('https://archive.service/', CENSUS);
const ok = { ok: true };

@Injectable()
class Resolver {
  @UseGuards(ServiceJwtGuard)
  guarded() {
    return ok;
  }
  @UseGuards(ServiceJwtGuard)
  @SkipServiceAuth()
  skipped() {
    return ok;
  }
}

@Controller('any')
class AnyController {
  constructor(
    @Inject(Resolver) private readonly resolver: Resolver,
    @Inject(ExternalContextCreator) private readonly contexts: ExternalContextCreator,
  ) {}

  @Get()
  read() {
    return ok;
  }
  @Post()
  write(): { ok: boolean } {
    return ok;
  }
  @Get('subject')
  subject(@ServiceSubject() subject: string) {
    return { subject };
  }
  @Get('herald')
  @AllowIssuers(archive.issuer, herald.issuer)
  @AllowIssuers(herald.issuer)
  heraldOnly() {
    return ok;
  }
  @Get('headers')
  headers(@Req() request: object) {
    const { headers, rawHeaders } = rawRequest(request);
    return { headers, rawHeaders };
  }
  @Get('skipped')
  @SkipServiceAuth()
  skipped(@ServiceCaller() caller: ServiceIdentity) {
    return { caller };
  }
  @Get('optional')
  @OptionalServiceAuth()
  optional(@Req() request: { user?: unknown }) {
    return { user: request.user ?? 'nobody' };
  }
  @Get('optional-twice')
  @OptionalServiceAuth()
  @UseGuards(ServiceJwtGuard)
  optionalTwice() {
    return ok;
  }
  @Get('user')
  user(@Req() request: { user?: unknown }) {
    return { user: request.user ?? 'nobody' };
  }
  /** Runs a handler in a context of another type, the way modules of other transports do. */
  @Get('job')
  async job(@Req() request: object) {
    return await this.runAsJob('guarded', request);
  }
  @Get('job-skipped')
  async jobSkipped(@Req() request: object) {
    return await this.runAsJob('skipped', request);
  }

  private async runAsJob(name: 'guarded' | 'skipped', request: object): Promise<unknown> {
    const { resolver } = this;
    const handler = Reflect.get(resolver, name) as (...args: unknown[]) => unknown;
    const nothing = [undefined, undefined, undefined, undefined, undefined] as const;
    const run = this.contexts.create(resolver, handler, name, ...nothing, 'job');
    return (await run(request)) as unknown;
  }
}

@Controller('for-herald')
@AllowIssuers(herald.issuer)
class ForHeraldController {
  @Get()
  @SkipServiceAuth()
  read() {
    return ok;
  }
}

@Controller('for-user')
@RequireSubject()
class ForUserController {
  @Get()
  @OptionalServiceAuth()
  read() {
    return ok;
  }
}

const users: Record<string, object> = { [USER]: { name: 'canary-user' } };

describe.each(ADAPTERS)('ServiceJwtGuard on %s', (adapter) => {
  let now = (): number => Date.now();
  let census: TestService;
  let known: TestService;

  const start = async (options: Partial<ServiceAuthModuleOptions>): Promise<TestService> =>
    await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted, archive.trusted],
          now: () => now(),
          ...options,
        }),
      ],
      controllers: [AnyController, ForHeraldController, ForUserController],
      providers: [Resolver, { provide: APP_GUARD, useExisting: ServiceJwtGuard }],
      configure: (app) => {
        useFirst(adapter, app, (request, response, next) => {
          request.user = { name: 'set-before' };
          const cache = rawRequest(request).headers['x-cache'];
          if (cache !== undefined) response.setHeader('Cache-Control', cache);
          next();
        });
        if (adapter === 'fastify') {
          const fastify = (app as NestFastifyApplication).getHttpAdapter().getInstance();
          fastify.addContentTypeParser('*', (_request, _payload, done) => done(null));
        }
      },
    });

  beforeAll(async () => {
    census = await start({});
    known = await start({
      userResolver: {
        resolveUser: (subject: string) => {
          if (subject === `${USER}failing/`) throw new TypeError('canary-failure');
          return users[subject];
        },
      },
    });
  });
  afterAll(async () => {
    await census.close();
    await known.close();
  });

  it('TF-14 a route without any decorator is guarded', async () => {
    expect(await call(census.port, { target: '/any' })).toMatchObject({ code: 'token_missing' });
    expect(await herald.get(census.port, '/any')).toMatchObject({ status: 200, json: ok });
  });

  it.each(['/for-herald', '/for-user'])(
    'TF-14 what opens the method does not open %s, whose controller requires something',
    async (target) => {
      expect(await call(census.port, { target })).toMatchObject({ code: 'token_missing' });
      expect(await herald.get(census.port, target, USER)).toMatchObject({ status: 200, json: ok });
    },
  );

  it.each(['/for-herald', '/any/herald'])('AI-11 another issuer on %s', async (target) => {
    expect(await archive.get(census.port, target)).toMatchObject({ code: 'issuer_not_allowed' });
    expect(await herald.get(census.port, target)).toMatchObject({ status: 200, json: ok });
  });

  it.each(['/for-user', '/any/subject'])('CL-07 no subject on %s', async (target) => {
    expect(await herald.get(census.port, target)).toMatchObject({ code: 'subject_missing' });
    expect(await herald.get(census.port, target, USER)).toMatchObject({ status: 200 });
  });

  it('TF-10 reads no caller where nobody was asked to prove anything', async () => {
    const target = '/any/skipped';
    expect(await herald.get(census.port, target, USER)).toMatchObject({ status: 500 });
    expect(await call(census.port, { target })).toMatchObject({ status: 500 });
  });

  it.each(['/any/job', '/any/job-skipped'])(
    'TF-03 a context that is not HTTP: %s',
    async (target) => {
      expect(await herald.get(census.port, target)).toMatchObject({
        status: 403,
        code: 'context_unsupported',
      });
      expect(await herald.get(census.port, '/any')).toMatchObject({ status: 200 });
    },
  );

  it('TF-22 hides the token from the handler, and nothing else', async () => {
    const jwt = herald.token({ target: '/any/headers' });
    const headers = { jwt, 'x-other': 'stays' };
    const { json, text } = await call(census.port, { target: '/any/headers', headers });
    expect(json).toMatchObject({ headers: { 'x-other': 'stays' } });
    expect(json?.['headers']).not.toHaveProperty('jwt');
    const rawHeaders = json?.['rawHeaders'] as string[];
    const named = (name: string) => rawHeaders[rawHeaders.findIndex((each) => each === name) + 1];
    expect([named('x-other'), named('jwt')]).toEqual(['stays', '']);
    expect(text).not.toContain(jwt.split('.')[2]);
  });

  it('RP-14 the guard applied twice lets in whom a route admits, with a token or without', async () => {
    const target = '/any/optional-twice';
    expect(await call(census.port, { target })).toMatchObject({ status: 200, json: ok });
    expect(await herald.get(census.port, target)).toMatchObject({ status: 200, json: ok });
  });

  it('TF-12 leaves the user alone where nobody resolves any', async () => {
    const user = { name: 'set-before' };
    expect((await herald.get(census.port, '/any/user', USER)).json).toEqual({ user });
    expect((await call(census.port, { target: '/any/optional' })).json).toEqual({ user });
  });

  it.each([
    [undefined, 'private'],
    ['public, max-age=60', 'private'],
    ['no-store', 'no-store'],
    ['private, max-age=60', 'private, max-age=60'],
  ])('an answer with Cache-Control %s becomes %s', async (cache, becomes) => {
    const headers = cache === undefined ? {} : { 'x-cache': cache };
    const answer = await herald.send(census.port, { target: '/any', headers });
    expect(answer).toMatchObject({ status: 200, headers: { 'cache-control': becomes } });
  });

  it('TF-12 the user is the one that was resolved, whoever set another before', async () => {
    const find = async (target: string, subject?: string) =>
      (await herald.get(known.port, target, subject)).json;
    expect(await find('/any/user', USER)).toEqual({ user: users[USER] });
    expect(await find('/any/user')).toEqual({ user: 'nobody' });
    expect((await call(known.port, { target: '/any/optional' })).json).toEqual({ user: 'nobody' });
  });

  it('TF-12 a user nobody knows is refused', async () => {
    expect(await herald.get(known.port, '/any/user', STRANGER)).toMatchObject({
      status: 403,
      code: 'subject_unknown',
    });
    expect(await herald.get(known.port, '/any/user', USER)).toMatchObject({ status: 200 });
  });

  it('TF-13 an error that nobody foresaw lets nobody in', async () => {
    const failing = await herald.get(known.port, '/any/user', `${USER}failing/`);
    expect(failing).toMatchObject({ status: 500 });
    expect(failing.text).not.toContain('canary');
    expect(await herald.get(known.port, '/any/user', USER)).toMatchObject({ status: 200 });
  });

  it.each([
    [0, '200 OK|201 Created'],
    [66_000, '401 Unauthorized[^]*token_expired'],
  ])(
    'TM-17 a body that ends %s ms after the guard first looked at the clock',
    async (milliseconds, answer) => {
      const startedAt = Date.now();
      const contentType = 'application/octet-stream';
      const jwt = herald.token({ method: 'POST', target: '/any', body: 'slowly', contentType });
      const head = `POST /any HTTP/1.1\r\nHost: x\r\nConnection: close\r\nJWT: ${jwt}\r\n`;
      const length = `Content-Type: ${contentType}\r\nContent-Length: 6\r\n\r\n`;
      const received: Buffer[] = [];
      const socket = connect(census.port, '127.0.0.1', () => socket.write(`${head}${length}slow`));
      socket.on('data', (chunk) => received.push(chunk));
      let hasLooked = false;
      let elapsed = 0;
      const sendTheRest = (): void => {
        elapsed = milliseconds;
        socket.write('ly');
      };
      now = () => {
        if (!hasLooked) setImmediate(sendTheRest);
        hasLooked = true;
        return startedAt + elapsed;
      };
      await new Promise((resolve) => socket.once('close', resolve));
      now = () => Date.now();
      expect(Buffer.concat(received).toString()).toMatch(new RegExp(answer));
    },
  );
});

describe('handing on with next(), on express', () => {
  @Controller('handed')
  class FirstController {
    @Get(':to')
    @OptionalServiceAuth()
    first(@Next() next: () => void) {
      next();
    }
  }
  @Controller('handed')
  class SecondController {
    @Get('required')
    required() {
      return ok;
    }
    @Get('archive')
    @AllowIssuers(archive.issuer)
    archiveOnly() {
      return ok;
    }
  }

  it('TF-14 every route on the way asserts what it asks', async () => {
    const census = await startService({
      adapter: 'express',
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted, archive.trusted],
        }),
      ],
      controllers: [FirstController, SecondController],
      providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
    });
    try {
      const answers = [
        await call(census.port, { target: '/handed/required' }),
        await herald.get(census.port, '/handed/archive'),
        await herald.get(census.port, '/handed/required'),
        await archive.get(census.port, '/handed/archive'),
      ];
      expect(answers.map(({ code, json }) => code ?? json)).toEqual([
        'token_missing',
        'issuer_not_allowed',
        ok,
        ok,
      ]);
    } finally {
      await census.close();
    }
  });
});

it('TF-14 @AllowIssuers() that names nobody fails where it is written', () => {
  const write: (...issuers: string[]) => unknown = AllowIssuers as never;
  expect(() => write()).toThrow(/names nobody/);
  expect(() => write(herald.issuer)).not.toThrow();
});

describe('an application that hands a request to another one, on express', () => {
  it('AI-02 neither takes the word of the other', async () => {
    const start = async (issuer: string, controller: Type<unknown>): Promise<TestService> =>
      await startService({
        adapter: 'express',
        imports: [
          ServiceAuthModule.forRoot({
            issuer,
            trustedIssuers: [herald.trusted],
            tokenAfterVerification: 'keep',
          }),
        ],
        controllers: [controller],
        providers: [Resolver, { provide: APP_GUARD, useExisting: ServiceJwtGuard }],
      });
    const census = await start(CENSUS, AnyController);
    const inner = census.app.getHttpAdapter().getInstance() as RequestListener;
    @Controller('any')
    class HandingController {
      @Get()
      hand(@Req() request: IncomingMessage, @Res() response: ServerResponse) {
        inner(request, response);
      }
    }
    const orders = await start('https://orders.service/', HandingController);
    const headers = {
      jwt: herald.token({ target: '/any', claims: { aud: 'https://orders.service/' } }),
    };
    try {
      expect(await call(orders.port, { target: '/any', headers })).toMatchObject({
        code: 'audience_mismatch',
      });
      expect(await herald.get(census.port, '/any')).toMatchObject({ status: 200 });
    } finally {
      await orders.close();
      await census.close();
    }
  });
});
