import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  jwkOf,
  type KeyServer,
  serveKeys,
  serveText,
  startKeyServer,
} from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { type Ran, runProgram, temporaryFolder } from './command-line.js';

interface Check {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  readonly advice: string | null;
}

const NOWHERE = 'http://127.0.0.1:9/';
const MAIL = 'https://mail.service/';
const DOMAIN = 'https://prod.example.org/';
const key = createKey();
const callerKey = createKey();
const answererKey = createKey();
const folder = temporaryFolder();
const keyFile = folder.path('census.pem');
const requireHere = createRequire(import.meta.url);
const installed = (name: string) => JSON.stringify(pathToFileURL(requireHere.resolve(name)).href);
const built = (name: string) =>
  JSON.stringify(new URL(`../../dist/${name}.js`, import.meta.url).href);

let published: KeyServer;
let caller: KeyServer;
let answerer: KeyServer;
beforeAll(async () => {
  writeFileSync(keyFile, key.privatePem, { mode: 0o600 });
  published = await startKeyServer(serveKeys([jwkOf(key)]));
  caller = await startKeyServer(serveKeys([jwkOf(callerKey)]));
  answerer = await startKeyServer(serveKeys([]));
});
beforeEach(() => {
  answerer.respond = serveKeys([jwkOf(answererKey)]);
});
afterAll(async () => {
  for (const server of [published, caller, answerer]) await server.close();
  folder.remove();
});

const originOf = ({ url }: KeyServer) => `${new URL(url).origin}/`;

/** A service with messages and jobs. What is left out is as in one with which nothing is wrong. */
interface Service {
  /** Members of the options; undefined takes one out. */
  readonly auth?: object;
  readonly clients?: readonly object[];
  readonly queues?: readonly object[];
  readonly reception?: object;
  /** Controllers, in JavaScript. */
  readonly controllers?: string;
  /** Providers of the root module, in JavaScript. */
  readonly providers?: string;
  /** How ServiceMessagesModule is imported, in JavaScript. */
  readonly receiving?: string;
  /** What makes `store`. */
  readonly store?: string;
  /** Further lines of the module. */
  readonly rest?: string;
}

const good = () => ({
  issuer: originOf(published),
  signingKey: { keyFile },
  targets: [],
  trustedIssuers: [
    { issuer: originOf(caller) },
    { issuer: originOf(published), transports: ['jobs'] },
  ] as { issuer: string; transports?: string[]; profile?: string }[],
});
const census = () => ({ client: 'CENSUS', audience: originOf(answerer) });

const SHARED_STORE = `const used = new Set();
const store = {
  recordUse({ tokenId }) {
    const verdict = used.has(tokenId) ? 'seen' : 'first';
    used.add(tokenId);
    return verdict;
  },
};`;
const MEMORY_STORE = 'const store = new MemoryReplayStore();';

let written = 0;
function write(text: string, extension = 'mjs'): string {
  written += 1;
  const file = folder.path(`app-${written}.${extension}`);
  writeFileSync(file, text);
  return file;
}

/** The imports of an application, and classes that its modules take. */
const PARTS = () => `
  import { Controller, Module, UseGuards } from ${installed('@nestjs/common')};
  import { EventPattern, MessagePattern } from ${installed('@nestjs/microservices')};
  import { MemoryReplayStore } from ${built('core')};
  import { ServiceAuthModule, ServiceJwtGuard, SkipServiceAuth } from ${built('index')};
  import { ServiceMessagesModule } from ${built('microservices')};
  import { ServiceJobsModule, ServiceProcessor, ServiceWorkerHost } from ${built('bullmq')};
  function decorate(type, name, ...decorators) {
    const descriptor = Object.getOwnPropertyDescriptor(type.prototype, name);
    for (const decorator of decorators) decorator(type.prototype, name, descriptor);
  }
  class Base { inherited() {} }
  decorate(Base, 'inherited', MessagePattern('inherited'));
  class Users extends Base { get() {} changed() {} open() {} }
  decorate(Users, 'get', MessagePattern('get'));
  decorate(Users, 'changed', EventPattern('changed'));
  decorate(Users, 'open', MessagePattern('open'), SkipServiceAuth());
  UseGuards(ServiceJwtGuard)(Users);
  Controller()(Users);
  class Events { moved() {} }
  decorate(Events, 'moved', EventPattern('moved'));
  Controller()(Events);
  class Open { found() {} health() {} }
  decorate(Open, 'found', MessagePattern('found'));
  decorate(Open, 'health', MessagePattern('health'), SkipServiceAuth());
  Controller()(Open);
  class OwnGuard extends ServiceJwtGuard {}
  class Guarded { one() {} two() {} }
  decorate(Guarded, 'one', MessagePattern('one'), UseGuards(OwnGuard));
  decorate(Guarded, 'two', MessagePattern('two'));
  Controller()(Guarded);
  class Foreign { canActivate() { return true; } }
  class Mails extends ServiceWorkerHost { async process() {} }
  ServiceProcessor('mail')(Mails);`;

/** The file of an application, as a compiler writes it. */
function app(service: Service = {}): string {
  const {
    auth = {},
    clients = [census()],
    queues = [{ queue: 'mail' }],
    reception = {},
    controllers = 'Users, Events',
    providers = '',
    receiving = `ServiceMessagesModule.forRoot(${JSON.stringify(reception)}),`,
    store = SHARED_STORE,
    rest = '',
  } = service;
  return write(`${PARTS()}
    ${store}
    const options = { ...${JSON.stringify({ ...good(), ...auth })}, replayStore: store };
    class MailModule {}
    Module({ imports: [ServiceJobsModule.forQueues(${JSON.stringify(queues)})], providers: [Mails] })(MailModule);
    export class AppModule {}
    Module({
      imports: [
        ServiceAuthModule.forRoot(options),
        ${receiving}
        ServiceMessagesModule.forClients(${JSON.stringify(clients)}),
        { forwardRef: () => MailModule },
      ],
      controllers: [${controllers}],
      providers: [${providers}],
    })(AppModule);
    ${rest}`);
}

const doctor = async (file: string, ...more: string[]): Promise<Ran> =>
  await runProgram(['doctor', file, '--json', ...more]);
const checksOf = ({ json }: Ran) => json?.['checks'] as Check[];
const bad = (ran: Ran, name: string) =>
  checksOf(ran).filter(({ check, status }) => check === name && status !== 'ok');
const containing = (text: string) => expect.stringContaining(text) as string;

describe('doctor, of messages and jobs', () => {
  it('finds nothing where nothing is wrong, and says what it looked at', async () => {
    const ran = await doctor(app(), '--strict');
    expect(ran).toMatchObject({ code: 0, stderr: '', json: { status: 'ok' } });
    const lines = checksOf(ran).map(({ check, message }) => `${check}: ${message}`);
    expect(lines).toEqual(
      expect.arrayContaining([
        `keys of answerer: ${originOf(answerer)}: ${answererKey.keyId} (fetched)`,
        `messages: handlers take messages: Users.get(), Users.inherited(), Users.changed(), Events.moved(); from ${originOf(caller)}. Not examined: the options of servers in main.ts, such as noAck`,
        `jobs: processors take jobs: Mails; from ${originOf(caller)}, ${originOf(published)}`,
        'message lifetime: events and jobs live for up to 1 h; keep a key published as long after it has signed',
      ]),
    );
    expect(ran.stdout).not.toContain('Users.open()');
  });

  it('says nothing of them where there are none', async () => {
    const file = write(`${PARTS()}
      ${SHARED_STORE}
      class AppModule {}
      const options = { ...${JSON.stringify(good())}, replayStore: store };
      Module({ imports: [ServiceAuthModule.forRoot(options)] })(AppModule);
      export { AppModule };`);
    const ran = await doctor(file, '--strict');
    expect(ran).toMatchObject({ code: 0, json: { status: 'ok' } });
    expect(checksOf(ran).map(({ check }) => check)).toEqual([
      'key file',
      'options',
      'signing key',
      'published keys',
      'keys of issuer',
      'keys of issuer',
      'clock',
      'clock',
      'replay store',
    ]);
  });

  it('says the same in words', async () => {
    const unreachable = { ...census(), jwksUri: NOWHERE };
    const ran = await runProgram(['doctor', app({ clients: [unreachable] })]);
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/^fail {2}keys of answerer: .*key_unavailable\n {6}open the URL/m);
    expect((await runProgram(['doctor', app()])).stdout).toMatch(/ ok, 0 warn, 0 fail\n$/);
  });

  /** Each with the twin that differs in one property. */
  it.each<
    [what: string, check: string, expected: object[], wrong: () => Service, right?: () => Service]
  >([
    [
      'keys of a called service that are out of reach',
      'keys of answerer',
      [{ status: 'fail', message: containing('send fails with key_unavailable') }],
      () => ({ clients: [{ ...census(), jwksUri: NOWHERE }] }),
      () => ({ clients: [{ ...census(), jwksUri: answerer.url }] }),
    ],
    [
      'keys out of reach of one of two clients of one service',
      'keys of answerer',
      [{ status: 'fail' }],
      () => ({
        clients: [
          { ...census(), jwksUri: NOWHERE },
          { ...census(), client: 'OTHER' },
        ],
      }),
      () => ({ clients: [census(), { ...census(), client: 'OTHER' }] }),
    ],
    [
      'answers that are taken unsigned',
      'keys of answerer',
      [{ status: 'warn', message: containing('anybody who reaches the broker may answer') }],
      () => ({ clients: [{ ...census(), answers: 'unsigned' }] }),
      () => ({ clients: [{ ...census(), answers: 'none', audience: MAIL }] }),
    ],
    [
      'no key for what signs, nor for answers',
      'signing key',
      [
        { status: 'fail', message: containing('client CENSUS, queue mail') },
        { status: 'warn', message: containing('Users.get(), Users.inherited()') },
      ],
      () => ({ auth: { signingKey: undefined, targets: undefined } }),
    ],
    [
      'no key for answers alone',
      'signing key',
      [{ status: 'warn', message: containing('admission_error') }],
      () => ({ auth: { signingKey: undefined, targets: undefined }, clients: [], queues: [] }),
      () => ({
        auth: { signingKey: undefined, targets: undefined },
        clients: [],
        queues: [],
        controllers: 'Events',
      }),
    ],
    [
      'guarded handlers without ServiceMessagesModule',
      'messages',
      [
        {
          status: 'fail',
          message:
            'Users.get(), Users.changed(), Users.open(), Users.inherited() are guarded, and ServiceMessagesModule is not imported: ServiceJwtGuard refuses every message',
          advice: containing(
            "import ServiceMessagesModule from 'nestjs-service-auth/microservices'",
          ),
        },
      ],
      () => ({ receiving: '', controllers: 'Users, Events, Open' }),
      () => ({ receiving: '', controllers: 'Events, Open' }),
    ],
    [
      'a handler whose own guard extends ours, without ServiceMessagesModule',
      'messages',
      [{ status: 'fail', message: containing('Guarded.one() is guarded, and') }],
      () => ({ receiving: '', controllers: 'Guarded' }),
      () => ({ receiving: 'ServiceMessagesModule,', controllers: 'Guarded' }),
    ],
    [
      'handlers that APP_GUARD may reach, without ServiceMessagesModule',
      'messages',
      [{ status: 'warn', message: containing('refuses each to Open.found(); elsewhere') }],
      () => ({
        receiving: '',
        controllers: 'Open',
        providers: "{ provide: 'APP_GUARD', useExisting: ServiceJwtGuard }",
      }),
      () => ({
        receiving: '',
        controllers: 'Open',
        providers: "{ provide: 'APP_GUARD', useClass: Foreign }",
      }),
    ],
    [
      'a client that names a service without any slash',
      'issuer names',
      [{ status: 'warn', message: containing('https://bare.service has no final slash') }],
      () => ({ clients: [{ ...census(), audience: 'https://bare.service', answers: 'none' }] }),
      () => ({ clients: [{ ...census(), audience: 'https://bare.service/', answers: 'none' }] }),
    ],
    [
      'a queue that names a service without any slash',
      'issuer names',
      [{ status: 'warn', message: containing('https://bare.service has no final slash') }],
      () => ({ queues: [{ queue: 'mail', audience: 'https://bare.service' }] }),
      () => ({ queues: [{ queue: 'mail', audience: 'https://bare.service/' }] }),
    ],
    [
      'a client that names a service without its slash',
      'issuer names',
      [{ status: 'warn', message: containing('differ in the final slash') }],
      () => ({ clients: [{ ...census(), audience: originOf(caller).slice(0, -1) }] }),
      () => ({ clients: [{ ...census(), audience: originOf(caller) }] }),
    ],
    [
      'a queue that names a service without its slash',
      'issuer names',
      [{ status: 'warn', message: containing('differ in the final slash') }],
      () => ({ queues: [{ queue: 'mail', audience: originOf(caller).slice(0, -1) }] }),
      () => ({ queues: [{ queue: 'mail', audience: originOf(caller) }] }),
    ],
    [
      'a store in the memory of one process',
      'replay store',
      [{ status: 'warn', message: containing('may handle an event or job again for 1 h') }],
      () => ({ store: MEMORY_STORE }),
    ],
    [
      'messages that live too long for such a store',
      'options',
      [{ status: 'fail', message: 'maxMessageLifetimeSeconds' }],
      () => ({ store: MEMORY_STORE, auth: { maxMessageLifetimeSeconds: 7200 } }),
      () => ({ store: MEMORY_STORE, auth: { maxMessageLifetimeSeconds: 3600 } }),
    ],
    [
      'jobs that live longer than this service accepts',
      'message lifetime',
      [{ status: 'fail', message: containing('accepts 1 h (lifetime_too_long)') }],
      () => ({ queues: [{ queue: 'mail', lifetimeSeconds: 7200 }] }),
      () => ({
        queues: [{ queue: 'mail', lifetimeSeconds: 7200 }],
        auth: { maxMessageLifetimeSeconds: 7200 },
      }),
    ],
    [
      'jobs that live longer than others accept by default',
      'message lifetime',
      [{ status: 'warn', message: containing(`${MAIL}, unless it says otherwise, accepts 1 h`) }],
      () => ({ auth: { jobLifetimeSeconds: 7200 }, queues: [{ queue: 'mail', audience: MAIL }] }),
      () => ({ auth: { jobLifetimeSeconds: 3600 }, queues: [{ queue: 'mail', audience: MAIL }] }),
    ],
    [
      'jobs for itself of a service that does not trust itself',
      'jobs',
      [{ status: 'warn', message: containing('issuer_unknown') }],
      () => ({ auth: { trustedIssuers: good().trustedIssuers.slice(0, 1) } }),
      () => ({
        auth: { trustedIssuers: good().trustedIssuers.slice(0, 1) },
        queues: [{ queue: 'mail', audience: MAIL }],
      }),
    ],
    [
      'handlers whose messages nobody may send',
      'messages',
      [{ status: 'fail', message: containing('No trusted issuer may send any') }],
      () => ({ auth: { trustedIssuers: good().trustedIssuers.slice(1) } }),
    ],
    [
      'handlers whose only sender is in the original profile, which messages do not know',
      'messages',
      [{ status: 'fail', message: containing('No trusted issuer may send any') }],
      () => ({
        auth: {
          trustedIssuers: good().trustedIssuers.with(0, {
            issuer: originOf(caller),
            profile: 'original',
          }),
        },
      }),
    ],
    [
      'handlers of a service that trusts nobody',
      'messages',
      [{ status: 'fail', message: containing('Without trustedIssuers') }],
      () => ({ auth: { trustedIssuers: undefined } }),
      () => ({ auth: { trustedIssuers: undefined }, controllers: '' }),
    ],
    [
      'grants in a service without a trust domain',
      'grants of calls',
      [
        { status: 'fail', message: containing("client CENSUS: grants are 'required'") },
        { status: 'warn', message: containing("queue mail: grants are 'send'") },
      ],
      () => ({
        clients: [{ ...census(), grants: 'required' }],
        queues: [{ queue: 'mail', grants: 'send' }],
      }),
      () => ({
        clients: [{ ...census(), grants: 'required' }],
        queues: [{ queue: 'mail', grants: 'send' }],
        auth: { trustDomain: DOMAIN },
      }),
    ],
    [
      'wrong options of clients, queues and handlers',
      'options',
      [
        { status: 'fail', message: 'forRoot.leaseSeconds' },
        { status: 'fail', message: 'clients[0].answers' },
        { status: 'fail', message: 'clients[1].audience' },
        { status: 'fail', message: 'clients[2].jwksUri' },
        { status: 'fail', message: 'queues[0].colour' },
      ],
      () => ({
        reception: { leaseSeconds: 0 },
        clients: [
          { ...census(), answers: 'sometimes' },
          { client: 'B', audience: 'census' },
          { client: 'C', audience: 'http://census.example/' },
        ],
        queues: [{ queue: 'mail', colour: 'red' }],
      }),
    ],
  ])('finds %s', async (_what, check, expected, wrong, right = () => ({})) => {
    const found = await doctor(app(wrong()));
    expect(bad(found, check)).toMatchObject(expected);
    const isFailed = checksOf(found).some(({ status }) => status === 'fail');
    expect(found.code).toBe(isFailed ? 1 : 0);
    expect(bad(await doctor(app(right())), check)).toEqual([]);
  });

  it('says that a service without a signing key publishes none', async () => {
    answerer.respond = serveText(404, 'nothing');
    expect(bad(await doctor(app()), 'keys of answerer')).toMatchObject([
      {
        message: containing('the key server answered 404'),
        advice: containing('a service without signingKey publishes no keys'),
      },
    ]);
  });

  it.each<[what: string, service: Service, named: string]>([
    ['under @UseGuards()', { controllers: 'Guarded, Open' }, 'Guarded.one()'],
    [
      'under an APP_GUARD',
      {
        controllers: 'Guarded, Open',
        providers:
          "{ provide: 'APP_GUARD', useFactory: (guard) => guard, inject: [ServiceJwtGuard] }",
      },
      'Guarded.one(), Guarded.two(), Open.found()',
    ],
    ['where no guard is seen, since main.ts may have one', { controllers: 'Open' }, 'Open.found()'],
  ])('names the handlers whose answers no key signs %s', async (_what, service, named) => {
    const auth = { signingKey: undefined, targets: undefined };
    const ran = await doctor(app({ auth, clients: [], queues: [], ...service }));
    expect(bad(ran, 'signing key')).toMatchObject([
      { status: 'warn', message: containing(`none signs the answers of ${named}: each`) },
    ]);
  });

  it('warns of a key of a called service that is not used', async () => {
    answerer.respond = serveKeys([jwkOf(answererKey), { kty: 'oct', k: 'c2VjcmV0' }]);
    const file = app();
    const found = await doctor(file);
    expect(bad(found, 'keys of answerer')).toMatchObject([
      { status: 'warn', message: containing('a key is not used') },
    ]);
    expect(bad(found, 'keys of issuer')).toEqual([]);
    expect(found.stdout).not.toContain('c2VjcmV0');
    answerer.respond = serveKeys([jwkOf(answererKey)]);
    expect((await doctor(file, '--strict')).code).toBe(0);
  });

  it('reads modules of another copy of the library, in CommonJS', async () => {
    const required = (name: string) => JSON.stringify(requireHere.resolve(name));
    const library = (name: string) =>
      JSON.stringify(fileURLToPath(new URL(`../../dist/cjs/${name}.js`, import.meta.url)));
    const file = (audience: string) =>
      write(
        `const { Module } = require(${required('@nestjs/common')});
         const { ServiceAuthModule } = require(${library('index')});
         const { ServiceMessagesModule } = require(${library('microservices')});
         ${SHARED_STORE}
         const options = { ...${JSON.stringify(good())}, replayStore: store };
         class AppModule {}
         const signed = ServiceMessagesModule.forClients([{ client: 'A', audience: ${JSON.stringify(audience)} }]);
         Module({ imports: [ServiceAuthModule.forRoot(options), signed] })(AppModule);
         exports.AppModule = AppModule;`,
        'cjs',
      );
    expect((await doctor(file(originOf(answerer)), '--strict')).code).toBe(0);
    expect(bad(await doctor(file(NOWHERE)), 'keys of answerer')).toMatchObject([
      { status: 'fail' },
    ]);
  });

  it('takes the keys of a trusted issuer, and looks for no clock where none is fetched', async () => {
    const trustedIssuers = [{ issuer: MAIL, publicKey: answererKey.publicPem }];
    const calling = async (client: object) =>
      await doctor(
        app({ auth: { trustedIssuers }, clients: [{ client: 'MAIL', ...client }], queues: [] }),
        '--strict',
      );
    const ran = await calling({ audience: MAIL });
    expect(ran.code).toBe(0);
    expect(checksOf(ran).find(({ check }) => check === 'keys of answerer')?.message).toBe(
      `${MAIL}: ${answererKey.keyId} (configured)`,
    );
    const clocks = (found: Ran) => checksOf(found).filter(({ check }) => check === 'clock');
    expect(clocks(ran)).toEqual([]);
    expect(clocks(await calling({ audience: originOf(answerer) }))).toMatchObject([
      { status: 'ok', message: containing(new URL(answerer.url).origin) },
    ]);
  });

  it('compares what lives long with the service that takes it', async () => {
    const file = app({ queues: [{ queue: 'mail', audience: MAIL, lifetimeSeconds: 7200 }] });
    const mail = (more: object) =>
      write(`export default ${JSON.stringify({ issuer: MAIL, ...more })};`);
    const found = async (...others: string[]) =>
      bad(await doctor(file, ...others.flatMap((each) => ['--with', each])), 'message lifetime');
    expect(await found()).toMatchObject([{ status: 'warn' }]);
    expect(await found(mail({}))).toMatchObject([
      { status: 'fail', message: containing(`${MAIL} accepts 1 h (lifetime_too_long)`) },
    ]);
    const long = mail({ maxMessageLifetimeSeconds: 7200 });
    expect(await found(long)).toEqual([]);
    expect(await found(long, mail({}))).toMatchObject([{ status: 'fail' }]);
  });

  it('finds messages without grants to a service that requires them', async () => {
    const proof = { subjectProof: { mode: 'required', withoutSubject: 'refused' } };
    const trustedIssuers = [{ issuer: originOf(published), ...proof }];
    const other = { issuer: originOf(answerer), trustDomain: DOMAIN, trustedIssuers };
    const mail = write(`export default ${JSON.stringify(other)};`);
    const calling = (grants: string) =>
      app({ auth: { trustDomain: DOMAIN }, clients: [{ ...census(), grants }] });
    const found = await doctor(calling('never'), '--with', mail);
    expect(bad(found, 'grants of calls')).toMatchObject([
      { status: 'fail', message: containing('client CENSUS sends no grant') },
    ]);
    expect(bad(await doctor(calling('send'), '--with', mail), 'grants of calls')).toEqual([]);
  });

  it('says that it has not examined what options alone do not show', async () => {
    const exporting = (options: object) =>
      write(`${SHARED_STORE}
        export const serviceAuthOptions = { ...${JSON.stringify(options)}, replayStore: store };`);
    const unseen = [{ status: 'warn', message: containing('are not examined') }];
    const [trusted] = good().trustedIssuers;
    const options = { ...good(), trustedIssuers: [trusted] };
    expect(bad(await doctor(exporting(options)), 'messages')).toEqual([]);
    for (const shown of [
      good(),
      { ...options, topics: ['https://events.example/users/'] },
      { ...options, jobLifetimeSeconds: 60 },
      { ...options, trustedIssuers: [{ ...trusted, messages: { bodies: 'json' } }] },
    ]) {
      expect(bad(await doctor(exporting(shown)), 'messages')).toMatchObject(unseen);
    }
    const beside = app({ rest: 'export const serviceAuthOptions = options;' });
    expect((await doctor(beside, '--strict')).code).toBe(0);
    const named = await doctor(beside, '--export', 'serviceAuthOptions');
    expect(bad(named, 'messages')).toMatchObject(unseen);
  });
});
