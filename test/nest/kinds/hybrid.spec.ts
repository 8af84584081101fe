import {
  Controller,
  Get,
  type ModuleMetadata,
  type Provider,
  Scope,
  UseGuards,
  type INestApplication,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import {
  type ClientProxy,
  ClientProxyFactory,
  MessagePattern,
  type MicroserviceOptions,
} from '@nestjs/microservices';
import {
  actingAsItself,
  OptionalServiceAuth,
  ServiceAuthModule,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { serviceMessage, ServiceMessagesModule } from 'nestjs-service-auth/microservices';
import { firstValueFrom } from 'rxjs';
import { call } from '../../support/http/http.js';
import { INSTALLED_TRANSPORTS, type MeetingPlace } from '../../support/messages/brokers.js';
import {
  CENSUS,
  censusKey,
  HERALD,
  heraldKey,
  HeraldService,
} from '../../support/messages/messaging-services.js';
import { setCoverageListener } from '../../support/observed/coverage-listener.js';
import { LogRecorder } from '../../support/observed/log-recorder.js';
import { ADAPTERS, startService, type TestService } from '../../support/services/service.js';
import { strictToken } from '../../support/tokens/forge.js';

@Controller()
class Mixed {
  @Get('plain')
  read() {
    return { read: true };
  }
  @MessagePattern('plain')
  plain() {
    return 'plain';
  }
  @MessagePattern('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded() {
    return 'guarded';
  }
  @MessagePattern('optional')
  @UseGuards(ServiceJwtGuard)
  @OptionalServiceAuth()
  optional() {
    return 'optional';
  }
  @MessagePattern('skipped')
  @SkipServiceAuth()
  skipped() {
    return 'skipped';
  }
}

@Controller({ scope: Scope.REQUEST })
class Scoped {
  @MessagePattern('scoped')
  @UseGuards(ServiceJwtGuard)
  scoped() {
    return 'scoped';
  }
}

const PATTERNS = ['plain', 'guarded', 'optional', 'skipped', 'scoped'];

/** What a message meets: `answered`, or the code of its refusal. Unsigned, and signed. */
type Met = readonly [unsigned: string, signed: string];
type Row = readonly [verdict: string, ...met: Met];

const REFUSED: Row = ['guarded, refuses all', 'context_unsupported', 'context_unsupported'];
const GUARDED: Row = ['guarded', 'token_missing', 'answered'];
const open = (verdict: string): Row => [verdict, 'answered', 'answered'];

interface Case {
  readonly title: string;
  readonly inheritAppConfig: boolean;
  readonly messages: NonNullable<ModuleMetadata['imports']>;
  readonly rows: Readonly<Record<string, Row>>;
  /** The handlers that the log names as open, and as refused altogether. */
  readonly open: readonly string[];
  readonly refused: readonly string[];
}

/** Written by hand, from what Nest does. */
const CASES: readonly Case[] = [
  {
    title: 'with ServiceMessagesModule and inheritAppConfig',
    inheritAppConfig: true,
    messages: [ServiceMessagesModule],
    rows: {
      plain: GUARDED,
      guarded: GUARDED,
      optional: open('optional'),
      skipped: open('skipped'),
      scoped: GUARDED,
    },
    open: [],
    refused: [],
  },
  {
    title: 'with ServiceMessagesModule, without inheritAppConfig',
    inheritAppConfig: false,
    messages: [ServiceMessagesModule],
    rows: {
      plain: open('open'),
      guarded: GUARDED,
      optional: open('optional'),
      skipped: open('skipped'),
      scoped: GUARDED,
    },
    open: ['Mixed.plain() [message]'],
    refused: [],
  },
  {
    title: 'without ServiceMessagesModule, with inheritAppConfig',
    inheritAppConfig: true,
    messages: [],
    rows: {
      plain: REFUSED,
      guarded: REFUSED,
      optional: REFUSED,
      skipped: REFUSED,
      scoped: REFUSED,
    },
    open: [],
    refused: PATTERNS.map(handlerOf),
  },
  {
    title: 'without both',
    inheritAppConfig: false,
    messages: [],
    rows: {
      plain: open('open'),
      guarded: REFUSED,
      optional: REFUSED,
      skipped: open('skipped'),
      scoped: REFUSED,
    },
    open: ['Mixed.plain() [message]'],
    refused: ['guarded', 'optional', 'scoped'].map(handlerOf),
  },
];

/** Each where Nest binds handlers when the transport is connected, and where it does so when it starts. */
const START_CASES = CASES.flatMap(({ inheritAppConfig, title, ...others }) =>
  [false, true].map((deferInitialization) => ({
    ...others,
    title: `${title}${deferInitialization ? ', initialized when it starts' : ''}`,
    connect: { inheritAppConfig, deferInitialization },
  })),
);

function handlerOf(pattern: string): string {
  return `${pattern === 'scoped' ? 'Scoped' : 'Mixed'}.${pattern}() [message]`;
}

const everywhere: Provider = { provide: APP_GUARD, useExisting: ServiceJwtGuard };

interface Judged {
  readonly handler: string;
  readonly verdict: string;
  readonly refusesAll?: true;
}

const serviceAuth = () =>
  ServiceAuthModule.forRoot({
    issuer: CENSUS,
    signingKey: { privateKey: censusKey.privatePem },
    trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
  });

/** A client of NATS returns before its server knows the subscriptions: another client may be faster. */
async function untilSubscribed(app: INestApplication): Promise<void> {
  for (const microservice of app.getMicroservices()) {
    const broker = microservice.unwrap<object>();
    const flush: unknown = Reflect.get(broker, 'flush');
    if (typeof flush === 'function') await Reflect.apply(flush, broker, []);
  }
}

const withBroker = INSTALLED_TRANSPORTS.filter(({ name }) => name === 'TCP' || name === 'NATS');

describe.each(ADAPTERS)('a hybrid application on %s', (adapter) => {
  describe.each(withBroker)('over HTTP and $name', (transport) => {
    let place: MeetingPlace;
    let herald: HeraldService;
    let stranger: ClientProxy;
    beforeAll(async () => {
      place = await transport.start();
      herald = await HeraldService.start({ place });
      stranger = ClientProxyFactory.create(place.client('census'));
    });
    afterAll(async () => {
      stranger.close();
      await herald?.close();
      await place?.close();
    });

    const outcomeOf = async (client: ClientProxy, pattern: string, data: unknown) => {
      try {
        await firstValueFrom(client.send<unknown, unknown>(pattern, data));
        return 'answered';
      } catch (error) {
        // The answer of a guard is unsigned: the signing client names the code that somebody answered.
        const { code, message } = error as { code?: string; message?: string };
        return code === 'answer_unsigned'
          ? (/answered (\w+)/.exec(message ?? '')?.[1] ?? code)
          : code;
      }
    };

    describe.each(START_CASES)('$title', ({ messages, rows, connect, ...expected }) => {
      const logger = new LogRecorder();
      const tables: Judged[][] = [];
      let census: TestService;
      beforeAll(async () => {
        const note = (table: unknown) => void tables.push(table as Judged[]);
        setCoverageListener(note);
        census = await startService({
          adapter,
          logger,
          imports: [serviceAuth(), ...messages],
          controllers: [Mixed, Scoped],
          providers: [everywhere],
          configure: async (app) => {
            app.connectMicroservice<MicroserviceOptions>(place.server('census'), connect);
            await app.startAllMicroservices();
            await untilSubscribed(app);
          },
        });
        setCoverageListener(undefined);
      });
      afterAll(async () => await census?.close());

      it.each(Object.entries(rows))('judges %s rightly', (pattern, [verdict]) => {
        const row = tables.flat().find(({ handler }) => handler === handlerOf(pattern));
        expect(`${row?.verdict}${row?.refusesAll ? ', refuses all' : ''}`).toBe(verdict);
      });

      it.each(Object.entries(rows))(
        'lets in what %s may',
        async (pattern, [, unsigned, signed]) => {
          const data = serviceMessage({}, actingAsItself());
          const met = [
            await outcomeOf(stranger, pattern, {}),
            await outcomeOf(herald.census, pattern, data),
          ];
          // A handler that no guard protects signs no answer.
          const isUnguarded = unsigned === 'answered' && rows[pattern]?.[0] !== 'optional';
          expect(met).toEqual([unsigned, isUnguarded ? 'answer_unsigned' : signed]);
        },
      );

      it('guards HTTP', async () => {
        const parts = { key: heraldKey, issuer: HERALD, audience: CENSUS, target: '/plain' };
        expect(await call(census.port, { target: '/plain' })).toMatchObject({
          code: 'token_missing',
        });
        const headers = { jwt: strictToken(parts) };
        expect(await call(census.port, { target: '/plain', headers })).toMatchObject({
          status: 200,
        });
      });

      it('names in the log what is open, and what is refused', () => {
        const lines = logger.texts('warn').filter((line) => line.includes('(option coverage)'));
        const about = (words: string) => lines.find((line) => line.includes(words)) ?? '';
        const unguarded = about('does not guard');
        for (const pattern of PATTERNS) {
          const handler = handlerOf(pattern);
          expect([handler, unguarded.includes(handler)]).toEqual([
            handler,
            expected.open.includes(handler),
          ]);
        }
        const refused = about('refuses every message');
        for (const pattern of PATTERNS) {
          const handler = handlerOf(pattern);
          expect([handler, refused.includes(handler)]).toEqual([
            handler,
            expected.refused.includes(handler),
          ]);
        }
        if (refused)
          expect(refused).toContain(
            "ServiceMessagesModule from 'nestjs-service-auth/microservices'",
          );
        expect(lines).toHaveLength(
          Math.sign(expected.open.length) + Math.sign(expected.refused.length),
        );
      });
    });
  });
});
