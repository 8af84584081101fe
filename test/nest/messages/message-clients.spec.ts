import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type DynamicModule,
  type INestApplicationContext,
  Inject,
  Injectable,
  Module,
  type OnModuleInit,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientProxy, ClientsModule } from '@nestjs/microservices';
import { actingAsItself, ServiceAuthModule } from 'nestjs-service-auth';
import {
  type MessageClientOptions,
  serviceMessage,
  ServiceMessagesModule,
} from 'nestjs-service-auth/microservices';
import { lastValueFrom, type Observable } from 'rxjs';
import { describeTcp, type MeetingPlace, TRANSPORTS } from '../../support/messages/brokers.js';
import {
  CENSUS,
  censusKey,
  CensusService,
  HERALD,
  heraldKey,
  inbox,
} from '../../support/messages/messaging-services.js';

const own = (data: unknown): object => serviceMessage(data, actingAsItself());
const GOOD = { client: 'CENSUS', audience: CENSUS, publicKey: censusKey.publicPem } as const;

function moduleOf(...imports: (DynamicModule | Type)[]): Type {
  class TestModule {}
  Module({ imports })(TestModule);
  return TestModule;
}

describeTcp('MessageClients', () => {
  let place: MeetingPlace;
  let census: CensusService;
  let app: INestApplicationContext | undefined;

  beforeAll(async () => {
    const tcp = TRANSPORTS.find(({ name }) => name === 'TCP');
    if (!tcp) throw new Error('no TCP');
    place = await tcp.start();
    census = await CensusService.start({ place });
  }, 120_000);

  beforeEach(() => void inbox.splice(0));

  afterEach(async () => {
    await app?.close();
    app = undefined;
  });

  afterAll(async () => {
    await census?.close();
    await place?.close();
  });

  const register = (): DynamicModule =>
    ClientsModule.register([{ name: 'CENSUS', ...place.client('census') }]);

  async function start(...imports: (DynamicModule | Type)[]): Promise<INestApplicationContext> {
    const auth = ServiceAuthModule.forRoot({
      issuer: HERALD,
      signingKey: { privateKey: heraldKey.privatePem },
    });
    const options = { logger: false, abortOnError: false } as const;
    app = await NestFactory.createApplicationContext(moduleOf(auth, ...imports), options);
    return app;
  }

  async function startWith(...clients: Partial<MessageClientOptions>[]): Promise<ClientProxy> {
    const given = clients.map((each) => ({ ...GOOD, ...each }));
    const started = await start(register(), ServiceMessagesModule.forClients(given));
    return started.get<ClientProxy>('CENSUS', { strict: false });
  }

  const last = async (sent: Observable<unknown>): Promise<unknown> =>
    await lastValueFrom(sent, { defaultValue: undefined });

  it.each(['signed', 'unsigned', 'none'] as const)(
    'MS-50 sends what is answered with a client whose answers are %s',
    async (answers) => {
      const publicKey = answers === 'signed' ? censusKey.publicPem : undefined;
      const client = await startWith({ answers, publicKey });
      await last(client.emit('user.changed', own({ id: 1 })));
      const answer = last(client.send('user.get', own({ id: 1 })));
      if (answers !== 'none') expect(await answer).toEqual({ got: { id: 1 } });
      else {
        await expect(answer).rejects.toMatchObject({
          code: 'message_unsignable',
          detail: expect.stringContaining("answers: 'none'") as string,
        });
      }
    },
  );

  it('MS-51 makes each client of one name sign, in whatever module', async () => {
    const [one, other] = [moduleOf(register()), moduleOf(register())];
    const started = await start(one, other, ServiceMessagesModule.forClients([GOOD]));
    const clients = started.get<ClientProxy>('CENSUS', { strict: false, each: true });
    expect(new Set(clients).size).toBe(2);
    for (const client of clients) {
      expect(await last(client.send('user.get', own({ id: 1 })))).toEqual({ got: { id: 1 } });
    }
  });

  it('MS-77 signs what a module deep below sends in its onModuleInit', async () => {
    let answer: unknown;
    @Injectable()
    class EarlySender implements OnModuleInit {
      constructor(@Inject('CENSUS') private readonly client: ClientProxy) {}
      async onModuleInit(): Promise<void> {
        answer = await last(this.client.send('user.get', own({ id: 1 }))).catch(String);
      }
    }
    @Module({ imports: [register()], providers: [EarlySender] })
    class FeatureModule {}
    await start(moduleOf(moduleOf(FeatureModule)), ServiceMessagesModule.forClients([GOOD]));
    expect(answer).toEqual({ got: { id: 1 } });
  });

  it('MS-51 signs once, where two modules say the same of one client', async () => {
    const client = await startWith({}, {});
    expect(await last(client.send('user.get', own({ id: 1 })))).toEqual({ got: { id: 1 } });
  });

  it.each<[what: string, other: Partial<MessageClientOptions>]>([
    ['another audience', { audience: 'https://scribe.service/' }],
    ['other answers', { answers: 'unsigned', publicKey: undefined }],
    ['other keys', { publicKey: heraldKey.publicPem }],
  ])('MS-51 does not start where two places say %s of one client', async (_, other) => {
    await expect(startWith({}, other)).rejects.toThrow(/clients\[1\]\.client: name it once/);
  });

  it('MS-51 does not start where two services would sign with one client', async () => {
    const second = ServiceAuthModule.forRoot({
      issuer: 'https://scribe.service/',
      signingKey: { privateKey: heraldKey.privatePem },
      isGlobal: false,
    });
    const forSecond = ServiceMessagesModule.forClients([{ ...GOOD }], [second]);
    const both = [register(), ServiceMessagesModule.forClients([GOOD]), forSecond];
    await expect(start(...both)).rejects.toThrow(/clients\[0\]\.client: name it once/);
  });

  it.each([
    ['a symbol', Symbol('user.get')],
    ['a function', () => 'user.get'],
    ['nothing', undefined],
  ])('sends no message whose pattern is %s', async (_, pattern) => {
    const client = await startWith({});
    for (const sent of [client.send(pattern, own(1)), client.emit(pattern, own(1))]) {
      await expect(last(sent)).rejects.toMatchObject({ code: 'message_unsignable' });
    }
  });

  it('sends no request whose pattern holds a BigInt', async () => {
    const client = await startWith({});
    for (const [pattern, code] of [
      [{ id: 1n }, 'message_unsignable'],
      ['user.get', undefined],
    ] as const) {
      const sent = last(client.send(pattern, own(1)));
      if (code === undefined) await expect(sent).resolves.toBeDefined();
      else await expect(sent).rejects.toMatchObject({ code });
    }
  });

  it.each([
    ['its own', { JWT: 'stale', jwt: 'stale', 'Txn-Token': 'stale' }],
    ['no', {}],
  ])('MS-52 sends one token beside metadata that holds %s', async (_, metadata) => {
    const client = await startWith({});
    client.setOnDispatchHook((packet) => void (packet.metadata = { ...metadata, trace: '1' }));
    expect(await last(client.send('user.get', own({ id: 1 })))).toEqual({ got: { id: 1 } });
  });

  it('sends in the async context of the call, where tracing looks', async () => {
    const client = await startWith({});
    const storage = new AsyncLocalStorage<string>();
    const seen = new Set<string | undefined>();
    client.setOnDispatchHook(() => void seen.add(storage.getStore()));
    const names = ['a', 'b', 'c', 'd'];
    const calls = names.map(
      async (name, at) =>
        await storage.run(name, async () => {
          const pattern = at % 2 === 0 ? 'user.get' : 'user.changed';
          const way = at % 2 === 0 ? 'send' : 'emit';
          return await last(client[way](pattern, own({ id: at })));
        }),
    );
    await Promise.all(calls);
    expect(seen).toEqual(new Set(names));
  });

  it('gives what a client throws to who subscribes', async () => {
    const client = await startWith({});
    client.setOnDispatchHook(() => {
      throw new Error('no packet');
    });
    await expect(last(client.emit('user.changed', own({ id: 1 })))).rejects.toThrow('no packet');
  });
});
