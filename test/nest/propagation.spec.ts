import { AsyncResource } from 'node:async_hooks';
import { EventEmitter, on, once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { callbackify } from 'node:util';
import { HttpService } from '@nestjs/axios';
import {
  type ArgumentsHost,
  Body,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  HttpCode,
  HttpException,
  Inject,
  Injectable,
  type NestInterceptor,
  Param,
  type PipeTransform,
  Post,
  Query,
  Req,
  Scope,
  UnprocessableEntityException,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { FileInterceptor } from '@nestjs/platform-express';
import multipart from '@fastify/multipart';
import type { AxiosRequestConfig } from 'axios';
import {
  OptionalServiceAuth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
  ServiceSubject,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import {
  concatMap,
  defer,
  delay,
  firstValueFrom,
  from,
  lastValueFrom,
  map,
  mergeMap,
  of,
  toArray,
} from 'rxjs';
import { Caller, type SignedCall } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { createLast, type Middleware } from '../support/services/middleware.js';
import { callOver, keepAliveAgent, pipeline } from '../support/http/one-socket.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const CHRONICLE = 'https://chronicle.service/';
const ALICE = 'https://census.service/user/alice/';
const BOB = 'https://census.service/user/bob/';
const herald = new Caller(HERALD, CENSUS);
const censusKey = createKey();

/** What the called service was told: a user, `nobody` by a service acting for itself, or why it was not asked. */
type Asked = string;

/** The service that is called: it tells whose name was in the token. */
@Controller('echo')
@UseGuards(ServiceJwtGuard)
class EchoController {
  @Get()
  get(@ServiceCaller() { subject, issuer }: ServiceIdentity) {
    return { asked: subject ?? 'nobody', issuer };
  }
  @Post()
  @HttpCode(200)
  post(@ServiceCaller() { subject, issuer }: ServiceIdentity, @Body() body: unknown) {
    return { asked: subject ?? 'nobody', issuer, body };
  }
}

/** Calls the other service as any application code would. */
@Injectable()
class Outgoing {
  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  async ask(config?: AxiosRequestConfig): Promise<Asked> {
    return await this.askedBy(firstValueFrom(this.http.get<{ asked: Asked }>('/echo', config)));
  }

  async askWith(body: object): Promise<Asked> {
    return await this.askedBy(firstValueFrom(this.http.post<{ asked: Asked }>('/echo', body)));
  }

  private async askedBy(response: Promise<{ data: { asked: Asked } }>): Promise<Asked> {
    try {
      return (await response).data.asked;
    } catch (error) {
      if (error instanceof ServiceSigningError) return error.code;
      throw error;
    }
  }
}

@Injectable({ scope: Scope.REQUEST })
class RequestScopedOutgoing {
  constructor(@Inject(Outgoing) private readonly outgoing: Outgoing) {}

  async ask(): Promise<Asked> {
    await nextTurn();
    return await this.outgoing.ask();
  }
}

/** A few turns of the event loop, of whatever kinds the dice say. */
async function hop(): Promise<void> {
  const kinds = [
    async () => await nextTurn(),
    async () => await Promise.resolve(),
    async () => await new Promise<void>((resolve) => queueMicrotask(resolve)),
    async () => await new Promise<void>((resolve) => process.nextTick(resolve)),
    async () => await new Promise<void>((resolve) => setTimeout(resolve, 0)),
  ];
  for (let left = Math.floor(Math.random() * 6); left > 0; left--) {
    await kinds[Math.floor(Math.random() * kinds.length)]?.();
  }
}

/** An emitter that was there before any request. */
const bus = new EventEmitter();

/** The ways in which application code gets from a handler to an outgoing call. */
const WAYS: Record<string, (outgoing: Outgoing) => Promise<Asked | Asked[]>> = {
  'at once': async (outgoing) => await outgoing.ask(),
  'with a JSON body': async (outgoing) => await outgoing.askWith({ a: 1 }),
  'after several awaits': async (outgoing) => {
    for (let count = 0; count < 10; count++) await hop();
    return await outgoing.ask();
  },
  'in setTimeout': async (outgoing) =>
    await new Promise((resolve) => setTimeout(() => resolve(outgoing.ask()), 1)),
  'in setImmediate': async (outgoing) =>
    await new Promise((resolve) => setImmediate(() => resolve(outgoing.ask()))),
  'in process.nextTick': async (outgoing) =>
    await new Promise((resolve) => process.nextTick(() => resolve(outgoing.ask()))),
  'in queueMicrotask': async (outgoing) =>
    await new Promise((resolve) => queueMicrotask(() => resolve(outgoing.ask()))),
  'in a listener of its own emitter': async (outgoing) => {
    const emitter = new EventEmitter();
    const asked = new Promise<Asked>((resolve) =>
      emitter.once('ask', () => resolve(outgoing.ask())),
    );
    await hop();
    emitter.emit('ask');
    return await asked;
  },
  'in a listener of the application': async (outgoing) =>
    await new Promise((resolve) => bus.emit('ask', outgoing, resolve)),
  'in Promise.all': async (outgoing) =>
    await Promise.all([
      outgoing.ask(),
      outgoing.askWith({ b: 2 }),
      hop().then(() => outgoing.ask()),
    ]),
  'in rxjs operators': async (outgoing) =>
    await lastValueFrom(
      of(1, 2, 3).pipe(
        delay(1),
        mergeMap((value) => defer(async () => await outgoing.askWith({ value }))),
        concatMap((asked) => from(Promise.resolve(asked)).pipe(delay(0))),
        toArray(),
      ),
    ),
  'in an async generator': async (outgoing) => {
    async function* ask() {
      for (let count = 0; count < 3; count++) {
        await hop();
        yield await outgoing.ask();
      }
    }
    const all: Asked[] = [];
    for await (const asked of ask()) all.push(asked);
    return all;
  },
  'in events.on': async (outgoing) => {
    const emitter = new EventEmitter();
    setImmediate(() => emitter.emit('ask'));
    for await (const _event of on(emitter, 'ask')) return await outgoing.ask();
    return [];
  },
  'in stream events': async (outgoing) => {
    const stream = Readable.from(['a', 'b']);
    const asked: Promise<Asked>[] = [];
    stream.on('data', () => asked.push(outgoing.ask()));
    await once(stream, 'end');
    return await Promise.all(asked);
  },
};

class AskingPipe implements PipeTransform<string, Promise<Asked>> {
  constructor(@Inject(Outgoing) private readonly outgoing: Outgoing) {}

  async transform(): Promise<Asked> {
    await hop();
    return await this.outgoing.ask();
  }
}
Injectable()(AskingPipe);

/** Runs after the guard and before the handler, and again with what the handler gave. */
@Injectable()
class AskingInterceptor implements NestInterceptor {
  constructor(@Inject(Outgoing) private readonly outgoing: Outgoing) {}

  async intercept(_context: ExecutionContext, next: CallHandler<object>) {
    const before = await this.outgoing.ask();
    return next
      .handle()
      .pipe(mergeMap(async (body) => ({ ...body, before, after: await this.outgoing.ask() })));
  }
}

@Injectable()
class AskingGuard implements CanActivate {
  constructor(@Inject(Outgoing) private readonly outgoing: Outgoing) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const asked = await this.outgoing.ask();
    Object.assign(context.switchToHttp().getRequest<object>(), { askedByGuard: asked });
    return true;
  }
}

@Catch()
@Injectable()
class AskingFilter implements ExceptionFilter {
  constructor(
    @Inject(Outgoing) private readonly outgoing: Outgoing,
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
  ) {}

  async catch(error: unknown, host: ArgumentsHost) {
    const status = error instanceof HttpException ? error.getStatus() : 500;
    const asked = await this.outgoing.ask();
    this.host.httpAdapter.reply(host.switchToHttp().getResponse(), { asked }, status);
  }
}

@Controller('ways')
@UseGuards(ServiceJwtGuard)
class WaysController {
  constructor(
    @Inject(Outgoing) private readonly outgoing: Outgoing,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {}

  @Get('handler')
  async handler(@Query('way') way: string, @ServiceSubject({ optional: true }) own?: string) {
    return { own: own ?? 'nobody', asked: await WAYS[way]?.(this.outgoing) };
  }
  @Get('pipe')
  pipe(@Query('x', AskingPipe) asked: Asked) {
    return { asked };
  }
  @Get('interceptor')
  @UseInterceptors(AskingInterceptor)
  interceptor() {
    return {};
  }
  @Get('guard')
  @UseGuards(AskingGuard)
  guard(@Req() request: { askedByGuard: Asked }) {
    return { asked: request.askedByGuard };
  }
  @Get('filter')
  @UseFilters(AskingFilter)
  filter() {
    throw new UnprocessableEntityException();
  }
  @Get('observable')
  observable() {
    return of(0).pipe(
      delay(1),
      mergeMap(async () => await this.outgoing.ask()),
      map((asked) => ({ asked })),
    );
  }
  @Get('chosen')
  async chosen() {
    const { outgoing, callContext } = this;
    const asBob = async <T>(fn: () => Promise<T>) => await callContext.runOnBehalfOf(BOB, fn);
    return {
      before: await outgoing.ask(),
      onBehalfOf: await outgoing.ask(onBehalfOf(BOB)),
      actingAsItself: await outgoing.ask(actingAsItself()),
      runOnBehalfOf: await asBob(async () => {
        await hop();
        return await outgoing.ask();
      }),
      runActingAsItself: await callContext.runActingAsItself(async () => {
        await hop();
        return await outgoing.ask();
      }),
      callBeatsRun: await asBob(async () => await outgoing.ask(onBehalfOf(ALICE))),
      innerRunBeatsOuter: await asBob(
        async () => await callContext.runActingAsItself(async () => await outgoing.ask()),
      ),
      sync: callContext.runOnBehalfOf(BOB, () => callContext.current())?.subject,
      together: await Promise.all([
        outgoing.ask(),
        asBob(async () => await outgoing.ask()),
        outgoing.ask(actingAsItself()),
      ]),
      after: await outgoing.ask(),
    };
  }
}

@Controller('early')
@UseGuards(AskingGuard, ServiceJwtGuard)
class EarlyController {
  @Get()
  early(@Req() request: { askedByGuard: Asked }) {
    return { asked: request.askedByGuard };
  }
}

@Controller('scoped')
@UseGuards(ServiceJwtGuard)
class ScopedController {
  constructor(@Inject(RequestScopedOutgoing) private readonly outgoing: RequestScopedOutgoing) {}

  @Get()
  async ask() {
    return { asked: await this.outgoing.ask() };
  }
}

/** Routes that several users are at the same time. */
@Controller('crowd')
@UseGuards(ServiceJwtGuard)
class CrowdController {
  constructor(
    @Inject(Outgoing) private readonly outgoing: Outgoing,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {}

  @Get('get/:id')
  async get(@Param('id') id: string, @ServiceSubject() own: string) {
    return await this.answer(id, own);
  }
  @Post('post/:id')
  @HttpCode(200)
  async post(@Param('id') id: string, @ServiceSubject() own: string, @Body() body: { id: string }) {
    return { ...(await this.answer(id, own)), body: body.id };
  }
  @Get('optional/:id')
  @OptionalServiceAuth()
  async optional(
    @Param('id') id: string,
    @ServiceSubject({ optional: true }) own: string | undefined,
  ) {
    return await this.answer(id, own ?? 'nobody');
  }
  @Get('skipped/:id')
  @SkipServiceAuth()
  async skipped(@Param('id') id: string) {
    return await this.answer(id, 'nobody');
  }
  @Get('itself/:id')
  @SkipServiceAuth()
  async itself() {
    return { asked: await this.outgoing.ask(actingAsItself()) };
  }

  private async answer(id: string, own: string) {
    await hop();
    const first = await this.outgoing.ask();
    await hop();
    const second = await this.outgoing.askWith({ id });
    await hop();
    return { id, own, first, second, current: this.callContext.current()?.subject ?? 'nobody' };
  }
}

/** How an application that knows its users by other means speaks for them: a session, say. */
@Injectable()
class SessionInterceptor implements NestInterceptor {
  constructor(@Inject(ServiceCallContext) private readonly callContext: ServiceCallContext) {}

  intercept(_context: ExecutionContext, next: CallHandler) {
    return this.callContext.runOnBehalfOf(BOB, () => next.handle());
  }
}

@Controller('unguarded')
class UnguardedController {
  constructor(@Inject(Outgoing) private readonly outgoing: Outgoing) {}

  @Get()
  async get() {
    return { asked: await this.outgoing.ask() };
  }
  @Get('subject')
  subject(@ServiceSubject({ optional: true }) own?: string) {
    return { own };
  }
  @Get('session')
  @UseInterceptors(SessionInterceptor)
  async session() {
    await hop();
    return { asked: await this.outgoing.ask() };
  }
  @Post()
  @HttpCode(200)
  async post() {
    return { asked: await this.outgoing.ask() };
  }
}

const answersFor = (id: string, user: string) => ({
  id,
  own: user,
  first: user,
  second: user,
  current: user,
});
const answersForNobody = (id: string) => ({
  id,
  own: 'nobody',
  first: 'subject_undecided',
  second: 'subject_undecided',
  current: 'nobody',
});

const agent = new Agent({ keepAlive: true, maxSockets: 4 });
const startEcho = async (adapter: Adapter) =>
  await startService({
    adapter,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CHRONICLE,
        trustedIssuers: [{ issuer: CENSUS, publicKey: censusKey.publicPem }],
      }),
    ],
    controllers: [EchoController],
  });

const startCensus = async (
  adapter: Adapter,
  echo: TestService,
  {
    imports = [],
    options,
    ...rest
  }: Partial<Parameters<typeof startService>[0]> & {
    options?: Partial<ServiceAuthModuleOptions>;
  } = {},
) =>
  await startService({
    adapter,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [herald.trusted],
        signingKey: { privateKey: censusKey.privatePem },
        targets: [{ baseUrl: echo.url, audience: CHRONICLE }],
        subjectPropagation: 'ambient',
        ...options,
      }),
      ServiceHttpModule.register({ baseURL: echo.url, httpAgent: agent }),
      ...imports,
    ],
    providers: [Outgoing, RequestScopedOutgoing],
    controllers: [
      WaysController,
      EarlyController,
      ScopedController,
      CrowdController,
      UnguardedController,
    ],
    ...rest,
  });

beforeAll(() => {
  bus.on('ask', (outgoing: Outgoing, resolve: (asked: Promise<Asked>) => void) =>
    resolve(outgoing.ask()),
  );
});
afterAll(() => {
  bus.removeAllListeners();
  agent.destroy();
});

describe.each(ADAPTERS)('the subject of outgoing calls on %s', (adapter) => {
  let echo: TestService;
  let census: TestService;
  beforeAll(async () => {
    echo = await startEcho(adapter);
    census = await startCensus(adapter, echo);
  });
  afterAll(async () => {
    await census.close();
    await echo.close();
  });

  describe('is the verified one', () => {
    it.each(Object.keys(WAYS))('in a handler, %s', async (way) => {
      const target = `/ways/handler?way=${encodeURIComponent(way)}`;
      for (const user of [ALICE, BOB]) {
        const { json } = await herald.get(census.port, target, user);
        expect(json).toMatchObject({ own: user });
        const asked = [json?.['asked']].flat();
        expect(asked.length).toBeGreaterThan(0);
        expect(new Set(asked)).toEqual(new Set([user]));
      }
    });

    it.each<[string, string, object]>([
      ['a pipe', '/ways/pipe?x=1', { asked: ALICE }],
      ['an interceptor, before and after', '/ways/interceptor', { before: ALICE, after: ALICE }],
      ['an Observable that Nest subscribes to', '/ways/observable', { asked: ALICE }],
      ['a request-scoped provider', '/scoped', { asked: ALICE }],
      ['a guard that comes after', '/ways/guard', { asked: ALICE }],
      ['an exception filter', '/ways/filter', { asked: ALICE }],
    ])('in %s', async (_title, target, expected) => {
      expect((await herald.get(census.port, target, ALICE)).json).toEqual(expected);
    });

    it('but has to be named in a guard that comes before', async () => {
      const { json } = await herald.get(census.port, '/early', ALICE);
      expect(json).toEqual({ asked: 'subject_undecided' });
    });

    it('nobody, when the caller acts for itself', async () => {
      const { json } = await herald.get(census.port, '/ways/handler?way=at%20once');
      expect(json).toEqual({ own: 'nobody', asked: 'nobody' });
    });

    it('unless the call or a scope names another, which ends where it ends', async () => {
      expect((await herald.get(census.port, '/ways/chosen', ALICE)).json).toEqual({
        before: ALICE,
        onBehalfOf: BOB,
        actingAsItself: 'nobody',
        runOnBehalfOf: BOB,
        runActingAsItself: 'nobody',
        callBeatsRun: ALICE,
        innerRunBeatsOuter: 'nobody',
        sync: BOB,
        together: [ALICE, BOB, 'nobody'],
        after: ALICE,
      });
    });
  });

  it('is the one an interceptor chose for a whole handler', async () => {
    expect((await call(census.port, { target: '/unguarded/session' })).json).toEqual({
      asked: BOB,
    });
    expect((await call(census.port, { target: '/unguarded' })).json).toEqual({
      asked: 'subject_undecided',
    });
  });

  it('is undecided in a job outside any request, which must say for whom it works', async () => {
    const outgoing = census.app.get(Outgoing);
    const callContext = census.app.get(ServiceCallContext);
    expect(callContext.current()).toBeUndefined();
    expect(await outgoing.ask()).toBe('subject_undecided');
    expect(await outgoing.ask(onBehalfOf(ALICE))).toBe(ALICE);
    expect(await outgoing.ask(actingAsItself())).toBe('nobody');
    const asked = await callContext.runOnBehalfOf(BOB, async () => {
      await hop();
      return await Promise.all([outgoing.ask(), outgoing.askWith({})]);
    });
    expect(asked).toEqual([BOB, BOB]);
    const itself = callContext.runActingAsItself(async () => await outgoing.ask());
    expect(await itself).toBe('nobody');
    expect(await outgoing.ask()).toBe('subject_undecided');
    expect(await callContext.runOnBehalfOf('not a uri', async () => await outgoing.ask())).toBe(
      'subject_invalid',
    );
  });

  it('is undecided in a job that was started while requests are being served', async () => {
    const outgoing = census.app.get(Outgoing);
    const serving = Array.from({ length: 20 }, async (_item, at) =>
      herald.get(census.port, `/crowd/get/${at}`, `${CENSUS}user/${at}/`),
    );
    const jobs = Array.from({ length: 20 }, async () => {
      await hop();
      return await outgoing.ask();
    });
    expect(new Set(await Promise.all(jobs))).toEqual(new Set(['subject_undecided']));
    for (const { status } of await Promise.all(serving)) expect(status).toBe(200);
  });

  describe('with several users at a time', () => {
    it('TF-09 is each one’s own: 500 users and 50 strangers on 8 sockets, two outgoing calls each', async () => {
      const sockets = keepAliveAgent(8);
      try {
        const authenticated = Array.from({ length: 500 }, async (_item, at) => {
          const id = String(at);
          const subject = `${CENSUS}user/${id}/`;
          const isPost = at % 2 === 0;
          const body = isPost ? JSON.stringify({ id, filler: 'x'.repeat(at * 39) }) : undefined;
          const request: SignedCall = isPost
            ? { method: 'POST', target: `/crowd/post/${id}`, contentType: 'application/json', body }
            : { target: `/crowd/get/${id}` };
          await hop();
          const headers = herald.headers({ ...request, subject });
          const answer = await callOver(sockets, census.port, { ...request, headers });
          const expected = { ...answersFor(id, subject), ...(isPost ? { body: id } : {}) };
          return { answer, expected };
        });
        const anonymous = Array.from({ length: 50 }, async (_item, at) => {
          const id = String(1000 + at);
          await hop();
          const route = at % 2 === 0 ? 'optional' : 'skipped';
          const answer = await callOver(sockets, census.port, { target: `/crowd/${route}/${id}` });
          return { answer, expected: answersForNobody(id) };
        });
        const all = await Promise.all([...authenticated, ...anonymous]);
        for (const { answer, expected } of all) {
          expect(answer).toMatchObject({ status: 200, body: expected });
        }
        const localPorts = new Set(all.map(({ answer }) => answer.localPort));
        expect(localPorts.size).toBeLessThanOrEqual(8);
      } finally {
        sockets.destroy();
      }
    });

    it('TF-08, TF-10 is nobody’s for whoever comes after a user on the same socket', async () => {
      const sockets = keepAliveAgent(1);
      const send = async (target: string, headers = {}) =>
        await callOver(sockets, census.port, { target, headers });
      const asAlice = async (target: string) =>
        await send(target, herald.headers({ target, subject: ALICE }));
      try {
        const first = await asAlice('/crowd/get/1');
        expect(first).toMatchObject({ status: 200, body: answersFor('1', ALICE) });
        const steps: [Promise<{ localPort: number | undefined }>, object][] = [
          [send('/crowd/optional/2'), { status: 200, body: answersForNobody('2') }],
          [send('/crowd/optional/3', { jwt: '' }), { status: 200, body: answersForNobody('3') }],
          [asAlice('/crowd/optional/4'), { status: 200, body: answersFor('4', ALICE) }],
          [send('/crowd/skipped/5'), { status: 200, body: answersForNobody('5') }],
          [asAlice('/crowd/get/6'), { status: 200, body: answersFor('6', ALICE) }],
          [send('/unguarded'), { status: 200, body: { asked: 'subject_undecided' } }],
          [send('/unguarded/subject'), { status: 500 }],
          [send('/crowd/get/7'), { status: 401 }],
          [asAlice('/crowd/get/8'), { status: 200, body: answersFor('8', ALICE) }],
          [send('/crowd/itself/9'), { status: 200, body: { asked: 'nobody' } }],
          // A token where nobody verifies it proves nothing, not even a good one.
          [asAlice('/unguarded'), { status: 200, body: { asked: 'subject_undecided' } }],
          [asAlice('/crowd/skipped/10'), { status: 200, body: answersForNobody('10') }],
        ];
        for (const [answer, expected] of steps) {
          expect(await answer).toMatchObject({ ...expected, localPort: first.localPort });
        }
      } finally {
        sockets.destroy();
      }
    });

    it('is nobody’s after a request whose token was refused', async () => {
      const target = '/ways/filter';
      const refused = { target, signedTarget: '/ways/other', subject: ALICE };
      const headers = herald.headers(refused);
      // The filter of the method does not see what a guard throws before it; this one is global.
      const other = await startCensus(adapter, echo, {
        configure: (app) =>
          app.useGlobalFilters(new AskingFilter(app.get(Outgoing), app.get(HttpAdapterHost))),
      });
      try {
        const answer = await call(other.port, { target, headers });
        expect(answer).toMatchObject({ status: 401, json: { asked: 'subject_undecided' } });
        const handled = await herald.get(other.port, '/ways/handler?way=at%20once', ALICE);
        expect(handled).toMatchObject({ status: 200, json: { own: ALICE, asked: ALICE } });
      } finally {
        await other.close();
      }
    });
  });

  describe('with requests pipelined on one socket', () => {
    const signed = (target: string, subject: string, more: Partial<SignedCall> = {}) => {
      const request = { target, subject, ...more };
      return { ...request, headers: herald.headers(request) };
    };

    it('TF-07 valid, none, valid, bad are 200, 401, 200, 401', async () => {
      const bad = { target: '/crowd/get/4', headers: { jwt: herald.token({ target: '/other' }) } };
      const answers = await pipeline(census.port, [
        signed('/crowd/get/1', ALICE),
        { target: '/crowd/get/2' },
        signed('/crowd/get/3', BOB),
        bad,
      ]);
      expect(answers).toMatchObject([
        { status: 200, body: answersFor('1', ALICE) },
        { status: 401, body: { code: 'token_missing' } },
        { status: 200, body: answersFor('3', BOB) },
        { status: 401, body: { code: 'request_mismatch' } },
      ]);
    });

    it('each of 40 is its own user, bodies and anonymous ones between', async () => {
      const kinds = [
        (id: string, user: string) => ({
          request: signed(`/crowd/get/${id}`, user),
          expected: answersFor(id, user),
        }),
        (id: string, user: string) => ({
          request: signed(`/crowd/post/${id}`, user, {
            method: 'POST',
            contentType: 'application/json',
            body: JSON.stringify({ id, filler: 'y'.repeat(20_000) }),
          }),
          expected: { ...answersFor(id, user), body: id },
        }),
        (id: string) => ({
          request: { target: `/crowd/optional/${id}` },
          expected: answersForNobody(id),
        }),
        (id: string) => ({
          request: { target: `/crowd/skipped/${id}` },
          expected: answersForNobody(id),
        }),
        (_id: string) => ({
          request: { method: 'POST', target: '/unguarded' },
          expected: { asked: 'subject_undecided' },
        }),
      ];
      const all = Array.from({ length: 40 }, (_item, at) =>
        kinds[at % kinds.length]!(String(at), `${CENSUS}user/${at}/`),
      );
      const answers = await pipeline(
        census.port,
        all.map(({ request }) => request),
      );
      expect(answers).toMatchObject(all.map(({ expected }) => ({ status: 200, body: expected })));
    });
  });

  describe('where a middleware calls next() in another turn than its request’s', () => {
    const usersOneAndTwo = async (port: number, target: (id: string) => string) =>
      await Promise.all(
        [ALICE, BOB].map(async (user, at) => herald.get(port, target(String(at)), user)),
      );

    /** Lets one request in at a time: the next one starts when the answer to the first is finished. */
    const oneAtATime = (): Middleware => {
      let isBusy = false;
      const waiting: (() => void)[] = [];
      return (_request, response, next) => {
        const enter = () => {
          isBusy = true;
          response.once('finish', () => {
            isBusy = false;
            waiting.shift()?.();
          });
          next();
        };
        if (isBusy) waiting.push(enter);
        else enter();
      };
    };
    /** As callbacks of a client do that was connected before any request. */
    const fromOutside = (): Middleware => {
      const outside = new AsyncResource('CLIENT_OF_THE_APPLICATION');
      return (_request, _response, next) => {
        setImmediate(() => outside.runInAsyncScope(next));
      };
    };

    it.each<[string, () => Middleware]>([
      ['as a limiter of concurrency does', oneAtATime],
      ['as a client connected before does', fromOutside],
    ])('is still the verified one, %s', async (_title, createMiddleware) => {
      const late = createLast(adapter, createMiddleware());
      const other = await startCensus(adapter, echo, late);
      try {
        const answers = await usersOneAndTwo(other.port, (id) => `/crowd/get/${id}`);
        expect(answers.map(({ json }) => json)).toEqual([
          answersFor('0', ALICE),
          answersFor('1', BOB),
        ]);
      } finally {
        await other.close();
      }
    });

    it('is nobody’s for an anonymous request that was let in where code has chosen a user', async () => {
      const started: TestService[] = [];
      const asAlice: Middleware = (_request, _response, next) => {
        for (const { app } of started) app.get(ServiceCallContext).runOnBehalfOf(ALICE, next);
      };
      const other = await startCensus(adapter, echo, createLast(adapter, asAlice));
      started.push(other);
      try {
        const anonymous = await call(other.port, { target: '/crowd/skipped/1' });
        expect(anonymous.json).toEqual(answersForNobody('1'));
        const unguarded = await call(other.port, { target: '/unguarded' });
        expect(unguarded.json).toEqual({ asked: 'subject_undecided' });
        const bob = await herald.get(other.port, '/crowd/get/2', BOB);
        expect(bob.json).toEqual(answersFor('2', BOB));
      } finally {
        await other.close();
      }
    });

    it('is nobody’s for an anonymous request that was let in by a user’s', async () => {
      const other = await startCensus(adapter, echo, createLast(adapter, oneAtATime()));
      try {
        for (const target of ['/crowd/optional/2', '/crowd/skipped/2']) {
          const [alice, anonymous] = await Promise.all([
            herald.get(other.port, '/crowd/get/1', ALICE),
            call(other.port, { target }),
          ]);
          expect([alice.json, anonymous.json]).toEqual([
            answersFor('1', ALICE),
            answersForNobody('2'),
          ]);
        }
      } finally {
        await other.close();
      }
    });

    it('is not dropped where calls outside of requests act as the service itself', async () => {
      const other = await startCensus(adapter, echo, {
        ...createLast(adapter, fromOutside()),
        options: { subjectOutsideRequest: 'act-as-itself' },
      });
      try {
        const answers = await usersOneAndTwo(other.port, (id) => `/crowd/get/${id}`);
        expect(answers.map(({ json }) => json)).toMatchObject([
          { first: ALICE, second: ALICE },
          { first: BOB, second: BOB },
        ]);
      } finally {
        await other.close();
      }
    });
  });

  it('is undecided for anonymous requests where calls outside of requests act as the service itself', async () => {
    const other = await startCensus(adapter, echo, {
      options: { subjectOutsideRequest: 'act-as-itself' },
    });
    const sockets = keepAliveAgent(1);
    try {
      for (const target of ['/crowd/optional/1', '/crowd/skipped/1']) {
        const headers = herald.headers({ target: '/crowd/get/0', subject: ALICE });
        const alice = await callOver(sockets, other.port, { target: '/crowd/get/0', headers });
        expect(alice.body).toEqual(answersFor('0', ALICE));
        const anonymous = await callOver(sockets, other.port, { target });
        expect(anonymous.body).toEqual(answersForNobody('1'));
      }
      expect(await other.app.get(Outgoing).ask()).toBe('nobody');
    } finally {
      sockets.destroy();
      await other.close();
    }
  });

  describe('survives the parsing of a body:', () => {
    interface BodyKind {
      readonly contentType: string;
      readonly body: string;
      readonly seen: unknown;
    }
    const boundary = 'a-boundary';
    const file = 'line\r\n'.repeat(30_000);
    const form = (content: string): string =>
      [
        `--${boundary}`,
        'Content-Disposition: form-data; name="file"; filename="a.txt"',
        'Content-Type: text/plain',
        '',
        content,
        `--${boundary}--`,
        '',
      ].join('\r\n');
    const long = 'z'.repeat(90_000);

    @Controller('body')
    @UseGuards(ServiceJwtGuard)
    class BodyController {
      constructor(@Inject(Outgoing) private readonly outgoing: Outgoing) {}
      @Post()
      @HttpCode(200)
      async parsed(@Body() seen: unknown, @ServiceSubject() own: string) {
        return { own, seen, asked: await this.outgoing.ask() };
      }
    }

    /** Sends what is uploaded on while it arrives: its calls are made in the events of the body. */
    const askingStorage = (outgoing: () => Outgoing) => ({
      _handleFile(
        _request: unknown,
        { stream }: { stream: Readable },
        done: (error: Error | null, info?: object) => void,
      ) {
        const asked: Promise<Asked>[] = [outgoing().ask()];
        let size = 0;
        stream.on('data', (chunk: Buffer) => {
          size += chunk.length;
          asked.push(outgoing().ask());
        });
        stream.on('end', () => {
          asked.push(outgoing().ask());
          callbackify(async () => await Promise.all(asked))((error, all) =>
            done(error, { size, asked: [...new Set(all)] }),
          );
        });
      },
      _removeFile: (_request: unknown, _file: unknown, done: (error: null) => void) => done(null),
    });
    let parsing: TestService;
    const storage = askingStorage(() => parsing.app.get(Outgoing));

    @Controller('upload')
    @UseGuards(ServiceJwtGuard)
    class ExpressUploadController {
      constructor(@Inject(Outgoing) private readonly outgoing: Outgoing) {}
      @Post()
      @HttpCode(200)
      @UseInterceptors(FileInterceptor('file'))
      async upload(@Req() request: { file: { size: number } }, @ServiceSubject() own: string) {
        return { own, size: request.file.size, asked: await this.outgoing.ask() };
      }
      @Post('storage')
      @HttpCode(200)
      @UseInterceptors(FileInterceptor('file', { storage }))
      async storage(
        @Req() request: { file: { size: number; asked: Asked[] } },
        @ServiceSubject() own: string,
      ) {
        return { own, size: request.file.size, asked: [...request.file.asked].join() };
      }
    }
    @Controller('upload')
    @UseGuards(ServiceJwtGuard)
    class FastifyUploadController {
      constructor(@Inject(Outgoing) private readonly outgoing: Outgoing) {}
      @Post()
      @HttpCode(200)
      async upload(
        @Req() request: { file(): Promise<{ toBuffer(): Promise<Buffer> }> },
        @ServiceSubject() own: string,
      ) {
        const content = await (await request.file()).toBuffer();
        return { own, size: content.length, asked: await this.outgoing.ask() };
      }
    }

    beforeAll(async () => {
      parsing = await startCensus(adapter, echo, {
        controllers: [
          BodyController,
          adapter === 'express' ? ExpressUploadController : FastifyUploadController,
        ],
        configure: async (app) => {
          if (adapter === 'express') app.useBodyParser('text');
          else await app.register(multipart as never);
        },
      });
    });
    afterAll(async () => await parsing.close());

    const kinds: [string, BodyKind][] = [
      ['JSON', { contentType: 'application/json', body: '{"a":1}', seen: { a: 1 } }],
      [
        'long JSON',
        { contentType: 'application/json', body: JSON.stringify({ long }), seen: { long } },
      ],
      [
        'urlencoded',
        {
          contentType: 'application/x-www-form-urlencoded',
          body: 'a=1&b=2',
          seen: { a: '1', b: '2' },
        },
      ],
      ['text', { contentType: 'text/plain', body: 'hello', seen: 'hello' }],
      ['long text', { contentType: 'text/plain', body: long, seen: long }],
    ];
    it.each(kinds)('%s', async (_title, { contentType, body, seen }) => {
      const request = { method: 'POST', target: '/body', contentType, body };
      for (const subject of [ALICE, BOB]) {
        const whole = await herald.send(parsing.port, { ...request, subject });
        expect(whole.json).toEqual({ own: subject, seen, asked: subject });
        const half = Math.ceil(body.length / 2);
        const headers = herald.headers({ ...request, subject });
        const chunks = [body.slice(0, half), body.slice(half)];
        const chunked = await call(parsing.port, {
          method: 'POST',
          target: '/body',
          headers,
          chunks,
        });
        expect(chunked.json).toEqual({ own: subject, seen, asked: subject });
      }
    });

    // A storage engine of multer's runs where its piece of the body comes: from the guard that has read it.
    it.each(adapter === 'express' ? ['/upload', '/upload/storage'] : ['/upload'])(
      'an upload to %s',
      async (target) => {
        const contentType = `multipart/form-data; boundary=${boundary}`;
        const request = { method: 'POST', target, contentType, body: form(file) };
        const answers = await Promise.all(
          [ALICE, BOB].map(async (subject) => herald.send(parsing.port, { ...request, subject })),
        );
        expect(answers.map(({ json }) => json)).toEqual([
          { own: ALICE, size: file.length, asked: ALICE },
          { own: BOB, size: file.length, asked: BOB },
        ]);
      },
    );
  });
});

describe('the library', () => {
  it('enters no async context for good: what is entered so leaks into the next request', () => {
    const library = join(import.meta.dirname, '../../lib');
    const sources = readdirSync(library, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    );
    expect(sources.length).toBeGreaterThan(10);
    const entering = sources.filter((name) =>
      /\.enterWith\b|\['enterWith'\]/.test(readFileSync(join(library, name), 'utf8')),
    );
    expect(entering).toEqual([]);
  });
});
