import { once } from 'node:events';
import { Controller, Get, Module, UseGuards } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { Query, Resolver } from '@nestjs/graphql';
import {
  AllowIssuers,
  OptionalServiceAuth,
  ReportOnly,
  RequireSubject,
  RequireSubjectProof,
  ServiceAuthModule,
  ServiceCaller,
  ServiceGrant,
  type ServiceIdentity,
  ServiceJwtGuard,
  SkipServiceAuth,
  type VerifiedGrant,
} from 'nestjs-service-auth';
import { guardedDriver } from 'nestjs-service-auth/graphql';
import { ServiceAuthTesting } from 'nestjs-service-auth/testing';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { GraphQLModule } from '@nestjs/graphql';
import { WebSocket } from 'ws';
import { call } from '../../../test/support/http/http.js';
import { setCoverageListener } from '../../../test/support/observed/coverage-listener.js';
import { LogRecorder } from '../../../test/support/observed/log-recorder.js';
import { Caller } from '../../../test/support/services/caller.js';
import { startService } from '../../../test/support/services/service.js';
import {
  CENSUS,
  dataOf,
  type GraphQLService,
  operation,
  refusedFields,
  STACKS,
  startGraphQL,
  unsigned,
  USER,
} from './stacks.js';

const ARCHIVE = 'https://archive.service/';

/** Where a started application publishes how its handlers are guarded. */
type HandlerTable = readonly { readonly handler: string; readonly verdict: string }[];

/** Guarded, if Nest makes it. */
@Resolver()
@UseGuards(ServiceJwtGuard)
class MadeResolver {
  @Query(() => String)
  @RequireSubject()
  made(): string {
    return 'made';
  }
}

@Resolver()
class DeepResolver {
  @Query(() => String)
  deep(): string {
    return 'deep from below';
  }
}
@Module({ providers: [DeepResolver] })
class DeepModule {}

interface SocketResult {
  readonly data?: unknown;
  readonly errors?: unknown;
}

/** The result of one query in the protocol `graphql-transport-ws`. */
async function overSocket(port: number, query: string): Promise<SocketResult> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/graphql`, 'graphql-transport-ws');
  const send = (message: object) => socket.send(JSON.stringify(message));
  await once(socket, 'open');
  send({ type: 'connection_init' });
  try {
    for (;;) {
      const [message] = (await once(socket, 'message')) as [Buffer];
      const { type, payload } = JSON.parse(message.toString()) as { type: string; payload: object };
      if (type === 'connection_ack') send({ id: '1', type: 'subscribe', payload: { query } });
      else return payload;
    }
  } finally {
    socket.terminate();
  }
}

const everywhere = { provide: APP_GUARD, useExisting: ServiceJwtGuard };

@Resolver()
class StaffResolver {
  @Query(() => String, { nullable: true })
  staff(@ServiceCaller() caller: ServiceIdentity | undefined): string | undefined {
    return caller?.issuer;
  }
  @Query(() => String, { nullable: true })
  @ReportOnly()
  @AllowIssuers(ARCHIVE)
  reported(@ServiceCaller() caller: ServiceIdentity | undefined): string {
    return caller?.issuer ?? 'nobody';
  }
  @Query(() => String, { nullable: true })
  @RequireSubjectProof()
  proved(@ServiceGrant() grant: VerifiedGrant): string {
    return grant.originator;
  }
  @Query(() => String, { nullable: true })
  @OptionalServiceAuth()
  anybody(@ServiceCaller() caller: ServiceIdentity | undefined): string {
    return caller?.issuer ?? 'nobody';
  }
}
@Module({ providers: [StaffResolver] })
class StaffModule {}

@Resolver()
class NewsResolver {
  @Query(() => String)
  @SkipServiceAuth()
  news(): string {
    return 'news';
  }
  /** Not marked: the guard for every route stands before it, and its endpoint verifies nothing. */
  @Query(() => String, { nullable: true })
  forgotten(): string {
    return 'forgotten';
  }
}
@Module({ providers: [NewsResolver] })
class NewsModule {}

@Controller('rest')
class RestController {
  @Get()
  read(@ServiceCaller() { issuer }: ServiceIdentity) {
    return { issuer };
  }
}

describe.each(STACKS.filter(({ isMercurius }) => !isMercurius))(
  '$title: one guard for all',
  (stack) => {
    let census: GraphQLService;
    const logger = new LogRecorder();
    beforeAll(async () => {
      const staff = { path: '/staff', include: [StaffModule] };
      const news = { path: '/news', include: [NewsModule] };
      census = await startGraphQL({
        adapter: stack.adapter,
        logger,
        auth: { reportUntil: '2999-01-01' },
        imports: [
          StaffModule,
          NewsModule,
          stack.endpoint({ guard: {}, graphql: staff }),
          stack.endpoint({ graphql: news }),
        ],
        controllers: [RestController],
        providers: [everywhere],
      });
    });
    beforeEach(() => census.events.decisions.splice(0));
    afterAll(async () => await census.close());

    it('a public endpoint, a guarded one, and a guarded controller', async () => {
      const staff = operation('{ staff }', {}, '/staff');
      const news = operation('{ news }', {}, '/news');
      expect(await call(census.port, unsigned(staff))).toMatchObject({ code: 'token_missing' });
      expect(dataOf(await census.herald.send(census.port, staff))).toEqual({
        staff: census.herald.issuer,
      });
      expect(dataOf(await call(census.port, unsigned(news)))).toEqual({ news: 'news' });
      expect(await call(census.port, { target: '/rest' })).toMatchObject({ code: 'token_missing' });
      expect(await census.herald.get(census.port, '/rest')).toMatchObject({ status: 200 });
    });

    it('GQ-01 an endpoint that verifies nothing, whatever the token says', async () => {
      const query = operation('{ news forgotten }', {}, '/news');
      const answer = await census.herald.send(census.port, query);
      expect(dataOf(answer)).toEqual({ news: 'news', forgotten: null });
      expect(refusedFields(answer)).toEqual({ forgotten: 'token_missing' });
      expect(census.events.decisions).toMatchObject([
        { type: 'request_refused', code: 'token_missing', route: 'Query.forgotten' },
      ]);
    });

    it('GQ-05 a field that only reports', async () => {
      const query = operation('{ reported staff }', {}, '/staff');
      const answer = await census.herald.send(census.port, query);
      // What the one field would refuse changes nothing for the other.
      expect(dataOf(answer)).toEqual({ reported: 'nobody', staff: census.herald.issuer });
      expect(answer.headers).toMatchObject({ 'jwt-report': 'issuer_not_allowed' });
      expect(census.events.decisions).toMatchObject([
        { type: 'request_accepted' },
        {
          type: 'request_would_be_refused',
          code: 'issuer_not_allowed',
          route: '/staff Query.reported',
          issuer: census.herald.issuer,
        },
      ]);
      const admitted = await census.archive.send(census.port, query);
      expect(dataOf(admitted)).toEqual({ reported: ARCHIVE, staff: ARCHIVE });
    });

    it('tells at start which resolver the guard refuses altogether, and no other', () => {
      const lines = logger.texts('warn').filter((line) => line.includes('option coverage'));
      expect(lines).toEqual([
        expect.stringMatching(
          /refuses every operation of NewsResolver\.forgotten\(\) \[GraphQL\]: /,
        ),
      ]);
    });
  },
);

describe.each(STACKS)('$title', (stack) => {
  const { adapter } = stack;
  const staffOf = async (parts: Partial<Parameters<typeof startGraphQL>[0]> = {}) =>
    await startGraphQL({
      adapter,
      imports: [stack.endpoint()],
      providers: [StaffResolver, everywhere],
      ...parts,
    });

  it('GQ-06 callers without a token, where the endpoint admits them', async () => {
    const imports = [stack.endpoint({ guard: { anonymous: 'admit' } })];
    const census = await staffOf({ imports });
    const query = operation('{ anybody staff }');
    const nobody = await call(census.port, unsigned(query));
    expect(dataOf(nobody)).toEqual({ anybody: 'nobody', staff: null });
    expect(refusedFields(nobody)).toEqual({ staff: 'token_missing' });
    const { issuer } = census.herald;
    expect(dataOf(await census.herald.send(census.port, query))).toEqual({
      anybody: issuer,
      staff: issuer,
    });
    const bad = await census.herald.send(census.port, { ...query, signedTarget: '/other' });
    expect(bad).toMatchObject({ status: 401, code: 'request_mismatch' });
    await census.close();
  });

  it('what an endpoint asks of its callers', async () => {
    const guard = { allowIssuers: [ARCHIVE], requireSubject: true };
    const census = await staffOf({ imports: [stack.endpoint({ guard })] });
    const query = { ...operation('{ staff }'), subject: USER };
    const refused = await census.herald.send(census.port, query);
    expect(refused).toMatchObject({ status: 403, code: 'issuer_not_allowed' });
    const nobody = await census.archive.send(census.port, operation('{ staff }'));
    expect(nobody).toMatchObject({ status: 403, code: 'subject_missing' });
    expect(dataOf(await census.archive.send(census.port, query))).toEqual({ staff: ARCHIVE });
    await census.close();
  });

  it('GQ-05 an endpoint that only reports, with one event for all fields', async () => {
    const auth = { enforcement: 'report', reportUntil: '2999-01-01' } as const;
    const census = await staffOf({ auth });
    const query = operation('{ staff reported anybody }');
    const answer = await call(census.port, unsigned(query));
    expect(dataOf(answer)).toEqual({ staff: null, reported: 'nobody', anybody: 'nobody' });
    expect(refusedFields(answer)).toEqual({});
    expect(census.events.decisions).toMatchObject([
      { type: 'request_would_be_refused', code: 'token_missing', route: '/graphql' },
    ]);
    await census.close();
  });

  it('GQ-04 a proof that the user asked, for one field', async () => {
    const auth = new ServiceAuthTesting();
    const subjects = ['https://census.service/user/'];
    const issuer = 'https://herald.service/';
    const trustedIssuers = [{ issuer, subjects, subjectProof: { mode: 'off' as const } }];
    const originators = [{ issuer: 'https://edge.service/', subjects }];
    const census = await startService({
      adapter,
      imports: [auth.module({ issuer: CENSUS, trustedIssuers, originators }), stack.endpoint()],
      providers: [StaffResolver, everywhere],
    });
    const body = { query: '{ proved staff }' };
    const send = async (caller: ReturnType<typeof auth.actingAs>) =>
      await call(census.port, {
        ...operation(body.query),
        headers: { ...(await caller.headersFor('POST', '/graphql', body)) },
      });
    const without = await send(auth.actingAs(USER));
    expect(dataOf(without)).toEqual({ proved: null, staff: issuer });
    expect(refusedFields(without)).toEqual({ proved: 'grant_missing' });
    const present = await send(auth.actingAs(USER, { grant: true }));
    expect(dataOf(present)).toEqual({ proved: 'https://edge.service/', staff: issuer });
    const unsignedAnswer = await call(census.port, unsigned(operation(body.query)));
    expect(unsignedAnswer).toMatchObject({ code: 'token_missing' });
    await census.close();
  });

  const sockets = stack.isMercurius
    ? { subscription: true }
    : { subscriptions: { 'graphql-ws': true } };

  it('GQ-07 does not start with a transport that nobody verifies', async () => {
    const imports = [stack.endpoint({ guard: {}, graphql: sockets })];
    await expect(staffOf({ imports })).rejects.toThrow(/subscriptions?: a WebSocket carries/);
  });

  it('GQ-02 verifies requests beside an open transport', async () => {
    const guard = { subscriptions: 'open' } as const;
    const census = await staffOf({ imports: [stack.endpoint({ guard, graphql: sockets })] });
    const query = operation('{ staff }');
    expect(await call(census.port, unsigned(query))).toMatchObject({ code: 'token_missing' });
    const { issuer } = census.herald;
    expect(dataOf(await census.herald.send(census.port, query))).toEqual({ staff: issuer });
    if (!stack.isMercurius) {
      const { data, errors } = await overSocket(census.port, '{ __typename staff }');
      expect(data).toEqual({ __typename: 'Query', staff: null });
      expect(errors).toMatchObject([{ path: ['staff'] }]);
      expect(JSON.stringify(errors)).toContain('token_missing');
    }
    await census.close();
  });

  it.each([
    ['open', 'open', sockets],
    ['refuse', 'guarded', {}],
  ] as const)(
    'GQ-02 counts a resolver without a guard: subscriptions %s, so it is %s',
    async (subscriptions, verdict, graphql) => {
      const tables: HandlerTable[] = [];
      const keep = (message: unknown) => void tables.push(message as HandlerTable);
      setCoverageListener(keep);
      const guard = { subscriptions };
      const census = await startGraphQL({
        adapter,
        imports: [stack.endpoint({ guard, graphql })],
        providers: [NewsResolver],
      });
      setCoverageListener(undefined);
      await census.close();
      const forgotten = 'NewsResolver.forgotten() [GraphQL]';
      const found = tables.flat().filter(({ handler }) => handler === forgotten);
      expect(found).toMatchObject([{ verdict }]);
    },
  );

  it.each([
    ['class', MadeResolver, 'guarded'],
    ['useExisting', { provide: 'alias', useExisting: MadeResolver }, 'guarded'],
    ['useFactory', { provide: MadeResolver, useFactory: () => new MadeResolver() }, 'open'],
    ['useValue', { provide: 'value', useValue: new MadeResolver() }, 'open'],
  ] as const)(
    'GQ-02 counts the guard of a resolver only where Nest runs it: %s',
    async (how, provider, verdict) => {
      const tables: HandlerTable[] = [];
      setCoverageListener((table) => void tables.push(table as HandlerTable));
      const logger = new LogRecorder();
      const started = startGraphQL({
        adapter,
        logger,
        auth: { coverage: 'require' },
        imports: [stack.endpoint({})],
        providers: [provider, ...(how === 'useExisting' ? [MadeResolver] : [])],
      });
      if (verdict === 'open') {
        await expect(started).rejects.toThrow(
          /MadeResolver\.made\(\) \[GraphQL\] is open; write the class itself among the providers/,
        );
      } else await (await started).close();
      setCoverageListener(undefined);
      expect(tables).toMatchObject([[{ handler: 'MadeResolver.made() [GraphQL]', verdict }]]);
      const inVain = logger
        .texts('warn')
        .filter((line) => /no ServiceJwtGuard enforces/.test(line));
      expect(inVain).toHaveLength(verdict === 'open' ? 1 : 0);
    },
  );

  it.each([
    [true, 'open'],
    [false, 'unserved'],
  ])(
    'GQ-02 counts a resolver of a module that an included one imports: %p',
    async (isImported, verdict) => {
      const tables: HandlerTable[] = [];
      setCoverageListener((table) => void tables.push(table as HandlerTable));
      class IncludedModule {}
      Module({ imports: isImported ? [DeepModule] : [], providers: [MadeResolver] })(
        IncludedModule,
      );
      const census = await startGraphQL({
        adapter,
        imports: [
          IncludedModule,
          DeepModule,
          stack.endpoint({ graphql: { include: [IncludedModule] } }),
        ],
      });
      setCoverageListener(undefined);
      const answer = await call(census.port, unsigned(operation('{ deep }')));
      await census.close();
      expect(JSON.stringify(answer)).toMatch(isImported ? /deep from below/ : /Cannot query field/);
      const found = tables
        .flat()
        .filter(({ handler }) => handler === 'DeepResolver.deep() [GraphQL]');
      expect(found).toMatchObject([{ verdict }]);
    },
  );

  it('GQ-07 a module that is missing', async () => {
    const started = startService({
      adapter,
      imports: [stack.endpoint()],
      providers: [NewsResolver],
    });
    await expect(started).rejects.toThrow('guardedDriver() needs ServiceAuthModule.');
  });
});

describe.each(STACKS.filter(({ isMercurius }) => !isMercurius))(
  '$title: two services in one application',
  ({ adapter }) => {
    it('GQ-01 what the endpoint of one has verified is nothing to the guard of the other', async () => {
      const herald = new Caller('https://herald.service/', CENSUS);
      const clerk = new Caller('https://clerk.service/', 'https://registry.service/');
      const isGlobal = false;
      const census = ServiceAuthModule.forRoot({
        issuer: CENSUS,
        trustedIssuers: [herald.trusted],
        isGlobal,
      });
      const registry = ServiceAuthModule.forRoot({
        issuer: 'https://registry.service/',
        trustedIssuers: [clerk.trusted],
        isGlobal,
      });

      @Resolver()
      class Own {
        @Query(() => String, { nullable: true })
        @UseGuards(ServiceJwtGuard)
        own(@ServiceCaller() { issuer }: ServiceIdentity): string {
          return issuer;
        }
      }
      @Module({ imports: [registry], providers: [Own] })
      class OwnModule {}

      const endpoint = (path: string, verifier: typeof census) =>
        GraphQLModule.forRootAsync<ApolloDriverConfig>({
          imports: [verifier],
          driver: guardedDriver(ApolloDriver),
          useFactory: () => ({
            path,
            autoSchemaFile: true,
            playground: false,
            include: [OwnModule],
          }),
        });
      const imports = [OwnModule, endpoint('/a', census), endpoint('/b', registry)];
      const service = await startService({ adapter, imports });
      const foreign = await herald.send(service.port, operation('{ own }', {}, '/a'));
      expect(refusedFields(foreign)).toEqual({ own: 'token_missing' });
      const own = await clerk.send(service.port, operation('{ own }', {}, '/b'));
      expect(dataOf(own)).toEqual({ own: clerk.issuer });
      const wrong = await herald.send(service.port, operation('{ own }', {}, '/b'));
      expect(wrong).toMatchObject({ status: 401, code: 'issuer_unknown' });
      await service.close();
    });
  },
);
