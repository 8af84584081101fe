import type { JsonWebKey } from 'node:crypto';
import type { AddressInfo, Server } from 'node:net';
import {
  type CanActivate,
  Controller,
  type DynamicModule,
  ForbiddenException,
  Get,
  Injectable,
  type NestApplicationOptions,
  VersioningType,
} from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  ServiceAuth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { strictToken } from '../support/tokens/forge.js';
import { type Answer, call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import {
  ADAPTERS,
  startService,
  type TestService,
  type TestServiceOptions,
} from '../support/services/service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const KEYS = '/.well-known/jwks.json';
const current = createKey();
const next = createKey('EdDSA');
const previous = createKey('RS256');

function herald(options: Partial<ServiceAuthModuleOptions> = {}): DynamicModule {
  return ServiceAuthModule.forRoot({
    issuer: HERALD,
    signingKey: {
      previous: { publicKey: previous.publicPem },
      current: { privateKey: current.privatePem },
      next: { privateKey: next.privatePem },
    },
    targets: [{ baseUrl: CENSUS }],
    ...options,
  });
}

@Controller('user')
class UserController {
  @Get(':id')
  find() {
    return 'found';
  }
}

@Injectable()
class RefuseAll implements CanActivate {
  canActivate(): boolean {
    throw new ForbiddenException();
  }
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  async function withService(
    options: Partial<TestServiceOptions>,
    use: (service: TestService) => Promise<void>,
  ): Promise<void> {
    const service = await startService({
      adapter,
      imports: [herald()],
      controllers: [UserController],
      ...options,
    });
    try {
      await use(service);
    } finally {
      await service.close();
    }
  }

  describe('the published set', () => {
    let service: TestService;
    beforeAll(async () => {
      service = await startService({ adapter, imports: [herald()] });
    });
    afterAll(() => service.close());
    const get = async (headers = {}, method = 'GET'): Promise<Answer> =>
      await call(service.port, { method, target: KEYS, headers });

    it('holds the public halves of all keys and nothing else', async () => {
      const answer = await get();
      const described = (key: typeof current) => ({
        ...key.publicKey.export({ format: 'jwk' }),
        kid: key.keyId,
        alg: key.algorithm,
        use: 'sig',
      });
      expect(answer.json).toEqual({ keys: [previous, current, next].map(described) });
      expect(answer.status).toBe(200);
      for (const { privateKey } of [previous, current, next]) {
        const jwk = privateKey.export({ format: 'jwk' });
        for (const name of ['d', 'p', 'q', 'dp', 'dq', 'qi'] satisfies (keyof JsonWebKey)[]) {
          if (jwk[name] !== undefined) expect(answer.text).not.toContain(jwk[name]);
        }
      }
    });

    it('says what it is, how long it lasts, and which one it is', async () => {
      const { headers, text } = await get();
      expect(headers).toMatchObject({
        'content-type': 'application/jwk-set+json',
        'content-length': String(text.length),
        'cache-control': 'public, max-age=600',
      });
      expect(headers.etag).toMatch(/^"[\w-]{43}"$/);
      expect(headers.vary).toBeUndefined();
      expect((await get()).headers.etag).toBe(headers.etag);
    });

    it('is described by HEAD as GET sends it', async () => {
      const [got, head] = [await get(), await get({}, 'HEAD')];
      expect(head).toMatchObject({ status: 200, text: '' });
      const { date: _got, ...expected } = got.headers;
      const { date: _head, ...described } = head.headers;
      expect(described).toEqual(expected);
    });

    const known: [string, (etag: string) => string, number][] = [
      ['its own tag', (etag) => etag, 304],
      ['its own tag, weak', (etag) => `W/${etag}`, 304],
      ['a list with its own tag', (etag) => `"other", ${etag}`, 304],
      ['a list with its own tag, weak', (etag) => `W/"other" , W/${etag},"x"`, 304],
      ['any', () => '*', 304],
      ['another tag', () => '"other"', 200],
      ['a list of others', () => '"other", W/"more"', 200],
      ['its own tag without quotes', (etag) => etag.slice(1, -1), 200],
      ['its own tag, cut', (etag) => `${etag.slice(0, -3)}"`, 200],
      ['nothing', () => '', 200],
    ];
    it.each(known)('is sent or not to who knows %s', async (_case, write, status) => {
      const { headers, text } = await get();
      const answer = await get({ 'if-none-match': write(headers.etag ?? '') });
      expect(answer.status).toBe(status);
      expect(answer.text).toBe(status === 304 ? '' : text);
      expect(answer.headers).toMatchObject({
        etag: headers.etag,
        'cache-control': headers['cache-control'],
      });
      const head = await get({ 'if-none-match': write(headers.etag ?? '') }, 'HEAD');
      expect(head).toMatchObject({ status, text: '' });
    });

    it.each(['POST', 'PUT', 'DELETE'])('is not there for %s', async (method) => {
      expect((await get({}, method)).status).toBe(404);
    });

    it('is sent on a connection that serves on', async () => {
      const { url } = service;
      for (let time = 0; time < 3; time++) {
        const answer = await fetch(url + KEYS);
        expect(await answer.json()).toHaveProperty('keys');
      }
    });
  });

  const guards = [
    { provide: APP_GUARD, useClass: RefuseAll },
    { provide: APP_GUARD, useExisting: ServiceJwtGuard },
  ];
  /** Each with what becomes of the application's own route, so that the setting is seen to work. */
  const settings: [string, Partial<TestServiceOptions>, string, number][] = [
    ['nothing special', {}, '/user/1', 200],
    ['a guard that refuses all', { providers: [guards[0]!] }, '/user/1', 403],
    [
      'our own guard for every route',
      {
        providers: [guards[1]!],
        imports: [herald({ trustedIssuers: [{ issuer: CENSUS, publicKey: next.publicPem }] })],
      },
      '/user/1',
      401,
    ],
    [
      'a global guard',
      { configure: (app) => app.useGlobalGuards(new RefuseAll()) },
      '/user/1',
      403,
    ],
    [
      'a global prefix',
      { configure: (app) => app.setGlobalPrefix('api/v1') },
      '/api/v1/user/1',
      200,
    ],
    [
      'versions in the path',
      {
        configure: (app) => app.enableVersioning({ type: VersioningType.URI, defaultVersion: '2' }),
      },
      '/v2/user/1',
      200,
    ],
    [
      'versions in a header',
      {
        configure: (app) =>
          app.enableVersioning({ type: VersioningType.HEADER, header: 'v', defaultVersion: '2' }),
      },
      '/user/1',
      404,
    ],
    ['CORS', { configure: (app) => app.enableCors() }, '/user/1', 200],
    ['no body parser', { nest: { bodyParser: false } }, '/user/1', 200],
    ['raw bodies', { nest: { rawBody: true } }, '/user/1', 200],
  ];
  it.each(settings)('are public under %s', async (_case, options, own, status) => {
    await withService(options, async ({ port }) => {
      const answer = await call(port, { target: KEYS });
      expect(answer.status).toBe(200);
      expect(answer.json?.['keys']).toHaveLength(3);
      expect(answer.headers.etag).toBeDefined();
      expect((await call(port, { target: own })).status).toBe(status);
    });
  });

  it('are readable by pages of other origins where the application allows them', async () => {
    const configure: TestServiceOptions['configure'] = (app) => app.enableCors();
    await withService({ configure }, async ({ port }) => {
      const headers = { origin: 'https://elsewhere.example' };
      for (const target of [KEYS, '/user/1']) {
        const answer = await call(port, { target, headers });
        expect(answer.headers['access-control-allow-origin']).toBe('*');
      }
    });
  });

  it('are public for who sends a token too, a bad one even', async () => {
    await withService({}, async ({ port }) => {
      const good = strictToken({ key: next, issuer: CENSUS, audience: HERALD, target: KEYS });
      for (const JWT of [good, 'x']) {
        expect((await call(port, { target: KEYS, headers: { JWT } })).status).toBe(200);
      }
    });
  });

  it('are served where the configuration says, for as long as it says', async () => {
    const publishedKeys = { path: '/herald/keys.json', maxAgeSeconds: 3600 };
    await withService({ imports: [herald({ publishedKeys })] }, async ({ port }) => {
      expect((await call(port, { target: KEYS })).status).toBe(404);
      const answer = await call(port, { target: publishedKeys.path });
      expect(answer.headers['cache-control']).toBe('public, max-age=3600');
      expect(answer.json?.['keys']).toHaveLength(3);
    });
  });

  const trusting = { trustedIssuers: [{ issuer: CENSUS, publicKey: next.publicPem }] };
  const silent: [string, DynamicModule][] = [
    ['where they are off', herald({ publishedKeys: 'off' })],
    ['by a service that signs nothing', ServiceAuthModule.forRoot({ issuer: HERALD, ...trusting })],
  ];
  it.each(silent)('are not served %s', async (_case, module) => {
    await withService({ imports: [module] }, async ({ port }) => {
      expect((await call(port, { target: KEYS })).status).toBe(404);
      expect((await call(port, { target: '/user/1' })).status).toBe(200);
    });
  });

  it('change with the ring, and their tag with them', async () => {
    const clock = { now: Date.now() };
    let keys: object = { privateKey: current.privatePem };
    const signingKey = (async () => keys) as ServiceAuthModuleOptions['signingKey'];
    let changed = (): void => undefined;
    const module = herald({
      signingKey,
      now: () => clock.now,
      observer: { observe: () => changed() },
    });
    await withService({ imports: [module] }, async ({ app, port }) => {
      const before = await call(port, { target: KEYS });
      keys = { current: { privateKey: current.privatePem }, next: { publicKey: next.publicPem } };
      clock.now += 60_000;
      await new Promise<void>((resolve) => {
        changed = resolve;
        app.get(ServiceAuth).settings.sending?.signingKeys.refreshIfDue();
      });
      const headers = { 'if-none-match': before.headers.etag };
      const after = await call(port, { target: KEYS, headers });
      expect(after.status).toBe(200);
      expect(after.headers.etag).not.toBe(before.headers.etag);
      expect(after.json?.['keys']).toHaveLength(2);
    });
  });

  it('may come from forRootAsync', async () => {
    const signingKey = { privateKey: current.privatePem };
    const module = ServiceAuthModule.forRootAsync({
      useFactory: async () => ({ issuer: HERALD, signingKey, targets: [{ baseUrl: CENSUS }] }),
    });
    await withService({ imports: [module] }, async ({ port }) => {
      const answer = await call(port, { target: KEYS });
      expect(answer.json).toMatchObject({ keys: [{ kid: current.keyId }] });
    });
  });
});

describe('an application without HTTP starts all the same', () => {
  const quiet: NestApplicationOptions = { logger: false, abortOnError: false };
  const sign = async (auth: ServiceAuth): Promise<unknown> =>
    await auth.sign({ method: 'GET', url: CENSUS, headers: {}, body: new Uint8Array() });

  it('as a standalone context', async () => {
    const context = await NestFactory.createApplicationContext(herald(), quiet);
    const auth = context.get(ServiceAuth);
    expect(await sign(auth)).toBeDefined();
    expect(auth.publishedKeys()?.keys).toHaveLength(3);
    await context.close();
  });

  it('as a microservice', async () => {
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(herald(), {
      ...quiet,
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: 0 },
    });
    await app.listen();
    expect(await sign(app.get(ServiceAuth))).toBeDefined();
    await app.close();
  });

  it('as a testing module', async () => {
    const module = await Test.createTestingModule({ imports: [herald()] }).compile();
    await module.init();
    expect(await sign(module.get(ServiceAuth))).toBeDefined();
    await module.close();
  });

  it('and publishes in a testing module that is made an application', async () => {
    const module = await Test.createTestingModule({ imports: [herald()] }).compile();
    const app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
    expect((await call(port, { target: KEYS })).status).toBe(200);
    await app.close();
  });
});
