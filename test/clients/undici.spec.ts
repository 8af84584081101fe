import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { NestFactory } from '@nestjs/core';
import {
  ServiceAuth,
  ServiceAuthConfigError,
  ServiceAuthModule,
  ServiceAuthUsageError,
  ServiceCallContext,
} from 'nestjs-service-auth';
import { createServiceAuth, type ServiceAuthOptions } from 'nestjs-service-auth/core';
import {
  actingAsItself,
  createSignedDispatcher,
  onBehalfOf,
  type SignedDispatcherOptions,
} from 'nestjs-service-auth/undici';
import {
  Agent,
  BalancedPool,
  Client,
  type Dispatcher,
  fetch as fetchOfUndici,
  FormData as FormDataOfUndici,
  interceptors,
  Pool,
  request,
  RetryAgent,
} from 'undici';
import { RecordingServer, type Reply, valuesOf } from '../support/http/recording-server.js';
import { replay, startCensus } from '../support/services/receiving-service.js';
import {
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  refusalOf,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, type TestService } from '../support/services/service.js';
import { decodeClaims } from '../support/tokens/forge.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const OTHER = 'https://census.service/user/22/';
const LIMIT = 64 * 1024;
const TEXT = { 'content-type': 'text/plain' };

const subjectOf = (token: string) => String(decodeClaims(token)['sub']);

/** What the path asks for: `/redirect/307?<url>`, or `/busy`, which answers 503 the first time; else the user. */
const reply: Reply = (recorded, response) => {
  const { target: path } = recorded;
  const [, status, location] = /^\/redirect\/(\d+)\?(.*)$/.exec(path) ?? [];
  if (status !== undefined) return void response.writeHead(Number(status), { location }).end();
  if (path === '/busy' && (busy += 1) === 1) return void response.writeHead(503).end();
  response.setHeader('cache-control', 'max-age=60');
  response.setHeader('vary', 'JWT');
  const [token] = valuesOf(recorded, 'jwt');
  response.end(token === undefined ? 'nobody' : subjectOf(token));
};
let busy = 0;
const wire = new RecordingServer(reply);
const second = new RecordingServer(reply);
const unknown = new RecordingServer(reply);
const agent = new Agent();
let auth: ServiceAuth;

const authFor = async (targets: readonly string[], options: Partial<ServiceAuthOptions> = {}) =>
  await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey: heraldKey.privatePem },
    targets: targets.map((baseUrl) => ({ baseUrl, audience: CENSUS })),
    maxBufferedBodyBytes: LIMIT,
    ...options,
  });
const signed = (options?: SignedDispatcherOptions, dispatcher: Dispatcher = agent) =>
  createSignedDispatcher(auth, dispatcher, options);
const get = (path = '/', origin = wire.url) => ({ origin, path, method: 'GET' }) as const;

async function send(
  options: Omit<Dispatcher.RequestOptions, 'body'> & { body?: unknown },
  dispatcher: Dispatcher = signed(),
) {
  const answer = await dispatcher.request(onBehalfOf(USER, options) as Dispatcher.RequestOptions);
  return { status: answer.statusCode, text: await answer.body.text() };
}

beforeAll(async () => {
  await Promise.all([wire, second, unknown].map(async (server) => await server.start()));
  auth = await authFor([wire.url, second.url]);
});
afterEach(() => {
  for (const server of [wire, second, unknown]) server.takeAll();
});
afterAll(async () => {
  auth.close();
  await agent.close();
  await Promise.all([wire, second, unknown].map(async (server) => await server.close()));
});

async function* generate(chunks: Iterable<unknown>): AsyncGenerator<unknown> {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}
function form<Form extends { append(name: string, value: string): void }>(data: Form): Form {
  data.append('field', 'žluť');
  return data;
}

/** Made anew for each request: a stream can be sent once. */
const BODIES: readonly [string, () => unknown, string | Buffer | undefined][] = [
  ['OS-08 a string', () => 'žluť', 'žluť'],
  ['OS-09 a buffer', () => Buffer.from([0, 255, 1]), Buffer.from([0, 255, 1])],
  ['OS-09 bytes at an offset', () => new Uint8Array([1, 2, 3]).subarray(1), Buffer.from([2, 3])],
  ['OS-09 an array buffer', () => Uint8Array.from([1, 2]).buffer, Buffer.from([1, 2])],
  ['OS-08 form data', () => form(new FormData()), undefined],
  ['OS-08 form data of undici', () => form(new FormDataOfUndici()), undefined],
  ['OS-08 a blob', () => new Blob(['abc'], { type: 'text/plain' }), 'abc'],
  ['OS-10 a stream', () => Readable.from([Buffer.from('one '), Buffer.from('two')]), 'one two'],
  ['OS-10 a web stream', () => new Blob(['abc']).stream(), 'abc'],
  ['OS-10 an async iterable', () => generate(['one ', Buffer.from('two')]), 'one two'],
  ['OS-10 a list of chunks', () => ['one ', Buffer.from('two')], 'one two'],
  [
    'OS-10 just as many bytes as are allowed',
    () => generate([Buffer.alloc(LIMIT)]),
    Buffer.alloc(LIMIT),
  ],
];
const EMPTY: readonly [string, () => unknown][] = [
  ['null', () => null],
  ['nothing', () => undefined],
  ['an empty string', () => ''],
  ['an empty buffer', () => Buffer.alloc(0)],
  ['an empty stream', () => Readable.from([])],
];

describe('a body', () => {
  it.each(BODIES)('%s is signed as it is sent', async (_name, body, bytes) => {
    await send({ origin: wire.url, path: '/things', method: 'POST', body: body() });
    const recorded = wire.takeOne();
    checkStrict(recorded, FROM_HERALD);
    if (bytes === undefined) expect(valuesOf(recorded, 'content-type')).toHaveLength(1);
    else expect(recorded.body).toEqual(Buffer.from(bytes));
  });

  it.each(EMPTY)('OS-08 that is %s is no content', async (_name, body) => {
    await send({ origin: wire.url, path: '/', method: 'POST', body: body() });
    expect(checkStrict(wire.takeOne(), FROM_HERALD)).not.toHaveProperty('bdy');
  });

  it.each([
    ['OS-10 one byte over the limit', () => generate([Buffer.alloc(LIMIT + 1)]), 'body_too_large'],
    ['OS-10 of objects', () => Readable.from([{ a: 1 }]), 'body_unsupported'],
    ['OS-10 that is an object', () => ({ a: 1 }), 'body_unsupported'],
  ])('%s is not signed', async (_name, body, code) => {
    const options = { origin: wire.url, path: '/', method: 'POST', body: body() } as const;
    expect(await refusalOf(send(options))).toBe(code);
    expect(wire.takeAll()).toEqual([]);
  });

  it('OS-09 is sent as it was when the call was made', async () => {
    const body = Buffer.from('before');
    const sending = send({ origin: wire.url, path: '/', method: 'POST', body });
    body.write('after!');
    await sending;
    const recorded = wire.takeOne();
    expect(recorded.body.toString()).toBe('before');
    checkStrict(recorded, FROM_HERALD);
  });

  it('OS-10 that fails midway fails the call with its own error', async () => {
    const failing = async function* () {
      yield await Promise.resolve('one');
      throw new Error('out of paper');
    };
    const options = { origin: wire.url, path: '/', method: 'POST', body: failing() } as const;
    await expect(send(options)).rejects.toThrow('out of paper');
    expect(wire.takeAll()).toEqual([]);
  });

  it('OS-10 is read no longer than its caller waits', async () => {
    const controller = new AbortController();
    const body = new Readable({ read: () => controller.abort(new Error('too late')) });
    const { signal } = controller;
    const options = { origin: wire.url, path: '/', method: 'POST', body, signal } as const;
    await expect(send(options)).rejects.toThrow('too late');
    expect(wire.takeAll()).toEqual([]);
  });
});

describe('headers', () => {
  const CODED = ['Content-Type', 'text/plain', 'content-encoding', 'gzip'];
  const pairs = [CODED.slice(0, 2), CODED.slice(2)] as [string, string][];
  it.each([
    ['a list', [...CODED, 'jwt', 'a.b.c']],
    ['a list of pairs', [...pairs, ['JWT', 'a.b.c']]],
    ['an object', { ...Object.fromEntries(pairs), Jwt: ['a.b.c', 'd.e.f'], left: undefined }],
    ['an iterable', new Map([...pairs, ['JWT', 'a.b.c']])],
  ])('OS-14 that are %s are bound and sent, with one token', async (_name, headers) => {
    const body = gzipSync('abc');
    const options = { origin: wire.url, path: '/', method: 'POST', body, headers } as const;
    await send(options as Dispatcher.RequestOptions);
    const recorded = wire.takeOne();
    expect(checkStrict(recorded, FROM_HERALD)).toMatchObject({
      hdr: { 'content-type': 'text/plain', 'content-encoding': 'gzip' },
    });
    expect(valuesOf(recorded, 'content-encoding')).toEqual(['gzip']);
  });

  it('OS-24 that are signed and left to the client are sent as they are signed', async () => {
    const picky = await authFor([wire.url], { signedHeaders: ['accept', 'host', 'x-tries'] });
    await send(
      { ...get(), headers: { 'x-tries': 2 } as never },
      createSignedDispatcher(picky, agent),
    );
    const signedHeaders = ['accept', 'host', 'x-tries'];
    checkStrict(wire.takeOne(), { ...FROM_HERALD, signedHeaders });
    picky.close();
  });

  it('OS-08 that contradict the body are those of the bytes', async () => {
    const headers = { ...TEXT, 'content-length': '2', 'transfer-encoding': 'chunked' };
    await send({ origin: wire.url, path: '/', method: 'POST', body: 'abc', headers });
    const recorded = wire.takeOne();
    expect(valuesOf(recorded, 'content-length')).toEqual(['3']);
    checkStrict(recorded, FROM_HERALD);
  });

  it('that are no text are refused', async () => {
    const options = { ...get(), headers: { 'x-date': new Date(0) } } as never;
    expect(await refusalOf(send(options))).toBe('header_unsignable');
    expect(wire.takeAll()).toEqual([]);
  });
});

describe('the target', () => {
  it.each([
    [{ path: '/things', query: { a: 'ž b', c: [1, 2] } }, '/things?a=%C5%BE%20b&c=1&c=2'],
    [{ path: '/a/../b?x=1#part' }, '/b?x=1'],
    [{ path: '//evil.test/things' }, '//evil.test/things'],
  ])('of %j is what is signed', async (options, target) => {
    await send({ ...get(), ...options });
    const recorded = wire.takeOne();
    expect(recorded.target).toBe(target);
    checkStrict(recorded, FROM_HERALD);
  });

  it.each([
    ['an absolute URL as its path', () => ({ path: `${second.url}/` }), 'target_invalid'],
    ['a path without a slash', () => ({ path: '.evil.test/' }), 'target_invalid'],
    ['a second query', () => ({ path: '/?a=1', query: { b: 2 } }), 'target_invalid'],
    ['no origin', () => ({ origin: undefined }), 'target_invalid'],
    ['another origin', () => ({ origin: unknown.url }), 'target_unknown'],
  ])('OS-06 a call with %s is not signed', async (_name, change, code) => {
    expect(await refusalOf(send({ ...get(), ...change() }))).toBe(code);
    expect([...wire.takeAll(), ...second.takeAll(), ...unknown.takeAll()]).toEqual([]);
  });

  it('OS-06 without a target is sent without any token where the options say so', async () => {
    const loose = await authFor([wire.url], { unknownTargets: 'send-unsigned' });
    const dispatcher = createSignedDispatcher(loose, agent);
    const options = { ...get('/', unknown.url), headers: { JWT: 'a.b.c', 'x-kept': 'yes' } };
    await (await dispatcher.request(options)).body.text();
    const recorded = unknown.takeOne();
    expect(valuesOf(recorded, 'jwt')).toEqual([]);
    expect(valuesOf(recorded, 'x-kept')).toEqual(['yes']);
    expect(await refusalOf(dispatcher.request(onBehalfOf(USER, options)))).toBe('target_unknown');
    loose.close();
  });

  it.each([
    ['a Client', () => new Client(wire.url)],
    ['a Pool', () => new Pool(wire.url)],
    ['a composed Pool', () => new Pool(wire.url).compose(interceptors.dump())],
  ])('OS-66 of %s is its own, whatever a call names', async (_name, create) => {
    const inner = create();
    const dispatcher = signed({}, inner);
    await send({ path: '/own', method: 'GET' }, dispatcher);
    checkStrict(wire.takeOne(), FROM_HERALD);
    expect(await refusalOf(send(get('/', second.url), dispatcher))).toBe('target_invalid');
    expect([...wire.takeAll(), ...second.takeAll()]).toEqual([]);
    await inner.close();
  });

  it.each([
    ['a tunnel', { method: 'CONNECT' }],
    ['an upgrade', { upgrade: 'websocket' }],
  ])('OS-66 is not signed for %s', async (_name, change) => {
    const outcome = new Promise((resolve, reject) => {
      signed().dispatch(onBehalfOf(USER, { ...get(), ...change }), {
        onRequestStart: resolve,
        onResponseError: (_controller, error) => reject(error),
      });
    });
    await expect(outcome).rejects.toThrow(ServiceAuthUsageError);
    expect(wire.takeAll()).toEqual([]);
  });
});

describe.each(ADAPTERS)('an application on %s', (adapter) => {
  let census: TestService;
  let herald: ServiceAuth;
  let dispatcher: Dispatcher;
  const options = (path = '/things?n=1') => ({ ...get(path, census.url), method: 'POST' }) as const;
  const fromHerald = { accepted: 'POST', subject: USER };
  beforeAll(async () => {
    census = await startCensus(adapter);
    herald = await authFor([census.url, wire.url]);
    dispatcher = createSignedDispatcher(herald, agent);
  });
  afterAll(async () => {
    herald.close();
    await census.close();
  });

  it('accepts what request() sends, and refuses another body under its token', async () => {
    const message = { method: 'POST', headers: TEXT, body: Readable.from(['žluť']) } as const;
    const { text: answer } = await send({ ...options(), ...message }, dispatcher);
    expect(JSON.parse(answer)).toMatchObject(fromHerald);
    await send({ origin: wire.url, path: '/', ...message, body: 'žluť' }, dispatcher);
    const recorded = wire.takeOne();
    const changed = { ...recorded, body: Buffer.from('žluté') };
    expect(await replay(census, changed)).toBe('body_mismatch');
    expect(await replay(census, recorded)).toBe('accepted');
    expect(await replay(census, recorded)).toBe('token_replayed');
  });

  it('accepts what stream() sends', async () => {
    const chunks: Buffer[] = [];
    const { Writable } = await import('node:stream');
    await dispatcher.stream(onBehalfOf(USER, { ...options(), headers: TEXT, body: 'abc' }), () => {
      return new Writable({
        write: (chunk: Buffer, _encoding, done) => (chunks.push(chunk), done()),
      });
    });
    expect(JSON.parse(Buffer.concat(chunks).toString())).toMatchObject(fromHerald);
  });

  it('accepts what pipeline() sends', async () => {
    const duplex = dispatcher.pipeline(
      onBehalfOf(USER, { ...options(), headers: TEXT }),
      ({ body }) => body,
    );
    duplex.end('abc');
    expect(JSON.parse(await text(duplex))).toMatchObject(fromHerald);
  });

  it('accepts what the functions of undici send, for the user of the context', async () => {
    const callContext = { current: () => ({ subject: OTHER }) };
    const ofContext = createSignedDispatcher(herald, agent, { callContext });
    const init = { method: 'POST', headers: TEXT, body: 'abc', dispatcher: ofContext } as const;
    const answer = await fetchOfUndici(`${census.url}/fetched`, init);
    expect(await answer.json()).toMatchObject({ accepted: 'POST', subject: OTHER });
    const { body } = await request(`${census.url}/requested`, init);
    expect(await body.json()).toMatchObject({ accepted: 'POST', subject: OTHER });
  });
});

describe('an attempt', () => {
  const repeating = () =>
    signed({
      interceptors: [
        interceptors.retry({ minTimeout: 1 }),
        interceptors.redirect({ maxRedirections: 3 }),
      ],
    });
  const tokenIds = (server: RecordingServer) =>
    server.takeAll().map((recorded) => checkStrict(recorded, FROM_HERALD)['jti']);

  it('OS-65 after a failure is signed anew', async () => {
    busy = 0;
    expect(await send(get('/busy'), repeating())).toMatchObject({ status: 200 });
    expect(new Set(tokenIds(wire)).size).toBe(2);
  });

  it.each([301, 302, 303, 307, 308])(
    'OS-65 after a redirect with %i is signed anew',
    async (status) => {
      const path = `/redirect/${status}?${encodeURI(`/redirect/${status}?${second.url}/landed`)}`;
      const options = { origin: wire.url, path, method: 'POST', body: 'x', headers: TEXT } as const;
      expect(await send(options, repeating())).toMatchObject({ status: 200 });
      const ids = [...tokenIds(wire), ...tokenIds(second)];
      expect(new Set(ids).size).toBe(3);
    },
  );

  it('OS-65 after a redirect to no target is not made', async () => {
    const path = `/redirect/307?${unknown.url}/landed`;
    expect(await refusalOf(send(get(path), repeating()))).toBe('target_unknown');
    expect(wire.takeAll()).toHaveLength(1);
    expect(unknown.takeAll()).toEqual([]);
  });

  it('OS-65 after a redirect to no target has no token where such calls are sent', async () => {
    const loose = await authFor([wire.url], { unknownTargets: 'send-unsigned' });
    const dispatcher = createSignedDispatcher(loose, agent, {
      interceptors: [interceptors.redirect({ maxRedirections: 3 })],
      callContext: { current: () => ({ subject: USER }) },
    });
    const path = `/redirect/307?${unknown.url}/landed`;
    await (await dispatcher.request(get(path))).body.text();
    checkStrict(wire.takeOne(), FROM_HERALD);
    expect(valuesOf(unknown.takeOne(), 'jwt')).toEqual([]);
    loose.close();
  });

  it('OS-65 is not repeated by a redirect below the signing', async () => {
    const below = agent.compose(interceptors.redirect({ maxRedirections: 3 }));
    const path = `/redirect/307?${second.url}/landed`;
    expect(await send(get(path), signed({}, below))).toMatchObject({ status: 307 });
    expect(second.takeAll()).toEqual([]);
  });

  it('OS-16 of a call that names nobody is not made', async () => {
    const names = ['retry', 'redirect'] as const;
    const all = names.map((name) => interceptors[name]());
    const dispatcher = signed({ interceptors: all });
    expect(await refusalOf(dispatcher.request(get()))).toBe('subject_undecided');
    expect(wire.takeAll()).toEqual([]);
  });
});

describe('a call', () => {
  it('is made for the service itself where that is said', async () => {
    await (await signed().request(actingAsItself(get()))).body.text();
    checkStrict(wire.takeOne(), { ...FROM_HERALD, subject: undefined });
  });

  it('OS-16 is not signed after an interceptor that makes options of its own', async () => {
    const anew: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
      dispatch({ ...get(), headers: options.headers }, handler);
    const kept: typeof anew = (dispatch) => (options, handler) => dispatch({ ...options }, handler);
    expect(await refusalOf(send(get(), signed({ interceptors: [anew] })))).toBe(
      'subject_undecided',
    );
    expect(wire.takeAll()).toEqual([]);
    await send(get(), signed({ interceptors: [kept] }));
    checkStrict(wire.takeOne(), FROM_HERALD);
  });

  it('OS-30 fails in undici itself where its words are given to a function of undici', async () => {
    const options = onBehalfOf(USER, { dispatcher: signed() });
    await expect(async () => await request(wire.url, options)).rejects.toThrow(
      ServiceAuthUsageError,
    );
    expect(wire.takeAll()).toEqual([]);
  });

  it('OS-65 is made for the user it was made for, though another user opened the socket', async () => {
    const app = await NestFactory.createApplicationContext(
      ServiceAuthModule.forRoot({
        issuer: HERALD,
        signingKey: { privateKey: heraldKey.privatePem },
        targets: [{ baseUrl: wire.url, audience: CENSUS }],
      }),
      { logger: false, abortOnError: false },
    );
    const callContext = app.get(ServiceCallContext);
    const client = new Client(wire.url);
    const dispatcher = createSignedDispatcher(app.get(ServiceAuth), client, {
      callContext,
      interceptors: [interceptors.redirect({ maxRedirections: 1 })],
    });
    for (const user of [OTHER, USER]) {
      const sending = async () => await dispatcher.request(get('/redirect/307?/landed'));
      await (await callContext.runOnBehalfOf(user, sending)).body.text();
    }
    expect(wire.connections).toBeGreaterThan(0);
    const recorded = wire.takeAll();
    expect(recorded.map((each) => decodeClaims(valuesOf(each, 'jwt')[0] ?? '')['sub'])).toEqual([
      OTHER,
      OTHER,
      USER,
      USER,
    ]);
    await client.close();
    await app.close();
  });

  it.each([
    ['deduplicate', () => [interceptors.deduplicate()]],
    ['cache', () => [interceptors.cache({ type: 'private' })]],
  ])('CA-10 gets no answer of another user: %s', async (_name, create) => {
    const dispatcher = signed({ interceptors: create() });
    const ask = async (user: string) =>
      await (await dispatcher.request(onBehalfOf(user, get('/shared')))).body.text();
    expect(await Promise.all([USER, USER, OTHER].map(ask))).toEqual([USER, USER, OTHER]);
    expect(await Promise.all([USER, OTHER].map(ask))).toEqual([USER, OTHER]);
    expect(wire.takeAll().length).toBeLessThan(5);
    expect(await refusalOf(dispatcher.request(get('/shared')))).toBe('subject_undecided');
  });
});

describe('createSignedDispatcher()', () => {
  it.each([
    ['no dispatcher', {}, {}, 'dispatcher'],
    ['a RetryAgent', new RetryAgent(agent), {}, 'dispatcher'],
    ['a BalancedPool', new BalancedPool([]), {}, 'dispatcher'],
    ['an unknown option', agent, { retries: 3 }, 'retries'],
    ['no list of interceptors', agent, { interceptors: [5] }, 'interceptors'],
    ['no context', agent, { callContext: {} }, 'callContext'],
  ])('refuses %s', (_name, dispatcher, options, field) => {
    const create = () =>
      createSignedDispatcher(auth, dispatcher as Dispatcher, options as SignedDispatcherOptions);
    expect(create).toThrow(ServiceAuthConfigError);
    expect(create).toThrow(`${field}: `);
  });

  it('refuses a service without a key', async () => {
    const receiver = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
    });
    expect(() => createSignedDispatcher(receiver, agent)).toThrow('no `signingKey`');
    receiver.close();
  });
});
