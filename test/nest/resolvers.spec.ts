import { Controller, Get, Inject, Injectable, Module, Query, Req, UseGuards } from '@nestjs/common';
import { ExternalContextCreator } from '@nestjs/core';
import {
  AllowIssuers,
  OptionalServiceAuth,
  ReportOnly,
  RequireSubject,
  ServiceAuthMiddleware,
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import type { INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { contextOfEachRequest } from '../../lib/nest/graphql/request-context.js';
import { call } from '../support/http/http.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { Caller } from '../support/services/caller.js';
import {
  ADAPTERS,
  startService,
  type TestService,
  type TestServiceOptions,
} from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const REGISTRY = 'https://registry.service/';
const USER = 'https://census.service/user/21/';
const herald = new Caller('https://herald.service/', CENSUS);
const archive = new Caller('https://archive.service/', CENSUS);
const clerk = new Caller('https://clerk.service/', REGISTRY);

type Field = 'plain' | 'forArchive' | 'forUsers' | 'reported' | 'open' | 'anybody' | 'unguarded';

/** What Nest gives a resolver: the object, the arguments, the context, the info. */
type Resolve = (...args: readonly unknown[]) => Promise<unknown>;

@Injectable()
@UseGuards(ServiceJwtGuard)
class Resolver {
  plain(): string {
    return 'plain';
  }
  @AllowIssuers('https://archive.service/')
  forArchive(): string {
    return 'for archive';
  }
  @RequireSubject()
  forUsers(): string {
    return 'for users';
  }
  @ReportOnly()
  @AllowIssuers('https://archive.service/')
  reported(caller: ServiceIdentity | undefined): string {
    return caller?.issuer ?? 'nobody';
  }
  @SkipServiceAuth()
  open(): string {
    return 'open';
  }
  @SkipServiceAuth()
  unguarded(caller: ServiceIdentity | undefined): string {
    return caller?.issuer ?? 'nobody';
  }
  @OptionalServiceAuth()
  anybody(caller: ServiceIdentity | undefined): string {
    return caller?.issuer ?? 'nobody';
  }
}
ServiceCaller()(Resolver.prototype, 'reported', 0);
ServiceCaller()(Resolver.prototype, 'anybody', 0);
ServiceCaller()(Resolver.prototype, 'unguarded', 0);

/** Runs resolvers as @nestjs/graphql does: the fields of one operation, each in a context of its own. */
@Injectable()
class Executor {
  constructor(
    @Inject(Resolver) private readonly resolver: Resolver,
    @Inject(ExternalContextCreator) private readonly contexts: ExternalContextCreator,
  ) {}

  async run(fields: readonly string[], context: object): Promise<object> {
    const outcomes = fields.map(async (name) => {
      const info = { parentType: { name: 'Query' }, fieldName: name };
      try {
        return (await this.resolve(name)({}, {}, context, info)) as string;
      } catch (error) {
        const { extensions, name: kind } = error as Error & { extensions?: object };
        return extensions ?? kind;
      }
    });
    return { fields: await Promise.all(outcomes) };
  }

  private resolve(name: string): Resolve {
    const handler = Reflect.get(this.resolver, name) as Resolve;
    const params = {
      exchangeKeyForValue: (_type: number, _data: unknown, args: unknown[]) => args[0],
    };
    const key = '__routeArguments__';
    const { resolver } = this;
    const nothing = [undefined, undefined, undefined] as const;
    return this.contexts.create(resolver, handler, name, key, params, ...nothing, 'graphql');
  }
}

/** An endpoint of GraphQL as far as Nest sees it; `?fields=` is its operation. */
@Controller()
class EndpointController {
  /** Holds the first request that came. */
  private readonly context: { req?: object } = {};

  constructor(@Inject(Executor) private readonly executor: Executor) {}

  @Get('graphql')
  async operation(@Req() req: object, @Query('fields') fields: string) {
    return await this.executor.run(fields.split(','), { req });
  }
  @Get('mercurius')
  async mercurius(@Req() request: object, @Query('fields') fields: string) {
    return await this.executor.run(fields.split(','), { reply: { request } });
  }
  /** As Mercurius, and Apollo of Nest 11, where the application gives all requests one context. */
  @Get('shared')
  async shared(@Req() request: object, @Query('fields') fields: string) {
    Object.assign(this.context, { req: this.context.req ?? request, reply: { request } });
    return await this.executor.run(fields.split(','), this.context);
  }
  /** The same as a guarded driver has it. */
  @Get('own')
  async own(@Req() request: object, @Query('fields') fields: string) {
    const context = (await contextOfEachRequest(this.context)(request)) as object;
    return await this.executor.run(fields.split(','), context);
  }
  @Get('forged')
  async forged(@Query('fields') fields: string) {
    const identity = { issuer: herald.issuer };
    const req = { state: { verification: { identity } }, raw: { verification: { identity } } };
    return await this.executor.run(fields.split(','), { req, user: identity });
  }
}

const refused = (code: string, word = 'FORBIDDEN') => ({ code: word, serviceAuth: { code } });
const missing = refused('token_missing', 'UNAUTHENTICATED');

const fastifyOf = (app: INestApplication) =>
  (app as NestFastifyApplication).getHttpAdapter().getInstance();

describe.each(ADAPTERS)('on %s', (adapter) => {
  const events = new ObservedEvents();
  beforeEach(() => events.decisions.splice(0));
  const running: TestService[] = [];
  afterAll(async () => void (await Promise.all(running.map((each) => each.close()))));

  async function start(options: Partial<TestServiceOptions> = {}): Promise<TestService> {
    const serviceAuth = ServiceAuthModule.forRoot({
      issuer: CENSUS,
      trustedIssuers: [herald.trusted, archive.trusted],
      reportUntil: '2999-01-01',
      observer: events,
    });
    const service = await startService({
      adapter,
      imports: [serviceAuth],
      controllers: [EndpointController],
      providers: [Resolver, Executor],
      ...options,
    });
    running.push(service);
    return service;
  }

  /** Mounts the verification before all routes. */
  const mounted =
    (options: Parameters<ServiceAuthMiddleware['express']>[0] = {}) =>
    (app: Parameters<NonNullable<TestServiceOptions['configure']>>[0]): void => {
      const middleware = app.get(ServiceAuthMiddleware);
      if (adapter === 'express') app.use(middleware.express(options));
      else fastifyOf(app).addHook('preHandler', middleware.fastify(options));
    };

  const fieldsOf = (...names: Field[]) => `?fields=${names.join(',')}`;

  describe('an endpoint that is mounted', () => {
    let census: TestService;
    beforeAll(async () => void (census = await start({ configure: mounted() })));

    it.each(['/graphql', '/mercurius'])('GQ-04 %s', async (path) => {
      const target = path + fieldsOf('plain', 'forArchive', 'forArchive', 'forUsers', 'open');
      expect(await call(census.port, { target })).toMatchObject({ code: 'token_missing' });
      events.decisions.splice(0);
      const { json } = await herald.get(census.port, target);
      const wrong = refused('issuer_not_allowed');
      const nobody = refused('subject_missing');
      expect(json).toEqual({ fields: ['plain', wrong, wrong, nobody, 'open'] });
      expect(events.decisions.map(({ type }) => type)).toEqual([
        'request_accepted',
        ...Array<string>(3).fill('request_refused'),
      ]);
      const admitted = await archive.get(census.port, target, USER);
      expect(admitted.json).toEqual({
        fields: ['plain', 'for archive', 'for archive', 'for users', 'open'],
      });
    });

    it('GQ-05 a field that only reports', async () => {
      const target = `/graphql${fieldsOf('reported', 'anybody')}`;
      const reported = await herald.get(census.port, target);
      expect(reported.json).toEqual({ fields: ['nobody', herald.issuer] });
      const admitted = await archive.get(census.port, target);
      expect(admitted.json).toEqual({ fields: [archive.issuer, archive.issuer] });
    });

    it('GQ-01 an object that only looks like a request', async () => {
      const target = `/forged${fieldsOf('plain', 'open', 'anybody')}`;
      const { json } = await herald.get(census.port, target);
      expect(json).toEqual({ fields: [missing, 'open', missing] });
      const real = await herald.get(census.port, target.replace('forged', 'graphql'));
      expect(real.json).toEqual({ fields: ['plain', 'open', herald.issuer] });
    });
  });

  it('GQ-08 a context that requests share', async () => {
    const census = await start({ configure: mounted() });
    const fields = fieldsOf('plain', 'anybody');
    const first = await herald.get(census.port, `/shared${fields}`);
    expect(first.json).toEqual({ fields: ['plain', herald.issuer] });
    const second = await archive.get(census.port, `/shared${fields}`);
    expect(second.json).toEqual({ fields: [missing, missing] });
    const own = await archive.get(census.port, `/own${fields}`);
    expect(own.json).toEqual({ fields: ['plain', archive.issuer] });
  });

  it('GQ-01 injects nobody where nothing was verified', async () => {
    const target = `/graphql${fieldsOf('unguarded')}`;
    const open = await start();
    expect((await herald.get(open.port, target)).json).toEqual({
      fields: ['ServiceAuthUsageError'],
    });
    const verified = await start({ configure: mounted() });
    expect((await herald.get(verified.port, target)).json).toEqual({ fields: [herald.issuer] });
  });

  it('GQ-01 an endpoint that verifies nothing', async () => {
    const census = await start();
    const target = `/graphql${fieldsOf('plain', 'forUsers', 'open')}`;
    for (const send of [
      async () => await call(census.port, { target }),
      async () => await herald.get(census.port, target, USER),
    ]) {
      expect((await send()).json).toEqual({ fields: [missing, missing, 'open'] });
    }
    expect(events.decisions).toMatchObject(
      ['plain', 'forUsers', 'plain', 'forUsers'].map((field) => ({
        type: 'request_refused',
        code: 'token_missing',
        route: `Query.${field}`,
      })),
    );
  });

  it('GQ-01 what the endpoint of another service has verified', async () => {
    const registry = ServiceAuthModule.forRoot({
      issuer: REGISTRY,
      trustedIssuers: [clerk.trusted],
      isGlobal: false,
    });
    @Module({ imports: [registry] })
    class RegistryModule {}
    const own = ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] });
    const census = await start({
      imports: [own, RegistryModule],
      configure: (app) => {
        const middleware = app.select(RegistryModule).get(ServiceAuthMiddleware, { strict: false });
        if (adapter === 'express') app.use(middleware.express());
        else fastifyOf(app).addHook('preHandler', middleware.fastify());
      },
    });
    const target = `/graphql${fieldsOf('plain', 'open')}`;
    expect(await herald.get(census.port, target)).toMatchObject({ code: 'issuer_unknown' });
    const { json } = await clerk.get(census.port, target);
    expect(json).toEqual({ fields: [missing, 'open'] });
  });

  it('GQ-06 a mount that admits callers without a token', async () => {
    const census = await start({ configure: mounted({ anonymous: 'admit' }) });
    const target = `/graphql${fieldsOf('plain', 'anybody')}`;
    expect((await call(census.port, { target })).json).toEqual({ fields: [missing, 'nobody'] });
    const { json } = await herald.get(census.port, target);
    expect(json).toEqual({ fields: ['plain', herald.issuer] });
    const moved = await herald.send(census.port, { target, signedTarget: '/graphql' });
    expect(moved).toMatchObject({ status: 401, code: 'request_mismatch' });
  });
});
