import { createRequire } from 'node:module';
import type { AddressInfo, Server } from 'node:net';
import { Controller, type INestApplication, type Provider, Scope, type Type } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { ClientProxyFactory, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { WsAdapter } from '@nestjs/platform-ws';
import { ServiceAuthConfigError, ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { firstValueFrom } from 'rxjs';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { setCoverageListener } from '../support/observed/coverage-listener.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { Caller } from '../support/services/caller.js';
import { closeAfterEach } from '../support/services/receiver.js';
import { ADAPTERS, startService, type TestServiceOptions } from '../support/services/service.js';
import {
  BoundMethods,
  Child,
  ChildOfGuarded,
  GuardedClass,
  GuardedMessages,
  Live,
  Messages,
  Methods,
  OtherGuard,
  Plain,
  RequestMessages,
  Resolver,
  SkippedClass,
} from './covered-handlers.js';

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);

const nest = createRequire(import.meta.url)('@nestjs/core/package.json') as { version: string };
/** Nest 11 does not apply APP_GUARD to gateways. */
const isAppGuardOnGateways = Number.parseInt(nest.version, 10) >= 12;

const everywhere: Provider = { provide: APP_GUARD, useExisting: ServiceJwtGuard };
const inEachRequest: Provider = {
  provide: APP_GUARD,
  scope: Scope.REQUEST,
  useClass: ServiceJwtGuard,
};

type Options = Parameters<typeof ServiceAuthModule.forRoot>[0];
const serviceAuth = (options: Partial<Options> = {}) =>
  ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted], ...options });

/** Lets an application take messages over TCP as well. */
const withMessages =
  (...inherits: boolean[]) =>
  (app: INestApplication) => {
    for (const inheritAppConfig of inherits) {
      app.connectMicroservice<MicroserviceOptions>(
        { transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } },
        { inheritAppConfig },
      );
    }
  };
const withSockets = (app: INestApplication) => app.useWebSocketAdapter(new WsAdapter(app));

type Verdicts = Record<string, string>;

/** An application, and the verdict on each of its handlers. */
interface Fixture extends Omit<TestServiceOptions, 'adapter' | 'configure'> {
  readonly configure?: (app: INestApplication) => unknown;
  readonly verdicts: Verdicts;
}

/** Written by hand, from what Nest does: what stands here is what a caller meets. */
const FIXTURES: Record<string, Fixture> = {
  'guards on methods and controllers': {
    controllers: [Methods, GuardedClass, Child, ChildOfGuarded, SkippedClass, BoundMethods],
    verdicts: {
      'Methods.guarded()': 'guarded',
      'Methods.open()': 'open',
      'Methods.skipped()': 'skipped',
      'Methods.skippedAndGuarded()': 'skipped',
      'Methods.optional()': 'optional',
      'Methods.optionalUnguarded()': 'open',
      'Methods.composed()': 'guarded',
      'Methods.subclass()': 'guarded',
      'Methods.other()': 'open behind OtherGuard',
      'Methods.both()': 'guarded behind OtherGuard',
      'Methods.wrapped()': 'open',
      'Methods.narrowed()': 'open',
      'GuardedClass.list()': 'guarded',
      'GuardedClass.skipped()': 'skipped',
      'Child.inherited()': 'guarded',
      'Child.inheritedOpen()': 'open',
      'Child.overridden()': 'open',
      'ChildOfGuarded.list()': 'guarded',
      'ChildOfGuarded.skipped()': 'skipped',
      'ChildOfGuarded.own()': 'guarded',
      'SkippedClass.list()': 'skipped',
      'SkippedClass.required()': 'open',
      'BoundMethods.read()': 'open',
    },
  },
  APP_GUARD: {
    controllers: [Plain, Messages],
    providers: [everywhere],
    verdicts: {
      'Plain.list()': 'guarded',
      'Plain.skipped()': 'skipped',
      'Plain.optional()': 'optional',
      'Messages.twice()': 'guarded',
      'Messages.plain() [message]': 'unserved',
      'Messages.event() [event]': 'unserved',
      'Messages.guarded() [message]': 'unserved',
      'Messages.skipped() [message]': 'unserved',
      'Messages.twice() [message]': 'unserved',
    },
  },
  useGlobalGuards: {
    controllers: [Plain],
    configure: (app) => app.useGlobalGuards(app.get(ServiceJwtGuard)),
    verdicts: {
      'Plain.list()': 'guarded',
      'Plain.skipped()': 'skipped',
      'Plain.optional()': 'optional',
    },
  },
  'another APP_GUARD': {
    controllers: [Plain],
    providers: [{ provide: APP_GUARD, useClass: OtherGuard }],
    verdicts: {
      'Plain.list()': 'open behind OtherGuard',
      'Plain.skipped()': 'skipped behind OtherGuard',
      'Plain.optional()': 'open behind OtherGuard',
    },
  },
  'APP_GUARD of each request': {
    controllers: [Plain],
    providers: [inEachRequest],
    verdicts: {
      'Plain.list()': 'guarded',
      'Plain.skipped()': 'skipped',
      'Plain.optional()': 'optional',
    },
  },
  'messages without inheritAppConfig': {
    controllers: [Messages, GuardedMessages, RequestMessages],
    providers: [everywhere],
    configure: withMessages(false),
    verdicts: {
      'Messages.twice()': 'guarded',
      'Messages.plain() [message]': 'open',
      'Messages.event() [event]': 'open',
      'Messages.guarded() [message]': 'guarded',
      'Messages.skipped() [message]': 'skipped',
      'Messages.twice() [message]': 'open',
      'GuardedMessages.event() [event]': 'guarded',
      // It is open. Nest shows that of handlers that it makes once alone.
      'RequestMessages.plain() [message]': 'undecided',
      'RequestMessages.guarded() [message]': 'guarded',
    },
  },
  'messages with inheritAppConfig': {
    controllers: [Messages, RequestMessages],
    providers: [everywhere],
    configure: withMessages(true),
    verdicts: {
      'Messages.twice()': 'guarded',
      'Messages.plain() [message]': 'guarded',
      'Messages.event() [event]': 'guarded',
      'Messages.guarded() [message]': 'guarded',
      'Messages.skipped() [message]': 'guarded',
      'Messages.twice() [message]': 'guarded',
      'RequestMessages.plain() [message]': 'guarded',
      'RequestMessages.guarded() [message]': 'guarded',
    },
  },
  'messages of two transports, of which one inherits': {
    controllers: [Messages],
    providers: [everywhere],
    configure: withMessages(true, false),
    verdicts: {
      'Messages.twice()': 'guarded',
      'Messages.plain() [message]': 'open',
      'Messages.event() [event]': 'open',
      'Messages.guarded() [message]': 'guarded',
      'Messages.skipped() [message]': 'skipped',
      'Messages.twice() [message]': 'open',
    },
  },
  'useGlobalGuards after the transport': {
    controllers: [Messages],
    configure: (app) => {
      withMessages(true)(app);
      app.useGlobalGuards(app.get(ServiceJwtGuard));
    },
    verdicts: {
      'Messages.twice()': 'guarded',
      'Messages.plain() [message]': 'open',
      'Messages.event() [event]': 'open',
      'Messages.guarded() [message]': 'guarded',
      'Messages.skipped() [message]': 'skipped',
      'Messages.twice() [message]': 'open',
    },
  },
  'messages of a request alone': {
    controllers: [RequestMessages],
    providers: [everywhere],
    configure: withMessages(true),
    verdicts: {
      'RequestMessages.plain() [message]': 'undecided',
      'RequestMessages.guarded() [message]': 'guarded',
    },
  },
  'messages and APP_GUARD of each request': {
    controllers: [Messages],
    providers: [inEachRequest],
    configure: withMessages(true),
    verdicts: {
      'Messages.twice()': 'guarded',
      'Messages.plain() [message]': 'undecided',
      'Messages.event() [event]': 'undecided',
      'Messages.guarded() [message]': 'guarded',
      'Messages.skipped() [message]': 'skipped',
      'Messages.twice() [message]': 'undecided',
    },
  },
  'a gateway without a global guard': {
    providers: [Live],
    configure: withSockets,
    verdicts: {
      'Live.plain() [WebSocket]': 'open',
      'Live.guarded() [WebSocket]': 'guarded',
      'Live.skipped() [WebSocket]': 'skipped',
    },
  },
  'a gateway with APP_GUARD': {
    providers: [Live, everywhere],
    configure: withSockets,
    verdicts: {
      'Live.plain() [WebSocket]': isAppGuardOnGateways ? 'guarded' : 'open',
      'Live.guarded() [WebSocket]': 'guarded',
      'Live.skipped() [WebSocket]': isAppGuardOnGateways ? 'guarded' : 'skipped',
    },
  },
  'a gateway with APP_GUARD of each request': {
    providers: [Live, inEachRequest],
    configure: withSockets,
    verdicts: {
      'Live.plain() [WebSocket]': 'open',
      'Live.guarded() [WebSocket]': 'guarded',
      'Live.skipped() [WebSocket]': 'skipped',
    },
  },
  'a resolver without a global guard': {
    providers: [Resolver],
    verdicts: {
      'Resolver.guarded() [GraphQL]': 'guarded',
      'Resolver.plain() [GraphQL]': 'open',
      'Resolver.skipped() [GraphQL]': 'skipped',
    },
  },
  'a resolver with APP_GUARD': {
    providers: [Resolver, everywhere],
    verdicts: {
      'Resolver.guarded() [GraphQL]': 'guarded',
      'Resolver.plain() [GraphQL]': 'guarded',
      'Resolver.skipped() [GraphQL]': 'skipped',
    },
  },
};

const running = closeAfterEach();

/** Where the handlers of HTTP are found. */
const PATHS: Readonly<Record<string, string>> = {
  'Methods.skippedAndGuarded()': '/methods/skipped-and-guarded',
  'Methods.optionalUnguarded()': '/methods/optional-unguarded',
  'GuardedClass.list()': '/class',
  'GuardedClass.skipped()': '/class/skipped',
  'Child.inheritedOpen()': '/child/inherited-open',
  'ChildOfGuarded.list()': '/guarded-child',
  'ChildOfGuarded.skipped()': '/guarded-child/skipped',
  'ChildOfGuarded.own()': '/guarded-child/own',
  'SkippedClass.list()': '/skipped',
  'SkippedClass.required()': '/skipped/required',
  'BoundMethods.read()': '/bound',
  'Plain.list()': '/plain',
};

function pathOf(handler: string): string {
  const [, controller = '', method = ''] = /^(\w+)\.(\w+)\(\)/.exec(handler) ?? [];
  return PATHS[handler] ?? `/${controller.toLowerCase()}/${method}`;
}

interface Row {
  readonly handler: string;
  readonly verdict: string;
  readonly otherGuards: readonly string[];
}

/** The patterns of the handlers of messages. */
const PATTERNS: Readonly<Record<string, string>> = {
  'Messages.plain() [message]': 'plain',
  'Messages.guarded() [message]': 'guarded',
  'Messages.skipped() [message]': 'skipped',
  'Messages.twice() [message]': 'twice',
  'RequestMessages.guarded() [message]': 'request-guarded',
};

/** Whether a message that no token is with is answered, by any transport of an application. */
async function isAnswered(app: INestApplication, pattern: string): Promise<boolean> {
  const answers = app.getMicroservices().map(async (transport) => {
    const { port } = transport.unwrap<Server>().address() as AddressInfo;
    const options = { host: '127.0.0.1', port };
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options });
    try {
      await firstValueFrom(client.send(pattern, {}), { defaultValue: undefined });
      return true;
    } catch (error) {
      expect(error).toHaveProperty('code', 'context_unsupported');
      return false;
    } finally {
      await client.close();
    }
  });
  return (await Promise.all(answers)).includes(true);
}

/** Runs what starts an application, and gives the table that it made. */
async function tableOf(start: () => Promise<unknown>): Promise<Verdicts> {
  const tables: unknown[] = [];
  const note = (table: unknown) => void tables.push(table);
  setCoverageListener(note);
  try {
    await start();
  } finally {
    setCoverageListener(undefined);
  }
  expect(tables).toHaveLength(1);
  return Object.fromEntries(
    (tables[0] as Row[]).map(({ handler, verdict, otherGuards }) => [
      handler,
      [verdict, ...(otherGuards.length > 0 ? ['behind', ...otherGuards] : [])].join(' '),
    ]),
  );
}

/** The lines about handlers. */
const linesOf = (logger: LogRecorder) =>
  logger.entries
    .filter(({ text }) => text.includes('(option coverage)'))
    .map(({ level, text }) => `${level}: ${text}`);

describe.each(ADAPTERS)('on %s', (adapter) => {
  const start = async (fixture: Omit<Fixture, 'verdicts'>, options: Partial<Options> = {}) => {
    const { imports = [serviceAuth(options)], ...others } = fixture;
    return running(await startService({ adapter, imports, ...others }));
  };

  describe.each(Object.entries(FIXTURES))('%s', (_title, { verdicts, ...fixture }) => {
    const uncovered = Object.entries(verdicts)
      .filter(([, verdict]) => /^(open|undecided)/.test(verdict))
      .map(([handler]) => handler);

    it('misses no handler, and judges each rightly', async () => {
      expect(await tableOf(async () => await start(fixture))).toEqual(verdicts);
    });

    it('is what a caller without a token meets', async () => {
      const { port } = await start(fixture);
      for (const [handler, verdict] of Object.entries(verdicts)) {
        if (handler.includes('[')) continue;
        const method = handler === 'Methods.open()' ? 'POST' : 'GET';
        const { status } = await call(port, { target: pathOf(handler), method });
        expect([handler, status < 300]).toEqual([handler, !verdict.startsWith('guarded')]);
        expect([200, 201, 401]).toContain(status);
      }
    });

    it('is what a message without a token meets', async () => {
      const { app } = await start(fixture);
      await app.startAllMicroservices();
      // Where Nest shows no guards, a word is all that is known.
      const isUndecided = Object.values(verdicts).includes('undecided');
      for (const [handler, pattern] of Object.entries(PATTERNS)) {
        const verdict = verdicts[handler];
        if (!verdict || verdict.startsWith('un') || (isUndecided && verdict === 'skipped'))
          continue;
        expect([handler, await isAnswered(app, pattern)]).toEqual([handler, verdict !== 'guarded']);
      }
    });

    it("starts with 'require' only where nothing is open without a word", async () => {
      const starting = start(fixture, { coverage: 'require' });
      if (uncovered.length === 0) return void (await starting);
      const error: unknown = await starting.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ServiceAuthConfigError);
      const { problems } = error as ServiceAuthConfigError;
      expect(problems).toHaveLength(uncovered.length);
      for (const handler of uncovered) {
        const about = problems.filter((problem) => problem.startsWith(`coverage: ${handler} `));
        expect(about).toHaveLength(1);
      }
    });

    it("says nothing with 'off'", async () => {
      const logger = new LogRecorder();
      await start({ ...fixture, logger }, { coverage: 'off' });
      expect(linesOf(logger)).toEqual([]);
    });

    it('names in one line what is open without a word', async () => {
      const logger = new LogRecorder();
      await start({ ...fixture, logger });
      const lines = linesOf(logger).filter((line) => line.includes('does not guard'));
      expect(lines).toHaveLength(uncovered.length > 0 ? 1 : 0);
      const [, names = ''] = /handlers: (.*?)\. /.exec(lines[0] ?? '') ?? [];
      const named = names.split(/, | and \d+ more$/).map((name) => name.replace(/ \(.*/, ''));
      if (uncovered.length > 0) expect(named.toSorted()).toEqual(uncovered.toSorted());
    });
  });

  it('names the handlers that nothing guards before those behind other guards, ten of them', async () => {
    const logger = new LogRecorder();
    const names = Array.from({ length: 12 }, (_, index) => `Module${index}`);
    const controllers = names.map((name) => {
      const type = { [name]: class extends Plain {} }[name] as Type;
      Controller(name)(type);
      return type;
    });
    await start({ controllers: [Methods, ...controllers], logger });
    const [line, ...others] = linesOf(logger);
    expect(others).toEqual([]);
    expect(line).toMatch(/^warn: .*guard 29 of 48 handlers/);
    expect(line).toContain('Methods.open()');
    expect(line).toContain('and 19 more');
    expect(line).not.toContain('Methods.other()');
  });

  it('says so where nothing at all is guarded', async () => {
    const logger = new LogRecorder();
    await start({ controllers: [Plain], logger });
    expect(linesOf(logger)).toEqual([expect.stringContaining('does not guard 2 of 3')]);
    expect(linesOf(logger)[0]).toContain('None is guarded.');
  });

  it('says what becomes of guarded resolvers', async () => {
    const logger = new LogRecorder();
    await start({ providers: [Resolver, everywhere], logger });
    expect(linesOf(logger)).toEqual([
      expect.stringMatching(
        /^warn: .*refuses every operation of Resolver\.guarded\(\).*guardedDriver/,
      ),
    ]);
  });

  it('leaves alone a service that only sends', async () => {
    const logger = new LogRecorder();
    const signingKey = createKey().privatePem;
    const sending = ServiceAuthModule.forRoot({
      issuer: CENSUS,
      signingKey: { privateKey: signingKey },
      targets: [{ baseUrl: 'https://herald.service/' }],
      coverage: 'require',
    });
    await start({ imports: [sending], controllers: [Plain], logger });
    expect(linesOf(logger)).toEqual([]);
  });

  it('counts no route of the published keys', async () => {
    const signingKey = { privateKey: createKey().privatePem };
    const targets = [{ baseUrl: 'https://herald.service/' }];
    await start(
      { controllers: [GuardedClass] },
      { signingKey, targets, publishedKeys: {}, coverage: 'require' },
    );
  });

  describe('of an application with two services', () => {
    const services = (...coverages: Options['coverage'][]) =>
      coverages.map((coverage, index) =>
        serviceAuth({ coverage, isGlobal: index === 0, issuer: `https://census${index}.service/` }),
      );

    it('tells once, of what neither guards', async () => {
      const logger = new LogRecorder();
      await start({ imports: services(undefined, 'warn'), controllers: [Methods], logger });
      expect(linesOf(logger)).toHaveLength(1);
    });

    it.each([
      ['off', 'off', 0],
      ['off', 'warn', 1],
    ] as const)('takes the stricter of %s and %s', async (first, second, lines) => {
      const logger = new LogRecorder();
      await start({ imports: services(first, second), controllers: [Methods], logger });
      expect(linesOf(logger)).toHaveLength(lines);
    });

    it.each([[['off', 'require'] as const], [['require', undefined] as const]])(
      'does not start with %p',
      async (coverages) => {
        const starting = start({ imports: services(...coverages), controllers: [Plain] });
        await expect(starting).rejects.toBeInstanceOf(ServiceAuthConfigError);
      },
    );
  });

  it('looks at a transport that is connected after the start', async () => {
    const logger = new LogRecorder();
    const { app } = await start({ controllers: [Messages], providers: [everywhere], logger });
    expect(linesOf(logger)).toEqual([]);
    withMessages(false)(app);
    await new Promise((resolve) => setImmediate(resolve));
    expect(linesOf(logger)).toEqual([
      expect.stringMatching(/does not guard .*Messages\.plain\(\) \[message\]/),
      expect.stringMatching(/refuses every message to Messages\.guarded\(\) \[message\]: /),
    ]);
  });

  // A transport that is initialized when it starts binds the gateways too, with its own guards.
  it.each([
    [false, isAppGuardOnGateways ? 'guarded' : 'open'],
    [true, isAppGuardOnGateways ? 'undecided' : 'open'],
  ])('judges a gateway beside a transport: deferInitialization %p', async (isDeferred, verdict) => {
    const configure = async (app: INestApplication) => {
      withSockets(app);
      app.connectMicroservice<MicroserviceOptions>(
        { transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } },
        { inheritAppConfig: true, deferInitialization: isDeferred },
      );
      await app.startAllMicroservices();
    };
    const parts = { controllers: [Messages], providers: [Live, everywhere], configure };
    expect(await tableOf(async () => await start(parts))).toMatchObject({
      'Live.plain() [WebSocket]': verdict,
      'Live.guarded() [WebSocket]': 'guarded',
      'Messages.guarded() [message]': 'guarded',
    });
  });

  it('refuses another word', async () => {
    const starting = start({ controllers: [] }, { coverage: 'on' as never });
    await expect(starting).rejects.toMatchObject({
      problems: ["coverage: write 'off', 'warn' or 'require'"],
    });
  });
});

describe('an application without HTTP', () => {
  it.each([
    [[everywhere], 'guarded'],
    [[], 'open'],
  ])('with the providers %p has messages that are %s', async (providers, verdict) => {
    const table = await tableOf(async () => {
      const app = await NestFactory.createMicroservice<MicroserviceOptions>(
        { module: class {}, imports: [serviceAuth()], controllers: [Messages], providers } as never,
        {
          transport: Transport.TCP,
          options: { host: '127.0.0.1', port: 0 },
          logger: false,
          abortOnError: false,
        },
      );
      running(app);
      await app.init();
    });
    expect(table).toMatchObject({
      'Messages.plain() [message]': verdict,
      'Messages.guarded() [message]': 'guarded',
      'Messages.twice()': 'unserved',
    });
  });
});
