import { HttpService } from '@nestjs/axios';
import {
  Body,
  Controller,
  type DynamicModule,
  Get,
  Inject,
  Injectable,
  Module,
  type ModuleMetadata,
  Post,
  Req,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import {
  OptionalServiceAuth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { MemoryReplayStore } from 'nestjs-service-auth/core';
import { lastValueFrom } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { RecordingServer } from '../support/http/recording-server.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const CENSUS = 'https://census.service/';
const ARCHIVE = 'https://archive.service/';
/** A name under which both are called. */
const BOTH = 'https://both.service/';
const LEDGER = 'https://ledger.service/';
const USER = 'https://census.service/user/21/';
const KEYS = '/.well-known/jwks.json';

const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

/** One of the services, and who calls it. */
class Side {
  readonly key = createKey();
  readonly caller: Caller;

  constructor(
    readonly name: string,
    readonly issuer: string,
  ) {
    this.caller = new Caller(`https://caller-of-${name}.service/`, issuer);
  }

  /** What a receiver expects of its calls. */
  get sent() {
    return { key: this.key, issuer: this.issuer, audience: LEDGER, subject: USER };
  }
}
const census = new Side('census', CENSUS);
const archive = new Side('archive', ARCHIVE);
const SIDES = [census, archive];
/** Calls both at once, with one token. */
const scribe = new Caller('https://scribe.service/', BOTH);

type Options = Partial<ServiceAuthModuleOptions> & { isGlobal?: boolean };
type Imports = NonNullable<ModuleMetadata['imports']>;

const authOf = (side: Side, options: Options = {}): DynamicModule =>
  ServiceAuthModule.forRoot({
    issuer: side.issuer,
    audience: [side.issuer, BOTH],
    trustedIssuers: [side.caller.trusted, scribe.trusted],
    signingKey: { privateKey: side.key.privatePem },
    targets: [{ baseUrl: wire.url, audience: LEDGER }],
    publishedKeys: { path: `/${side.name}/keys.json` },
    isGlobal: false,
    ...options,
  });

/** Clients as a module of the application has them, and the context that decides for them. */
@Injectable()
class Clients {
  constructor(
    @Inject(HttpService) readonly http: HttpService,
    @Inject(ServiceFetch) readonly fetch: ServiceFetch,
    @Inject(ServiceCallContext) readonly context: ServiceCallContext,
  ) {}

  /** What comes of a call by each client: `sent`, a code, or the name of another error. */
  async call(path: string, options?: object): Promise<string[]> {
    const url = `${wire.url}${path}`;
    return await Promise.all(
      [
        async () => await lastValueFrom(this.http.get(url, options)),
        async () => await this.http.axiosRef.get(url, options),
        async () => await (await this.fetch(url, options)).text(),
      ].map(outcomeOf),
    );
  }
}
const THRICE = (outcome: string): string[] => [outcome, outcome, outcome];

async function outcomeOf(send: () => Promise<unknown>): Promise<string> {
  try {
    await send();
    return 'sent';
  } catch (error) {
    if (error instanceof ServiceSigningError) return `${error.code}: ${error.message}`;
    return error instanceof Error ? error.name : String(error);
  }
}

/** A module with the guard of one service, and the clients of `signer`. */
function featureOf(
  name: string,
  auth: DynamicModule | undefined,
  signer: DynamicModule | undefined,
  { guarded = true }: { guarded?: boolean } = {},
): Type {
  @Controller(name)
  class FeatureController {
    constructor(@Inject(Clients) private readonly clients: Clients) {}

    @Get('who')
    who(@ServiceCaller() { issuer, audience, subject }: ServiceIdentity) {
      return { issuer, audience, subject };
    }

    @Get('named')
    async named(@ServiceCaller() caller: ServiceIdentity) {
      return await this.clients.call('/named', onBehalfOf(caller));
    }

    @Get('by-uri')
    async byUri(@ServiceCaller() caller: ServiceIdentity) {
      return await this.clients.call('/by-uri', onBehalfOf(caller.subject ?? ''));
    }

    @Get('unnamed')
    async unnamed() {
      return await this.clients.call('/unnamed');
    }

    @Get('around')
    async around(@ServiceCaller() caller: ServiceIdentity) {
      return await outcomeOf(
        async () =>
          await this.clients.context.runOnBehalfOf(caller, () => this.clients.call('/around')),
      );
    }

    @Get('around-by-uri')
    async aroundByUri(@ServiceCaller() caller: ServiceIdentity) {
      return await this.clients.context.runOnBehalfOf(caller.subject ?? '', () =>
        this.clients.call('/around-by-uri'),
      );
    }

    @Get('headers')
    headers(@Req() { headers }: { headers: object }) {
      return { names: Object.keys(headers) };
    }

    @Post('body')
    body(@Body() body: unknown, @ServiceCaller() { subject }: ServiceIdentity) {
      return { body, subject };
    }
  }
  if (guarded) UseGuards(ServiceJwtGuard)(FeatureController);

  const imports = signer && [signer];
  @Module({
    imports: [
      ...(auth ? [auth] : []),
      moduleOfClients([
        ...(imports ?? []),
        ServiceHttpModule.register({ imports }),
        ServiceFetchModule.register({ imports }),
      ]),
    ],
    controllers: [FeatureController],
  })
  class FeatureModule {}
  return FeatureModule;
}

/** The clients of one service, with its context. */
function moduleOfClients(imports: Imports): Type {
  @Module({ imports, providers: [Clients], exports: [Clients] })
  class ClientsModule {}
  return ClientsModule;
}

const started: TestService[] = [];
afterEach(async () => {
  wire.takeAll();
  for (const service of started.splice(0)) await service.close();
});

describe.each(ADAPTERS)('two services of one application, on %s', (adapter) => {
  const start = async (imports: Imports, providers: ModuleMetadata['providers'] = []) => {
    const service = await startService({ adapter, imports, providers });
    started.push(service);
    return service;
  };

  describe.each([
    ['of which one is global', true],
    ['of which none is global', false],
  ])('%s', (_title, isGlobal) => {
    const startBoth = async (options: Options = {}) => {
      const censusAuth = authOf(census, { ...options, isGlobal });
      const archiveAuth = authOf(archive, options);
      const ofCensus = isGlobal ? undefined : censusAuth;
      return await start([
        censusAuth,
        featureOf('census', ofCensus, ofCensus),
        featureOf('archive', archiveAuth, archiveAuth),
        // Guarded by one, with the clients of the other.
        featureOf('census-by-archive', ofCensus, archiveAuth),
        featureOf('archive-by-census', archiveAuth, ofCensus),
      ]);
    };

    it('TF-37 have guards, clients and key sets of their own', async () => {
      const { port } = await startBoth();
      for (const side of SIDES) {
        const { caller, name, key, issuer } = side;
        const [other] = SIDES.filter((each) => each !== side);
        const answer = await caller.get(port, `/${name}/who`, USER);
        expect(answer.json).toEqual({ issuer: caller.issuer, audience: issuer, subject: USER });
        expect((await other?.caller.get(port, `/${name}/who`, USER))?.code).toBe('issuer_unknown');
        for (const target of ['named', 'by-uri', 'around-by-uri']) {
          const { text } = await caller.get(port, `/${name}/${target}`, USER);
          expect(JSON.parse(text)).toEqual(THRICE('sent'));
          const sent = wire.takeAll();
          expect(sent).toHaveLength(3);
          for (const each of sent) checkStrict(each, side.sent);
        }
        const keys = await call(port, { target: `/${name}/keys.json` });
        expect(keys.json).toMatchObject({ keys: [{ kid: key.keyId }] });
      }
    });

    it.each(['explicit', 'ambient'] as const)(
      'TF-38 sign nothing for a user whom only the other one verified (%s)',
      async (subjectPropagation) => {
        const { port } = await startBoth({ subjectPropagation });
        const reason =
          subjectPropagation === 'ambient'
            ? 'was verified by another service of this application'
            : 'onBehalfOf(caller)';
        for (const [name, { caller }, signer] of [
          ['census-by-archive', census, archive],
          ['archive-by-census', archive, census],
        ] as const) {
          const outcomes = async (target: string): Promise<unknown> =>
            JSON.parse((await caller.get(port, `/${name}/${target}`, USER)).text) as unknown;
          expect(await outcomes('named')).toEqual(THRICE('TypeError'));
          expect((await caller.get(port, `/${name}/around`, USER)).text).toBe('TypeError');
          const undecided = expect.stringMatching(/^subject_undecided: /) as string;
          const unnamed = await outcomes('unnamed');
          expect(unnamed).toEqual(THRICE(undecided));
          expect(String(unnamed)).toContain(reason);
          expect(wire.takeAll()).toEqual([]);
          // The application says that the other one may act for this user.
          expect(await outcomes('by-uri')).toEqual(THRICE('sent'));
          for (const each of wire.takeAll()) checkStrict(each, signer.sent);
        }
      },
    );
  });

  describe('TF-39 with the guards of both before a route', () => {
    const ORDERS: [string, Side, Side][] = [
      ['the first one before the second', census, archive],
      ['the second one before the first', archive, census],
    ];

    /** `outer` guards every route, `inner` its own; each has clients. */
    const startNested = async (outer: Side, inner: Side, options: Options = {}) => {
      const [outerAuth, innerAuth] = [authOf(outer, options), authOf(inner, options)];
      @Module({
        imports: [outerAuth],
        providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
      })
      class OuterGuardModule {}
      return await start([
        OuterGuardModule,
        featureOf('inner', innerAuth, innerAuth),
        featureOf('mixed', innerAuth, outerAuth),
        featureOf('outer', outerAuth, outerAuth, { guarded: false }),
      ]);
    };

    it.each(ORDERS)('both verify the token, %s', async (_order, outer, inner) => {
      const { port } = await startNested(outer, inner, { subjectPropagation: 'ambient' });
      const outcomes = async (target: string): Promise<unknown> =>
        JSON.parse((await scribe.get(port, target, USER)).text) as unknown;
      expect((await scribe.get(port, '/inner/who', USER)).json).toMatchObject({ subject: USER });
      // Each by itself, since both have verified the user.
      for (const [name, signer] of [
        ['inner', inner],
        ['mixed', outer],
        ['outer', outer],
      ] as const) {
        expect(await outcomes(`/${name}/unnamed`)).toEqual(THRICE('sent'));
        const sent = wire.takeAll();
        expect(sent).toHaveLength(3);
        for (const each of sent) checkStrict(each, signer.sent);
      }
      // @ServiceCaller() gives what the inner one proved.
      expect(await outcomes('/inner/named')).toEqual(THRICE('sent'));
      for (const each of wire.takeAll()) checkStrict(each, inner.sent);
      expect(await outcomes('/mixed/named')).toEqual(THRICE('TypeError'));
      expect(await outcomes('/outer/named')).toEqual(THRICE('sent'));
    });

    it.each(ORDERS)('each refuses for itself, %s', async (_order, outer, inner) => {
      const { port } = await startNested(outer, inner);
      const statusOf = async (caller: Caller) => {
        const { status, code } = await caller.get(port, '/inner/who', USER);
        return status === 200 ? 'accepted' : code;
      };
      expect(await statusOf(scribe)).toBe('accepted');
      expect(await statusOf(outer.caller)).toBe('issuer_unknown');
      expect(await statusOf(inner.caller)).toBe('issuer_unknown');
      expect((await call(port, { target: '/inner/who' })).code).toBe('token_missing');
      const headers = scribe.headers({ target: '/inner/who' });
      expect((await call(port, { target: '/inner/who', headers })).status).toBe(200);
      expect((await call(port, { target: '/inner/who', headers })).code).toBe('token_replayed');
    });

    it.each(ORDERS)('both verify a body, and no handler sees the token, %s', async (...order) => {
      const { port } = await startNested(order[1], order[2]);
      const sent = { name: 'x' };
      expect((await scribe.post(port, '/inner/body', sent, USER)).json).toEqual({
        body: sent,
        subject: USER,
      });
      const request = {
        method: 'POST',
        target: '/inner/body',
        body: '{"name":"x"}',
        contentType: 'application/json',
      };
      const headers = scribe.headers(request);
      const changed = await call(port, { ...request, headers, body: '{"name":"y"}' });
      expect(changed.code).toBe('body_mismatch');
      const { json } = await scribe.get(port, '/inner/headers', USER);
      expect(json?.['names']).not.toContain('jwt');
    });

    it('refuse a token that one store remembers for both', async () => {
      const replayStore = new MemoryReplayStore();
      const { port } = await startNested(census, archive, { replayStore });
      expect((await scribe.get(port, '/inner/who', USER)).code).toBe('token_replayed');
      expect((await scribe.get(port, '/outer/who', USER)).status).toBe(200);
    });
  });

  it('TF-39 a guard that admits anonymous callers sees the token that another one has read', async () => {
    const [outerAuth, innerAuth] = [authOf(census), authOf(archive)];
    @Controller('optional')
    @UseGuards(ServiceJwtGuard)
    class OptionalController {
      @Get()
      @OptionalServiceAuth()
      get(@ServiceCaller() caller?: ServiceIdentity) {
        return { subject: caller?.subject ?? 'nobody' };
      }
    }
    @Module({ imports: [innerAuth], controllers: [OptionalController] })
    class InnerModule {}
    @Module({
      imports: [outerAuth],
      providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
    })
    class OuterModule {}
    const { port } = await start([OuterModule, InnerModule]);
    expect((await scribe.get(port, '/optional', USER)).json).toEqual({ subject: USER });
    expect((await census.caller.get(port, '/optional', USER)).code).toBe('issuer_unknown');
    expect((await call(port, { target: '/optional' })).json).toEqual({ subject: 'nobody' });
  });

  it('TF-37 have contexts of their own', async () => {
    const [censusAuth, archiveAuth] = [authOf(census), authOf(archive)];
    const modules = [censusAuth, archiveAuth].map((auth) =>
      moduleOfClients([
        auth,
        ServiceHttpModule.register({ imports: [auth] }),
        ServiceFetchModule.register({ imports: [auth] }),
      ]),
    );
    const { app } = await start(modules);
    const [ofCensus, ofArchive] = modules.map((module) =>
      app.select(module).get(Clients, { strict: true }),
    );
    if (!ofCensus || !ofArchive) throw new Error('no clients');
    expect(ofCensus.context).not.toBe(ofArchive.context);
    const { context } = ofCensus;
    expect(await context.runOnBehalfOf(USER, () => ofCensus.call('/job'))).toEqual(THRICE('sent'));
    for (const each of wire.takeAll()) checkStrict(each, census.sent);
    const others = await context.runOnBehalfOf(USER, () => ofArchive.call('/job'));
    expect(others).toEqual(THRICE(expect.stringMatching(/^subject_undecided/) as string));
    expect(wire.takeAll()).toEqual([]);
    const itself = ofArchive.context.runActingAsItself(() => ofArchive.call('/job'));
    expect(await itself).toEqual(THRICE('sent'));
    for (const each of wire.takeAll()) checkStrict(each, { ...archive.sent, subject: undefined });
  });

  it('TF-37 publish no set for the other one', async () => {
    const { port } = await start([authOf(census), authOf(archive, { publishedKeys: 'off' })]);
    expect((await call(port, { target: '/archive/keys.json' })).status).toBe(404);
    expect((await call(port, { target: KEYS })).status).toBe(404);
    expect((await call(port, { target: '/census/keys.json' })).status).toBe(200);
  });
});
