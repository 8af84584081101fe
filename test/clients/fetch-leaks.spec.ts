import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net';
import { inspect } from 'node:util';
import { Controller, Inject, Post, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
  SIGNING_FAILURES,
  type ServiceAuthModuleOptions,
  type SigningFailureCode,
} from 'nestjs-service-auth';
import {
  actingAsItself,
  onBehalfOf,
  ServiceFetch,
  ServiceFetchModule,
} from 'nestjs-service-auth/fetch';
import { fetch as fetchOfUndici } from 'undici';
import { Caller } from '../support/services/caller.js';
import { createKey } from '../support/keys/keys.js';
import { FETCHES, FetchingService } from '../support/services/fetching-service.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { selfSign } from '../support/keys/self-signed.js';
import {
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService } from '../support/services/service.js';
import { leaksOf, secretsOfKey, tellingSegments } from '../support/observed/traces.js';
import { checkStrict } from '../support/tokens/wire-check.js';

/** Answers as the path says: `/401`, `/reset`, `/midway`, `/stalled`. */
const answers = new RecordingServer(({ target }, response) => {
  if (target === '/reset') return void response.destroy();
  if (target === '/midway') {
    response.writeHead(200, { 'content-length': 100 });
    return void response.write('begun', () => setImmediate(() => response.destroy()));
  }
  if (target === '/stalled') return;
  response.writeHead(Number.parseInt(target.slice(1), 10), { location: '/200' }).end('{}');
});
const garbage = createTcpServer((socket) => socket.end('this is no HTTP\r\n\r\n'));
const tlsKey = createKey();
const tls = createTlsServer({ key: tlsKey.privatePem, cert: selfSign(tlsKey) });
let refused = '';

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
const listen = async (server: TcpServer): Promise<void> =>
  void (await once(server.listen(0, '127.0.0.1'), 'listening'));

/** What was handed to the fetch that sends. */
let handed: { readonly token: string; readonly init: RequestInit }[] = [];

const SENDERS = FETCHES.map(({ name }) => {
  const send = (name === 'the fetch of Node' ? fetch : fetchOfUndici) as typeof fetch;
  const noting = async (input: string, init: RequestInit): Promise<Response> => {
    handed.push({ token: new Headers(init.headers).get('jwt') ?? '', init });
    return await send(input, init);
  };
  return { name, module: ServiceFetchModule.register({ fetch: noting }) };
});

beforeAll(async () => {
  await Promise.all([answers.start(), listen(garbage), listen(tls)]);
  const closed = createServer();
  await listen(closed);
  refused = `http://127.0.0.1:${portOf(closed)}`;
  closed.close();
});
afterAll(async () => {
  await answers.close();
  tls.closeAllConnections();
  for (const server of [garbage, tls]) server.close();
});
beforeEach(() => {
  handed = [];
  answers.takeAll();
});

const keySecrets = secretsOfKey(heraldKey);
const secrets = () => [...tellingSegments(handed.map(({ token }) => token)), ...keySecrets];
const failureOf = async (sending: Promise<unknown>): Promise<unknown> =>
  await sending.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: unknown) => error,
  );

describe.each(SENDERS)('by $name, no token and no key is shown by', ({ module }) => {
  let herald: FetchingService;
  beforeAll(async () => {
    const garbageUrl = `http://127.0.0.1:${portOf(garbage)}`;
    const urls = [answers.url, refused, 'http://nosuch.invalid', garbageUrl, tlsUrl()];
    herald = await FetchingService.start(urls, {}, module);
  });
  afterAll(async () => await herald.close());
  const tlsUrl = () => `https://127.0.0.1:${portOf(tls)}`;
  const send = async (url: string, init: RequestInit = {}) =>
    await herald.send(url, { method: 'POST', body: '{"a":1}', ...init });

  it.each<[string, () => [string, RequestInit?]]>([
    ['a connection that is cut', () => [`${answers.url}/reset`]],
    ['a connection that is cut amid the answer', () => [`${answers.url}/midway`]],
    ['a timeout', () => [`${answers.url}/stalled`, { signal: AbortSignal.timeout(50) }]],
    ['a redirect that is a failure', () => [`${answers.url}/302`, { redirect: 'error' }]],
    ['an answer of another integrity', () => [`${answers.url}/200`, { integrity: 'sha256-x' }]],
    ['a server that is not there', () => [refused]],
    ['a name that is not known', () => ['http://nosuch.invalid']],
    ['an answer that is no HTTP', () => [`http://127.0.0.1:${portOf(garbage)}`]],
    ['a certificate that nobody vouches for', () => [tlsUrl()]],
    ['a mode that fetch refuses', () => [`${answers.url}/200`, { mode: 'bad' } as object]],
  ])('%s', async (title, call) => {
    const error = await failureOf(send(...call()));
    expect(handed).toHaveLength(title.includes('refuses') ? 0 : 1);
    for (const { token } of handed) expect(token).toMatch(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(inspect(error)).not.toMatch(/eyJ|jwt/i);
    expect(leaksOf(error, secrets())).toEqual([]);
  });

  it.each([200, 401, 302, 503])(
    'an answer with %i, before and after it is read',
    async (status) => {
      const init = { method: 'POST', body: '{"a":1}' };
      const response = await herald.fetch(`${answers.url}/${status}`, onBehalfOf(USER, init));
      expect(response.status).toBe(status);
      expect(handed).toHaveLength(1);
      expect(leaksOf(response, secrets())).toEqual([]);
      const copy = response.clone();
      await Promise.all([response.text(), copy.text()]);
      expect(leaksOf([response, copy], secrets())).toEqual([]);
    },
  );

  it('what was handed to the fetch that sends, once the call is over', async () => {
    await send(`${answers.url}/200`);
    await failureOf(send(`${answers.url}/reset`));
    expect(handed.map(({ token }) => token.length > 100)).toEqual([true, true]);
    const headers = handed.map(({ init }) => [...new Headers(init.headers).keys()]);
    expect(headers.map((names) => names.includes('content-type'))).toEqual([true, true]);
    expect(
      leaksOf(
        handed.map(({ init }) => init),
        secrets(),
      ),
    ).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['a record', (token: string) => ({ JWT: `${token}\n`, 'x-own': 'kept' })],
    ['pairs', (token: string) => [['jwt', `${token}\n`]]],
  ])(
    'the error of headers, given as %s, that hold the token of another',
    async (_as, headersOf) => {
      const inbound = ['inbound', 'payload', 'signature'].map((part) => part.repeat(5)).join('.');
      const headers = (headersOf as (token: string) => RequestInit['headers'])(inbound);
      await send(`${answers.url}/200`, { headers });
      checkStrict(answers.takeOne(), FROM_HERALD);
      const error = await failureOf(send(`${answers.url}/reset`, { headers }));
      expect(leaksOf(error, [...secrets(), ...tellingSegments([inbound])])).toEqual([]);
    },
  );
});

const CANARY = 'canary-that-must-not-sing';

interface Row {
  readonly code: SigningFailureCode;
  readonly options?: () => Partial<ServiceAuthModuleOptions>;
  /** What is refused in a request full of canaries. */
  readonly bad: () => { readonly url?: string; readonly init?: RequestInit };
  /** What is sent in its place. Default: the request without it. */
  readonly good?: () => RequestInit;
}

const HEADERS = { 'x-secret': CANARY, authorization: CANARY, 'content-type': 'application/json' };
const url = () => `${answers.url}/200?${CANARY}=${CANARY}`;
const stream = (times: number) =>
  ({ body: new Blob([CANARY.repeat(times)]).stream(), duplex: 'half' }) as const;

const ROWS: readonly Row[] = [
  { code: 'target_unknown', bad: () => ({ url: `https://unknown.service/${CANARY}` }) },
  {
    code: 'target_invalid',
    bad: () => ({ url: answers.url.replace('//', `//${CANARY}:${CANARY}@`) }),
  },
  { code: 'target_invalid', bad: () => ({ url: `/${CANARY}` }) },
  { code: 'subject_undecided', bad: () => ({}), good: () => onBehalfOf(USER) },
  {
    code: 'subject_invalid',
    bad: () => ({ init: onBehalfOf(`${CANARY} ${CANARY}`) }),
    good: () => onBehalfOf(USER),
  },
  {
    code: 'subject_required',
    options: () => ({
      targets: [{ baseUrl: answers.url, audience: CENSUS, profile: 'original' }],
    }),
    bad: () => ({ init: actingAsItself() }),
    good: () => onBehalfOf(USER),
  },
  {
    code: 'header_unsignable',
    options: () => ({ signedHeaders: ['set-cookie'] }),
    bad: () => ({
      init: {
        headers: [
          ['set-cookie', CANARY],
          ['set-cookie', CANARY],
        ],
      },
    }),
  },
  {
    code: 'request_too_long',
    bad: () => ({ url: `${answers.url}/200?${CANARY.repeat(200)}` }),
  },
  {
    code: 'token_too_large',
    options: () => ({ signedHeaders: ['x-secret'] }),
    bad: () => ({ init: { headers: { ...HEADERS, 'x-secret': CANARY.repeat(300) } } }),
  },
  {
    code: 'body_unsupported',
    bad: () => ({
      init: { body: ReadableStream.from([{ secret: CANARY }]) as ReadableStream, duplex: 'half' },
    }),
  },
  { code: 'body_too_large', bad: () => ({ init: stream(100) }), good: () => stream(1) },
  {
    code: 'grant_unusable',
    options: () => ({
      trustDomain: 'https://test.example.org/',
      targets: [{ baseUrl: answers.url, audience: CENSUS, grants: 'required' }],
    }),
    bad: () => ({}),
    good: () => actingAsItself(),
  },
];

describe.each(FETCHES)('by $name', ({ module }) => {
  it.each(ROWS)(
    'what is refused with $code: its error tells nothing of it ($#)',
    async ({ code, options, bad, good }) => {
      const settings = { maxBufferedBodyBytes: 1000, ...options?.() };
      const herald = await FetchingService.start([answers.url], settings, module);
      const subject = code === 'subject_undecided' ? {} : onBehalfOf(USER);
      const send = async (input = url(), init: RequestInit = {}) => {
        const given = { method: 'POST', body: CANARY, headers: HEADERS, ...subject, ...init };
        return await (await herald.fetch(input, given)).text();
      };
      const { url: badUrl, init } = bad();
      const error = await failureOf(send(badUrl, init));
      expect(error).toBeInstanceOf(ServiceSigningError);
      expect(error).toMatchObject({ code });
      expect(leaksOf(error, [CANARY, ...keySecrets])).toEqual([]);
      expect(answers.takeAll()).toEqual([]);
      await send(url(), good?.());
      expect(JSON.stringify(answers.takeOne())).toContain(CANARY);
      await herald.close();
    },
  );
});

describe.each(FETCHES)('by $name', ({ module }) => {
  it('what is refused with service_closed: its error tells nothing of it', async () => {
    const herald = await FetchingService.start([answers.url], {}, module);
    const { fetch } = herald;
    const send = async () =>
      await fetch(url(), onBehalfOf(USER, { method: 'POST', body: CANARY, headers: HEADERS }));
    await (await send()).text();
    expect(JSON.stringify(answers.takeOne())).toContain(CANARY);
    await herald.close();
    const error = await failureOf(send());
    expect(error).toBeInstanceOf(ServiceSigningError);
    expect(error).toMatchObject({ code: 'service_closed' });
    expect(leaksOf(error, [CANARY, ...keySecrets])).toEqual([]);
    expect(answers.takeAll()).toEqual([]);
  });

  it('what is refused with originate_refused: its error tells nothing of it', async () => {
    const herald = await FetchingService.start(
      [answers.url],
      {
        trustDomain: 'https://test.example.org/',
        originate: { subjects: [CENSUS] },
      },
      module,
    );
    const context = herald.callContext;
    const send = async () =>
      await (await herald.fetch(url(), { method: 'POST', body: CANARY, headers: HEADERS })).text();
    /** A grant with so many secrets in it. */
    const sendWith = async (times: number) => {
      const originate = { transactionContext: { note: CANARY.repeat(times) } };
      return await context.runOnBehalfOf(USER, send, { originate });
    };
    await sendWith(1);
    expect(answers.takeAll()).toHaveLength(1);
    const error = await failureOf(sendWith(300));
    expect(error).toBeInstanceOf(ServiceSigningError);
    expect(error).toMatchObject({ code: 'originate_refused' });
    expect(leaksOf(error, [CANARY, ...keySecrets])).toEqual([]);
    expect(answers.takeAll()).toEqual([]);
    await herald.close();
  });
});

it('every code of a refusal to sign is among these, but for a service that has no key', () => {
  const provoked = [...ROWS.map(({ code }) => code), 'service_closed', 'originate_refused'];
  // No client of HTTP gets as far: test/core/signing-failures.spec.ts, test/core/messages.
  const ofMessages = ['message_unsignable', 'method_unsignable'];
  expect([...new Set(provoked), ...ofMessages, 'sending_disabled'].toSorted()).toEqual(
    Object.keys(SIGNING_FAILURES).toSorted(),
  );
});

const GRID = ADAPTERS.flatMap((framework) =>
  FETCHES.map(({ name, module }) => ({ framework, name, module })),
);

describe.each(GRID)('a service on $framework that lets the error of $name through', (row) => {
  @Controller()
  @UseGuards(ServiceJwtGuard)
  class RelayController {
    constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}

    @Post()
    async relay(@ServiceCaller() caller: ServiceIdentity) {
      const init = { method: 'POST', body: 'x' };
      await this.fetch(`${answers.url}/reset`, onBehalfOf(caller, init));
    }
  }

  it('logs and answers no token and no key', async () => {
    const agent = new Caller('https://agent.service/', HERALD);
    const logger = new LogRecorder();
    const auth = ServiceAuthModule.forRoot({
      issuer: HERALD,
      signingKey: { privateKey: heraldKey.privatePem },
      trustedIssuers: [agent.trusted],
      targets: [{ baseUrl: answers.url, audience: CENSUS }],
    });
    const service = await startService({
      adapter: row.framework,
      logger,
      imports: [auth, row.module],
      controllers: [RelayController],
    });
    const request = { method: 'POST', target: '/', subject: USER };
    const inbound = agent.token(request);
    const answer = await agent.send(service.port, { ...request, headers: { jwt: inbound } });
    const tokens = [inbound, ...answers.takeAll().flatMap((one) => valuesOf(one, 'jwt'))];
    expect(tokens).toHaveLength(2);
    expect(answer.json).toEqual({ statusCode: 500, message: 'Internal server error' });
    const logged = JSON.stringify(logger.entries);
    expect(logged).toContain('fetch failed');
    const shown = [logged, answer.text, JSON.stringify(answer.headers)].join('');
    const hidden = [...tellingSegments(tokens), ...keySecrets];
    expect(hidden.filter((secret) => shown.includes(secret))).toEqual([]);
    await service.close();
  });
});
