import { EventEmitter, once } from 'node:events';
import { request as forward } from 'node:http';
import { connect } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  Controller,
  Get,
  Inject,
  Injectable,
  type LoggerService,
  Req,
  Scope,
  type Type,
  UseGuards,
} from '@nestjs/common';
import {
  ContextIdFactory,
  type ContextId,
  type ContextIdStrategy,
  type HostComponentInfo,
  REQUEST,
} from '@nestjs/core';
import * as library from 'nestjs-service-auth';
import {
  REFUSALS,
  type RefusalCode,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCallContext,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import * as axiosLibrary from 'nestjs-service-auth/axios';
import {
  expectAccepted,
  expectNoSecrets,
  expectRefused,
  secretsOf,
} from '../support/attacks/answers.js';
import {
  type AttackRow,
  type AttemptParts,
  tokenFor,
  toCall,
  withParts,
} from '../support/attacks/attempt.js';
import { BINDING } from '../support/attacks/binding.js';
import { CLAIMS } from '../support/attacks/claims.js';
import { JOSE_HEADER } from '../support/attacks/jose-header.js';
import { NAMES } from '../support/attacks/names.js';
import { SIGNATURES } from '../support/attacks/signatures.js';
import { TIMES } from '../support/attacks/times.js';
import { TOKEN_SYNTAX } from '../support/attacks/token-syntax.js';
import {
  BASELINE,
  CENSUS,
  HERALD,
  heraldKey,
  NOW_SECONDS,
  POSTED,
  startCensus,
} from '../support/services/census.js';
import { Caller } from '../support/services/caller.js';
import { type Answer, call, type Call, rawCall } from '../support/http/http.js';
import { hold, jwkOf, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { rawRequest } from '../support/services/middleware.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';

const ROWS: readonly AttackRow[] = [
  TOKEN_SYNTAX,
  JOSE_HEADER,
  SIGNATURES,
  CLAIMS,
  TIMES,
  NAMES,
  BINDING,
].flat();
const UNAUTHORISED = (Object.keys(REFUSALS) as RefusalCode[]).filter(
  (code) => REFUSALS[code].status === 401 && code !== 'token_replayed',
);

function prepare(parts: AttemptParts = {}): Call {
  const attempt = withParts(BASELINE, parts);
  return toCall(attempt, tokenFor(attempt, NOW_SECONDS));
}

const send = async ({ port }: Pick<TestService, 'port'>, parts?: AttemptParts): Promise<Answer> =>
  await call(port, prepare(parts));

describe.each(ADAPTERS)('on %s', (adapter: Adapter) => {
  let census: TestService;
  beforeAll(async () => void (census = await startCensus({ adapter })));
  afterAll(async () => await census.close());

  const withCensus = async <T>(
    options: Partial<ServiceAuthModuleOptions>,
    use: (service: TestService) => Promise<T>,
    service: Parameters<typeof startCensus>[0]['service'] = {},
  ): Promise<T> => {
    const started = await startCensus({ adapter, options, service });
    try {
      return await use(started);
    } finally {
      await started.close();
    }
  };

  describe('TF-06 lines that end in a line feed alone', () => {
    const lines = (token: string): string[] => [
      'GET /api/thing/1 HTTP/1.1',
      'Host: x',
      'Connection: close',
      `JWT: ${token}`,
    ];
    const token = (): string => String(prepare().headers?.['JWT']);

    it('are refused by Node', async () => {
      const good = [...lines(token()), '', ''].join('\r\n');
      expect(await rawCall(census.port, good)).toContain('200 OK');
      const onlyOne = [...lines(token()).slice(0, 3), `JWT: ${token()}\nX-Other: 1`, '', ''];
      expect(await rawCall(census.port, onlyOne.join('\r\n'))).toContain('400 Bad Request');
      const all = [...lines(token()), '', ''].join('\n');
      expect(await rawCall(census.port, all)).toContain('400 Bad Request');
    });
  });

  describe('TF-13 where something inside fails', () => {
    const fails = (error: unknown) => (): never => {
      throw error;
    };
    const rejects = (error: unknown) => async (): Promise<never> =>
      await Promise.reject(error as Error);
    const failures: [string, unknown][] = [
      ['a TypeError', new TypeError('inside')],
      ['a string', 'inside'],
      ['undefined', undefined],
      ['null', null],
      ['an object that cannot be read', new Proxy({}, { get: fails(new Error('unreadable')) })],
    ];
    type Broken = [
      string,
      number,
      (isBroken: () => boolean, error: unknown) => Partial<ServiceAuthModuleOptions>,
    ];
    const places: Broken[] = [
      [
        'a store that throws',
        503,
        (isBroken, error) => ({
          replayStore: { recordUse: () => (isBroken() ? fails(error)() : 'first') },
        }),
      ],
      [
        'a store that rejects',
        503,
        (isBroken, error) => ({
          replayStore: {
            recordUse: async () => (isBroken() ? await rejects(error)() : ('first' as const)),
          },
        }),
      ],
      [
        'a finder of issuers that rejects',
        503,
        (isBroken, error) => ({
          trustedIssuers: {
            find: async (issuer) => {
              if (isBroken()) await rejects(error)();
              return { issuer, publicKey: heraldKey.publicPem };
            },
          },
        }),
      ],
      [
        'a user resolver that throws',
        500,
        (isBroken, error) => ({
          userResolver: { resolveUser: () => (isBroken() ? fails(error)() : { id: 1 }) },
        }),
      ],
      [
        'a clock that throws',
        500,
        (isBroken, error) => ({
          now: () => (isBroken() ? fails(error)() : NOW_SECONDS * 1000),
        }),
      ],
    ];

    it.each(
      places.flatMap(([place, status, options]) =>
        failures.map(([what, error]) => ({ place, status, options, what, error })),
      ),
    )('$place with $what: $status, and the process goes on', async (row) => {
      let isBroken = row.place.includes('finder');
      await withCensus(
        row.options(() => isBroken, row.error),
        async (service) => {
          if (!isBroken) expectAccepted(await send(service));
          isBroken = true;
          const answer = await send(service);
          expect([answer.status, answer.text.includes('inside')]).toEqual([row.status, false]);
          isBroken = false;
          if (!row.place.includes('finder')) expectAccepted(await send(service));
        },
      );
    });

    it('a log that throws: never let through', async () => {
      let isBroken = false;
      const log = (): void => (isBroken ? fails(new TypeError('inside'))() : undefined);
      const logger: LoggerService = { log, error: log, warn: log, debug: log };
      await withCensus(
        {},
        async (service) => {
          expectAccepted(await send(service));
          isBroken = true;
          const answer = await send(service, { audience: 'https://other.service/' });
          isBroken = false;
          expect(answer.status).toBeGreaterThanOrEqual(400);
          expectAccepted(await send(service));
        },
        { logger },
      );
    });
  });

  describe('TF-17 the answer 401', () => {
    it.each(UNAUTHORISED)('%s: a challenge, a fixed sentence, and nothing else', async (code) => {
      const row = ROWS.find((one) => one.code === code && (one.only ?? adapter) === adapter);
      if (!row) throw new Error(`no row for ${code}`);
      const good = withParts(BASELINE, row.common);
      expectAccepted(await call(census.port, toCall(good, tokenFor(good, NOW_SECONDS))));
      const attempt = withParts(good, row.change);
      const token = tokenFor(attempt, NOW_SECONDS);
      const answer = await call(census.port, toCall(attempt, token));
      expectRefused(answer, { code });
      expectNoSecrets(answer.text + JSON.stringify(answer.headers), secretsOf(attempt, token));
      const usual = ['cache-control', 'connection', 'content-length', 'content-type', 'date'];
      const known = [...usual, 'etag', 'keep-alive', 'vary', 'www-authenticate', 'x-powered-by'];
      expect(Object.keys(answer.headers).filter((name) => !known.includes(name))).toEqual([]);
    });

    it('token_replayed too', async () => {
      const request = prepare();
      expectAccepted(await call(census.port, request));
      expectRefused(await call(census.port, request), { code: 'token_replayed' });
    });
  });

  it('TF-23 takes nothing from a polluted Object.prototype', async () => {
    const jwt = String(prepare().headers?.['JWT']);
    const unsigned = prepare({ header: { kid: undefined }, claims: { aud: undefined } });
    const polluted = {
      jwt,
      kid: heraldKey.keyId,
      alg: 'ES256',
      audience: CENSUS,
      aud: CENSUS,
      replay: 'off',
      subject: 'urn:polluted:user',
      sub: 'urn:polluted:user',
    };
    const get = async (headers: readonly string[]): Promise<string> => {
      const head = ['GET /api/thing/1 HTTP/1.1', 'Host: x', 'Connection: close', ...headers];
      return await rawCall(census.port, [...head, '', ''].join('\r\n'));
    };
    const itself = String(prepare({ subject: undefined }).headers?.['JWT']);
    Object.assign(Object.prototype, polluted);
    const answers: string[] = [];
    try {
      for (const token of [undefined, String(unsigned.headers?.['JWT']), itself]) {
        answers.push(await get(token === undefined ? [] : [`JWT: ${token}`]));
      }
    } finally {
      for (const name of Object.keys(polluted)) Reflect.deleteProperty(Object.prototype, name);
    }
    expect(answers[0]).toContain('token_missing');
    expect(answers[1]).toMatch(/key_unknown|claim_missing/);
    expect(answers[2]).toContain('200 OK');
    expect(answers[2]).not.toContain('polluted');
  });

  describe('TF-22 a handler that hands the request on as it came', () => {
    const herald = new Caller(HERALD, CENSUS);
    const backend = new RecordingServer();
    beforeAll(async () => void (await backend.start()));
    afterAll(async () => await backend.close());

    @Controller()
    @UseGuards(ServiceJwtGuard)
    class ProxyController {
      @Get('proxied')
      async proxy(@Req() request: object) {
        const { headers, rawHeaders, url } = rawRequest(request);
        for (const list of [headers, rawHeaders]) {
          const outgoing = forward(`${backend.url}${url}`, { headers: list as never });
          outgoing.end();
          const [answer] = (await once(outgoing, 'response')) as [{ resume(): void }];
          answer.resume();
        }
        return 'passed on';
      }
    }

    it.each([
      ['remove', false],
      ['keep', true],
    ] as const)('%s', async (tokenAfterVerification, isPassedOn) => {
      const service = await startService({
        adapter,
        imports: [
          ServiceAuthModule.forRoot({
            issuer: CENSUS,
            trustedIssuers: [herald.trusted],
            tokenAfterVerification,
          }),
        ],
        controllers: [ProxyController],
      });
      try {
        const headers = herald.headers({ target: '/proxied', headers: { 'x-other': 'stays' } });
        const answer = await call(service.port, { target: '/proxied', headers });
        expect(answer.status).toBe(200);
        const arrived = backend.takeAll();
        expect(arrived).toHaveLength(2);
        for (const one of arrived) {
          expect(valuesOf(one, 'x-other')).toEqual(['stays']);
          expect(valuesOf(one, 'jwt').join('')).toBe(isPassedOn ? headers['jwt'] : '');
        }
      } finally {
        await service.close();
      }
    });
  });

  describe('TF-24 providers that live as long as a request, or longer', () => {
    const herald = new Caller(HERALD, CENSUS);
    let made = 0;

    interface WithUser {
      user?: { uri: string };
    }

    @Injectable({ scope: Scope.REQUEST })
    class UserOfRequest {
      readonly atFirst: string | undefined;
      constructor(
        @Inject(REQUEST) private readonly request: WithUser,
        @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
      ) {
        // Nest makes it before the guard runs: nobody is verified yet.
        this.atFirst = this.callContext.current()?.subject ?? this.request.user?.uri;
      }

      get users() {
        return [this.callContext.current()?.subject, this.request.user?.uri];
      }
    }

    @Injectable({ scope: Scope.REQUEST, durable: true })
    class UserOfTenant {
      readonly number = ++made;
      constructor(@Inject(ServiceCallContext) private readonly callContext: ServiceCallContext) {}

      get user() {
        return this.callContext.current()?.subject;
      }
    }

    @Controller()
    @UseGuards(ServiceJwtGuard)
    class RequestController {
      constructor(@Inject(UserOfRequest) private readonly provider: UserOfRequest) {}
      @Get('of-request')
      async get(@ServiceSubject() subject: string) {
        await nextTurn();
        const { atFirst = 'nobody', users } = this.provider;
        return { subject, atFirst, users };
      }
    }

    @Controller()
    @UseGuards(ServiceJwtGuard)
    class TenantController {
      constructor(@Inject(UserOfTenant) private readonly provider: UserOfTenant) {}
      @Get('of-tenant')
      async get(@ServiceSubject() subject: string) {
        await nextTurn();
        return { subject, number: this.provider.number, user: this.provider.user };
      }
    }

    /** All requests are of one tenant, whose durable providers they share. */
    class OneTenant implements ContextIdStrategy {
      private readonly tenant = ContextIdFactory.create();
      attach(contextId: ContextId) {
        return {
          resolve: ({ isTreeDurable }: HostComponentInfo) =>
            isTreeDurable ? this.tenant : contextId,
          payload: {},
        };
      }
    }

    const ask = async (controller: Type<unknown>, target: string) => {
      const service = await startService({
        adapter,
        imports: [
          ServiceAuthModule.forRoot({
            issuer: CENSUS,
            trustedIssuers: [herald.trusted],
            userResolver: { resolveUser: (uri) => ({ uri }) },
            subjectPropagation: 'ambient',
          }),
        ],
        controllers: [controller],
        providers: [UserOfRequest, UserOfTenant],
      });
      const users = Array.from({ length: 50 }, (_user, at) => `${CENSUS}user/${at}/`);
      try {
        const answers = await Promise.all(
          users.map(async (user) => await herald.get(service.port, target, user)),
        );
        return { users, answers: answers.map(({ json }) => json) };
      } finally {
        await service.close();
      }
    };

    it('a request-scoped one has the user of its request, once it is verified', async () => {
      const { users, answers } = await ask(RequestController, '/of-request');
      expect(answers).toEqual(
        users.map((user) => ({ subject: user, atFirst: 'nobody', users: [user, user] })),
      );
    });

    it('a durable one has the user of the request that asks, not of the one that made it', async () => {
      ContextIdFactory.apply(new OneTenant());
      try {
        const { users, answers } = await ask(TenantController, '/of-tenant');
        expect(answers.map((answer) => answer?.['user'])).toEqual(users);
        expect(answers.map((answer) => answer?.['subject'])).toEqual(users);
        expect(new Set(answers.map((answer) => answer?.['number'])).size).toBeLessThan(50);
      } finally {
        ContextIdFactory.apply({ attach: (contextId) => () => contextId });
      }
    });
  });

  describe('TF-25 while the application closes', () => {
    /** Closes as an application does that lets its requests finish. */
    const gently = {
      nest: { forceCloseConnections: false },
      configure: (app: { enableShutdownHooks(): unknown }) => app.enableShutdownHooks(),
    };

    it('a request whose body is on its way is verified whole, and served', async () => {
      const service = await startCensus({ adapter, service: gently });
      const parts = { ...POSTED, contentType: 'application/octet-stream', body: 'slowly' };
      const jwt = String(prepare(parts).headers?.['JWT']);
      const lines = ['POST /api/thing HTTP/1.1', 'Host: x', 'Connection: close', `JWT: ${jwt}`];
      const type = ['Content-Type: application/octet-stream', 'Content-Length: 6', '', 'slow'];
      const socket = connect(service.port, '127.0.0.1');
      const server = service.app.getHttpServer() as NodeJS.EventEmitter;
      const arrived = once(server, 'request');
      const received: Buffer[] = [];
      socket.on('data', (chunk) => received.push(chunk));
      socket.write([...lines, ...type].join('\r\n'));
      await arrived;
      const closed = service.close();
      socket.write('ly');
      await once(socket, 'close');
      await closed;
      expect(Buffer.concat(received).toString()).toMatch(/^HTTP\/1\.1 (?:201|503) /);
    });

    it('a request that waits for its store is decided by the store', async () => {
      for (const [verdict, status] of [
        ['first', 200],
        ['seen', 401],
      ] as const) {
        const store = new EventEmitter();
        const recordUse = async () => {
          const answered = once(store, 'answer') as Promise<['first' | 'seen']>;
          store.emit('asked');
          return (await answered)[0];
        };
        const options = { replayStore: { recordUse } };
        const service = await startCensus({ adapter, options, service: gently });
        const asked = once(store, 'asked');
        const answered = send(service);
        await asked;
        const closed = service.close();
        store.emit('answer', verdict);
        expect(await answered).toMatchObject({ status });
        await closed;
      }
    });
    it('a request that waits for keys is undecided: 503', async () => {
      const held = hold();
      const keys = await startKeyServer(held);
      const trustedIssuers = [{ issuer: HERALD, jwksUri: keys.url }];
      const service = await startCensus({ adapter, options: { trustedIssuers }, service: gently });
      const server = service.app.getHttpServer() as NodeJS.EventEmitter;
      const arrived = once(server, 'request');
      const answered = send(service);
      await arrived;
      const closed = service.close();
      expectRefused(await answered, { code: 'key_unavailable' });
      await closed;
      held.release(serveKeys([jwkOf(heraldKey)]));
      await keys.close();
    });
  });
});

describe('TF-16 the public surface', () => {
  const exported = { ...library, ...axiosLibrary };

  it('offers no middleware of Nest, which is scoped by path: only one for mounts, where their path is', () => {
    expect(exported).toHaveProperty('ServiceJwtGuard');
    const asMiddleware = Object.entries(exported).filter(
      ([name, value]) =>
        /middleware/i.test(name) ||
        (typeof value === 'function' &&
          // A class is called by Nest alone.
          ((value.length >= 3 && !String(value).startsWith('class ')) ||
            'use' in Object(value.prototype))),
    );
    expect(asMiddleware.map(([name]) => name)).toEqual(['ServiceAuthMiddleware']);
    expect(library.ServiceAuthMiddleware.prototype).not.toHaveProperty('use');
  });

  it('offers a guard', () => {
    expect(library.ServiceJwtGuard.prototype).toHaveProperty('canActivate');
  });
});
