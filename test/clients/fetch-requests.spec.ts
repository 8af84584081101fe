import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { Agent, fetch as fetchOfUndici, type RequestInit as InitOfUndici } from 'undici';
import { createKey } from '../support/keys/keys.js';
import { FETCHES, FetchingService } from '../support/services/fetching-service.js';
import { replay, startCensus } from '../support/services/receiving-service.js';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { selfSign } from '../support/keys/self-signed.js';
import { FROM_HERALD, refusalOf } from '../support/services/sending-service.js';
import type { TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

/** `BASE` stands for the URL of the server that is called. */
const BASE = 'http://base';
const ADDRESSED: readonly [name: string, url: string, target: string][] = [
  ['no path', BASE, '/'],
  ['a path', `${BASE}/a/b/`, '/a/b/'],
  ['OS-04 a backslash at the front', `${BASE}/\\evil.example/x`, '//evil.example/x'],
  ['OS-04 an @ in the path', `${BASE}/@evil.example/x`, '/@evil.example/x'],
  ['OS-04 dot segments', `${BASE}/a/b/../c/./d`, '/a/c/d'],
  ['OS-04 encoded dot segments', `${BASE}/a/b/%2e%2E/c`, '/a/c'],
  ['OS-04 encoded slashes behind dots', `${BASE}/..%2f..%2Fx`, '/..%2f..%2Fx'],
  ['OS-04 an encoded slash', `${BASE}/a%2fb%2Fc`, '/a%2fb%2Fc'],
  ['OS-04 a double slash', `${BASE}//a//b`, '//a//b'],
  ['encodings in mixed case', `${BASE}/%c5%BE?%C5%be=%7e~`, '/%c5%BE?%C5%be=%7e~'],
  ['letters beyond ASCII', `${BASE}/žluť?kůň=ž`, '/%C5%BElu%C5%A5?k%C5%AF%C5%88=%C5%BE'],
  ['a line break and a tab', `${BASE}/a\n\tb`, '/ab'],
  ['spaces', `  ${BASE}/a b?c d `, '/a%20b?c%20d'],
  ['signs', `${BASE}/a;b=1,2:3$(x)!*?q='"[]{}|^\``, '/a;b=1,2:3$(x)!*?q=%27%22[]{}|^`'],
  ['an empty query', `${BASE}/a?`, '/a'],
  ['an empty query before a fragment', `${BASE}/a?#b?c`, '/a'],
  ['a query of one sign', `${BASE}/a?&`, '/a?&'],
  ['a fragment', `${BASE}/a?b#c?d`, '/a?b'],
  ['a host in capitals', `${BASE.toUpperCase()}/A`, '/A'],
];

describe.each(FETCHES)('by $name', ({ name: implementation, module }) => {
  const isOfNode = implementation === 'the fetch of Node';
  const wire = new RecordingServer();
  let express: TestService;
  let fastify: TestService;
  let herald: FetchingService;
  beforeAll(async () => {
    await wire.start();
    express = await startCensus('express');
    fastify = await startCensus('fastify');
    herald = await FetchingService.start([wire.url], {}, module);
  });
  afterAll(async () => {
    await Promise.all([wire, express, fastify, herald].map((service) => service.close()));
  });
  const at = (url: string) => url.replace(/http:\/\/base/i, wire.url);

  describe('signs the target on the wire for', () => {
    it.each(ADDRESSED)('%s', async (_name, url, target) => {
      const inputs = [at(url), new URL(at(url)), ...(isOfNode ? [new Request(at(url))] : [])];
      for (const input of inputs) {
        await herald.send(input);
        const recorded = wire.takeOne();
        expect(recorded.target).toBe(target);
        checkStrict(recorded, FROM_HERALD);
        const elsewhere = { ...recorded, target: `${target}x` };
        expect(await replay(express, elsewhere)).toBe('request_mismatch');
        expect(await replay(express, recorded)).toBe('accepted');
        expect(await replay(fastify, recorded)).toBe('accepted');
      }
    });

    it('a Request with an empty query, and all it holds', async () => {
      if (!isOfNode) return; // Undici's own fetch knows no Request but its own.
      const controller = new AbortController();
      const init = { method: 'PUT', body: 'x', headers: { 'x-own': 'yes' } };
      const request = () => new Request(`${wire.url}/a?`, { ...init, signal: controller.signal });
      await herald.send(request(), { body: null });
      const recorded = wire.takeOne();
      expect(recorded).toMatchObject({ method: 'PUT', target: '/a', body: Buffer.from('x') });
      expect(valuesOf(recorded, 'x-own')).toEqual(['yes']);
      expect(valuesOf(recorded, 'referer')).toEqual([]);
      checkStrict(recorded, FROM_HERALD);
      const late = request();
      controller.abort(new Error('enough'));
      await expect(herald.send(late)).rejects.toThrow('enough');
      expect(wire.takeAll()).toEqual([]);
    });

    it('a URL that says another thing each time', async () => {
      let asked = 0;
      const input = { toString: () => `${wire.url}/${(asked += 1)}` };
      await herald.send(input as string);
      checkStrict(wire.takeOne(), FROM_HERALD);
      expect(asked).toBe(1);
    });

    it('a URL that the caller changes meanwhile', async () => {
      const url = new URL(`${wire.url}/before`);
      const sending = herald.send(url);
      url.pathname = '/after';
      await sending;
      const recorded = wire.takeOne();
      expect(recorded.target).toBe('/before');
      checkStrict(recorded, FROM_HERALD);
    });
  });

  describe('signs the method on the wire for', () => {
    it.each<[string | undefined, string, string | undefined]>([
      [undefined, 'GET', undefined],
      ['GET', 'GET', undefined],
      ['get', 'GET', undefined],
      ['pOsT', 'POST', '{}'],
      ['PUT', 'PUT', '{}'],
      ['PATCH', 'PATCH', '{}'],
      ['patch', 'PATCH', '{}'],
      ['DELETE', 'DELETE', undefined],
      ['DELETE', 'DELETE', '{}'],
      ['HEAD', 'HEAD', undefined],
      ['OPTIONS', 'OPTIONS', '{}'],
    ])('%s', async (written, method, body) => {
      await herald.send(`${wire.url}/a`, { method: written, body });
      const recorded = wire.takeOne();
      expect(recorded.method).toBe(method);
      expect(recorded.body.toString()).toBe(body ?? '');
      checkStrict(recorded, FROM_HERALD);
      const other = method === 'PUT' ? 'POST' : 'PUT';
      expect(await replay(express, { ...recorded, method: other })).toBe('request_mismatch');
      expect(await replay(express, recorded)).toBe('accepted');
    });

    it.each(['PROPFIND', 'query'])('%s, which is not among the common ones', async (method) => {
      await herald.send(`${wire.url}/a`, { method, body: '{}' });
      const recorded = wire.takeOne();
      expect(recorded.method).toBe(method.toUpperCase());
      checkStrict(recorded, FROM_HERALD);
    });

    it.each(['CONNECT', 'TRACE', 'a b'])('not %s, as fetch does', async (method) => {
      await expect(herald.send(wire.url, { method })).rejects.toMatchObject({ name: 'TypeError' });
      expect(wire.takeAll()).toEqual([]);
    });
  });

  describe('takes', () => {
    it.each<[string, () => [string | Request, RequestInit?], string]>([
      [
        'a Request',
        () => [new Request(`${wire.url}/a`, { method: 'PUT', body: 'x' })],
        'PUT x yes',
      ],
      [
        'what an init overrules in a Request',
        () => [
          new Request(`${wire.url}/a`, { method: 'PUT', body: 'x', headers: { 'x-own': 'no' } }),
          { method: 'PATCH', body: 'y', headers: { 'x-own': 'yes' } },
        ],
        'PATCH y yes',
      ],
      [
        'what an init leaves alone in a Request, or says to be undefined or null',
        () => [
          new Request(`${wire.url}/a`, { method: 'PUT', body: 'x' }),
          { method: undefined, headers: undefined, body: null },
        ],
        'PUT x yes',
      ],
      [
        'a Request as init',
        () => [`${wire.url}/a`, new Request('http://other/', { method: 'PUT', body: 'x' })],
        'PUT x yes',
      ],
    ])('%s', async (_name, call, seen) => {
      if (!isOfNode) return; // Undici's own fetch knows no Request but its own.
      const [input, init] = call();
      for (const request of [input, init]) {
        if (request instanceof Request && !request.headers.has('x-own'))
          request.headers.set('x-own', 'yes');
      }
      await herald.send(input, init);
      const recorded = wire.takeOne();
      const own = valuesOf(recorded, 'x-own').join();
      expect(`${recorded.method} ${recorded.body.toString()} ${own}`).toBe(seen);
      checkStrict(recorded, FROM_HERALD);
    });

    it.each<[string, RequestInit]>([
      ['mode', { mode: 'cors' }],
      ['mode no-cors', { mode: 'no-cors' }],
      ['mode same-origin', { mode: 'same-origin' }],
      ['credentials', { credentials: 'include' }],
      ['cache', { cache: 'no-store' } as RequestInit],
      ['keepalive', { keepalive: true }],
      ['integrity', { integrity: 'sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=' }],
      ['referrerPolicy', { referrerPolicy: 'no-referrer' }],
      ['duplex where nothing streams', { duplex: 'half' }],
      ['a signal that is silent', { signal: new AbortController().signal }],
      ['no signal at all', { signal: null }],
      ['members that fetch knows nothing of', { next: { revalidate: 1 } } as RequestInit],
    ])('%s', async (_name, init) => {
      const { text } = await herald.send(`${wire.url}/a`, { method: 'POST', body: 'x', ...init });
      expect(text).toBe('{}');
      checkStrict(wire.takeOne(), FROM_HERALD);
    });

    it('integrity, and fails where the answer is another', async () => {
      const integrity = 'sha256-4OmGAKCA0vtDvb2G5rrXqJ1WQyLyTRNqqBk1ZyMxTgQ=';
      await expect(herald.send(wire.url, { integrity })).rejects.toMatchObject({
        message: 'fetch failed',
      });
      checkStrict(wire.takeOne(), FROM_HERALD);
    });
  });

  it('sends the referrer of a Request where fetch would', async () => {
    if (!isOfNode) return; // Undici's own fetch knows no Request but its own.
    const init = { referrer: `${wire.url}/from`, referrerPolicy: 'unsafe-url' } as const;
    const calls: [Request, RequestInit?][] = [
      [new Request(wire.url, init)],
      [new Request(`${wire.url}/?`, init)],
      [new Request(wire.url)],
      [new Request(wire.url, init), { redirect: 'manual' }],
    ];
    for (const [request, ...others] of calls) {
      await herald.send(request, ...others);
      await (await fetch(request, ...others)).text();
      const [ours, theirs] = wire.takeAll().map((recorded) => valuesOf(recorded, 'referer'));
      expect(ours).toEqual(theirs);
    }
  });

  it('gives the answer as it is', async () => {
    const { response } = await herald.send(`${wire.url}/a?b#c`);
    const plain = await (isOfNode ? fetch : fetchOfUndici)(`${wire.url}/a?b#c`);
    await plain.text();
    wire.takeAll();
    expect(Object.getPrototypeOf(response)).toBe(Object.getPrototypeOf(plain));
    const { status, ok, url, redirected, type } = response;
    expect({ status, ok, url, redirected, type }).toEqual({
      status: plain.status,
      ok: plain.ok,
      url: plain.url,
      redirected: plain.redirected,
      type: plain.type,
    });
  });

  describe('one token goes out, ours, where the caller sets', () => {
    it.each<[string, unknown]>([
      ['JWT', { JWT: 'a.b.c' }],
      ['jwt', { jwt: 'a.b.c' }],
      ['a list', { JWT: ['a.b.c', 'd.e.f'] }],
      ['several spellings', { JWT: 'a.b.c', jwt: 'd.e.f', ' jWt ': 'g.h.i' }],
      ['a line break', { JWT: 'a.b.c\r\nJWT: d.e.f' }],
      ['nothing', { JWT: '' }],
      ['Headers', new Headers({ JWT: 'a.b.c' })],
      ['pairs', [['jWt', 'a.b.c'], ['JWT', 'd.e.f']]], // prettier-ignore
    ])('OS-14 %s', async (_name, headers) => {
      await herald.send(wire.url, { method: 'POST', body: 'x', headers } as RequestInit);
      const recorded = wire.takeOne();
      checkStrict(recorded, FROM_HERALD);
      expect(JSON.stringify(recorded.rawHeaders)).not.toMatch(/a\.b\.c|d\.e\.f|g\.h\.i/);
    });

    it('OS-14 JWT in a Request', async () => {
      if (!isOfNode) return;
      const headers = { JWT: 'a.b.c', 'x-own': 'kept' };
      const request = new Request(wire.url, { headers });
      await herald.send(request);
      const recorded = wire.takeOne();
      checkStrict(recorded, FROM_HERALD);
      expect(valuesOf(recorded, 'x-own')).toEqual(['kept']);
      expect(request.headers.get('jwt')).toBe('a.b.c');
    });
  });

  describe('signedHeaders', () => {
    const signedHeaders = ['Idempotency-Key', 'x-tenant', 'x-absent', '__proto__'];
    const signed = signedHeaders.map((name) => name.toLowerCase());
    const headers = { 'idempotency-key': 'k-1', 'X-Tenant': 'é' };
    let binding: FetchingService;
    let census: TestService;
    beforeAll(async () => {
      binding = await FetchingService.start([wire.url], { signedHeaders }, module);
      census = await startCensus('express', { requiredHeaders: signedHeaders });
    });
    afterAll(async () => {
      await Promise.all([binding.close(), census.close()]);
    });
    const record = async (init: RequestInit = {}): Promise<Recorded> => {
      await binding.send(wire.url, { method: 'POST', body: '{}', headers, ...init });
      return wire.takeOne();
    };

    it.each<[string, RequestInit]>([
      ['with a body', {}],
      ['without one', { method: 'GET', body: undefined }],
      ['of two values, which are one on the wire', { headers: [['x-tenant', 'a'], ['X-Tenant', 'b']] }], // prettier-ignore
      ['with white space around', { headers: { 'x-tenant': '  k 1\t' } }],
      ['of no letters', { headers: { 'x-tenant': '' } }],
    ])('are bound as they arrive %s', async (_name, init) => {
      const recorded = await record(init);
      const claims = checkStrict(recorded, { ...FROM_HERALD, signedHeaders: signed });
      expect(claims['hdr']).toHaveProperty('x-tenant');
      const rawHeaders = recorded.rawHeaders.map((text) => (text === 'k-1' ? 'k-2' : text));
      if (rawHeaders.includes('k-2'))
        expect(await replay(census, { ...recorded, rawHeaders })).toBe('header_mismatch');
      expect(await replay(census, recorded)).toBe('accepted');
    });

    it.each<[string, RequestInit['headers']]>([
      ['letters that no header carries', { 'idempotency-key': 'klíč' }],
      ['a line break', { 'idempotency-key': 'a\r\nb' }],
    ])('with %s are refused before anything is sent, as fetch does', async (_name, changed) => {
      await expect(record({ headers: changed })).rejects.toMatchObject({ name: 'TypeError' });
      expect(wire.takeAll()).toEqual([]);
    });
  });

  describe('refuses before a connection is made', () => {
    const known = new RecordingServer();
    const evil = new RecordingServer();
    let careful: FetchingService;
    beforeAll(async () => {
      await Promise.all([known.start(), evil.start()]);
      careful = await FetchingService.start([`${known.url}/api`], {}, module);
    });
    afterAll(async () => {
      expect([known.connections, evil.connections]).toEqual([0, 0]);
      await careful.send(fill('http://KNOWN/api/x/../y'));
      expect([known.connections, evil.connections]).toEqual([1, 0]);
      checkStrict(known.takeOne(), FROM_HERALD);
      await Promise.all([known.close(), evil.close(), careful.close()]);
    });
    /** `KNOWN` and `EVIL` stand for the two servers. */
    const fill = (url: string) =>
      url.replace('KNOWN', `127.0.0.1:${known.port}`).replace('EVIL', `127.0.0.1:${evil.port}`);

    it.each([
      ['OS-04 another host in front of the path', '//EVIL/api', 'target_invalid'],
      ['OS-04 an @ behind the base URL', 'http://KNOWN/api@EVIL/api', 'target_unknown'],
      ['OS-04 an @ behind the known host', 'http://KNOWN@EVIL/api', 'target_invalid'],
      ['OS-04 a backslash before an @', 'http://EVIL\\@KNOWN/api', 'target_unknown'],
      ['OS-04 a scheme without slashes', 'http:EVIL/api', 'target_unknown'],
      ['OS-04 a way out of the target', 'http://KNOWN/api/../other', 'target_unknown'],
      ['OS-04 an encoded way out', 'http://KNOWN/api/%2e%2E/other', 'target_unknown'],
      ['OS-04 a way out with backslashes', 'http://KNOWN/api\\..\\other', 'target_unknown'],
      ['a path without a host', '/api', 'target_invalid'],
      ['no URL', '', 'target_invalid'],
      ['OS-05 a user', 'http://user@KNOWN/api', 'target_invalid'],
      ['OS-05 a password', 'http://:secret@KNOWN/api', 'target_invalid'],
      ['OS-06 a host that nobody configured', 'http://EVIL/api', 'target_unknown'],
      ['OS-06 another port', 'http://127.0.0.1:1/api', 'target_unknown'],
      ['OS-06 another name of the host', 'http://localhost/api', 'target_unknown'],
      ['OS-06 another scheme', 'https://KNOWN/api', 'target_unknown'],
      ['OS-06 a path beside the target', 'http://KNOWN/other', 'target_unknown'],
      [
        'OS-07 the known host as a domain of another',
        'http://127.0.0.1.evil.example/api',
        'target_unknown',
      ],
      ['OS-07 a path that begins like the target', 'http://KNOWN/api-evil', 'target_unknown'],
      ['OS-07 the path in other letters', 'http://KNOWN/API/x', 'target_unknown'],
      ['a scheme that is not of the web', 'ftp://KNOWN/api', 'target_invalid'],
      ['a data URL', 'data:text/plain,api', 'target_invalid'],
      ['a file', 'file:///etc/hosts', 'target_invalid'],
      [
        'a request line over 4096 characters',
        `http://KNOWN/api?a=${'x'.repeat(4096)}`,
        'request_too_long',
      ],
    ])('%s', async (_name, url, code) => {
      expect(await refusalOf(careful.send(fill(url)))).toBe(code);
      if (isOfNode && URL.canParse(fill(url)) && !/@|data:/.test(url))
        expect(await refusalOf(careful.send(new Request(fill(url))))).toBe(code);
    });

    it('what was given up before', async () => {
      const reason = new Error('never mind');
      const signal = AbortSignal.abort(reason);
      await expect(careful.send(fill('http://KNOWN/api'), { signal })).rejects.toBe(reason);
    });
  });

  it('OS-06 a host that is no target gets a request only if the options say so, and no token', async () => {
    const stranger = await new RecordingServer().start();
    const headers = { JWT: 'inbound.token.x', 'x-kept': 'yes' };
    const init = { method: 'POST', body: 'x', headers };
    const strict = await FetchingService.start(['https://census.service/'], {}, module);
    expect(await refusalOf(strict.send(`${stranger.url}/x`, init))).toBe('target_unknown');
    expect(stranger.connections).toBe(0);
    const options = { unknownTargets: 'send-unsigned' as const };
    const careless = await FetchingService.start(['https://census.service/'], options, module);
    // Unsigned, the words that name the user would be lost.
    expect(await refusalOf(careless.send(`${stranger.url}/x`, init))).toBe('target_unknown');
    expect(stranger.connections).toBe(0);
    await (await careless.fetch(`${stranger.url}/x`, init)).text();
    if (isOfNode) await (await careless.fetch(new Request(`${stranger.url}/x`, init))).text();
    for (const recorded of stranger.takeAll()) {
      expect(recorded.body.toString()).toBe('x');
      expect(valuesOf(recorded, 'x-kept')).toEqual(['yes']);
      expect(recorded.rawHeaders.join()).not.toMatch(/jwt|eyJ|inbound|serviceAuth/i);
    }
    const sender = await FetchingService.start([stranger.url], {}, module);
    await sender.send(`${stranger.url}/x`, init);
    checkStrict(stranger.takeOne(), FROM_HERALD);
    await Promise.all([strict, careless, sender, stranger].map((service) => service.close()));
  });

  it('OS-13 signs each attempt anew, whatever repeats it', async () => {
    let left = 2;
    const flaky = await new RecordingServer((_request, response) => {
      response.writeHead(left-- > 0 ? 503 : 200).end('{}');
    }).start();
    const stubborn = await FetchingService.start([flaky.url], {}, module);
    const init = { method: 'POST', body: form() };
    let answer = await stubborn.send(flaky.url, init);
    while (answer.status === 503) answer = await stubborn.send(flaky.url, init);
    const attempts = flaky.takeAll();
    const ids = attempts.map((recorded) => checkStrict(recorded, FROM_HERALD)['jti']);
    expect(new Set(ids).size).toBe(3);
    for (const attempt of attempts) expect(await replay(express, attempt)).toBe('accepted');
    for (const attempt of attempts) expect(await replay(express, attempt)).toBe('token_replayed');
    await Promise.all([flaky.close(), stubborn.close()]);
  });
});

function form(): FormData {
  const data = new FormData();
  data.append('field', 'žluť');
  return data;
}

describe('with a dispatcher of the caller', () => {
  const key = createKey();
  const ca = selfSign(key);
  const requests: Recorded[] = [];
  const server = createServer({ key: key.privatePem, cert: ca }, (request, answer) => {
    const { method = '', url: target = '', rawHeaders } = request;
    requests.push({ method, target, rawHeaders, body: Buffer.alloc(0) });
    answer.end('{}');
  });
  const dispatcher = new Agent({ connect: { ca, checkServerIdentity: () => undefined } });
  let url = '';
  beforeAll(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
  });
  afterAll(async () => {
    await dispatcher.close();
    server.closeAllConnections();
    server.close();
  });

  it('OS-05 a target over TLS gets a signed request, and nothing over http:', async () => {
    const module = ServiceFetchModule.register({ fetch: fetchOfUndici });
    const herald = await FetchingService.start([url], {}, module);
    const init = { dispatcher } satisfies InitOfUndici as unknown as RequestInit;
    expect(await refusalOf(herald.send(url.replace('https:', 'http:'), init))).toBe(
      'target_unknown',
    );
    await expect(herald.send(url)).rejects.toMatchObject({ message: 'fetch failed' });
    expect(requests).toEqual([]);
    await herald.send(url, init);
    checkStrict(requests[0]!, FROM_HERALD);
    expect(requests).toHaveLength(1);
    await herald.close();
  });

  it('is kept in a Request that came with it', async () => {
    const herald = await FetchingService.start([url]);
    requests.length = 0;
    const init = { dispatcher, method: 'DELETE' } as unknown as RequestInit;
    await herald.send(new Request(url, init));
    expect(requests.map(({ method }) => method)).toEqual(['DELETE']);
    checkStrict(requests[0]!, FROM_HERALD);
    await herald.close();
  });
});
