import type { Server } from 'node:net';
import { HttpService } from '@nestjs/axios';
import {
  Body,
  type CanActivate,
  Controller,
  Get,
  Inject,
  type INestApplication,
  Injectable,
  Module,
  Post,
  Req,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireSubject,
  ServiceAuthConfigError,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  type ServiceAuthOptionsFactory,
  ServiceAuthUsageError,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceTokenRefusedError,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import {
  decodeToken,
  type Flaw,
  FLAWS,
  ServiceAuthTesting,
  TestClock,
} from 'nestjs-service-auth/testing';
import { lastValueFrom } from 'rxjs';
import request from 'supertest';
import { RecordingServer } from '../support/http/recording-server.js';
import { type Adapter, ADAPTERS } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const ARCHIVE = 'https://archive.service/';
const USER = 'https://census.service/user/21/';

@Controller('who')
class WhoController {
  @Get()
  get(@ServiceCaller() { issuer, subject }: ServiceIdentity) {
    return { issuer, subject };
  }
  @Post()
  post(@Body() body: unknown) {
    return { body };
  }
  @Get('claims')
  claims(@ServiceCaller() { claims }: ServiceIdentity) {
    return claims;
  }
  @Get('archive')
  @AllowIssuers(ARCHIVE)
  archive() {
    return {};
  }
  @Get('user')
  @RequireSubject()
  user() {
    return {};
  }
  @Get('optional')
  @OptionalServiceAuth()
  optional(@ServiceCaller() caller?: ServiceIdentity) {
    return { subject: caller?.subject };
  }
  @Get('me')
  me(@Req() { user }: { user: unknown }) {
    return user;
  }
  @Get('open')
  @SkipServiceAuth()
  open() {
    return {};
  }
}

@Controller('who')
@UseGuards(ServiceJwtGuard)
class GuardedWhoController extends WhoController {}

/** As in production: a key file, published keys and a vault that no test machine has. */
const production = (): ServiceAuthModuleOptions => ({
  issuer: CENSUS,
  audience: 'https://census.example/',
  signingKey: { keyFile: '/run/secrets/that-are-not-there/census.pem' },
  targets: [{ baseUrl: 'https://archive.service/' }],
  trustedIssuers: [
    { issuer: HERALD, jwksUri: 'https://herald.service/keys.json', subjects: [`${CENSUS}user/`] },
    { issuer: ARCHIVE, publicKey: 'no key at all', algorithms: ['EdDSA'] },
  ],
  requireKeysAtStart: true,
});

const missingSecrets = (): ServiceAuthModuleOptions => {
  throw new Error('ENOENT: no such file, open /run/secrets/census.pem');
};

@Injectable()
class ProductionOptions implements ServiceAuthOptionsFactory {
  createServiceAuthOptions = production;
}

const everyRoute = { provide: APP_GUARD, useExisting: ServiceJwtGuard };

function appOf(auth: unknown, guard: 'everywhere' | 'on controller' = 'everywhere'): Type {
  @Module({
    imports: [auth as Type],
    controllers: [guard === 'everywhere' ? WhoController : GuardedWhoController],
    providers: guard === 'everywhere' ? [everyRoute] : [],
  })
  class AppModule {}
  return AppModule;
}

const open: INestApplication[] = [];
afterEach(async () => {
  for (const app of open.splice(0)) await app.close();
});

async function start(adapter: Adapter, builder: TestingModuleBuilder): Promise<INestApplication> {
  const module = await builder.compile();
  const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = module.createNestApplication(httpAdapter, { logger: false });
  open.push(app);
  await app.init();
  if (adapter === 'fastify')
    await (app as NestFastifyApplication).getHttpAdapter().getInstance().ready();
  return app;
}

const testing = (module: unknown): TestingModuleBuilder =>
  Test.createTestingModule({ imports: [module as Type] });

async function get(app: INestApplication, target: string, headers: Record<string, string>) {
  const answer = await request(app.getHttpServer() as Server)
    .get(target)
    .set(headers);
  return { status: answer.status, body: answer.body as Record<string, unknown> };
}

describe.each(ADAPTERS)('ServiceAuthTesting on %s', (adapter) => {
  let auth: ServiceAuthTesting;
  beforeEach(() => {
    auth = new ServiceAuthTesting();
  });

  describe('in place of the real configuration', () => {
    const real: [name: string, module: () => unknown][] = [
      ['forRoot', () => ServiceAuthModule.forRoot(production())],
      [
        'forRoot, not global',
        () => ServiceAuthModule.forRoot({ ...production(), isGlobal: false }),
      ],
      [
        'forRootAsync with a factory',
        () => ServiceAuthModule.forRootAsync({ useFactory: production }),
      ],
      [
        'forRootAsync with a class',
        () => ServiceAuthModule.forRootAsync({ useClass: ProductionOptions }),
      ],
    ];

    it.each(real)('keeps what %s says of trust and policy', async (_name, module) => {
      const app = await start(adapter, auth.override(testing(appOf(module()))));
      const asUser = await auth.actingAs(USER).headersFor('GET', '/who');
      expect(await get(app, '/who', asUser)).toEqual({
        status: 200,
        body: { issuer: HERALD, subject: USER },
      });
      const asOther = await auth.actingAs('https://elsewhere.test/1').headersFor('GET', '/who');
      expect(await get(app, '/who', asOther)).toMatchObject({
        status: 403,
        body: { code: 'subject_not_allowed' },
      });
    });

    it('does not make options whose secrets are not there, where it is given others', async () => {
      const module = appOf(ServiceAuthModule.forRootAsync({ useFactory: missingSecrets }));
      await expect(auth.override(testing(module)).compile()).rejects.toThrow('ENOENT');
      const options = { issuer: CENSUS, trustedIssuers: [{ issuer: ARCHIVE }] };
      const app = await start(adapter, auth.override(testing(module), options));
      const headers = await auth.actingAsItself().headersFor('GET', '/who');
      expect(await get(app, '/who', headers)).toEqual({ status: 200, body: { issuer: ARCHIVE } });
    });

    it('is a module of its own for a controller on its own', async () => {
      const app = await start(adapter, testing(appOf(auth.module(), 'on controller')));
      const headers = await auth.actingAs(USER).headersFor('GET', '/who');
      expect(await get(app, '/who', headers)).toEqual({
        status: 200,
        body: { issuer: 'https://caller.test/', subject: USER },
      });
      expect(await get(app, '/who', {})).toMatchObject({ status: 401 });
    });

    it('replaces the module itself by overrideModule', async () => {
      const serviceAuth = ServiceAuthModule.forRootAsync({ useFactory: missingSecrets });
      const builder = testing(appOf(serviceAuth))
        .overrideModule(serviceAuth)
        .useModule(auth.module({ issuer: CENSUS }));
      const app = await start(adapter, builder);
      const headers = await auth.actingAs(USER).headersFor('GET', '/who');
      expect(await get(app, '/who', headers)).toMatchObject({ status: 200 });
      expect(decodeToken(headers).claims).toMatchObject({ aud: CENSUS });
    });

    it('leaves every other mistake in the options for the application to fail on', async () => {
      const wrong = { ...production(), clockToleranceSeconds: 61, unheard: 1 };
      const compile = auth.override(testing(appOf(ServiceAuthModule.forRoot(wrong)))).compile();
      await expect(compile).rejects.toThrow(ServiceAuthConfigError);
      await expect(compile).rejects.toThrow(/clockToleranceSeconds/);
      await expect(compile).rejects.toThrow(/unheard/);
    });

    it.each(['an object', 'a class'])('asks a finder that is %s', async (kind) => {
      class Finder {
        find = (issuer: string) =>
          issuer === HERALD ? { issuer, jwksUri: 'https://herald.service/keys' } : null;
      }
      const trustedIssuers = kind === 'a class' ? Finder : new Finder();
      const module = ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers });
      const app = await start(adapter, auth.override(testing(appOf(module))));
      await expect(auth.actingAs(USER).headersFor('GET', '/who')).rejects.toThrow(/caller\(/);
      const known = await auth.caller(HERALD).actingAs(USER).headersFor('GET', '/who');
      expect(await get(app, '/who', known)).toMatchObject({ status: 200 });
      const unknown = await auth.caller(ARCHIVE).actingAs(USER).headersFor('GET', '/who');
      expect(await get(app, '/who', unknown)).toMatchObject({ body: { code: 'issuer_unknown' } });
    });
  });

  describe('with an application that runs', () => {
    let app: INestApplication;
    beforeEach(async () => {
      const module = ServiceAuthModule.forRoot({
        ...production(),
        publicPathPrefix: '/census',
        requiredHeaders: ['Idempotency-Key'],
        maxTokenLifetimeSeconds: 30,
        trustedIssuers: [
          ...(production().trustedIssuers as []),
          { issuer: 'https://legacy.service/', publicKey: '', profile: 'original' },
        ],
      });
      app = await start(adapter, auth.override(testing(appOf(module))));
    });

    it('signs as another service, with the algorithm that is admitted for it', async () => {
      const headers = await auth.caller(ARCHIVE).actingAsItself().headersFor('GET', '/who/archive');
      expect(decodeToken(headers)).toMatchObject({
        header: { alg: 'EdDSA', typ: 'svc+jwt' },
        claims: { iss: ARCHIVE, aud: CENSUS, req: 'GET /census/who/archive' },
      });
      expect(await get(app, '/who/archive', headers)).toMatchObject({ status: 200 });
      const herald = await auth.actingAs(USER).headersFor('GET', '/who/archive');
      expect(await get(app, '/who/archive', herald)).toMatchObject({
        body: { code: 'issuer_not_allowed' },
      });
    });

    it('signs in the original profile where the receiver expects it', async () => {
      const legacy = auth.caller('https://legacy.service/').actingAs(USER);
      const headers = await legacy.headersFor('GET', '/who');
      expect(decodeToken(headers).header).toMatchObject({ typ: 'JWT' });
      expect(await get(app, '/who', headers)).toMatchObject({ status: 200 });
    });

    it('acts as itself, which a route that needs a user refuses', async () => {
      const itself = await auth.actingAs(USER).actingAsItself().headersFor('GET', '/who/user');
      expect(await get(app, '/who/user', itself)).toMatchObject({
        body: { code: 'subject_missing' },
      });
      const user = await auth.actingAs(USER).headersFor('GET', '/who/user');
      expect(await get(app, '/who/user', user)).toMatchObject({ status: 200 });
    });

    it('calls the service under another of its names', async () => {
      const headers = await auth
        .actingAs(USER)
        .calling('https://census.example/')
        .headersFor('GET', '/who');
      expect(decodeToken(headers).claims).toMatchObject({ aud: 'https://census.example/' });
      expect(await get(app, '/who', headers)).toMatchObject({ status: 200 });
    });

    it('signs claims that are given', async () => {
      const headers = await auth
        .actingAs(USER)
        .withClaims({ tenant: 'blue', plan: 1 })
        .withClaims({ plan: undefined })
        .headersFor('GET', '/who/claims');
      const { body } = await get(app, '/who/claims', headers);
      expect(body).toMatchObject({ tenant: 'blue', sub: USER });
      expect(body).not.toHaveProperty('plan');
      const withoutId = await auth
        .actingAs(USER)
        .withClaims({ jti: undefined })
        .headersFor('GET', '/who');
      expect(await get(app, '/who', withoutId)).toMatchObject({ body: { code: 'claim_missing' } });
    });

    it('binds the headers that the receiver asks for', async () => {
      const headers = await auth
        .actingAs(USER)
        .headersFor('GET', '/who', undefined, { headers: { 'Idempotency-Key': 'a' } });
      expect(headers).toMatchObject({ 'Idempotency-Key': 'a' });
      const changed = { ...headers, 'Idempotency-Key': 'b' };
      expect(await get(app, '/who', changed)).toMatchObject({ body: { code: 'header_mismatch' } });
      expect(await get(app, '/who', headers)).toMatchObject({ status: 200 });
    });

    it('makes headers that are good once', async () => {
      const headers = await auth.actingAs(USER).headersFor('GET', '/who');
      expect(await get(app, '/who', headers)).toMatchObject({ status: 200 });
      expect(await get(app, '/who', headers)).toMatchObject({ body: { code: 'token_replayed' } });
    });

    it('issues and verifies by its clock', async () => {
      const moment = new Date('2031-05-06T07:08:09Z');
      auth.clock.set(moment);
      const [one, two] = [
        await auth.actingAs(USER).headersFor('GET', '/who'),
        await auth.actingAs(USER).headersFor('GET', '/who'),
      ];
      const iat = moment.getTime() / 1000;
      expect(decodeToken(one).claims).toMatchObject({ iat, exp: iat + 30 });
      auth.clock.advance(34);
      expect(await get(app, '/who', one)).toMatchObject({ status: 200 });
      auth.clock.advance(1);
      expect(await get(app, '/who', two)).toMatchObject({ body: { code: 'token_expired' } });
      const back = await auth.actingAs(USER).issuedAt(moment).headersFor('GET', '/who');
      expect(await get(app, '/who', back)).toMatchObject({ body: { code: 'token_expired' } });
    });

    describe.each(['GET', 'POST'])('with a flaw in a %s', (method) => {
      const server = () => request(app.getHttpServer() as Server);
      it.each(Object.entries(FLAWS) as [Flaw, string][])('is refused: %s', async (flaw, code) => {
        const user = auth.actingAs(USER);
        const body = method === 'POST' ? { name: 'x' } : undefined;
        const send = async (headers: Record<string, string>) =>
          await (method === 'POST' ? server().post('/who') : server().get('/who'))
            .set(headers)
            .send(body);
        const bad = await send(await user.but(flaw).headersFor(method, '/who', body));
        expect(bad.body).toMatchObject({ statusCode: 401, code });
        const good = await send(await user.headersFor(method, '/who', body));
        expect(good.status).toBe(method === 'POST' ? 201 : 200);
      });
    });

    it.each([
      [
        'a profile that binds no request',
        'tampered-target',
        'https://legacy.service/',
        'it is accepted',
      ],
      ['an issuer that is refused already', 'expired', 'https://nobody.service/', 'issuer_unknown'],
    ] as const)(
      'refuses to make a flaw that says nothing: %s',
      async (_title, flaw, issuer, instead) => {
        const caller = auth.caller(issuer).actingAs(USER).but(flaw);
        await expect(caller.headersFor('GET', '/who')).rejects.toThrow(instead);
      },
    );
  });

  describe('with a userResolver', () => {
    const STRANGER = `${CENSUS}user/404/`;
    const userResolver = {
      resolveUser: (subject: string) => (subject === USER ? { name: 'Ada' } : null),
    };
    const module = () => appOf(ServiceAuthModule.forRoot({ ...production(), userResolver }));

    it('leaves the resolver of the application in its place', async () => {
      const app = await start(adapter, auth.override(testing(module())));
      const known = await auth.actingAs(USER).headersFor('GET', '/who/me');
      expect(await get(app, '/who/me', known)).toEqual({ status: 200, body: { name: 'Ada' } });
      const unknown = await auth.actingAs(STRANGER).headersFor('GET', '/who/me');
      expect(await get(app, '/who/me', unknown)).toMatchObject({
        body: { code: 'subject_unknown' },
      });
    });

    it.each([
      [USER, { status: 200, body: { name: 'Ada' } }],
      [STRANGER, { status: 403, body: { code: 'subject_unknown' } }],
    ])('asks it without tokens too, for %s', async (subject, answer) => {
      const app = await start(adapter, auth.overrideWithoutTokens(testing(module()), { subject }));
      expect(await get(app, '/who/me', {})).toMatchObject(answer);
    });
  });

  describe('where a dummy stands for the guard', () => {
    const letIn: CanActivate = { canActivate: () => true };

    it('replaces one for every route by overrideProvider', async () => {
      const builder = auth.override(testing(appOf(ServiceAuthModule.forRoot(production()))));
      const app = await start(adapter, builder.overrideProvider(ServiceJwtGuard).useValue(letIn));
      expect(await get(app, '/who/user', {})).toMatchObject({ status: 200 });
    });

    it('replaces those of controllers by overrideGuard', async () => {
      const module = appOf(ServiceAuthModule.forRoot(production()), 'on controller');
      const builder = auth.override(testing(module)).overrideGuard(ServiceJwtGuard);
      const app = await start(adapter, builder.useValue(letIn));
      expect(await get(app, '/who/user', {})).toMatchObject({ status: 200 });
    });
  });

  describe.each(['everywhere', 'on controller'] as const)('without tokens, guarded %s', (guard) => {
    const module = () => appOf(ServiceAuthModule.forRoot(production()), guard);

    it('serves every request as the caller that is fixed', async () => {
      const app = await start(
        adapter,
        auth.overrideWithoutTokens(testing(module()), { subject: USER }),
      );
      const body = { issuer: HERALD, subject: USER };
      expect(await get(app, '/who', {})).toEqual({ status: 200, body });
      expect(await get(app, '/who', { JWT: 'whatever' })).toEqual({ status: 200, body });
      expect(await get(app, '/who/optional', {})).toEqual({ status: 200, body: { subject: USER } });
      expect(await get(app, '/who/open', {})).toMatchObject({ status: 200 });
    });

    it('asks of that caller what routes ask', async () => {
      const caller = { issuer: HERALD };
      const app = await start(adapter, auth.overrideWithoutTokens(testing(module()), caller));
      expect(await get(app, '/who/user', {})).toMatchObject({ body: { code: 'subject_missing' } });
      expect(await get(app, '/who/archive', {})).toMatchObject({
        body: { code: 'issuer_not_allowed' },
      });
    });

    it('takes options of the test, and says that it does', async () => {
      const warnings: unknown[] = [];
      const logger = { log: () => 0, error: () => 0, warn: (text: unknown) => warnings.push(text) };
      const real = appOf(ServiceAuthModule.forRootAsync({ useFactory: missingSecrets }), guard);
      const builder = testing(real).setLogger(logger);
      const app = await start(adapter, auth.overrideWithoutTokens(builder, {}, { issuer: CENSUS }));
      expect(await get(app, '/who', {})).toMatchObject({
        body: { issuer: 'https://caller.test/' },
      });
      expect(warnings).toContain('Requests are served without service tokens, for a test.');
    });
  });

  describe('what the application sends', () => {
    @Controller('relay')
    @UseGuards(ServiceJwtGuard)
    class RelayController {
      constructor(@Inject(HttpService) private readonly http: HttpService) {}
      @Post()
      async relay(
        @Body() { url, json }: { url: string; json: object },
        @ServiceCaller() caller: ServiceIdentity,
      ) {
        const config = onBehalfOf(caller, { validateStatus: () => true });
        const answer = await lastValueFrom(this.http.post<unknown>(url, json, config));
        return { status: answer.status, data: answer.data };
      }
    }

    const startRelay = async (targets: ServiceAuthModuleOptions['targets']) => {
      @Module({
        imports: [auth.module({ issuer: HERALD, targets }), ServiceHttpModule.register()],
        controllers: [RelayController],
      })
      class RelayModule {}
      return await start(adapter, testing(RelayModule));
    };

    const relay = async (app: INestApplication, url: string, json: object) => {
      const body = { url, json };
      const headers = await auth.actingAs(USER).headersFor('POST', '/relay', body);
      const answer = await request(app.getHttpServer() as Server)
        .post('/relay')
        .set(headers)
        .send(body);
      return answer.body as { status: number; data: unknown };
    };

    it('is verified by a receiver, which answers', async () => {
      const receiver = await auth.startReceiver(CENSUS, {
        answer: ({ json }) => ({ status: 202, headers: { 'X-Seen': '1' }, json: { json } }),
      });
      try {
        const app = await startRelay([receiver.target]);
        expect(await relay(app, `${receiver.url}user?full=1`, { name: 'Jörg' })).toEqual({
          status: 202,
          data: { json: { name: 'Jörg' } },
        });
        expect(receiver.refusals).toEqual([]);
        expect(receiver.requests).toMatchObject([
          {
            method: 'POST',
            target: '/user?full=1',
            json: { name: 'Jörg' },
            identity: { issuer: HERALD, audience: CENSUS, subject: USER },
            token: { header: { typ: 'svc+jwt' }, claims: { req: 'POST /user?full=1', sub: USER } },
          },
        ]);
      } finally {
        await receiver.close();
      }
    });

    describe('where a test calls the handler itself', () => {
      it('is for the user of an identity of the kit, which is verified as for a request', async () => {
        const receiver = await auth.startReceiver(CENSUS);
        try {
          const app = await startRelay([receiver.target]);
          const caller = await auth.actingAs(USER).identity();
          const relayed = { url: receiver.url, json: {} };
          await app.get(RelayController).relay(relayed, caller);
          expect(receiver.requests.map(({ identity }) => identity.subject)).toEqual([USER]);
          // The same members, which nobody has verified.
          const copied = app.get(RelayController).relay(relayed, { ...caller });
          await expect(copied).rejects.toThrow(TypeError);
          expect(receiver.requests).toHaveLength(1);
        } finally {
          await receiver.close();
        }
      });

      it('is for nobody where the caller acts for itself', async () => {
        const receiver = await auth.startReceiver(CENSUS);
        try {
          const app = await startRelay([receiver.target]);
          const caller = await auth.actingAsItself().identity();
          await app.get(RelayController).relay({ url: receiver.url, json: {} }, caller);
          expect(receiver.requests.map(({ identity }) => identity.subject)).toEqual([undefined]);
        } finally {
          await receiver.close();
        }
      });
    });

    it('is refused by a receiver it was not meant for, with the code', async () => {
      const receiver = await auth.startReceiver(CENSUS);
      try {
        const app = await startRelay([{ baseUrl: receiver.url, audience: ARCHIVE }]);
        expect(await relay(app, receiver.url, {})).toMatchObject({
          status: 401,
          data: { code: 'audience_mismatch' },
        });
        expect(receiver.refusals).toEqual(['audience_mismatch']);
        expect(receiver.requests).toEqual([]);
      } finally {
        await receiver.close();
      }
    });

    it('lets a receiver tell what its answer threw', async () => {
      const failure = new Error('the test is wrong');
      const receiver = await auth.startReceiver(CENSUS, {
        answer: () => {
          throw failure;
        },
      });
      const app = await startRelay([receiver.target]);
      expect(await relay(app, receiver.url, {})).toMatchObject({ status: 500 });
      await expect(receiver.close()).rejects.toBe(failure);
    });

    it('is verified where another tool has recorded it', async () => {
      const recorder = await new RecordingServer().start();
      try {
        const app = await startRelay([{ baseUrl: `${recorder.url}/api`, audience: CENSUS }]);
        const url = `${recorder.url}/api/user?full=1`;
        await relay(app, url, { name: 'x' });
        const { method, rawHeaders, body } = recorder.takeOne();
        const recorded = { method, url, headers: pairsOf(rawHeaders), body };

        const changed = auth.verifySent({ ...recorded, body: { name: 'y' } });
        await expect(changed).rejects.toMatchObject({ code: 'body_mismatch' });
        const elsewhere = auth.verifySent({ ...recorded, url: 'https://elsewhere.test/' });
        await expect(elsewhere).rejects.toThrow(/no target/);
        await expect(auth.verifySent({ ...recorded, url: '/api' })).rejects.toThrow(/whole URL/);

        const asText = {
          ...recorded,
          headers: new Headers(recorded.headers),
          body: '{"name":"x"}',
        };
        expect(await auth.verifySent(asText)).toMatchObject({
          issuer: HERALD,
          audience: CENSUS,
          subject: USER,
        });
        const again = auth.verifySent(recorded, CENSUS);
        await expect(again).rejects.toThrow(ServiceTokenRefusedError);
        await expect(again).rejects.toMatchObject({ code: 'token_replayed' });
      } finally {
        await recorder.close();
      }
    });
  });

  it('cannot verify what nobody sends', async () => {
    await start(adapter, testing(appOf(auth.module())));
    const sent = { method: 'GET', url: 'https://archive.service/', headers: {} };
    await expect(auth.verifySent(sent)).rejects.toThrow(ServiceAuthUsageError);
  });

  describe('with several applications', () => {
    it('has an identity verified by the one that is named', async () => {
      await start(adapter, testing(appOf(auth.module({ issuer: CENSUS }))));
      await start(adapter, testing(appOf(auth.module({ issuer: HERALD }))));
      const user = auth.actingAs(USER);
      await expect(user.identity()).rejects.toThrow(/calling\(/);
      expect(await user.calling(HERALD).identity()).toMatchObject({ audience: HERALD });
    });

    it('calls the one that is named', async () => {
      const census = await start(adapter, testing(appOf(auth.module({ issuer: CENSUS }))));
      const herald = await start(adapter, testing(appOf(auth.module({ issuer: HERALD }))));
      await expect(auth.actingAs(USER).headersFor('GET', '/who')).rejects.toThrow(/calling\(/);
      for (const [app, audience] of [
        [census, CENSUS],
        [herald, HERALD],
      ] as const) {
        const headers = await auth.actingAs(USER).calling(audience).headersFor('GET', '/who');
        expect(await get(app, '/who', headers)).toMatchObject({ status: 200 });
      }
    });

    it('calls the latest of those with the same name', async () => {
      const module = appOf(auth.module());
      const first = await start(adapter, testing(module));
      const second = await start(adapter, testing(module));
      const headers = await auth.actingAs(USER).but('replayed').headersFor('GET', '/who');
      expect(await get(second, '/who', headers)).toMatchObject({
        body: { code: 'token_replayed' },
      });
      expect(await get(first, '/who', headers)).toMatchObject({ status: 200 });
    });
  });
});

/** Headers by their names. */
function pairsOf(rawHeaders: readonly string[]): Record<string, string> {
  const pairs = rawHeaders.flatMap((name, at) =>
    at % 2 === 0 ? [[name, rawHeaders[at + 1] ?? ''] as const] : [],
  );
  return Object.fromEntries(pairs);
}

describe('an identity of the testing kit', () => {
  it('has what the caller has', async () => {
    const auth = new ServiceAuthTesting({ startAt: new Date(5_000_000) });
    await auth.override(testing(appOf(ServiceAuthModule.forRoot(production())))).compile();
    const caller = auth.caller(ARCHIVE).actingAs(USER).withClaims({ tenant: 'blue' });
    expect(await caller.calling('https://census.example/').identity()).toMatchObject({
      issuer: ARCHIVE,
      audience: 'https://census.example/',
      subject: USER,
      issuedAtSeconds: 5000,
      profile: 'strict',
      claims: { tenant: 'blue' },
    });
    expect(await auth.actingAsItself().identity()).toMatchObject({
      issuer: HERALD,
      audience: CENSUS,
      subject: undefined,
    });
  });

  it('is not given for a caller whom the service refuses', async () => {
    const auth = new ServiceAuthTesting();
    await auth.override(testing(appOf(ServiceAuthModule.forRoot(production())))).compile();
    const refused: [identity: Promise<ServiceIdentity>, code: string][] = [
      [auth.actingAs('https://elsewhere.test/1').identity(), 'subject_not_allowed'],
      [auth.caller('https://stranger.service/').identity(), 'issuer_unknown'],
      [auth.actingAs(USER).but('expired').identity(), 'token_expired'],
    ];
    for (const [identity, code] of refused) await expect(identity).rejects.toMatchObject({ code });
  });

  it('is verified by a service of its own before there is an application', async () => {
    const auth = new ServiceAuthTesting();
    const caller = await auth.actingAs(USER).identity();
    expect(caller).toMatchObject({ issuer: 'https://caller.test/', subject: USER });
    expect(() => onBehalfOf(caller)).not.toThrow();
    expect(() => onBehalfOf({ ...caller })).toThrow(TypeError);
    const archive = await auth.caller(ARCHIVE).calling(CENSUS).identity();
    expect(archive).toMatchObject({ issuer: ARCHIVE, audience: CENSUS, subject: undefined });
    await expect(auth.actingAs(USER).headersFor('GET', '/who')).rejects.toThrow(/compile its/);
  });
});

describe('headers of a test', () => {
  const auth = new ServiceAuthTesting();
  const user = auth.actingAs(USER);

  it('are not made before there is an application', async () => {
    await expect(user.headersFor('GET', '/who')).rejects.toThrow(/compile its testing module/);
  });

  describe('once there is one', () => {
    beforeAll(async () => {
      await testing(auth.module()).compile();
    });

    it.each([
      ['nothing', undefined, undefined],
      ['an object', {}, 'application/json'],
      ['text', 'text', 'text/plain;charset=UTF-8'],
      ['empty text', '', undefined],
      ['bytes', new Uint8Array(1), 'application/octet-stream'],
      ['a form', new URLSearchParams('a=b'), 'application/x-www-form-urlencoded;charset=UTF-8'],
    ])('have the Content-Type of %s', async (_title, body, type) => {
      const headers = await user.headersFor('POST', '/who', body);
      expect(headers['Content-Type']).toBe(type);
      const bound = type === undefined ? undefined : { 'content-type': type };
      expect(decodeToken(headers).claims['hdr']).toEqual(body === '' ? undefined : bound);
    });

    it.each([
      ['/who?q=a b', 'GET /who?q=a%20b'],
      ['//who/../who', 'GET //who'],
      ['http://127.0.0.1:3000/who?full=1#top', 'GET /who?full=1'],
      [new URL('http://localhost/who'), 'GET /who'],
    ])('are bound to %s as clients send it', async (target, req) => {
      const headers = await user.headersFor('get', target);
      expect(decodeToken(headers).claims).toMatchObject({ req });
    });

    it.each([
      ['an object that goes as no JSON', '/who', 'text/csv', /not as text\/csv/],
      ['a target that is none', 'who', undefined, /no path and no URL/],
    ])('are not made for %s', async (_title, target, contentType, message) => {
      const headers = user.headersFor('POST', target, {}, { contentType });
      await expect(headers).rejects.toThrow(message);
      await expect(headers).rejects.toThrow(ServiceAuthUsageError);
    });
  });
});

describe('a decoder', () => {
  const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = `${segment({ alg: 'ES256' })}.${segment({ sub: USER })}.c2ln`;
  const decoded = { header: { alg: 'ES256' }, claims: { sub: USER } };

  it.each([
    ['a token', token],
    ['headers', { jwt: token, accept: undefined }],
    ['headers in another case', { JWT: token }],
    ['headers of fetch', new Headers({ JWT: token })],
    ['a request', { method: 'GET', headers: { Jwt: [token] } }],
    ['a request of fetch', new Request('http://localhost/', { headers: { JWT: token } })],
  ])('reads %s', (_title, carrier) => {
    expect(decodeToken(carrier)).toEqual(decoded);
  });

  it.each([
    ['no token', { accept: '*/*' }, /0 `JWT` headers/],
    ['two tokens', { jwt: [token, token] }, /2 `JWT` headers/],
    ['something else', 'no token', /no compact JWT/],
  ])('says that there is %s', (_title, carrier, message) => {
    expect(() => decodeToken(carrier)).toThrow(message);
  });
});

describe('TestClock', () => {
  it('stands until it is moved', () => {
    const clock = new TestClock(new Date(5_000_500));
    expect([clock.now(), clock.seconds]).toEqual([5_000_500, 5000]);
    clock.advance(1.5);
    expect(clock.now()).toBe(5_002_000);
    clock.advance(-2);
    expect(clock.seconds).toBe(5000);
    clock.set(new Date(0));
    expect(clock.now()).toBe(0);
  });

  it('begins now, unless it is told another time', () => {
    const before = Date.now();
    const { now } = new ServiceAuthTesting().clock;
    expect(now()).toBeGreaterThanOrEqual(before);
    expect(now()).toBeLessThanOrEqual(Date.now());
    expect(new ServiceAuthTesting({ startAt: new Date(7) }).clock.now()).toBe(7);
  });

  it.each([NaN, Infinity])('refuses to advance by %s', (seconds) => {
    const clock = new TestClock(new Date(0));
    expect(() => clock.advance(seconds)).toThrow(ServiceAuthUsageError);
    expect(clock.now()).toBe(0);
  });
});
