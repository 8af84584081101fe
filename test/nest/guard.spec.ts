import { once } from 'node:events';
import { createServer, request as forward, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import {
  All,
  Body,
  Controller,
  Get,
  type INestApplication,
  Next,
  Post,
  type Provider,
  Res,
  Sse,
  StreamableFile,
  type Type,
  UseGuards,
  Version,
  VersioningType,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireSubject,
  ServiceAuthModule,
  ServiceJwtGuard,
  ServiceSubject,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { of } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const herald = new Caller('https://herald.service/', CENSUS);
const archive = new Caller('https://archive.service/', CENSUS);
const serviceAuth = () =>
  ServiceAuthModule.forRoot({
    issuer: CENSUS,
    trustedIssuers: [herald.trusted, archive.trusted],
  });

@Controller('who')
class BareController {
  @Get('am-i')
  whoAmI(@ServiceSubject() subject: string) {
    return { subject };
  }
  @Post('am-i')
  post(@Body() body: unknown, @ServiceSubject() subject: string) {
    return { subject, body };
  }
}

@Controller('who')
class MethodGuardedController {
  @Get('am-i')
  @UseGuards(ServiceJwtGuard)
  whoAmI(@ServiceSubject() subject: string) {
    return { subject };
  }
  @Post('am-i')
  @UseGuards(ServiceJwtGuard)
  post(@Body() body: unknown, @ServiceSubject() subject: string) {
    return { subject, body };
  }
}

@Controller('who')
@UseGuards(ServiceJwtGuard)
class ClassGuardedController extends BareController {
  @Get('am-i')
  override whoAmI(@ServiceSubject() subject: string) {
    return { subject };
  }
  @Post('am-i')
  override post(@Body() body: unknown, @ServiceSubject() subject: string) {
    return { subject, body };
  }
}

const applicationGuard: Provider = { provide: APP_GUARD, useExisting: ServiceJwtGuard };
const useGlobalGuard = (app: Pick<INestApplication, 'get' | 'useGlobalGuards'>) =>
  app.useGlobalGuards(app.get(ServiceJwtGuard));

interface Place {
  readonly controller: Type<unknown>;
  readonly providers?: Provider[];
  readonly configure?: typeof useGlobalGuard;
}

const places: [string, Place][] = [
  ['on the method', { controller: MethodGuardedController }],
  ['on the class', { controller: ClassGuardedController }],
  ['by useGlobalGuards', { controller: BareController, configure: useGlobalGuard }],
  ['by APP_GUARD', { controller: BareController, providers: [applicationGuard] }],
  [
    'in all of these places at once',
    {
      controller: ClassGuardedController,
      providers: [applicationGuard],
      configure: useGlobalGuard,
    },
  ],
];

describe.each(ADAPTERS)('ServiceJwtGuard on %s', (adapter) => {
  describe.each(places)('%s', (_place, { controller, providers = [], configure }) => {
    let census: TestService;
    beforeAll(async () => {
      census = await startService({
        adapter,
        imports: [serviceAuth()],
        controllers: [controller],
        providers,
        ...(configure ? { configure } : {}),
      });
    });
    afterAll(async () => await census.close());

    it('verifies a request once, and lets it in once', async () => {
      const headers = herald.headers({ target: '/who/am-i', subject: USER });
      const answer = await call(census.port, { target: '/who/am-i', headers });
      expect(answer).toMatchObject({ status: 200, json: { subject: USER } });
      expect(await call(census.port, { target: '/who/am-i', headers })).toMatchObject({
        status: 401,
        code: 'token_replayed',
      });
    });

    it('verifies a body once', async () => {
      const answer = await herald.post(census.port, '/who/am-i', { name: 'x' }, USER);
      expect(answer).toMatchObject({ status: 201, json: { subject: USER, body: { name: 'x' } } });
    });

    it('refuses a request without a token, and one for another target', async () => {
      expect(await call(census.port, { target: '/who/am-i' })).toMatchObject({
        status: 401,
        code: 'token_missing',
      });
      const other = { target: '/who/am-i', signedTarget: '/who/am-i?', subject: USER };
      expect(await herald.send(census.port, other)).toMatchObject({
        status: 401,
        code: 'request_mismatch',
      });
    });
  });

  it('works in an application of @nestjs/testing', async () => {
    const testing = await Test.createTestingModule({
      imports: [serviceAuth()],
      controllers: [ClassGuardedController],
    }).compile();
    const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
    const app = testing.createNestApplication(httpAdapter, {
      forceCloseConnections: true,
      logger: false,
    });
    try {
      await app.listen(0, '127.0.0.1');
      const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
      const { json } = await herald.get(port, '/who/am-i', USER);
      expect(json).toEqual({ subject: USER });
      expect(await herald.post(port, '/who/am-i', { name: 'x' }, USER)).toMatchObject({
        status: 201,
        json: { subject: USER, body: { name: 'x' } },
      });
      expect(await call(port, { target: '/who/am-i' })).toMatchObject({ code: 'token_missing' });
    } finally {
      await app.close();
    }
  });

  describe('guards every kind of route', () => {
    const served: string[] = [];
    const serve = (name: string) => {
      served.push(name);
      return { served: name };
    };

    @Controller({ path: 'items', version: '2' })
    class VersionedController {
      @Get()
      list() {
        return serve('version 2');
      }
      @Get()
      @Version('3')
      listNew() {
        return serve('version 3');
      }
    }
    @Controller({ path: 'admin', host: 'admin.example' })
    class HostController {
      @Get()
      read() {
        return serve('host');
      }
    }
    @Controller('kinds')
    class KindsController {
      @Get(adapter === 'express' ? 'files/*path' : 'files/*')
      wildcard() {
        return serve('wildcard');
      }
      @Get('file')
      file() {
        serve('file');
        return new StreamableFile(Readable.from([Buffer.from('{"served":"file"}')]));
      }
      @Sse('events')
      events() {
        return of({ data: serve('events') });
      }
      @Get('response')
      response(@Res() response: { send(body: object): unknown }) {
        response.send(serve('response'));
      }
      @All('any')
      any() {
        return serve('any');
      }
      @Get('plain')
      plain() {
        return serve('plain');
      }
    }

    let census: TestService;
    beforeAll(async () => {
      census = await startService({
        adapter,
        imports: [serviceAuth()],
        controllers: [VersionedController, HostController, KindsController],
        providers: [applicationGuard],
        configure: (app) => {
          app.setGlobalPrefix('api');
          app.enableVersioning({ type: VersioningType.URI });
          app.enableCors();
        },
      });
    });
    beforeEach(() => void served.splice(0));
    afterAll(async () => await census.close());

    it.each<[string, { target: string; headers?: Record<string, string>; expected: string }]>([
      ['a controller with a version', { target: '/api/v2/items', expected: 'version 2' }],
      ['a method with a version', { target: '/api/v3/items', expected: 'version 3' }],
      [
        'a host-scoped controller',
        { target: '/api/admin', headers: { host: 'admin.example' }, expected: 'host' },
      ],
      ['a wildcard', { target: '/api/kinds/files/a/b%20c?x=%2F', expected: 'wildcard' }],
      ['a StreamableFile', { target: '/api/kinds/file', expected: 'file' }],
      ['server-sent events', { target: '/api/kinds/events', expected: 'events' }],
      ['@Res()', { target: '/api/kinds/response', expected: 'response' }],
      ['@All()', { target: '/api/kinds/any', expected: 'any' }],
      ['a query', { target: '/api/kinds/plain?a=%C3%BC&a=2&&b', expected: 'plain' }],
      ['an empty query', { target: '/api/kinds/plain?', expected: 'plain' }],
    ])('TF-15 %s', async (_title, { target, headers, expected }) => {
      const accepted = await herald.send(census.port, { target, ...(headers ? { headers } : {}) });
      expect(accepted.status).toBe(200);
      expect(accepted.text).toContain(`"served":"${expected}"`);
      expect(accepted.headers).toMatchObject({ vary: expect.stringContaining('JWT') as unknown });
      expect(served.splice(0)).toEqual([expected]);

      const refused = [
        await call(census.port, { target, ...(headers ? { headers } : {}) }),
        // Without the global prefix: only the whole target, as sent, is what the caller signed.
        await herald.send(census.port, {
          target,
          signedTarget: target.replace('/api', ''),
          ...(headers ? { headers } : {}),
        }),
      ];
      expect(refused.map(({ status, code }) => [status, code])).toEqual([
        [401, 'token_missing'],
        [401, 'request_mismatch'],
      ]);
      expect(served).toEqual([]);
    });

    it('TF-15 HEAD runs the handler of GET, but not with the token of a GET', async () => {
      const target = '/api/kinds/plain';
      const token = herald.token({ target });
      expect(
        await call(census.port, { method: 'HEAD', target, headers: { jwt: token } }),
      ).toMatchObject({ status: 401 });
      expect(await call(census.port, { method: 'HEAD', target })).toMatchObject({ status: 401 });
      expect(served).toEqual([]);
      expect(await herald.send(census.port, { method: 'HEAD', target })).toMatchObject({
        status: 200,
      });
      expect(served).toEqual(['plain']);
      // The refused HEAD did not use the token up.
      expect(await call(census.port, { target, headers: { jwt: token } })).toMatchObject({
        status: 200,
      });
    });

    it.each(['POST', 'PUT', 'PATCH', 'DELETE'])('TF-15 %s on @All()', async (method) => {
      const target = '/api/kinds/any';
      expect(await call(census.port, { method, target })).toMatchObject({ status: 401 });
      const wrongMethod = { ...herald.headers({ target, method: 'GET' }) };
      expect(await call(census.port, { method, target, headers: wrongMethod })).toMatchObject({
        code: 'request_mismatch',
      });
      expect(served).toEqual([]);
      const { status } = await herald.send(census.port, { method, target });
      expect(Math.floor(status / 100)).toBe(2);
      expect(served).toEqual(['any']);
    });

    it('TF-15 an escaped letter: routed on Fastify, and guarded', async () => {
      const target = '/api/kinds/%70lain';
      const isRouted = adapter === 'fastify';
      const bare = await call(census.port, { target });
      expect(bare.status).toBe(isRouted ? 401 : 404);
      const other = await herald.send(census.port, { target, signedTarget: '/api/kinds/plain' });
      expect(other.code).toBe(isRouted ? 'request_mismatch' : undefined);
      expect(served).toEqual([]);
      const good = await herald.send(census.port, { target });
      expect(good.status).toBe(isRouted ? 200 : 404);
      expect(served).toEqual(isRouted ? ['plain'] : []);
    });

    it('TF-15 another case, and a slash more: routed on Express, and guarded', async () => {
      for (const target of ['/API/kinds/PLAIN', '/api/kinds/plain/']) {
        const isRouted = adapter === 'express';
        const bare = await call(census.port, { target });
        expect(bare.status).toBe(isRouted ? 401 : 404);
        const other = await herald.send(census.port, { target, signedTarget: '/api/kinds/plain' });
        expect(other.code).toBe(isRouted ? 'request_mismatch' : undefined);
        expect(served.splice(0)).toEqual([]);
        const good = await herald.send(census.port, { target });
        expect(good.status).toBe(isRouted ? 200 : 404);
        expect(served.splice(0)).toEqual(isRouted ? ['plain'] : []);
      }
    });

    it.each([
      ['CORS preflight', { method: 'OPTIONS', target: '/api/kinds/plain' }],
      ['OPTIONS on @All()', { method: 'OPTIONS', target: '/api/kinds/any' }],
      ['a path that does not exist', { target: '/api/kinds/nothing' }],
      ['a method that does not exist', { method: 'POST', target: '/api/kinds/plain' }],
      ['a version that does not exist', { target: '/api/v1/items' }],
      ['the path without the prefix', { target: '/kinds/plain' }],
      ['another host', { target: '/api/admin' }],
    ])('TF-15 %s never reaches a handler, with a token or without', async (_title, request) => {
      const preflight = {
        origin: 'https://app.example',
        'access-control-request-method': 'GET',
      };
      const answers = [
        await call(census.port, { ...request, headers: preflight }),
        await herald.send(census.port, { ...request, headers: preflight }),
      ];
      for (const { text } of answers) expect(text).not.toContain('served');
      expect(served).toEqual([]);
    });
  });

  describe('publicPathPrefix', () => {
    /** A gateway that takes '/census' off the path and changes nothing else. */
    const startGateway = async (upstreamPort: number) => {
      const gateway = createServer((incoming, outgoing) => {
        const path = (incoming.url ?? '').replace(/^\/census/, '');
        const { method, headers } = incoming;
        const upstream = forward(
          { host: '127.0.0.1', port: upstreamPort, method, path, headers, agent: false },
          (response) => {
            outgoing.writeHead(response.statusCode ?? 502, response.headers);
            response.pipe(outgoing);
          },
        );
        incoming.pipe(upstream);
      });
      gateway.listen(0, '127.0.0.1');
      await once(gateway, 'listening');
      return { port: (gateway.address() as AddressInfo).port, close: () => gateway.close() };
    };

    it.each([
      ['with the option', '/census', { status: 200, json: { subject: USER } }],
      ['with another prefix', '/archive', { status: 401, code: 'request_mismatch' }],
      ['without the option', undefined, { status: 401, code: 'request_mismatch' }],
    ])('behind a gateway that strips it, %s', async (_title, publicPathPrefix, expected) => {
      const census = await startService({
        adapter,
        imports: [
          ServiceAuthModule.forRoot({
            issuer: CENSUS,
            trustedIssuers: [herald.trusted],
            ...(publicPathPrefix ? { publicPathPrefix } : {}),
          }),
        ],
        controllers: [MethodGuardedController],
      });
      const gateway = await startGateway(census.port);
      try {
        const answer = await herald.get(gateway.port, '/census/who/am-i', USER);
        expect(answer).toMatchObject(expected);
        // Past the gateway, the stripped target is what the caller signed where no prefix is configured.
        expect(await herald.get(census.port, '/who/am-i', USER)).toMatchObject(
          publicPathPrefix ? { status: 401, code: 'request_mismatch' } : { status: 200 },
        );
      } finally {
        gateway.close();
        await census.close();
      }
    });
  });
});

describe('a handler that hands on to another route with next() (Express alone has it)', () => {
  @Controller('handed')
  class FirstController {
    @Get('to-required')
    @OptionalServiceAuth()
    optional(@Next() next: () => void) {
      next();
    }
    @Get('to-other-issuer')
    anyIssuer(@Next() next: () => void) {
      next();
    }
    @Get('to-subject')
    anySubject(@Next() next: () => void) {
      next();
    }
    @Get('from-skipped')
    @SkipServiceAuth()
    skipped(@Next() next: () => void) {
      next();
    }
  }
  @Controller('handed')
  class SecondController {
    @Get('to-required')
    required() {
      return { reached: true };
    }
    @Get('to-other-issuer')
    @AllowIssuers(archive.issuer)
    archiveOnly() {
      return { reached: true };
    }
    @Get('to-subject')
    @RequireSubject()
    subjectOnly() {
      return { reached: true };
    }
    @Get('from-skipped')
    fromSkipped() {
      return { reached: true };
    }
  }

  let census: TestService;
  beforeAll(async () => {
    census = await startService({
      adapter: 'express',
      imports: [serviceAuth()],
      controllers: [FirstController, SecondController],
      providers: [applicationGuard],
    });
  });
  afterAll(async () => await census.close());

  it.each([
    ['from optional to required, anonymous', '/handed/to-required', undefined, 'token_missing'],
    ['to a route for another issuer', '/handed/to-other-issuer', herald, 'issuer_not_allowed'],
    ['to a route that needs a subject', '/handed/to-subject', herald, 'subject_missing'],
    ['from skipped to required, anonymous', '/handed/from-skipped', undefined, 'token_missing'],
  ])('%s is refused by the second route', async (_title, target, caller, code) => {
    const answer = await (caller ? caller.get(census.port, target) : call(census.port, { target }));
    expect([answer.code, answer.text]).toEqual([code, expect.not.stringContaining('reached')]);
  });

  it.each([
    ['from optional to required', '/handed/to-required', herald, undefined],
    ['to a route for its issuer', '/handed/to-other-issuer', archive, undefined],
    ['to a route that needs a subject, with one', '/handed/to-subject', herald, USER],
    ['from skipped to required', '/handed/from-skipped', herald, undefined],
  ])('%s with a good token is served', async (_title, target, caller, subject) => {
    expect(await caller.get(census.port, target, subject)).toMatchObject({
      status: 200,
      json: { reached: true },
    });
  });
});
