import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, UseGuards } from '@nestjs/common';
import {
  type MountOptions,
  ServiceAuthMiddleware,
  ServiceAuthModule,
  ServiceAuthUsageError,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceAuthTesting } from 'nestjs-service-auth/testing';
import { lastValueFrom } from 'rxjs';
import type { INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { Caller } from '../support/services/caller.js';
import {
  contextOfSecond,
  FIRST_MIDDLEWARE,
  middlewareOfFirst,
  SecondServiceModule,
} from '../support/services/second-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const herald = new Caller('https://herald.service/', CENSUS);
const archive = new Caller('https://archive.service/', CENSUS);
const key = createKey();

@Controller('whom')
@UseGuards(ServiceJwtGuard)
class WhomController {
  @Get()
  whom(@ServiceSubject({ optional: true }) subject: string | undefined) {
    return { subject: subject ?? 'nobody' };
  }
}

/** What stands for a proxy or a dashboard: it answers what it was sent. */
type Mounted = (request: IncomingMessage, response: ServerResponse) => void;

const fastifyOf = (app: INestApplication) =>
  (app as NestFastifyApplication).getHttpAdapter().getInstance();

describe.each(ADAPTERS)('on %s', (adapter) => {
  const events = new ObservedEvents();
  const handled: string[] = [];
  let inbox: TestService;
  beforeAll(async () => {
    inbox = await startService({
      adapter: 'express',
      imports: [
        ServiceAuthModule.forRoot({
          issuer: 'https://inbox.service/',
          trustedIssuers: [{ issuer: CENSUS, publicKey: key.publicPem }],
        }),
      ],
      controllers: [WhomController],
    });
  });
  beforeEach(() => {
    events.decisions.splice(0);
    handled.splice(0);
  });
  const running: TestService[] = [];
  const pending: ServerResponse[] = [];
  const unreached = (): void => void handled.push('legacy');
  const noteAnswer = (_: IncomingMessage, response: ServerResponse, next: () => void): void => {
    pending.push(response);
    next();
  };
  afterAll(async () => {
    await Promise.all([...running, inbox].map(async (each) => await each.close()));
  });

  async function start(options: MountOptions = {}): Promise<TestService> {
    let http: HttpService;
    const mounted: Mounted = (request, response) => {
      void text(request).then(async (body) => {
        handled.push(body);
        const whom = await lastValueFrom(http.get<object>('/whom')).catch((error: unknown) => ({
          data: { subject: (error as { code: string }).code },
        }));
        response.end(JSON.stringify({ body, ...whom.data }));
      });
    };
    const service = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted, archive.trusted],
          signingKey: { privateKey: key.privatePem },
          targets: [{ baseUrl: `${inbox.url}/`, audience: 'https://inbox.service/' }],
          subjectPropagation: 'ambient',
          observer: events,
        }),
        ServiceHttpModule.register({ baseURL: inbox.url }),
      ],
      configure: async (app) => {
        http = app.get(HttpService, { strict: false });
        const middleware = app.get(ServiceAuthMiddleware);
        if (adapter === 'express') {
          app.use('/legacy', middleware.express(options), mounted);
          return;
        }
        await fastifyOf(app).register(async (scope) => {
          scope.removeAllContentTypeParsers();
          scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
          scope.addHook('preHandler', middleware.fastify(options));
          for (const url of ['/legacy', '/legacy/*']) {
            scope.all(url, (request, reply) => {
              reply.hijack();
              mounted(request.raw, reply.raw);
            });
          }
        });
      },
    });
    running.push(service);
    return service;
  }

  /** With something in front that may answer while the request is verified, as a timeout does. */
  const mountBehindAnswers = async (app: INestApplication): Promise<void> => {
    const middleware = app.get(ServiceAuthMiddleware);
    if (adapter === 'express') {
      app.use('/legacy', noteAnswer, middleware.express(), unreached);
      return;
    }
    await fastifyOf(app).register(async (scope) => {
      scope.addHook('onRequest', ({ raw }, reply, done) => noteAnswer(raw, reply.raw, done));
      scope.addHook('preHandler', middleware.fastify());
      scope.get('/legacy', () => handled.push('legacy'));
    });
  };

  const post = { method: 'POST', body: '{"name":"Ada"}', contentType: 'application/json' } as const;

  describe('what is mounted', () => {
    let census: TestService;
    beforeAll(async () => void (census = await start({ route: '/legacy' })));

    it.each([
      '/legacy',
      '/LEGACY',
      '/legacy/',
      '/legacy/x?y=z',
      '/%6Cegacy',
      '//legacy',
      'http://127.0.0.1/legacy',
    ])('GQ-02 at %s', async (target) => {
      const signed = await herald.send(census.port, { ...post, target, subject: USER });
      events.decisions.splice(0);
      handled.splice(0);
      const headers = { 'content-type': post.contentType };
      const plain = await call(census.port, { ...post, target, headers });
      expect(handled).toEqual([]);
      if (signed.status === 404) {
        expect(plain.status).toBe(404);
        return;
      }
      expect(signed.json).toEqual({ body: post.body, subject: USER });
      expect(plain).toMatchObject({
        status: 401,
        json: { statusCode: 401, error: 'Unauthorized', code: 'token_missing' },
        headers: { 'www-authenticate': expect.stringContaining('JWT') as string },
      });
      expect(events.decisions).toMatchObject([{ code: 'token_missing', route: '/legacy' }]);
    });

    it.each([
      ['another body', { body: '{"name":"Bob"}' }, 'body_mismatch'],
      ['another query', { target: '/legacy?admin=1' }, 'request_mismatch'],
      ['another method', { method: 'PUT' }, 'request_mismatch'],
    ])('GQ-03 with %s', async (_what, change, code) => {
      const request = { ...post, target: '/legacy' };
      const headers = herald.headers(request);
      const answer = await call(census.port, { ...request, headers, ...change });
      expect(answer).toMatchObject({ status: 401, code });
      expect(handled).toEqual([]);
      expect(await herald.send(census.port, request)).toMatchObject({ status: 200 });
      expect(handled).toEqual([post.body]);
    });

    it('calls for nobody where the caller acts for itself', async () => {
      const { json } = await herald.send(census.port, { ...post, target: '/legacy' });
      expect(json).toMatchObject({ subject: 'nobody' });
    });
  });

  it('GQ-04 what a mount asks of its callers', async () => {
    const census = await start({ allowIssuers: [archive.issuer], requireSubject: true });
    const target = '/legacy';
    const codes = await Promise.all([
      herald.get(census.port, target, USER),
      archive.get(census.port, target),
      archive.get(census.port, target, USER),
    ]);
    expect(codes.map(({ code, status }) => code ?? status)).toEqual([
      'issuer_not_allowed',
      'subject_missing',
      200,
    ]);
  });

  it.each([true, false])(
    'GQ-10 outlives an answer that was sent while the request was verified: %p',
    async (isAnswered) => {
      const census = await startService({
        adapter,
        imports: [
          ServiceAuthModule.forRoot({
            issuer: CENSUS,
            trustedIssuers: [herald.trusted],
            observer: events,
            // As a timeout answers a user who is looked up for too long, and then is not found.
            userResolver: { resolveUser: () => void (isAnswered && pending.pop()?.end('late')) },
          }),
        ],
        configure: mountBehindAnswers,
      });
      running.push(census);
      const answer = await herald.get(census.port, '/legacy', USER);
      if (isAnswered) expect(answer).toMatchObject({ status: 200, text: 'late' });
      else expect(answer).toMatchObject({ status: 403, code: 'subject_unknown' });
      await events.reach(1);
      expect(events.decisions).toMatchObject([{ code: 'subject_unknown' }]);
      expect(handled).toEqual([]);
      expect(await call(census.port, { target: '/legacy' })).toMatchObject({ status: 401 });
    },
  );

  it.each([
    ['lets the request in', (): unknown => ({}), 'request_accepted'],
    ['refuses the request', (): unknown => undefined, 'request_refused'],
    [
      'fails',
      (): unknown => {
        throw new Error('of the resolver');
      },
      'request_failed',
    ],
  ])('GQ-10 outlives an answer that has begun when it %s', async (_what, resolve, type) => {
    const begun: ServerResponse[] = [];
    const resolveUser = (): unknown => {
      const response = pending.pop();
      response?.write('late');
      if (response) begun.push(response);
      return resolve();
    };
    const census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted],
          observer: events,
          userResolver: { resolveUser },
        }),
      ],
      configure: mountBehindAnswers,
    });
    running.push(census);
    const answer = herald.get(census.port, '/legacy', USER).catch(() => 'broken off');
    await events.reach(1);
    expect(events.decisions).toMatchObject([{ type }]);
    await setImmediate();
    for (const response of begun) response.end();
    await answer;
    // An unhandled rejection would have ended the process.
    expect(await call(census.port, { target: '/legacy' })).toMatchObject({ status: 401 });
  });

  it('GQ-11 is nothing that a second service does for itself', async () => {
    const whom: unknown[] = [];
    const census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] }),
        SecondServiceModule,
      ],
      providers: [FIRST_MIDDLEWARE],
      configure: async (app) => {
        const second = contextOfSecond(app);
        const middleware = middlewareOfFirst(app);
        const mounted: Mounted = (_request, response) => {
          whom.push(second.current());
          response.end('done');
        };
        if (adapter === 'express') {
          app.use('/legacy', middleware.express(), mounted);
          return;
        }
        await fastifyOf(app).register(async (scope) => {
          scope.addHook('preHandler', middleware.fastify());
          scope.get('/legacy', (request, reply) => {
            reply.hijack();
            mounted(request.raw, reply.raw);
          });
        });
      },
    });
    running.push(census);
    expect(await herald.get(census.port, '/legacy', USER)).toMatchObject({ text: 'done' });
    expect(whom).toEqual([undefined]);
    const outside = contextOfSecond(census.app).current();
    expect(outside).toEqual({ subject: undefined });
  });

  it('GQ-06 a mount that admits callers without a token', async () => {
    const census = await start({ anonymous: 'admit' });
    const target = '/legacy';
    // Nobody is proved, so a call that names nobody is refused.
    const anonymous = await call(census.port, { target });
    expect(anonymous.json).toEqual({ body: '', subject: 'subject_undecided' });
    expect((await herald.get(census.port, target, USER)).json).toEqual({ body: '', subject: USER });
    const moved = await herald.send(census.port, { target, signedTarget: '/other' });
    expect(moved).toMatchObject({ code: 'request_mismatch' });
  });

  it('GQ-06 a mount that asks for a caller admits nobody else', async () => {
    const census = await start({ anonymous: 'admit', allowIssuers: [herald.issuer] });
    const target = '/legacy';
    expect(await call(census.port, { target })).toMatchObject({ code: 'token_missing' });
    expect(await herald.get(census.port, target)).toMatchObject({ status: 200 });
  });
});

it.each<[object, RegExp]>([
  [{ allowIssuers: [] }, /^allowIssuers: /],
  [{ allowIssuers: 'https://herald.service/' }, /^allowIssuers: /],
  [{ anonymous: true }, /^anonymous: /],
  [{ maxBodyBytes: 0 }, /^maxBodyBytes: /],
  [{ requireSubject: 'yes' }, /^requireSubject: /],
  [{ route: 1 }, /^route: /],
  [{ allowIssuer: ['https://herald.service/'] }, /no option of a mount/],
])('GQ-07 does not take %j', async (options, message) => {
  const auth = new ServiceAuthTesting();
  const service = await startService({ adapter: 'express', imports: [auth.module()] });
  const middleware = service.app.get(ServiceAuthMiddleware);
  const mounts = [
    middleware.express.bind(middleware),
    middleware.fastify.bind(middleware),
    middleware.upgrade.bind(middleware),
  ];
  for (const mount of mounts) {
    expect(() => mount(options as MountOptions)).toThrow(ServiceAuthUsageError);
    expect(() => mount(options as MountOptions)).toThrow(message);
    expect(mount({})).toBeInstanceOf(Function);
  }
  await service.close();
});
