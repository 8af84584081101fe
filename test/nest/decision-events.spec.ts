import { Controller, Get, Next, UseGuards } from '@nestjs/common';
import {
  AllowIssuers,
  LoggingObserver,
  OptionalServiceAuth,
  REFUSALS,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { stoppedStore } from '../support/clocks/clocks.js';
import { withParts, tokenFor, toCall, type AttemptParts } from '../support/attacks/attempt.js';
import { BINDING } from '../support/attacks/binding.js';
import { CLAIMS } from '../support/attacks/claims.js';
import { GRANTS } from '../support/attacks/grants.js';
import { JOSE_HEADER } from '../support/attacks/jose-header.js';
import { NAMES } from '../support/attacks/names.js';
import { SIGNATURES } from '../support/attacks/signatures.js';
import { TIMES } from '../support/attacks/times.js';
import { TOKEN_SYNTAX } from '../support/attacks/token-syntax.js';
import {
  BASELINE,
  CANARY,
  CENSUS,
  HERALD,
  heraldKey,
  NOW_SECONDS,
  provingTrust,
  SCRIBE,
  startCensus,
  strangerKey,
  USER,
} from '../support/services/census.js';
import { type Answer, call } from '../support/http/http.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';

@Controller('modes')
@UseGuards(ServiceJwtGuard)
class ModesController {
  @Get('required/:id')
  @UseGuards(ServiceJwtGuard, ServiceJwtGuard)
  required(@ServiceCaller() caller: ServiceIdentity) {
    return { issuer: caller.issuer };
  }

  @Get('optional')
  @OptionalServiceAuth()
  optional() {
    return 'for anybody';
  }

  @Get('skipped')
  @SkipServiceAuth()
  skipped() {
    return 'for anybody';
  }
}

/** Express hands a request on to the next route; Fastify knows one for each request. */
@Controller('modes')
@UseGuards(ServiceJwtGuard)
class HandingOnController {
  @Get('on/:first')
  @OptionalServiceAuth()
  handOn(@Next() next: () => void) {
    next();
  }

  @Get('on/:second')
  @AllowIssuers(SCRIBE)
  arrive() {
    return 'for scribe';
  }
}

const TABLES = [
  TOKEN_SYNTAX,
  JOSE_HEADER,
  SIGNATURES,
  CLAIMS,
  TIMES,
  NAMES,
  BINDING,
  GRANTS,
].flat();
/** What no event and no line may hold, whatever the tables send. */
const SECRET = /canary|eyJ[\w-]{8}|-----BEGIN/;

async function startModes(
  adapter: Adapter,
  options: Partial<ServiceAuthModuleOptions>,
  logger?: LogRecorder,
): Promise<TestService> {
  return await startService({
    adapter,
    logger,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        ...provingTrust,
        now: () => NOW_SECONDS * 1000,
        replayStore: stoppedStore(),
        ...options,
      }),
    ],
    controllers: [ModesController, ...(adapter === 'express' ? [HandingOnController] : [])],
  });
}

describe.each(ADAPTERS)('ServiceAuthObserver on %s', (adapter) => {
  const events = new ObservedEvents();
  let service: TestService;
  beforeAll(async () => void (service = await startModes(adapter, { observer: events })));
  beforeEach(() => void events.decisions.splice(0));
  afterAll(async () => await service.close());

  const send = async (parts: AttemptParts, port = service.port): Promise<Answer> => {
    const attempt = withParts(BASELINE, parts);
    return await call(port, toCall(attempt, tokenFor(attempt, NOW_SECONDS)));
  };
  const withoutToken = { send: () => ({}) };

  it('tells of an accepted request once, however often it is guarded, with its route', async () => {
    expect((await send({ target: '/modes/required/5?canary' })).status).toBe(200);
    expect(events.decisions).toEqual([
      {
        type: 'request_accepted',
        transport: 'http',
        issuer: HERALD,
        audience: CENSUS,
        hasSubject: true,
        algorithm: 'ES256',
        keyId: heraldKey.keyId,
        profile: 'strict',
        proof: 'none',
        originator: undefined,
        transaction: undefined,
        proofRefusal: undefined,
        route: '/modes/required/:id',
        durationMilliseconds: expect.any(Number) as number,
      },
    ]);
  });

  it('tells of a refused request once, however often it is guarded', async () => {
    const { status } = await send({ target: '/modes/required/5', ...withoutToken });
    expect(status).toBe(401);
    expect(events.decisions).toMatchObject([
      { type: 'request_refused', code: 'token_missing', status, route: '/modes/required/:id' },
    ]);
  });

  it('tells of a caller without a token where one is admitted', async () => {
    expect((await send({ target: '/modes/optional', ...withoutToken })).status).toBe(200);
    expect(events.decisions).toEqual([
      { type: 'request_anonymous', transport: 'http', route: '/modes/optional' },
    ]);
    expect((await send({ target: '/modes/optional' })).status).toBe(200);
    expect((await send({ target: '/modes/optional', key: strangerKey })).status).toBe(401);
    expect(events.decisions.slice(1)).toMatchObject([
      { type: 'request_accepted' },
      { type: 'request_refused', code: 'key_unknown', issuer: HERALD, issuerTrust: 'claimed' },
    ]);
  });

  it('tells nothing of a route that is not guarded', async () => {
    expect((await send({ target: '/modes/skipped' })).status).toBe(200);
    expect(events.decisions).toEqual([]);
  });

  if (adapter === 'express') {
    it('tells of the route that a request was handed on to, if that one refuses it', async () => {
      const target = '/modes/on/5';
      const codes = [(await send({ target })).code, (await send({ target, ...withoutToken })).code];
      expect(codes).toEqual(['issuer_not_allowed', 'token_missing']);
      expect(events.decisions).toMatchObject([
        { type: 'request_accepted', route: '/modes/on/:first' },
        {
          type: 'request_refused',
          code: 'issuer_not_allowed',
          issuer: HERALD,
          issuerTrust: 'verified',
          route: '/modes/on/:second',
          durationMilliseconds: undefined,
        },
        { type: 'request_anonymous', route: '/modes/on/:first' },
        { type: 'request_refused', code: 'token_missing', issuerTrust: 'unknown' },
      ]);
    });
  }

  it('tells of every refusal of the tables once, with its code, and nothing of the token', async () => {
    const told = new ObservedEvents();
    const logs = new LogRecorder();
    const census = await startCensus({
      adapter,
      options: { observer: [told, new LoggingObserver({ successes: 'verbose' })] },
      service: { logger: logs },
    });
    const rows = TABLES.filter(({ only }) => only === undefined || only === adapter);
    const wrong: unknown[] = [];
    for (const { title, code, common, change } of rows) {
      for (const [expected, parts] of [
        [code, change],
        ['request_accepted', {}],
      ] as const) {
        told.decisions.splice(0);
        const attempt = withParts(withParts(BASELINE, common), parts);
        const answer = await call(census.port, toCall(attempt, tokenFor(attempt, NOW_SECONDS)));
        // Some requests end in the framework, on their way to the guard.
        if (answer.code === undefined && answer.status >= 400) continue;
        const heard = told.decisions.map((one) => ('code' in one ? one.code : one.type));
        if (heard.join() !== expected) wrong.push({ title, heard, expected });
      }
      if (SECRET.test(JSON.stringify(told.decisions))) wrong.push({ title, told: told.decisions });
    }
    await census.close();
    expect(wrong).toEqual([]);
    const lines = logs.entries.filter(({ text }) => /refused|Refused|Accepted|Answered/.test(text));
    expect(lines.length).toBeGreaterThan(rows.length);
    expect(lines.filter(({ text }) => SECRET.test(text) || /[\r\n]/.test(text))).toEqual([]);
  }, 120_000);

  it('tells of a request of a kind that is not supported', async () => {
    const told = new ObservedEvents();
    const census = await startCensus({ adapter, options: { observer: told } });
    await send({ target: '/api/outcome/queue' }, census.port);
    await census.close();
    expect(told.decisions).toMatchObject([
      { type: 'request_accepted', route: '/api/outcome/:contextType' },
      { type: 'request_refused', code: 'context_unsupported', detail: 'queue', status: 403 },
    ]);
  });

  it('tells of a user nobody knows, and of a resolver that fails', async () => {
    const told = new ObservedEvents();
    const answers: unknown[] = [];
    for (const resolveUser of [() => null, () => Promise.reject(new Error('canary'))]) {
      const userResolver = { resolveUser };
      const modes = await startModes(adapter, { observer: told, userResolver });
      answers.push((await send({ target: '/modes/required/5' }, modes.port)).status);
      await modes.close();
    }
    expect(answers).toEqual([403, 500]);
    expect(told.decisions).toMatchObject([
      { type: 'request_refused', code: 'subject_unknown', issuerTrust: 'verified' },
      { type: 'request_failed', reason: 'admission_error', route: '/modes/required/:id' },
    ]);
  });

  describe('LoggingObserver', () => {
    const ISSUER = { issuer: 'https://canary-stranger.service/\n[Nest] forged', key: strangerKey };
    const sendAll = async (options: Partial<ServiceAuthModuleOptions>): Promise<string[]> => {
      const logs = new LogRecorder();
      const modes = await startModes(adapter, options, logs);
      const target = '/modes/required/5';
      for (const parts of [{}, { key: strangerKey }, { audience: HERALD }, ISSUER, withoutToken]) {
        await send({ target, ...parts }, modes.port);
      }
      await modes.close();
      return logs.entries
        .filter(({ text }) => /^(Accepted|Refused|Answered)/.test(text))
        .map(({ level, text }) => `${level} ${text.replace(/ ServiceAuth$/, '')}`);
    };
    const REFUSED = [
      `warn Refused a request that names ${HERALD} to /modes/required/:id: key_unknown, the keys configured here are "${heraldKey.keyId}". Publish the new key of the caller, or add it to its keys here. Until then let the caller sign with its previous key. If this caller has no failures, a stranger used its name.`,
      `warn Refused a request of ${HERALD} to /modes/required/:id: audience_mismatch, made for ${HERALD}; this service answers to ${CENSUS}. Set audience of the caller's target (its baseUrl by default), or add the name to audience of this service.`,
      'debug Refused a request of an unknown issuer to /modes/required/:id: issuer_unknown. Write it in the same way on both sides (the final slash counts), or add it to trustedIssuers.',
      'debug Refused a request without a token to /modes/required/:id: token_missing. Check that the caller signs, and that nothing on the way removes its token.',
    ];

    it('is each refusal, by default', async () => {
      expect(await sendAll({})).toEqual(REFUSED);
    });

    it('is each success too, where asked for', async () => {
      const observer = [new LoggingObserver({ successes: 'verbose' })];
      expect(await sendAll({ observer })).toEqual([
        `verbose Accepted a request of ${HERALD} to /modes/required/:id, for a user: ES256, key ${heraldKey.keyId}`,
        ...REFUSED,
      ]);
    });

    it('is nothing of it where another observer listens instead', async () => {
      expect(await sendAll({ observer: new ObservedEvents() })).toEqual([]);
    });

    it('is trouble as a warning', async () => {
      const replayStore = {
        recordUse: () => {
          throw new Error('canary');
        },
      };
      expect(await sendAll({ replayStore })).toEqual([
        `warn Answered 503 to a request of ${HERALD} to /modes/required/:id: replay_store_unavailable. Check the replay store.`,
        ...REFUSED,
      ]);
    });
  });
});

it('would notice what it looks for, and has rows for nearly every code', () => {
  const token = tokenFor(BASELINE, NOW_SECONDS);
  for (const secret of [token, USER, CANARY, heraldKey.publicPem]) expect(secret).toMatch(SECRET);
  expect([HERALD, heraldKey.keyId].join()).not.toMatch(SECRET);
  const codes = new Set<string>(TABLES.map(({ code }) => code));
  const withoutRow = Object.keys(REFUSALS).filter((code) => !codes.has(code));
  // The names beyond the eighth: a failure shows which. One of them is of messages alone.
  expect(withoutRow.slice(8)).toEqual([]);
});
