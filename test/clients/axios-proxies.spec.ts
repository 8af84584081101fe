import { once } from 'node:events';
import { Agent, createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { AxiosRequestConfig } from 'axios';
import { ForwardProxy, type Proxied } from '../support/http/forward-proxy.js';
import { createKey } from '../support/keys/keys.js';
import { replay, startCensus } from '../support/services/receiving-service.js';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { selfSign } from '../support/keys/self-signed.js';
import { FROM_HERALD, SendingService, USER } from '../support/services/sending-service.js';
import { ADAPTERS, type TestService } from '../support/services/service.js';
import { leaksOf, tellingSegments } from '../support/observed/traces.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const CREDENTIALS = 'herald:canary-of-the-proxy';
const BASIC = `Basic ${Buffer.from(CREDENTIALS).toString('base64')}`;
const VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);

const open = new ForwardProxy();
const guarded = new ForwardProxy(CREDENTIALS);
const before = new Map(VARIABLES.map((name) => [name, process.env[name]]));
beforeAll(async () => await Promise.all([open.start(), guarded.start()]));
afterAll(async () => await Promise.all([open.close(), guarded.close()]));
beforeEach(() => {
  for (const name of VARIABLES) delete process.env[name];
});
afterEach(() => {
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  open.takeAll();
  guarded.takeAll();
});

const asRecorded = (proxied: Proxied): Recorded => ({ ...proxied, body: Buffer.alloc(0) });
const headersOf = (proxied: Proxied | undefined, name: string): string[] =>
  proxied ? valuesOf(asRecorded(proxied), name) : [];

/** The ways to name a proxy. */
const WAYS: readonly [
  string,
  (proxy: ForwardProxy, scheme: 'http' | 'https') => AxiosRequestConfig,
][] = [
  [
    'the environment',
    (proxy, scheme) => {
      process.env[`${scheme.toUpperCase()}_PROXY`] = proxy.url;
      return {};
    },
  ],
  [
    'the configuration of the call',
    (proxy) => {
      const { username, password } = new URL(proxy.url);
      const auth = username === '' ? undefined : { username, password };
      return { proxy: { protocol: 'http', host: '127.0.0.1', port: proxy.port, auth } };
    },
  ],
];

describe.each(WAYS)('with a proxy named by %s,', (_way, name) => {
  describe.each(ADAPTERS)('a service on %s', (framework) => {
    let census: TestService;
    let herald: SendingService;
    beforeAll(async () => {
      census = await startCensus(framework);
      herald = await SendingService.start([census.url]);
    });
    afterAll(async () => await Promise.all([census.close(), herald.close()]));
    const post = async (config: AxiosRequestConfig) =>
      await herald.send({
        method: 'post',
        url: `${census.url}/things`,
        params: { n: 1 },
        data: { a: 1 },
        ...config,
      });

    it('OS-22 accepts what came through it in the clear', async () => {
      const { data } = await post(name(open, 'http'));
      expect(data).toMatchObject({ accepted: 'POST', subject: USER });
      const [proxied, ...others] = open.takeAll();
      expect(others).toEqual([]);
      expect(proxied?.target).toBe(`${census.url}/things?n=1`);
      expect(headersOf(proxied, 'jwt')).toHaveLength(1);
      expect(headersOf(proxied, 'host')).toEqual([new URL(census.url).host]);
      expect(headersOf(proxied, 'proxy-authorization')).toEqual([]);
    });

    it('OS-22 gets the token, and only the proxy its credentials', async () => {
      const { data } = await post(name(guarded, 'http'));
      expect(data).toMatchObject({ accepted: 'POST', subject: USER });
      const [proxied, ...others] = guarded.takeAll();
      expect(others).toEqual([]);
      expect(headersOf(proxied, 'proxy-authorization')).toEqual([BASIC]);
      expect(headersOf(proxied, 'authorization')).toEqual([]);
      expect(headersOf(proxied, 'jwt')).toEqual([expect.stringMatching(/^eyJ/)]);
    });
  });

  it('OS-22 that refuses, the call fails, and its error shows no token', async () => {
    const wire = await new RecordingServer().start();
    const herald = await SendingService.start([wire.url]);
    const config = { ...name(guarded, 'http'), method: 'post', url: `${wire.url}/x`, data: 'x' };
    const wrong = config.proxy ? { ...config.proxy, auth: undefined } : undefined;
    process.env['HTTP_PROXY'] = guarded.url.replace(CREDENTIALS, 'herald:wrong');
    const error: unknown = await herald.send({ ...config, proxy: wrong }).catch((e: unknown) => e);
    expect(error).toMatchObject({ status: 407 });
    const tokens = guarded.takeAll().flatMap((proxied) => headersOf(proxied, 'jwt'));
    expect(tokens).toHaveLength(1);
    expect(leaksOf(error, tellingSegments(tokens))).toEqual([]);
    expect(wire.connections).toBe(0);
    process.env['HTTP_PROXY'] = guarded.url;
    await herald.send(config);
    checkStrict(wire.takeOne(), FROM_HERALD);
    await Promise.all([herald.close(), wire.close()]);
  });

  describe('and a target over TLS', () => {
    const key = createKey();
    const certificate = selfSign(key);
    const requests: Recorded[] = [];
    const server = createServer({ key: key.privatePem, cert: certificate }, (request, answer) => {
      const { method = '', url = '', rawHeaders } = request;
      requests.push({ method, target: url, rawHeaders, body: Buffer.alloc(0) });
      answer.end('{}');
    });
    let herald: SendingService;
    let host = '';
    beforeAll(async () => {
      await once(server.listen(0, '127.0.0.1'), 'listening');
      host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      herald = await SendingService.start([`https://${host}`]);
    });
    afterAll(async () => {
      server.closeAllConnections();
      server.close();
      await herald.close();
    });

    it.each([
      ['open', open, []],
      ['guarded', guarded, [BASIC]],
    ])(
      'OS-22 the token goes through the tunnel of the %s one, inside TLS alone',
      async (_which, proxy, credentials) => {
        requests.length = 0;
        proxy.tunnelled.length = 0;
        // The certificate names no address.
        const httpsAgent = new Agent({ ca: certificate, checkServerIdentity: () => undefined });
        await herald.send({ ...name(proxy, 'https'), url: `https://${host}/x?y=1`, httpsAgent });
        const [received, ...others] = requests;
        expect(others).toEqual([]);
        expect(received?.target).toBe('/x?y=1');
        checkStrict(received!, FROM_HERALD);
        expect(valuesOf(received!, 'proxy-authorization')).toEqual([]);
        const [proxied, ...more] = proxy.takeAll();
        expect(more).toEqual([]);
        expect(proxied).toMatchObject({ method: 'CONNECT', target: host });
        expect(headersOf(proxied, 'jwt')).toEqual([]);
        expect(headersOf(proxied, 'proxy-authorization')).toEqual(credentials);
        const [token = ''] = valuesOf(received!, 'jwt');
        const clear = Buffer.concat(proxy.tunnelled).toString('latin1');
        expect(clear.length).toBeGreaterThan(500);
        for (const segment of tellingSegments([token])) expect(clear).not.toContain(segment);
        const census = await startCensus('express');
        expect(await replay(census, received!)).toBe('accepted');
        await census.close();
      },
    );
  });
});

describe('with a proxy in the environment,', () => {
  const wire = new RecordingServer();
  let herald: SendingService;
  beforeAll(async () => {
    await wire.start();
    herald = await SendingService.start([wire.url]);
  });
  afterAll(async () => await Promise.all([wire.close(), herald.close()]));
  beforeEach(() => (process.env['HTTP_PROXY'] = open.url));

  it.each<[string, AxiosRequestConfig, Record<string, string>]>([
    ['a call that wants none', { proxy: false }, {}],
    ['a target that is exempt', {}, { NO_PROXY: '127.0.0.1' }],
    ['fetch, which knows of none', { adapter: 'fetch' }, {}],
  ])('OS-22 %s goes straight to its target', async (_which, config, variables) => {
    Object.assign(process.env, variables);
    await herald.send({ method: 'post', url: `${wire.url}/x`, data: { a: 1 }, ...config });
    const recorded = wire.takeOne();
    expect(recorded.target).toBe('/x');
    checkStrict(recorded, FROM_HERALD);
    expect(open.takeAll()).toEqual([]);
  });

  it('OS-22 credentials that a caller sets for the proxy are neither signed nor taken for ours', async () => {
    const headers = { 'Proxy-Authorization': 'Basic of-the-caller' };
    await herald.send({ method: 'post', url: `${wire.url}/x`, data: { a: 1 }, headers });
    const [proxied] = open.takeAll();
    expect(headersOf(proxied, 'proxy-authorization')).toEqual(['Basic of-the-caller']);
    const recorded = wire.takeOne();
    expect(checkStrict(recorded, FROM_HERALD)['hdr']).toEqual({
      'content-type': 'application/json',
    });
    expect(valuesOf(recorded, 'proxy-authorization')).toEqual([]);
  });
});
