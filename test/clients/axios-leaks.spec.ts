import { once } from 'node:events';
import { Agent, createServer } from 'node:http';
import { Agent as TlsAgent, createServer as createTlsServer } from 'node:https';
import { createServer as createHttp2Server } from 'node:http2';
import { createRequire } from 'node:module';
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net';
import { inspect } from 'node:util';
import type { AxiosAdapter, AxiosError, AxiosRequestConfig, AxiosResponse } from 'axios';
import axiosRetry from 'axios-retry';
import { createKey } from '../support/keys/keys.js';
import { RecordingServer } from '../support/http/recording-server.js';
import { selfSign } from '../support/keys/self-signed.js';
import { axiosOfNest, heraldKey, SendingService } from '../support/services/sending-service.js';
import {
  DEEP_PRINTINGS,
  leaksOf,
  PRINTINGS,
  type Printing,
  secretsOfKey,
  tellingSegments,
} from '../support/observed/traces.js';

type AxiosAdapterName = 'http' | 'fetch';
const ADAPTERS_OF_AXIOS = ['http', 'fetch'] as const;

/** The package with which axios follows redirects; it has no types. */
const ofAxios = createRequire(createRequire(import.meta.url).resolve('axios'));
const followRedirects = ofAxios('follow-redirects') as { readonly http: object };

/** Answers as the path says: `/401`, `/reset`, `/midway`, `/long`, `/stalled`. */
const answers = new RecordingServer(({ target }, response) => {
  if (target === '/reset') return void response.destroy();
  if (target === '/midway') {
    response.writeHead(200, { 'content-length': 100 });
    return void response.write('begun', () => setImmediate(() => response.destroy()));
  }
  if (target === '/long') return void response.end('x'.repeat(10_000));
  if (target === '/stalled') return;
  response.writeHead(Number(target.slice(1)), { location: '/200' }).end('{}');
});
const garbage = createTcpServer((socket) => socket.end('this is no HTTP\r\n\r\n'));
const tlsKey = createKey();
const certificate = selfSign(tlsKey);
const tls = createTlsServer({ key: tlsKey.privatePem, cert: certificate }, (_request, response) =>
  response.writeHead(401).end('{}'),
);
const http2 = createHttp2Server((_request, response) => response.writeHead(401).end('{}'));
const DNS = 'http://nosuch.invalid';
let refused = '';
let proxyPort = 0;

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
const listen = async (server: TcpServer): Promise<void> =>
  void (await once(server.listen(0, '127.0.0.1'), 'listening'));

/** What was handed to axios's own adapters as the token. */
let tokens: string[] = [];

function noting(adapter: AxiosAdapterName): AxiosAdapter {
  return async (config) => {
    tokens.push(String(config.headers.get('JWT')));
    return await axiosOfNest.getAdapter(adapter, config)(config);
  };
}

let herald: SendingService;
beforeAll(async () => {
  await Promise.all([answers.start(), ...[garbage, tls, http2].map(listen)]);
  const closed = createServer();
  await listen(closed);
  refused = `http://127.0.0.1:${portOf(closed)}`;
  proxyPort = portOf(closed);
  closed.close();
  const [tlsUrl, http2Url] = [
    `https://127.0.0.1:${portOf(tls)}`,
    `http://127.0.0.1:${portOf(http2)}`,
  ];
  const garbageUrl = `http://127.0.0.1:${portOf(garbage)}`;
  const named = `http://localhost:${answers.port}`;
  const urls = [answers.url, named, refused, DNS, garbageUrl, tlsUrl, http2Url];
  herald = await SendingService.start(urls);
});
afterAll(async () => {
  await Promise.all([answers.close(), herald.close()]);
  tls.closeAllConnections();
  for (const server of [garbage, tls, http2]) server.close();
});
beforeEach(() => {
  tokens = [];
  answers.takeAll();
});

type Request = () => AxiosRequestConfig;
type Failure = readonly [name: string, request: Request];

const at = (path: string, config: AxiosRequestConfig = {}): Request => {
  return () => ({ url: `${answers.url}${path}`, ...config });
};

const FAILURES: readonly Failure[] = [
  ['a 401', at('/401')],
  ['a 503', at('/503')],
  ['a redirect', at('/302')],
  ['a connection that is cut', at('/reset')],
  ['a connection that is cut amid the answer', at('/midway')],
  ['a timeout', at('/stalled', { timeout: 50 })],
  ['an answer that is too long', at('/long', { maxContentLength: 10 })],
  ['a body that is too long for axios', at('/200', { maxBodyLength: 1 })],
  [
    'an answer that is no JSON',
    at('/long', { responseType: 'json', transitional: { silentJSONParsing: false } }),
  ],
  [
    'a transformation of the answer that fails',
    at('/200', { transformResponse: () => JSON.parse('{') as never }),
  ],
  ['a server that is not there', () => ({ url: refused })],
  ['a name that is not known', () => ({ url: DNS })],
  ['an answer that is no HTTP', () => ({ url: `http://127.0.0.1:${portOf(garbage)}` })],
  ['a certificate that nobody vouches for', () => ({ url: `https://127.0.0.1:${portOf(tls)}` })],
];

const FAILURES_OF_HTTP: readonly Failure[] = [
  [
    'a 401 over an agent that keeps its sockets',
    () => ({ ...at('/401')(), httpAgent: kept(new Agent({ keepAlive: true })) }),
  ],
  [
    'a 401 over TLS, from an agent that keeps its sockets',
    () => ({
      url: `https://127.0.0.1:${portOf(tls)}`,
      httpsAgent: kept(
        new TlsAgent({ keepAlive: true, ca: certificate, checkServerIdentity: () => undefined }),
      ),
    }),
  ],
  [
    'a 401 over HTTP/2',
    () => ({ url: `http://127.0.0.1:${portOf(http2)}`, httpVersion: 2 }) as object,
  ],
  ['a 401 through follow-redirects', at('/401', { transport: followRedirects.http })],
  [
    'a timeout in follow-redirects',
    at('/stalled', { transport: followRedirects.http, timeout: 50 }),
  ],
  [
    'several addresses where no server is',
    () =>
      ({
        url: refused,
        lookup: (_host: string, _options: object, answer: (error: null, found: object[]) => void) =>
          answer(
            null,
            ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 })),
          ),
      }) as object,
  ],
  ['an upload that is watched', at('/401', { onUploadProgress: () => undefined })],
  [
    'a proxy that is not there',
    () => ({ ...at('/200')(), proxy: { host: '127.0.0.1', port: proxyPort } }),
  ],
  [
    'a proxy that is not there, for TLS',
    () => ({
      url: `https://127.0.0.1:${portOf(tls)}`,
      proxy: { host: '127.0.0.1', port: proxyPort },
    }),
  ],
];

const agents: { destroy(): void }[] = [];
function kept<T extends { destroy(): void }>(agent: T): T {
  agents.push(agent);
  return agent;
}
afterEach(() => {
  for (const agent of agents.splice(0)) agent.destroy();
});

const keySecrets = secretsOfKey(heraldKey);
const secrets = () => [...tellingSegments(tokens), ...keySecrets];

const send = async (adapter: AxiosAdapter, config: AxiosRequestConfig) =>
  await herald.send({ method: 'post', data: { a: 1 }, adapter, ...config });

const failureOf = async (sending: Promise<unknown>): Promise<unknown> =>
  await sending.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: unknown) => error,
  );

const everyMember: readonly Printing[] = [...PRINTINGS, ...DEEP_PRINTINGS];
/** Resolves when `count` requests have arrived at the answering server. */
const arrived = async (count: number): Promise<void> => {
  while (answers.requests.length < count) await new Promise((resolve) => setImmediate(resolve));
};

describe.each(ADAPTERS_OF_AXIOS)(
  'through the %s adapter, no token and no key is shown by',
  (name) => {
    const adapter = noting(name);

    it.each([...FAILURES, ...(name === 'http' ? FAILURES_OF_HTTP : [])])(
      '%s',
      async (title, config) => {
        const error = await failureOf(send(adapter, config()));
        if (title.startsWith('a 401')) expect(error).toMatchObject({ status: 401 });
        expect(tokens).toEqual([expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/)]);
        expect(leaksOf(error, secrets())).toEqual([]);
      },
    );

    it.each<[string, (config: AxiosRequestConfig) => () => void]>([
      [
        'a signal',
        (config) => {
          const controller = new AbortController();
          config.signal = controller.signal;
          return () => controller.abort();
        },
      ],
      [
        'a cancel token',
        (config) => {
          const source = axiosOfNest.CancelToken.source();
          config.cancelToken = source.token;
          return () => source.cancel('enough');
        },
      ],
    ])('what is cancelled by %s on its way', async (_means, prepare) => {
      const config = at('/stalled')();
      const cancel = prepare(config);
      const sending = failureOf(send(adapter, config));
      await arrived(1);
      cancel();
      const error = await sending;
      expect(error).toMatchObject({ code: 'ERR_CANCELED' });
      expect(tokens).toHaveLength(1);
      expect(leaksOf(error, secrets())).toEqual([]);
    });

    it.each([
      ['is cut midway', '/midway', {}],
      ['proves too long', '/long', { maxContentLength: 10 }],
    ])('a streamed answer that %s', async (_end, path, config) => {
      const shown: unknown[] = [];
      const error = await failureOf(
        send(adapter, { ...at(path)(), responseType: 'stream', ...config }).then(
          async (response) => {
            shown.push(response, response.data);
            for await (const chunk of response.data as AsyncIterable<unknown>) shown.push(chunk);
          },
        ),
      );
      expect(tokens).toHaveLength(1);
      expect(leaksOf([...shown, error], secrets())).toEqual([]);
      expect(leaksOf(error, secrets())).toEqual([]);
    });

    it('an answer, to interceptors neither, though its request is there', async () => {
      const seen: string[] = [];
      const look = (response: AxiosResponse): AxiosResponse => {
        const request: unknown = response.request;
        seen.push(...leaksOf([response, request, inspect(request)], secrets()));
        return response;
      };
      const { response: interceptors } = herald.http.axiosRef.interceptors;
      const id = interceptors.use(look);
      const response = await send(adapter, at('/200')());
      interceptors.eject(id);
      expect(tokens).toHaveLength(1);
      expect([...seen, ...leaksOf(response, secrets())]).toEqual([]);
      expect(Object.keys(response)).not.toContain('request');
      const { request } = response as { request: unknown };
      if (name === 'http') {
        expect(request).toMatchObject({ method: 'POST', path: '/200', host: '127.0.0.1' });
        expect(Reflect.get(request as object, '_header')).toContain('\r\nJWT: [removed]\r\n');
      } else {
        expect(request).toBeInstanceOf(Request);
        expect(request).toHaveProperty('url', `${answers.url}/200`);
      }
    });

    it('the answer in an error, which names the configuration of the caller', async () => {
      const error = (await failureOf(send(adapter, at('/401')()))) as AxiosError;
      const { config, response } = error;
      expect(config).toMatchObject({ url: `${answers.url}/401`, data: '{"a":1}' });
      expect(response?.config).toBe(config);
      expect(response?.request).toBeDefined();
      expect(Object.keys(response ?? {})).not.toContain('request');
      expect(inspect(error, { depth: Infinity })).not.toMatch(/ServiceAuth|tokenLifetimeSeconds/);
    });

    it('errors of an adapter that are causes of each other, or several in one', async () => {
      const wrapping: AxiosAdapter = async (config) => {
        const first = (await failureOf(adapter(config))) as AxiosError;
        const second = (await failureOf(adapter(config))) as AxiosError;
        first.cause = axiosOfNest.AxiosError.from(second, 'SECOND', config, second.request);
        second.cause = first;
        throw Object.assign(new AggregateError([first], 'twice'), { config });
      };
      const error = await failureOf(send(wrapping, at('/401')()));
      expect(error).toMatchObject({ message: 'twice', errors: [{ status: 401 }] });
      expect(tokens).toHaveLength(2);
      expect(leaksOf(error, secrets())).toEqual([]);
    });

    it.each([
      [
        'a frozen error',
        Object.freeze(Object.assign(new Error('cold'), { config: 1, request: 2 })),
      ],
      ['a text', 'thrown as it is'],
      ['nothing', undefined],
    ])('nor is anything changed in %s that an adapter throws', async (_what, thrown) => {
      const failing: AxiosAdapter = async () => await Promise.reject(thrown as Error);
      expect(await failureOf(send(failing, at('/401')()))).toBe(thrown);
    });

    it('the last error of axios-retry', async () => {
      const stubborn = await SendingService.start([answers.url]);
      const always = { retries: 2, retryCondition: () => true, retryDelay: () => 0 };
      axiosRetry(stubborn.http.axiosRef, always);
      const config = { method: 'post', data: { a: 1 }, adapter, ...at('/503')() };
      const error = await failureOf(stubborn.send(config));
      expect(new Set(tokens).size).toBe(3);
      expect(leaksOf(error, secrets())).toEqual([]);
      await stubborn.close();
    });

    it('an error whose caller had passed on the token of another', async () => {
      const inbound = tokenLike('inbound');
      const headers = { JWT: inbound, 'x-own': 'kept' };
      const error = await failureOf(send(adapter, { ...at('/401')(), headers }));
      expect(JSON.stringify(error)).toContain('kept');
      expect(leaksOf(error, [...secrets(), ...tellingSegments([inbound])])).toEqual([]);
    });
  },
);

const tokenLike = (name: string): string =>
  [name, 'payload', 'signature'].map((part) => part.repeat(5)).join('.');

describe('with an agent that all calls share', () => {
  const stalled = async (httpAgent: Agent, timeout?: number) =>
    await failureOf(send(noting('http'), { ...at('/stalled')(), httpAgent, timeout }));
  let agent: Agent;
  beforeEach(() => (agent = kept(new Agent({ keepAlive: true, maxSockets: 2 }))));

  it('an error shows no token of the calls that are on their way, or that wait for a socket', async () => {
    const others = [1, 2, 3, 4].map(async () => await stalled(agent));
    await arrived(2);
    while (tokens.length < 4) await new Promise((resolve) => setImmediate(resolve));
    const error = await failureOf(send(noting('http'), { url: refused, httpAgent: agent }));
    const waiting = Object.values(agent.requests).flatMap((requests) => requests ?? []);
    expect(waiting).toHaveLength(2);
    expect(leaksOf(error, secrets(), PRINTINGS)).toEqual([]);
    // What is still to be sent has to be somewhere.
    expect(leaksOf(waiting, secrets(), DEEP_PRINTINGS)).not.toEqual([]);
    agent.destroy();
    for (const request of waiting) request.destroy();
    await Promise.all(others);
    expect(leaksOf([error, agent], secrets())).toEqual([]);
  });

  it('an error shows no token of a call that waits for its connection', async () => {
    const toName = { url: `http://localhost:${answers.port}`, lookup: () => undefined };
    const controller = new AbortController();
    const { signal } = controller;
    const other = failureOf(
      send(noting('http'), { ...toName, httpAgent: agent, signal } as AxiosRequestConfig),
    );
    const isConnecting = () =>
      Object.values(agent.sockets).some((sockets) => sockets?.some(({ connecting }) => connecting));
    while (!isConnecting()) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    const error = await failureOf(send(noting('http'), { url: refused, httpAgent: agent }));
    expect(isConnecting()).toBe(true);
    expect(leaksOf(error, secrets(), PRINTINGS)).toEqual([]);
    expect(leaksOf(error, secrets(), DEEP_PRINTINGS)).not.toEqual([]);
    controller.abort();
    expect(leaksOf([await other, error, agent], secrets())).toEqual([]);
  });

  it('an error of a call that got no socket in time shows none, nor does the agent', async () => {
    const holding = [stalled(agent), stalled(agent)];
    await arrived(2);
    const error = await stalled(agent, 50);
    expect(error).toMatchObject({ code: 'ECONNABORTED', message: 'timeout of 50ms exceeded' });
    expect(leaksOf([error, agent], secrets())).toEqual([]);
    expect(leaksOf(error, secrets())).toEqual([]);
    agent.destroy();
    await Promise.all(holding);
    expect(answers.requests).toHaveLength(2);
  });
});

describe('for comparison,', () => {
  it.each(ADAPTERS_OF_AXIOS)('axios alone shows the token (%s)', async (adapter) => {
    const token = tokenLike('header');
    const error = await failureOf(
      axiosOfNest.create().request({ ...at('/401')(), headers: { JWT: token }, adapter }),
    );
    const shown = leaksOf(error, tellingSegments([token]));
    expect(shown).toEqual(
      everyMember
        .map(([name]) => name)
        .filter((name) => !['String and stack', 'structuredClone'].includes(name)),
    );
  });

  it.each(ADAPTERS_OF_AXIOS)(
    'the body that the caller gave is shown, as by axios itself (%s)',
    async (adapter) => {
      const canary = 'canary-of-the-body';
      const error = await failureOf(
        send(noting(adapter), { ...at('/401')(), data: { secret: canary } }),
      );
      expect((error as AxiosError).config?.data).toBe(JSON.stringify({ secret: canary }));
      expect(leaksOf(error, [canary])).toContain('JSON.stringify');
    },
  );
});
