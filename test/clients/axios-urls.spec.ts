import { once } from 'node:events';
import { Agent, createServer } from 'node:https';
import type { AddressInfo, LookupFunction } from 'node:net';
import type { AxiosAdapter, AxiosRequestConfig, AxiosResponse } from 'axios';
import { firstValueFrom, type Observable } from 'rxjs';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { replay, startCensus } from '../support/services/receiving-service.js';
import { createKey } from '../support/keys/keys.js';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { selfSign } from '../support/keys/self-signed.js';
import {
  CENSUS,
  FROM_HERALD,
  refusalOf,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import type { TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const ADAPTERS_OF_AXIOS = ['http', 'fetch'] as const;

type Address = [name: string, config: AxiosRequestConfig, target: string];

/** `BASE` stands for the URL of the server that is called. */
const BASE = 'http://base';
const ADDRESSED: readonly Address[] = [
  ['no path', { url: BASE }, '/'],
  ['a path', { url: `${BASE}/a/b/` }, '/a/b/'],
  ['a base URL with a path', { baseURL: `${BASE}/api/`, url: '/a' }, '/api/a'],
  ['a base URL alone', { baseURL: `${BASE}/api`, url: '' }, '/api'],
  [
    'OS-03 an absolute URL over a base URL',
    { baseURL: `${BASE}/api`, url: `${BASE}/other` },
    '/other',
  ],
  [
    'OS-03 an absolute URL that must not be one',
    { baseURL: `${BASE}/api`, url: 'http://evil.example/x', allowAbsoluteUrls: false },
    '/api/http://evil.example/x',
  ],
  [
    'OS-04 a foreign host that must not be one',
    { baseURL: `${BASE}/api`, url: '//evil.example/x', allowAbsoluteUrls: false },
    '/api/evil.example/x',
  ],
  [
    'OS-04 a backslash at the front',
    { baseURL: BASE, url: '/\\evil.example/x' },
    '//evil.example/x',
  ],
  ['OS-04 an @ at the front', { baseURL: BASE, url: '@evil.example/x' }, '/@evil.example/x'],
  ['OS-04 a port at the front', { baseURL: BASE, url: ':80/x' }, '/:80/x'],
  ['OS-04 dot segments', { baseURL: `${BASE}/a/b`, url: '/../c/./d' }, '/a/c/d'],
  ['OS-04 encoded dot segments', { baseURL: `${BASE}/a/b`, url: '/%2e%2E/c' }, '/a/c'],
  ['OS-04 encoded slashes behind dots', { baseURL: BASE, url: '/..%2f..%2Fx' }, '/..%2f..%2Fx'],
  ['OS-04 an encoded slash', { url: `${BASE}/a%2fb%2Fc` }, '/a%2fb%2Fc'],
  ['encodings in mixed case', { url: `${BASE}/%c5%BE?%C5%be=%7e~` }, '/%c5%BE?%C5%be=%7e~'],
  ['letters beyond ASCII', { url: `${BASE}/žluť?kůň=ž` }, '/%C5%BElu%C5%A5?k%C5%AF%C5%88=%C5%BE'],
  ['a line break and a tab', { url: `${BASE}/a\n\tb` }, '/ab'],
  ['spaces', { url: `${BASE}/a b?c d` }, '/a%20b?c%20d'],
  ['OS-04 a double slash', { url: `${BASE}//a//b` }, '//a//b'],
  [
    'reserved characters',
    { url: `${BASE}/a;b=1,2:3$(x)!*?q='"[]{}|^` },
    `/a;b=1,2:3$(x)!*?q=%27%22[]{}|^`,
  ],
  ['an empty query', { url: `${BASE}/a?` }, '/a'],
  ['an empty query and parameters', { url: `${BASE}/a?`, params: { b: 1 } }, '/a?&b=1'],
  ['a query of one sign', { url: `${BASE}/a?&` }, '/a?&'],
  ['a fragment', { url: `${BASE}/a?b#c?d` }, '/a?b'],
  ['a fragment and parameters', { url: `${BASE}/a#c?d`, params: { b: 1 } }, '/a?b=1'],
  [
    'parameters',
    { url: `${BASE}/a`, params: { b: 'ž', c: undefined, d: null, e: false } },
    '/a?b=%C5%BE&e=false',
  ],
  ['parameters behind a query', { url: `${BASE}/a?x=1`, params: { b: 2 } }, '/a?x=1&b=2'],
  [
    'a list in parameters',
    { url: `${BASE}/a`, params: { b: [1, 'x y'] } },
    '/a?b%5B%5D=1&b%5B%5D=x+y',
  ],
  [
    'nested parameters',
    { url: `${BASE}/a`, params: { b: { c: { d: 1 } } } },
    '/a?b%5Bc%5D%5Bd%5D=1',
  ],
  [
    'a date in parameters',
    { url: `${BASE}/a`, params: { b: new Date(0) } },
    '/a?b=1970-01-01T00:00:00.000Z',
  ],
  [
    'signs in parameters',
    { url: `${BASE}/a`, params: { b: "'+ &=?#[]/:$,%" } },
    '/a?b=%27%2B+%26%3D%3F%23%5B%5D%2F:$,%25',
  ],
  [
    'search parameters',
    { url: `${BASE}/a`, params: new URLSearchParams("b=1&b=ž '") },
    '/a?b=1&b=%C5%BE+%27',
  ],
  [
    'OS-12 a serializer',
    { url: `${BASE}/a`, params: { b: 1 }, paramsSerializer: { serialize: () => "made='up'" } },
    '/a?made=%27up%27',
  ],
  [
    'OS-12 a serializer as a function',
    { url: `${BASE}/a`, params: { b: 1 }, paramsSerializer: () => 'x=y z' },
    '/a?x=y%20z',
  ],
  [
    'OS-12 an encoder',
    {
      url: `${BASE}/a`,
      params: { b: 'x' },
      paramsSerializer: { encode: (text: string) => `<${text}>` },
    },
    '/a?%3Cb%3E=%3Cx%3E',
  ],
  [
    'OS-12 indexes',
    { url: `${BASE}/a`, params: { b: [1, 2] }, paramsSerializer: { indexes: true } },
    '/a?b%5B0%5D=1&b%5B1%5D=2',
  ],
  ['a host in capitals', { url: `${BASE.toUpperCase()}/A` }, '/A'],
];

describe.each(ADAPTERS_OF_AXIOS)('through the %s adapter', (adapter) => {
  const wire = new RecordingServer();
  let express: TestService;
  let fastify: TestService;
  let herald: SendingService;
  beforeAll(async () => {
    await wire.start();
    express = await startCensus('express');
    fastify = await startCensus('fastify');
    herald = await SendingService.start([wire.url]);
  });
  afterAll(async () => {
    await Promise.all([wire, express, fastify, herald].map((service) => service.close()));
  });

  const at = (url: string | undefined) => url?.replace(/http:\/\/base/i, wire.url);

  describe('signs the target on the wire for', () => {
    it.each(ADDRESSED)('%s', async (_name, config, target) => {
      await herald.send({ ...config, url: at(config.url), baseURL: at(config.baseURL), adapter });
      const recorded = wire.takeOne();
      expect(recorded.target).toBe(target);
      checkStrict(recorded, FROM_HERALD);
      expect(await replay(express, { ...recorded, target: `${target}x` })).toBe('request_mismatch');
      expect(await replay(express, recorded)).toBe('accepted');
      expect(await replay(fastify, recorded)).toBe('accepted');
    });

    it('OS-12 a serializer that never says the same twice', async () => {
      let calls = 0;
      const paramsSerializer = () => `n=${(calls += 1)}`;
      await herald.send({ url: `${wire.url}/a`, params: { a: 1 }, paramsSerializer, adapter });
      checkStrict(wire.takeOne(), FROM_HERALD);
    });
  });

  describe('signs the method on the wire for', () => {
    const data = { a: 1 };
    it.each<[string, AxiosRequestConfig, string]>([
      ['no method', {}, 'GET'],
      ['GET', { method: 'GET' }, 'GET'],
      ['get', { method: 'get' }, 'GET'],
      ['a POST in mixed case', { method: 'pOsT', data }, 'POST'],
      ['PUT', { method: 'PUT', data }, 'PUT'],
      ['PATCH', { method: 'PATCH', data }, 'PATCH'],
      ['DELETE', { method: 'DELETE' }, 'DELETE'],
      ['DELETE with a body', { method: 'DELETE', data }, 'DELETE'],
      ['HEAD', { method: 'HEAD' }, 'HEAD'],
      ['OPTIONS', { method: 'OPTIONS' }, 'OPTIONS'],
      ['OPTIONS with a body', { method: 'OPTIONS', data }, 'OPTIONS'],
    ])('%s', async (_name, config, method) => {
      await herald.send({ ...config, url: `${wire.url}/a`, adapter });
      const recorded = wire.takeOne();
      expect(recorded.method).toBe(method);
      expect(recorded.body.toString()).toBe(config.data ? '{"a":1}' : '');
      checkStrict(recorded, FROM_HERALD);
      const other = method === 'PUT' ? 'POST' : 'PUT';
      expect(await replay(express, { ...recorded, method: other })).toBe('request_mismatch');
      expect(await replay(express, recorded)).toBe('accepted');
    });

    it.each(['PROPFIND', 'query'])('%s, which is not among the common ones', async (method) => {
      await herald.send({ method, url: `${wire.url}/a`, data, adapter });
      const recorded = wire.takeOne();
      expect(recorded.method).toBe(method.toUpperCase());
      checkStrict(recorded, FROM_HERALD);
    });

    it('HttpService.query, where it exists', async () => {
      const { http } = herald;
      if (!hasQuery(http)) return;
      await firstValueFrom(http.query(`${wire.url}/a`, data, onBehalfOf(USER, { adapter })));
      const recorded = wire.takeOne();
      expect(recorded.method).toBe('QUERY');
      checkStrict(recorded, FROM_HERALD);
    });
  });

  it.each(['GET', 'HEAD'])('signs %s with a body, or sends nothing', async (method) => {
    const sending = herald.send({ method, url: `${wire.url}/a`, data: { a: 1 }, adapter });
    if (adapter === 'fetch') {
      await expect(sending).rejects.toThrow('cannot have body');
      expect(wire.takeAll()).toEqual([]);
    } else {
      await sending;
      const recorded = wire.takeOne();
      expect(recorded.body.toString()).toBe('{"a":1}');
      checkStrict(recorded, FROM_HERALD);
      expect(await replay(express, recorded)).toBe('accepted');
    }
  });
});

describe.each(ADAPTERS_OF_AXIOS)(
  'through the %s adapter, refuses before a connection is made',
  (adapter) => {
    const known = new RecordingServer();
    const evil = new RecordingServer();
    let herald: SendingService;
    beforeAll(async () => {
      await Promise.all([known.start(), evil.start()]);
      herald = await SendingService.start([`${known.url}/api`]);
    });
    afterAll(async () => {
      expect([known.connections, evil.connections]).toEqual([0, 0]);
      await herald.send({ baseURL: fill(baseURL), url: '/x/../y', adapter });
      expect([known.connections, evil.connections]).toEqual([1, 0]);
      checkStrict(known.takeOne(), FROM_HERALD);
      await Promise.all([known.close(), evil.close(), herald.close()]);
    });

    /** `KNOWN` and `EVIL` stand for the two servers. */
    const fill = (url = '') =>
      url.replace('KNOWN', `127.0.0.1:${known.port}`).replace('EVIL', `127.0.0.1:${evil.port}`);
    const baseURL = 'http://KNOWN/api';

    it.each<[string, AxiosRequestConfig, string]>([
      [
        'OS-03 another host over the base URL',
        { baseURL, url: 'http://EVIL/api' },
        'target_unknown',
      ],
      [
        'OS-03 a path of its own over the base URL',
        { baseURL, url: 'http://KNOWN/x' },
        'target_unknown',
      ],
      ['OS-04 another host in front of the path', { baseURL, url: '//EVIL/api' }, 'target_invalid'],
      ['OS-04 an @ behind the base URL', { url: `${baseURL}@EVIL/api` }, 'target_unknown'],
      ['OS-04 an @ behind the known host', { url: 'http://KNOWN@EVIL/api' }, 'target_invalid'],
      ['OS-04 a backslash before an @', { url: 'http://EVIL\\@KNOWN/api' }, 'target_unknown'],
      ['a path without a base', { url: '/api' }, 'target_invalid'],
      ['no URL', {}, 'target_invalid'],
      ['OS-05 a user', { url: 'http://user@KNOWN/api' }, 'target_invalid'],
      ['OS-05 a password', { url: 'http://:secret@KNOWN/api' }, 'target_invalid'],
      [
        'OS-05 a user in the base URL',
        { baseURL: 'http://user@KNOWN', url: '/api' },
        'target_invalid',
      ],
      [
        'OS-05 the known host as the user of another',
        { url: 'http://KNOWN@EVIL/api' },
        'target_invalid',
      ],
      ['OS-06 a host that nobody configured', { url: 'http://EVIL/api' }, 'target_unknown'],
      ['OS-06 another port', { url: 'http://127.0.0.1:1/api' }, 'target_unknown'],
      ['OS-06 another name of the host', { url: `http://localhost/api` }, 'target_unknown'],
      ['OS-06 another scheme', { url: 'https://KNOWN/api' }, 'target_unknown'],
      ['OS-06 a path beside the target', { url: 'http://KNOWN/other' }, 'target_unknown'],
      [
        'OS-07 the known host as a domain of another',
        { url: 'http://127.0.0.1.evil.example/api' },
        'target_unknown',
      ],
      [
        'OS-07 a path that begins like the target',
        { url: 'http://KNOWN/api-evil' },
        'target_unknown',
      ],
      ['OS-07 the path in other letters', { url: 'http://KNOWN/API/x' }, 'target_unknown'],
      ['a scheme that is not of the web', { url: 'ftp://KNOWN/api' }, 'target_invalid'],
      ['a data URL', { url: 'data:text/plain,api' }, 'target_invalid'],
      ['a script', { url: 'javascript:api' }, 'target_invalid'],
      ['a file', { url: 'file:///etc/hosts' }, 'target_invalid'],
      ['OS-04 a way out of the target', { baseURL, url: '/../other' }, 'target_unknown'],
      ['OS-04 an encoded way out', { baseURL, url: '%2e%2E/other' }, 'target_unknown'],
      ['OS-04 a way out with backslashes', { baseURL, url: '\\..\\..\\other' }, 'target_unknown'],
      [
        'a request line over 4096 characters',
        { baseURL, params: { a: 'x'.repeat(4096) } },
        'request_too_long',
      ],
    ])('%s', async (_name, config, code) => {
      const addressed = {
        ...config,
        url: fill(config.url),
        baseURL: fill(config.baseURL),
        adapter,
      };
      expect(await refusalOf(herald.send(addressed))).toBe(code);
    });

    it.each(['http:EVIL/api', 'http:/EVIL/api', 'http:\\\\EVIL\\api'])(
      'OS-04 %s, as axios does',
      async (url) => {
        await expect(herald.send({ url: fill(url), adapter })).rejects.toMatchObject({
          code: 'ERR_INVALID_URL',
        });
      },
    );
  },
);

describe.each(ADAPTERS_OF_AXIOS)('through the %s adapter, a host that is no target', (adapter) => {
  const stranger = new RecordingServer();
  beforeAll(async () => void (await stranger.start()));
  afterAll(async () => await stranger.close());

  it('OS-06 gets no request, unless the options say that it may, and then no token', async () => {
    const url = `${stranger.url}/x`;
    const careful = await SendingService.start(['https://census.service/']);
    expect(await refusalOf(careful.send({ url, adapter }))).toBe('target_unknown');
    expect(stranger.connections).toBe(0);
    const options = { unknownTargets: 'send-unsigned' as const };
    const careless = await SendingService.start(['https://census.service/'], options);
    await careless.http.axiosRef.get(url, { adapter });
    expect(stranger.takeOne().rawHeaders.join()).not.toMatch(/jwt|eyJ/i);
    // Unsigned, the words that name the user would be lost.
    expect(await refusalOf(careless.send({ url, adapter }))).toBe('target_unknown');
    expect(stranger.takeAll()).toEqual([]);
    const sender = await SendingService.start([stranger.url]);
    await sender.send({ url, adapter });
    checkStrict(stranger.takeOne(), FROM_HERALD);
    await Promise.all([careful, careless, sender].map((service) => service.close()));
  });

  it('OS-05 is refused over http: where the target is https:', async () => {
    const { host } = new URL(stranger.url);
    const secure = await SendingService.start([`https://${host}/`], {
      unknownTargets: 'refuse',
    });
    const seen = stranger.connections;
    expect(await refusalOf(secure.send({ url: `http://${host}/x`, adapter }))).toBe(
      'target_unknown',
    );
    expect(stranger.connections).toBe(seen);
    const plain = await SendingService.start([`http://${host}/`]);
    await plain.send({ url: `http://${host}/x`, adapter });
    checkStrict(stranger.takeOne(), FROM_HERALD);
    await Promise.all([secure.close(), plain.close()]);
  });
});

describe('a target over TLS', () => {
  const key = createKey();
  const ca = selfSign(key);
  const requests: Recorded[] = [];
  const server = createServer(
    { key: key.privatePem, cert: ca },
    ({ method, url, rawHeaders }, answer) => {
      requests.push({ method: method ?? '', target: url ?? '', rawHeaders, body: Buffer.alloc(0) });
      answer.end('{}');
    },
  );
  beforeAll(async () => void (await once(server.listen(0, '127.0.0.1'), 'listening')));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it('OS-05 gets a signed request over https:, and nothing over http:', async () => {
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const herald = await SendingService.start([`https://${host}/`]);
    // The certificate names no address.
    const httpsAgent = new Agent({ ca, checkServerIdentity: () => undefined });
    expect(await refusalOf(herald.send({ url: `http://${host}/x`, httpsAgent }))).toBe(
      'target_unknown',
    );
    expect(requests).toEqual([]);
    await herald.send({ url: `https://${host}/x`, httpsAgent });
    checkStrict(requests[0]!, FROM_HERALD);
    expect(requests).toHaveLength(1);
    await herald.close();
  });
});

describe('the origin of a target is matched exactly', () => {
  const server = new RecordingServer();
  let herald: SendingService;
  beforeAll(async () => {
    await server.start();
    herald = await SendingService.start([`http://orders.test:${server.port}`, 'http://bare.test']);
  });
  afterAll(async () => await Promise.all([server.close(), herald.close()]));

  /** Every name is this machine. */
  const lookup: LookupFunction = (_host, options, answer) => {
    const address = { address: '127.0.0.1', family: 4 };
    if (options.all) answer(null, [address]);
    else answer(null, address.address, address.family);
  };
  const send = async (host: string) =>
    await herald.send({ url: `http://${host}:${server.port}/x`, lookup } as AxiosRequestConfig);

  it.each([
    'evil-orders.test',
    'api.evil-orders.test',
    'api.orders.test',
    'orders.test.evil.test',
    'orders.tes',
    'rders.test',
    'orders-test',
    'ordersatest',
    'orders.test.',
    'оrders.test',
    '127.0.0.1',
    'bare.test',
    'bare.test.evil.test',
  ])('OS-07 not %s', async (host) => {
    const seen = server.connections;
    expect(await refusalOf(send(host))).toBe('target_unknown');
    expect(server.connections).toBe(seen);
  });

  it.each(['orders.test', 'ORDERS.test', 'Orders.Test', 'orders%2Etest', 'ｏrders.test'])(
    'OS-07 but %s, which is the same host to everyone',
    async (host) => {
      await send(host);
      const recorded = server.takeOne();
      checkStrict(recorded, FROM_HERALD);
      expect(valuesOf(recorded, 'host')).toEqual([`orders.test:${server.port}`]);
    },
  );
});

describe('finds the target by its parsed origin', () => {
  const echo: AxiosAdapter = async (config) =>
    await Promise.resolve({ data: config.url, status: 200, statusText: '', headers: {}, config });

  it.each([
    ['http://census.test:80/x', 'http://census.test/x'],
    ['HTTP://CENSUS.TEST/x', 'http://census.test/x'],
    ['https://census.test:443/x', 'https://census.test/x'],
    ['http://čensus.test/x', 'http://xn--ensus-gya.test/x'],
  ])('OS-07 %s', async (url, sent) => {
    const herald = await SendingService.start([], {
      targets: [
        { baseUrl: 'http://census.test', audience: CENSUS },
        { baseUrl: 'https://CENSUS.test', audience: CENSUS },
        { baseUrl: 'http://xn--ensus-gya.test:80', audience: CENSUS },
      ],
    });
    expect((await herald.send({ url, adapter: echo })).data).toBe(sent);
    await herald.close();
  });
});

/** @nestjs/axios has it from version 12 on. */
function hasQuery(http: object): http is {
  query(url: string, data: unknown, config: AxiosRequestConfig): Observable<AxiosResponse<unknown>>;
} {
  return 'query' in http;
}
