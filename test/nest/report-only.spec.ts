import type { Server } from 'node:http';
import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { HttpService } from '@nestjs/axios';
import { CacheModule } from '@nestjs/cache-manager';
import {
  All,
  Body,
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Inject,
  Injectable,
  type ModuleMetadata,
  Next,
  Param,
  Post,
  Req,
  type Type,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import {
  AllowIssuers,
  MaxBodyBytes,
  OptionalServiceAuth,
  ReportOnly,
  RequireSubject,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceCacheInterceptor } from 'nestjs-service-auth/cache';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { firstValueFrom } from 'rxjs';
import { type Answer, call } from '../support/http/http.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { closeAfterEach, createClock } from '../support/services/receiver.js';
import { Caller } from '../support/services/caller.js';
import { acceptEverything } from '../support/services/middleware.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import { sha256 } from '../support/tokens/forge.js';

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const UNTIL = '2100-01-01';
const KIB = 1024;

const herald = new Caller('https://herald.service/', CENSUS);
const stranger = new Caller('https://stranger.service/', CENSUS);

/** The authentication that was there before: it goes on deciding. */
@Injectable()
class SessionGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<{ headers: object; session?: unknown }>();
    const session: unknown = Reflect.get(request.headers, 'x-session');
    request.session = session;
    return session !== 'none';
  }
}

@Controller()
@UseGuards(ServiceJwtGuard, SessionGuard)
class UsersController {
  @Get('me')
  me(
    @ServiceSubject() subject: string | undefined,
    @ServiceCaller() caller: ServiceIdentity | undefined,
    @Req() request: { user?: unknown; session?: unknown },
  ): object {
    const { user, session } = request;
    return { subject, issuer: caller?.issuer, user, session };
  }

  @Get('personal')
  @RequireSubject()
  personal(@ServiceSubject() subject: string | undefined): object {
    return { subject };
  }

  @Get('open')
  @OptionalServiceAuth()
  open(@ServiceCaller() caller: ServiceIdentity | undefined): object {
    return { issuer: caller?.issuer };
  }

  @Post('parsed')
  parsed(@Body() body: object, @ServiceSubject() subject: string | undefined): object {
    return { subject, body };
  }

  @Post('raw')
  async raw(@Req() request: Readable & { raw?: Readable }): Promise<object> {
    const bytes = await buffer(request.raw ?? request);
    return { length: bytes.length, digest: sha256(bytes) };
  }

  @Post('large')
  @MaxBodyBytes(64 * KIB)
  async large(@Req() request: Readable & { raw?: Readable }): Promise<object> {
    return await this.raw(request);
  }
}

@Controller('one')
@UseGuards(ServiceJwtGuard)
class OneRouteController {
  @Get('reports')
  @ReportOnly()
  reports(@ServiceSubject() subject: string | undefined): object {
    return { subject };
  }

  @Get('refuses')
  refuses(@ServiceSubject() subject: string): object {
    return { subject };
  }
}

@Controller('chain')
@UseGuards(ServiceJwtGuard)
class ReportingFirst {
  @All('x')
  @ReportOnly()
  first(@Next() next: () => void): void {
    next();
  }
}

@Controller('chain')
@UseGuards(ServiceJwtGuard)
class RefusingNext {
  @All('x')
  second(@ServiceSubject() subject: string): object {
    return { subject };
  }
}

@Controller('steps')
@UseGuards(ServiceJwtGuard)
class FirstStep {
  @All('required')
  required(@Next() next: () => void): void {
    next();
  }

  @All('optional')
  @OptionalServiceAuth()
  optional(@Next() next: () => void): void {
    next();
  }

  @All('others')
  others(@Next() next: () => void): void {
    next();
  }
}

@Controller('steps')
@UseGuards(ServiceJwtGuard)
class SecondStep {
  @All('required')
  @RequireSubject()
  required(@ServiceSubject() subject: string | undefined): object {
    return { subject };
  }

  @All('optional')
  optional(@ServiceSubject() subject: string | undefined): object {
    return { subject };
  }

  @All('others')
  @AllowIssuers(stranger.issuer)
  others(@ServiceCaller() caller: ServiceIdentity | undefined): object {
    return { issuer: caller?.issuer };
  }
}

@Controller('mixed')
@UseGuards(ServiceJwtGuard)
class EnforcingFirst {
  @All(':then')
  @OptionalServiceAuth()
  first(@Next() next: () => void): void {
    next();
  }
}

@Controller('mixed')
@UseGuards(ServiceJwtGuard)
class ReportingSecond {
  @All(':then')
  @ReportOnly()
  @RequireSubject()
  second(@Next() next: () => void): void {
    next();
  }
}

@Controller('mixed')
@UseGuards(ServiceJwtGuard)
class EnforcingThird {
  @All('any')
  any(@ServiceCaller() caller: ServiceIdentity | undefined): object {
    return { issuer: caller?.issuer };
  }

  @All('user')
  @RequireSubject()
  user(@ServiceSubject() subject: string): object {
    return { subject };
  }
}

@Controller('cached')
@UseGuards(ServiceJwtGuard, SessionGuard)
@UseInterceptors(ServiceCacheInterceptor)
class CachedController {
  @Get()
  cached(@Req() request: { session?: unknown }): object {
    return { session: request.session };
  }
}

@Controller('calls')
@UseGuards(ServiceJwtGuard)
class CallingController {
  constructor(
    @Inject(HttpService) private readonly http: HttpService,
    @Inject(ServiceFetch) private readonly fetch: ServiceFetch,
  ) {}

  @Get(':client/:words')
  async callOn(
    @Param('client') client: string,
    @Param('words') words: string,
    @ServiceCaller() caller: ServiceIdentity | undefined,
  ): Promise<object> {
    const options = words === 'caller' ? onBehalfOf(caller) : {};
    const { baseURL = '' } = this.http.axiosRef.defaults;
    try {
      const { status } =
        client === 'http'
          ? await firstValueFrom(this.http.get(baseURL, options))
          : await this.fetch(baseURL, options);
      return { status };
    } catch (error) {
      return { code: (error as { code?: unknown }).code };
    }
  }
}

const userResolver = {
  resolveUser: (subject: string): object | null => (subject === USER ? { id: 21 } : null),
};

interface Started extends TestService {
  readonly events: ObservedEvents;
  readonly log: LogRecorder;
}

const keep = closeAfterEach();

/** Whether a request is being served: its connection is open at the server. */
const isServing = async ({ app }: TestService): Promise<boolean> =>
  await new Promise((resolve) =>
    (app.getHttpServer() as Server).getConnections((_error, count) => resolve(count > 0)),
  );

async function start(
  adapter: Adapter,
  options: Partial<ServiceAuthModuleOptions>,
  controllers: Type[] = [UsersController, OneRouteController],
  imports: ModuleMetadata['imports'] = [CacheModule.register({ isGlobal: true })],
): Promise<Started> {
  const events = new ObservedEvents();
  const log = new LogRecorder();
  const service = await startService({
    adapter,
    logger: log,
    imports: [
      ...imports,
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [herald.trusted],
        observer: events,
        maxBufferedBodyBytes: 16 * KIB,
        ...options,
      }),
    ],
    controllers,
    configure: (app) => {
      if (adapter === 'fastify') acceptEverything(app);
    },
  });
  return keep({ ...service, events, log });
}

const REPORT: Partial<ServiceAuthModuleOptions> = { enforcement: 'report', reportUntil: UNTIL };
const bodyOf = ({ json }: Answer): unknown => json;

/** Written by hand: what makes a request refused, its code, and whether its signature proves who sent it. */
const REFUSED: readonly [
  what: string,
  send: (port: number) => Promise<Answer>,
  code: string,
  isIssuerVerified: boolean,
][] = [
  ['no token', async (port) => await call(port, { target: '/me' }), 'token_missing', false],
  [
    'a broken token',
    async (port) => await call(port, { target: '/me', headers: { jwt: 'x' } }),
    'token_malformed',
    false,
  ],
  [
    'an unknown issuer',
    async (port) => await stranger.get(port, '/me', USER),
    'issuer_unknown',
    false,
  ],
  [
    'another audience',
    async (port) =>
      await herald.send(port, {
        target: '/me',
        subject: USER,
        claims: { aud: 'https://other.service/' },
      }),
    'audience_mismatch',
    true,
  ],
  [
    'an expired token',
    async (port) =>
      await herald.send(port, {
        target: '/me',
        subject: USER,
        claims: { iat: 1_000_000_000, exp: 1_000_000_060 },
      }),
    'token_expired',
    true,
  ],
  [
    'another target',
    async (port) => await herald.send(port, { target: '/me', signedTarget: '/you', subject: USER }),
    'request_mismatch',
    true,
  ],
  [
    'a user who is not known',
    async (port) => await herald.get(port, '/me', `${USER}x`),
    'subject_unknown',
    true,
  ],
];

describe.each(ADAPTERS)('enforcement on %s', (adapter) => {
  it.each(REFUSED)(
    'report: serves a request with %s without an identity',
    async (_, send, code, isVerified) => {
      const service = await start(adapter, { ...REPORT, userResolver });
      const answer = await send(service.port);
      expect(answer.status).toBe(200);
      expect(bodyOf(answer)).toEqual({});
      expect(answer.headers['jwt-report']).toBe(isVerified ? code : undefined);
      const [event, ...others] = service.events.decisions;
      expect(event).toMatchObject({ type: 'request_would_be_refused', code, route: '/me' });
      expect(others).toEqual([]);
    },
  );

  it.each(REFUSED)('enforce: refuses a request with %s', async (_, send, code) => {
    const service = await start(adapter, {
      enforcement: 'enforce',
      reportUntil: UNTIL,
      userResolver,
    });
    const answer = await send(service.port);
    expect(answer.status).toBeGreaterThan(400);
    expect(bodyOf(answer)).toMatchObject({ code });
    expect(answer.headers['jwt-report']).toBeUndefined();
    expect(service.events.decisions).toMatchObject([{ type: 'request_refused', code }]);
  });

  it('report: serves a good request with its identity and its user', async () => {
    const service = await start(adapter, { ...REPORT, userResolver });
    const answer = await herald.get(service.port, '/me', USER);
    expect(bodyOf(answer)).toEqual({ subject: USER, issuer: herald.issuer, user: { id: 21 } });
    expect(answer.headers['jwt-report']).toBeUndefined();
    expect(service.events.decisions).toMatchObject([{ type: 'request_accepted' }]);
  });

  it('report: the authentication that was there before goes on deciding', async () => {
    const service = await start(adapter, REPORT);
    const send = async (session: string): Promise<Answer> =>
      await call(service.port, { target: '/me', headers: { 'x-session': session } });
    expect(bodyOf(await send('anna'))).toEqual({ session: 'anna' });
    expect((await send('none')).status).toBe(403);
  });

  it('report: @RequireSubject() and bad tokens of @OptionalServiceAuth() routes are reported', async () => {
    const service = await start(adapter, REPORT);
    const [personal, optional, anonymous] = [
      await herald.get(service.port, '/personal'),
      await stranger.get(service.port, '/open'),
      await call(service.port, { target: '/open' }),
    ];
    expect([personal.status, optional.status, anonymous.status]).toEqual([200, 200, 200]);
    expect(personal.headers['jwt-report']).toBe('subject_missing');
    expect(service.events.decisions).toMatchObject([
      { type: 'request_would_be_refused', code: 'subject_missing' },
      { type: 'request_would_be_refused', code: 'issuer_unknown' },
      { type: 'request_anonymous' },
    ]);
  });

  it('RO-02 report: a replayed token is reported, and burns nothing for a service that enforces', async () => {
    const { MemoryReplayStore } = await import('nestjs-service-auth');
    const replayStore = new MemoryReplayStore();
    const [reports, enforces] = [
      await start(adapter, { ...REPORT, replayStore }),
      await start(adapter, { replayStore }),
    ];
    const headers = herald.headers({ target: '/me', subject: USER });
    const send = async ({ port }: TestService): Promise<Answer> =>
      await call(port, { target: '/me', headers });
    expect((await send(reports)).headers['jwt-report']).toBeUndefined();
    expect((await send(reports)).headers['jwt-report']).toBe('token_replayed');
    expect((await send(enforces)).status).toBe(200);
    expect(bodyOf(await send(enforces))).toMatchObject({ code: 'token_replayed' });
  });

  it('RO-06 report: keys and stores that cannot answer refuse nobody', async () => {
    const replayStore = {
      recordUse: (): never => {
        throw new Error('down');
      },
    };
    const service = await start(adapter, { ...REPORT, replayStore });
    const answer = await herald.get(service.port, '/me', USER);
    expect([answer.status, bodyOf(answer)]).toEqual([200, {}]);
    expect(service.events.decisions).toMatchObject([
      { type: 'request_would_be_refused', code: 'replay_store_unavailable' },
    ]);
    const enforcing = await start(adapter, { replayStore });
    expect((await herald.get(enforcing.port, '/me', USER)).status).toBe(503);
  });

  it('RO-06 report: keys out of reach refuse nobody', async () => {
    const unreachable = { issuer: herald.issuer, jwksUri: 'http://127.0.0.1:9/jwks.json' };
    const service = await start(adapter, { ...REPORT, trustedIssuers: [unreachable] });
    const answer = await herald.get(service.port, '/me', USER);
    expect([answer.status, bodyOf(answer)]).toEqual([200, {}]);
    expect(service.events.decisions).toMatchObject([
      { type: 'request_would_be_refused', code: 'key_unavailable' },
    ]);
    const enforcing = await start(adapter, { trustedIssuers: [unreachable] });
    expect((await herald.get(enforcing.port, '/me', USER)).status).toBe(503);
  });

  it('RO-05 report: an upload that its client ends early ends at the handler, as without the guard', async () => {
    const service = await start(adapter, REPORT);
    const socket = connect(service.port, '127.0.0.1');
    const request = { method: 'POST', target: '/raw', contentType: 'application/octet-stream' };
    const { jwt } = herald.headers({ ...request, body: 'x'.repeat(100), subject: USER });
    socket.write(
      `POST /raw HTTP/1.1\r\nHost: census\r\nJWT: ${String(jwt)}\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\nhalf`,
    );
    const reported = service.events.next('request_would_be_refused');
    while (!(await isServing(service))) await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    expect(await reported).toMatchObject({ code: 'body_unverifiable' });
    expect((await herald.get(service.port, '/me', USER)).status).toBe(200);
  });

  it('RO-07 report: what one session is answered is kept for no other', async () => {
    const service = await start(adapter, REPORT, [CachedController]);
    const send = async (session: string): Promise<unknown> =>
      bodyOf(await call(service.port, { target: '/cached', headers: { 'x-session': session } }));
    expect([await send('anna'), await send('bert'), await send('anna')]).toEqual([
      { session: 'anna' },
      { session: 'bert' },
      { session: 'anna' },
    ]);
  });

  describe.each(['explicit', 'ambient'] as const)(
    'calls with %s propagation',
    (subjectPropagation) => {
      it.each([
        ['best-effort', { status: 200, tokens: 0 }],
        ['required', { code: 'subject_undecided', tokens: undefined }],
      ] as const)(
        'RO-08 report: a request without an identity calls a target whose signing is %s',
        async (signing, expected) => {
          const wire = keep(await new RecordingServer().start());
          const service = await start(
            adapter,
            {
              ...REPORT,
              signingKey: { privateKey: createKey().privatePem },
              targets: [{ baseUrl: wire.url, signing }],
              subjectPropagation,
              subjectOutsideRequest: 'act-as-itself',
            },
            [CallingController],
            [ServiceHttpModule.register({ baseURL: wire.url }), ServiceFetchModule],
          );
          for (const client of ['http', 'fetch']) {
            for (const words of ['none', 'caller']) {
              const answer = await call(service.port, { target: `/calls/${client}/${words}` });
              const sent = wire.takeAll();
              const tokens = sent[0] && valuesOf(sent[0], 'jwt').length;
              expect({ ...answer.json, tokens }).toEqual(expected);
            }
          }
        },
      );
    },
  );

  it('RO-06 report: an application whose userResolver fails serves the request without an identity', async () => {
    const failing = {
      resolveUser: (): never => {
        throw new Error('no database');
      },
    };
    const service = await start(adapter, { ...REPORT, userResolver: failing });
    const answer = await herald.get(service.port, '/me', USER);
    expect([answer.status, bodyOf(answer)]).toEqual([200, {}]);
    expect(service.events.decisions).toMatchObject([
      { type: 'request_failed', reason: 'admission_error' },
    ]);
  });

  it.each([
    ['JSON that a parser has read', 'parsed', 'application/json', JSON.stringify({ a: 1 })],
    ['bytes that nothing has read', 'raw', 'application/octet-stream', 'x'.repeat(8 * KIB)],
  ])(
    'RO-05 report: %s reach the handler where their token is for others',
    async (_, path, contentType, body) => {
      const service = await start(adapter, REPORT);
      const target = `/${path}`;
      const request = { method: 'POST', target, contentType, subject: USER };
      const answer = await call(service.port, {
        ...request,
        body,
        headers: herald.headers({ ...request, body: `${body} ` }),
      });
      expect(answer.status).toBe(201);
      expect(answer.headers['jwt-report']).toBe('body_mismatch');
      expect(bodyOf(answer)).toEqual(
        path === 'parsed' ? { body: { a: 1 } } : { length: body.length, digest: sha256(body) },
      );
    },
  );

  it.each([
    ['announced', 'raw', 40 * KIB, false],
    ['chunked', 'raw', 40 * KIB, true],
    ['announced, on a route for large ones', 'large', 200 * KIB, false],
    ['chunked, on a route for large ones', 'large', 200 * KIB, true],
    ['chunked, much over the limit', 'large', 3 * KIB * KIB, true],
  ])(
    'RO-05 report: a body over the limit goes to the handler whole: %s',
    async (_, path, length, isChunked) => {
      const service = await start(adapter, REPORT);
      const body = Buffer.alloc(length, 'nestjs-service-auth ');
      const request = {
        method: 'POST',
        target: `/${path}`,
        contentType: 'application/octet-stream',
        subject: USER,
      };
      const headers = herald.headers({ ...request, body });
      const pieces = Array.from({ length: Math.ceil(length / 5000) }, (_each, at) =>
        body.subarray(at * 5000, (at + 1) * 5000),
      );
      const sent = isChunked ? { chunks: pieces } : { body };
      const answer = await call(service.port, {
        method: 'POST',
        target: request.target,
        ...sent,
        headers,
      });
      expect(answer.status).toBe(201);
      expect(answer.headers['jwt-report']).toBe('body_unverifiable');
      expect(bodyOf(answer)).toEqual({ length, digest: sha256(body) });
      const enforcing = await start(adapter, {});
      const refused = await call(enforcing.port, {
        method: 'POST',
        target: request.target,
        ...sent,
        headers,
      });
      expect(refused.status).toBe(413);
    },
  );

  it('RO-05 report: a large body that no file can hold goes to the handler whole', async () => {
    const service = await start(adapter, { ...REPORT, spoolDirectory: '/proc/self' });
    const body = Buffer.alloc(40 * KIB, 'nestjs-service-auth ');
    const request = {
      method: 'POST',
      target: '/large',
      contentType: 'application/octet-stream',
      subject: USER,
    };
    const headers = herald.headers({ ...request, body });
    const answer = await call(service.port, { method: 'POST', target: '/large', body, headers });
    expect(bodyOf(answer)).toEqual({ length: body.length, digest: sha256(body) });
    expect(service.events.decisions).toMatchObject([
      { type: 'request_would_be_refused', code: 'body_unverifiable', status: 503 },
    ]);
  });

  it('RO-04 reportUntil: from that moment on the same service refuses', async () => {
    const clock = createClock();
    const reportUntil = new Date(clock.now() + 60_000);
    const service = await start(adapter, { enforcement: 'report', reportUntil, now: clock.now });
    const statusNow = async (): Promise<number> =>
      (await call(service.port, { target: '/me' })).status;
    expect(await statusNow()).toBe(200);
    clock.advance(59);
    expect(await statusNow()).toBe(200);
    clock.advance(1);
    expect(await statusNow()).toBe(401);
  });

  it.each([Number.NaN, Number.NEGATIVE_INFINITY])(
    'RO-04 reportUntil: a clock that answers %d serves nothing',
    async (broken) => {
      let now = Date.now();
      const service = await start(adapter, { ...REPORT, now: () => now });
      now = broken;
      expect((await call(service.port, { target: '/me' })).status).toBe(500);
    },
  );

  it('ReportOnly: reports on its route alone', async () => {
    const service = await start(adapter, { reportUntil: UNTIL });
    const statuses = await Promise.all(
      ['/one/reports', '/one/refuses'].map(
        async (target) => (await call(service.port, { target })).status,
      ),
    );
    expect(statuses).toEqual([200, 401]);
  });

  it('RO-04 ReportOnly: refuses, and warns at start, where the module has no reportUntil', async () => {
    const service = await start(adapter, {});
    expect((await call(service.port, { target: '/one/reports' })).status).toBe(401);
    expect(service.log.texts('warn').join('\n')).toContain(
      'OneRouteController.reports() has @ReportOnly(), and ServiceAuthModule has no reportUntil',
    );
  });
});

describe('enforcement', () => {
  it('RO-03 what a route reports counts for no route that refuses', async () => {
    // next() is Express's.
    const service = await start('express', { reportUntil: UNTIL }, [ReportingFirst, RefusingNext]);
    const headers = herald.headers({ target: '/chain/x', subject: USER });
    const send = async (): Promise<Answer> =>
      await call(service.port, { target: '/chain/x', headers });
    expect(bodyOf(await send())).toEqual({ subject: USER });
    expect(bodyOf(await send())).toMatchObject({ code: 'token_replayed' });
    expect((await call(service.port, { target: '/chain/x' })).status).toBe(401);
  });

  it.each<[string, string, string | undefined, string[], string | undefined]>([
    ['has what it asks', 'required', USER, ['request_accepted'], undefined],
    [
      'has less than it asks',
      'required',
      '',
      ['request_accepted', 'request_would_be_refused'],
      'subject_missing',
    ],
    ['was reported before', 'required', undefined, ['request_would_be_refused'], undefined],
    [
      'is anonymous where that is not enough',
      'optional',
      undefined,
      ['request_anonymous', 'request_would_be_refused'],
      undefined,
    ],
    ['has an identity', 'optional', USER, ['request_accepted'], undefined],
  ])(
    'RO-03 report: a second route serves a request that %s',
    async (_title, path, subject, types, reported) => {
      const service = await start('express', REPORT, [FirstStep, SecondStep]);
      const target = `/steps/${path}`;
      const token = { target, subject: subject === '' ? undefined : subject };
      const headers = subject === undefined ? {} : herald.headers(token);
      const answer = await call(service.port, { target, headers });
      expect([answer.status, bodyOf(answer)]).toEqual([200, subject ? { subject } : {}]);
      expect(answer.headers['jwt-report']).toBe(reported);
      expect(service.events.decisions.map(({ type }) => type)).toEqual(types);
    },
  );

  it('RO-03 report: a second route for other issuers serves a request without its identity', async () => {
    const trustedIssuers = [herald.trusted, stranger.trusted];
    const options = { ...REPORT, trustedIssuers };
    const service = await start('express', options, [FirstStep, SecondStep]);
    const answers = [
      await herald.get(service.port, '/steps/others'),
      await stranger.get(service.port, '/steps/others'),
    ];
    expect(answers.map(bodyOf)).toEqual([{}, { issuer: stranger.issuer }]);
    expect(answers.map(({ headers }) => headers['jwt-report'])).toEqual([
      'issuer_not_allowed',
      undefined,
    ]);
  });

  it('a second route that admits a request without a user has none to give', async () => {
    const service = await start('express', REPORT, [FirstStep, SecondStep]);
    const target = '/steps/optional';
    expect(bodyOf(await herald.get(service.port, target))).toMatchObject({
      code: 'subject_missing',
    });
    expect(bodyOf(await herald.get(service.port, target, USER))).toEqual({ subject: USER });
  });

  it('the event of a second route says whether its issuer is verified', async () => {
    const service = await start('express', REPORT, [FirstStep, SecondStep]);
    await herald.get(service.port, '/steps/others');
    await call(service.port, { target: '/steps/optional' });
    const refused = service.events.decisions.filter(
      ({ type }) => type === 'request_would_be_refused',
    );
    expect(refused).toMatchObject([
      { issuer: herald.issuer, issuerTrust: 'verified' },
      { issuer: undefined, issuerTrust: 'unknown' },
    ]);
  });

  it.each<[string, string, string | undefined, number, object, string[]]>([
    [
      'what it asks is there',
      'any',
      '',
      200,
      { issuer: herald.issuer },
      ['request_accepted', 'request_would_be_refused'],
    ],
    [
      'what it asks is not there',
      'user',
      '',
      403,
      { code: 'subject_missing' },
      ['request_accepted', 'request_would_be_refused', 'request_refused'],
    ],
    [
      'nobody calls',
      'any',
      undefined,
      401,
      { code: 'token_missing' },
      ['request_anonymous', 'request_would_be_refused', 'request_refused'],
    ],
    ['all is there', 'user', USER, 200, { subject: USER }, ['request_accepted']],
  ])(
    'RO-03 a route that enforces decides for itself, whatever was reported before it: %s',
    async (_title, path, subject, status, body, types) => {
      const steps = [EnforcingFirst, ReportingSecond, EnforcingThird];
      const service = await start('express', { reportUntil: UNTIL }, steps);
      const target = `/mixed/${path}`;
      const token = { target, subject: subject === '' ? undefined : subject };
      const headers = subject === undefined ? {} : herald.headers(token);
      const answer = await call(service.port, { target, headers });
      expect([answer.status, bodyOf(answer)]).toEqual([status, expect.objectContaining(body)]);
      expect(service.events.decisions.map(({ type }) => type)).toEqual(types);
    },
  );

  it.each([
    [{ enforcement: 'off' }, "enforcement: write 'enforce' or 'report'"],
    [{ enforcement: 'report' }, 'reportUntil: write the date'],
    [{ enforcement: 'report', reportUntil: 'soon' }, 'reportUntil: write a Date'],
    [{ enforcement: 'report', reportUntil: '2100-01-01T00:00:00' }, 'reportUntil: write a Date'],
    [{ enforcement: 'report', reportUntil: new Date('x') }, 'reportUntil: write a Date'],
    [{ reportUntil: 4_102_444_800_000 }, 'reportUntil: write a Date'],
  ])('does not start with %j', async (options, problem) => {
    const starting = start('express', options as Partial<ServiceAuthModuleOptions>);
    await expect(starting).rejects.toMatchObject({
      problems: [expect.stringContaining(problem) as string],
    });
  });

  it.each([UNTIL, '2100-01-01T00:00:00Z', '2100-01-01T00:00:00.000+01:00', new Date(UNTIL)])(
    'starts with reportUntil %s, and says for how long it reports',
    async (reportUntil) => {
      const { log } = await start('express', { enforcement: 'report', reportUntil });
      const lines = log.texts('warn').filter((text) => text.startsWith('Report-only for '));
      expect(lines).toHaveLength(1);
    },
  );

  it('warns once a day, in the last seven days, of what will be refused', async () => {
    const clock = createClock();
    const DAY = 86_400;
    const reportUntil = new Date(clock.now() + 8.5 * DAY * 1000);
    const service = await start('express', { enforcement: 'report', reportUntil, now: clock.now });
    const summaries = (): string[] =>
      service.log
        .texts('warn')
        .filter((text) => text.includes('the guard refuses calls like these'));
    const send = async (): Promise<unknown> => await call(service.port, { target: '/me' });
    await send();
    expect(summaries()).toEqual([]);
    clock.advance(2 * DAY);
    await send();
    await send();
    expect(summaries()).toHaveLength(1);
    expect(summaries()[0]).toContain('In 7 days');
    expect(summaries()[0]).toContain('2 of unknown issuers with token_missing');
    clock.advance(DAY);
    await send();
    expect(summaries()).toHaveLength(2);
    expect(summaries()[1]).toContain('2 of unknown issuers with token_missing');
  });

  it('does not number the first, which would look harmless', async () => {
    const reportUntil = new Date(Date.now() + 86_400_000);
    const service = await start('express', { enforcement: 'report', reportUntil });
    await call(service.port, { target: '/me' });
    expect(service.log.texts('warn').join('\n')).toContain(
      'the guard refuses calls like this one of unknown issuers with token_missing.',
    );
  });
});
