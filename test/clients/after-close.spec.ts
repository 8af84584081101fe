import { EventEmitter, once } from 'node:events';
import type { Server } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HttpModule, HttpService } from '@nestjs/axios';
import {
  type BeforeApplicationShutdown,
  Controller,
  type DynamicModule,
  Get,
  Inject,
  Injectable,
  Module,
  type OnApplicationShutdown,
  type Type,
  UseGuards,
} from '@nestjs/common';
import {
  ServiceAuth,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
} from 'nestjs-service-auth';
import {
  actingAsItself,
  onBehalfOf,
  ServiceHttpModule,
  ServiceSigningInterceptor,
} from 'nestjs-service-auth/axios';
import { createSignedFetch, ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { lastValueFrom } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { createKey } from '../support/keys/keys.js';
import { RecordingServer } from '../support/http/recording-server.js';
import {
  axiosOfNest,
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());
beforeEach(() => void wire.takeAll());

/** `sent`, or the code with which a call was refused. */
async function outcomeOf(send: () => Promise<unknown>): Promise<string> {
  try {
    await send();
    return 'sent';
  } catch (error) {
    if (error instanceof ServiceSigningError) return error.code;
    throw error;
  }
}

describe('OS-26 after its end a service signs nothing', () => {
  const clients = (herald: SendingService): (() => Promise<unknown>)[] => {
    const { context, http } = herald;
    const auth = context.get(ServiceAuth);
    const { axiosRef } = context
      .get(ServiceSigningInterceptor, { strict: false })
      .attach(new HttpService(axiosOfNest.create()));
    const [fetchOfModule, fetchOfAuth] = [
      context.get(ServiceFetch, { strict: false }),
      createSignedFetch(auth),
    ];
    const created = http.get(wire.url, onBehalfOf(USER));
    return [
      async () => await lastValueFrom(http.get(wire.url, onBehalfOf(USER))),
      async () => await lastValueFrom(created),
      async () => await http.axiosRef.get(wire.url, onBehalfOf(USER)),
      async () => await http.axiosRef.post(wire.url, { a: 1 }, actingAsItself()),
      async () => await axiosRef.get(wire.url, onBehalfOf(USER)),
      async () => await (await fetchOfModule(wire.url, onBehalfOf(USER))).text(),
      async () => await (await fetchOfAuth(wire.url, actingAsItself())).text(),
      async () =>
        await auth.sign({ method: 'GET', url: wire.url, headers: {}, body: new Uint8Array() }),
    ];
  };

  it.each<[string, (herald: SendingService) => Promise<void>]>([
    ['app.close()', async (herald) => await herald.close()],
    ['ServiceAuth.close()', async (herald) => herald.context.get(ServiceAuth).close()],
  ])('%s', async (_how, end) => {
    const modules = [ServiceHttpModule.register(), ServiceFetchModule];
    const herald = await SendingService.start([wire.url], {}, modules);
    const calls = clients(herald);
    const outcomes = async () => await Promise.all(calls.map(outcomeOf));
    expect(await outcomes()).toEqual(calls.map(() => 'sent'));
    expect(wire.takeAll()).toHaveLength(calls.length - 1);
    await end(herald);
    expect(await outcomes()).toEqual(calls.map(() => 'service_closed'));
    expect(wire.takeAll()).toEqual([]);
    await herald.close();
  });

  it('nor what was being signed when it ended', async () => {
    const herald = await SendingService.start([wire.url]);
    const sending = outcomeOf(async () => await herald.send({ url: wire.url }));
    const auth = herald.context.get(ServiceAuth);
    const request = { method: 'GET', url: wire.url, headers: {}, body: new Uint8Array() };
    const signing = outcomeOf(async () => await auth.sign(request));
    auth.close();
    expect(await Promise.all([sending, signing])).toEqual(['service_closed', 'service_closed']);
    expect(wire.takeAll()).toEqual([]);
    await herald.close();
  });
});

describe.each(ADAPTERS)('OS-27 a graceful shutdown, on %s', (adapter) => {
  const caller = new Caller('https://scribe.service/', HERALD);
  const authWith = (isGlobal: boolean): DynamicModule =>
    ServiceAuthModule.forRoot({
      issuer: HERALD,
      isGlobal,
      trustedIssuers: [caller.trusted],
      signingKey: { privateKey: heraldKey.privatePem },
      targets: [{ baseUrl: wire.url, audience: CENSUS }],
    });

  it.each([
    ['of the whole application', true],
    ['of the modules that import it', false],
  ])(
    'signs what is called until the last request is answered, for a service %s',
    async (_of, isGlobal) => {
      const events = new EventEmitter();
      const auth = authWith(isGlobal);

      @Injectable()
      class Calls implements BeforeApplicationShutdown, OnApplicationShutdown {
        readonly inHooks: string[] = [];
        constructor(
          @Inject(HttpService) private readonly http: HttpService,
          @Inject(ServiceFetch) private readonly fetch: ServiceFetch,
        ) {}

        async call(user: ServiceIdentity | string): Promise<string[]> {
          return [
            await outcomeOf(
              async () => await lastValueFrom(this.http.get(wire.url, onBehalfOf(user))),
            ),
            await outcomeOf(async () => await this.http.axiosRef.get(wire.url, onBehalfOf(user))),
            await outcomeOf(
              async () => await (await this.fetch(wire.url, onBehalfOf(user))).text(),
            ),
          ];
        }
        beforeApplicationShutdown(): void {
          events.emit('shutting-down');
        }
        async onApplicationShutdown(): Promise<void> {
          this.inHooks.push(...(await this.call(USER)));
        }
      }

      @Controller()
      @UseGuards(ServiceJwtGuard)
      class SlowController {
        constructor(@Inject(Calls) private readonly calls: Calls) {}
        @Get('slow')
        async slow(@ServiceCaller() caller: ServiceIdentity) {
          events.emit('serving');
          await once(events, 'go');
          return await this.calls.call(caller);
        }
      }
      const imports = isGlobal ? undefined : [auth];
      @Module({
        imports: [
          ...(imports ?? []),
          ServiceHttpModule.register({ imports }),
          ServiceFetchModule.register({ imports }),
        ],
        controllers: [SlowController],
        providers: [Calls],
      })
      class FeatureModule {}

      const service = await startService({
        adapter,
        imports: [auth, FeatureModule],
        nest: { forceCloseConnections: false },
      });
      const calls = service.app.get(Calls, { strict: false });
      const server = service.app.getHttpServer() as Server;
      const [serving, shuttingDown] = [once(events, 'serving'), once(events, 'shutting-down')];
      const answer = caller.get(service.port, '/slow', USER);
      await serving;
      const closing = service.close();
      await shuttingDown;
      while (server.listening) await nextTurn();
      events.emit('go');
      const { status, text } = await answer;
      expect([status, JSON.parse(text)]).toEqual([200, ['sent', 'sent', 'sent']]);
      await closing;
      expect(calls.inHooks).toEqual(['sent', 'sent', 'sent']);
      const sent = wire.takeAll();
      expect(sent).toHaveLength(6);
      for (const each of sent) checkStrict(each, FROM_HERALD);
      expect(await calls.call(USER)).toEqual(Array(3).fill('service_closed'));
      expect(wire.takeAll()).toEqual([]);
    },
  );
});

describe("OS-28 signing attached to axios's default instance", () => {
  const { adapter } = axiosOfNest.defaults;
  const { request } = axiosOfNest.interceptors;
  /** Axios keeps a hole for each that was ejected. */
  const interceptors = (): number =>
    (request as unknown as { handlers: unknown[] }).handlers.filter(Boolean).length;
  afterEach(() => {
    request.clear();
    axiosOfNest.defaults.adapter = adapter;
  });

  @Module({
    imports: [HttpModule],
    providers: [ServiceSigningInterceptor],
    exports: [HttpModule, ServiceSigningInterceptor],
  })
  class AttachingModule {}

  const start = async (options: Partial<ServiceAuthModuleOptions> = {}) => {
    const service = await SendingService.start([wire.url], options, [AttachingModule as Type]);
    const { context, http } = service;
    context.get(ServiceSigningInterceptor, { strict: false }).attach(http);
    expect(http.axiosRef).toBe(axiosOfNest);
    return service;
  };
  const get = async (options?: object) => await outcomeOf(() => axiosOfNest.get(wire.url, options));

  it('by thirty applications one after the other is one interceptor', async () => {
    const before = interceptors();
    for (let count = 0; count < 30; count++) {
      const key = createKey();
      const service = await start({ signingKey: { privateKey: key.privatePem } });
      await service.send({ url: wire.url });
      checkStrict(wire.takeOne(), { ...FROM_HERALD, key });
      expect(interceptors()).toBe(before + 1);
      await service.close();
    }
  });

  it('signs with the last of two, and sends nothing unsigned after its end', async () => {
    const first = await start();
    const key = createKey();
    const issuer = 'https://scribe.service/';
    const last = await start({ issuer, signingKey: { privateKey: key.privatePem } });
    expect(await get(onBehalfOf(USER))).toBe('sent');
    await first.send({ url: wire.url });
    for (const each of wire.takeAll()) checkStrict(each, { ...FROM_HERALD, issuer, key });

    await last.close();
    const outcomes = [
      await get(onBehalfOf(USER)),
      await get(actingAsItself()),
      await get(),
      await outcomeOf(async () => await first.send({ url: wire.url })),
    ];
    expect(outcomes).toEqual([
      'service_closed',
      'service_closed',
      'subject_undecided',
      'service_closed',
    ]);
    expect(wire.takeAll()).toEqual([]);

    // The one that is still open may attach again.
    const { context, http } = first;
    context.get(ServiceSigningInterceptor, { strict: false }).attach(http);
    expect(await get(onBehalfOf(USER))).toBe('sent');
    checkStrict(wire.takeOne(), FROM_HERALD);
    await first.close();
  });

  it('goes on with the one that is open where another one is closed', async () => {
    const first = await start();
    const key = createKey();
    const last = await start({ signingKey: { privateKey: key.privatePem } });
    await first.close();
    expect(await get(onBehalfOf(USER))).toBe('sent');
    checkStrict(wire.takeOne(), { ...FROM_HERALD, key });
    await last.close();
  });

  it.each<[string, object]>([
    ['as it is made', {}],
    ['without an adapter', { adapter: undefined }],
  ])(
    'does not sign the calls of another service on an instance of its own, %s',
    async (_how, options) => {
      const first = await start();
      const key = createKey();
      const signing = { signingKey: { privateKey: key.privatePem } };
      const other = await SendingService.start([wire.url], signing);
      Object.assign(other.http.axiosRef.defaults, options);
      for (const end of [async () => await first.close(), async () => undefined]) {
        await other.send({ url: wire.url });
        await other.http.axiosRef.get(wire.url, onBehalfOf(USER));
        for (const each of wire.takeAll()) checkStrict(each, { ...FROM_HERALD, key });
        await end();
      }
      await other.close();
    },
  );
});
