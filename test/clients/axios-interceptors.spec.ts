import { Readable } from 'node:stream';
import { HttpModule, HttpService } from '@nestjs/axios';
import { type DynamicModule, Module } from '@nestjs/common';
import type { AxiosAdapter, AxiosInstance, InternalAxiosRequestConfig } from 'axios';
import axiosRetry from 'axios-retry';
import FormDataPackage from 'form-data';
import { ServiceAuth, ServiceCallContext } from 'nestjs-service-auth';
import { onBehalfOf, ServiceSigningInterceptor } from 'nestjs-service-auth/axios';
import { ServiceAuthUsageError } from 'nestjs-service-auth/core';
import { createKey } from '../support/keys/keys.js';
import { replay, startCensus } from '../support/services/receiving-service.js';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import {
  axiosOfNest,
  FROM_HERALD,
  refusalOf,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const ADAPTERS_OF_AXIOS = ['http', 'fetch'] as const;

@Module({})
class AttachingModule {}

/** An application with an `HttpModule` of its own, to whose `HttpService` it attaches signing itself. */
function attaching(http: DynamicModule | typeof HttpModule): DynamicModule {
  return {
    module: AttachingModule,
    imports: [http],
    providers: [ServiceSigningInterceptor],
    exports: [http, ServiceSigningInterceptor],
  };
}

async function startUnattached(target: string): Promise<SendingService> {
  return await SendingService.start([target], {}, [attaching(HttpModule.register({}))]);
}

const signingOf = (service: SendingService) =>
  service.context.get(ServiceSigningInterceptor, { strict: false });

/** An adapter that notes that it was used, and sends as axios's own. */
function ownAdapter(seen: unknown[]): AxiosAdapter {
  return async (config) => {
    seen.push(config.url);
    return await axiosOfNest.getAdapter('http')(config);
  };
}

type Change = (config: InternalAxiosRequestConfig) => InternalAxiosRequestConfig | void;

/** What axios says of a body that nothing describes. */
const FORM = 'application/x-www-form-urlencoded';

const CHANGES: readonly [
  string,
  Change,
  Partial<Record<'method' | 'target' | 'type' | 'body', string>>,
][] = [
  ['the data', (config) => void (config.data = { changed: 1 }), { body: '{"changed":1}' }],
  [
    'a member of the data',
    (config) => void ((config.data as { a: number }).a = 2),
    { body: '{"a":2}' },
  ],
  ['the URL', (config) => void (config.url += 'changed'), { target: '/changed' }],
  ['the parameters', (config) => void (config.params = { b: 'c d' }), { target: '/?b=c+d' }],
  [
    'OS-12 the serializer',
    (config) => void Object.assign(config, { params: { b: 1 }, paramsSerializer: () => 'made=up' }),
    { target: '/?made=up' },
  ],
  [
    'the base URL',
    (config) => void Object.assign(config, { baseURL: config.url, url: 'x' }),
    { target: '/x' },
  ],
  ['the method', (config) => void (config.method = 'put'), { method: 'PUT' }],
  ['the method, in capitals', (config) => void (config.method = 'PATCH'), { method: 'PATCH' }],
  [
    'the type',
    (config) => void config.headers.set('Content-Type', 'application/vnd.census+json'),
    { type: 'application/vnd.census+json' },
  ],
  [
    'the type, by assignment',
    (config) => void (config.headers['content-type'] = 'application/json; x=y'),
    { type: 'application/json; x=y' },
  ],
  [
    'OS-12 the transformations',
    (config) => void (config.transformRequest = () => 'made up'),
    { body: 'made up', type: FORM },
  ],
  [
    'OS-12 the list of transformations',
    (config) =>
      void (config.transformRequest = [() => Buffer.from('made'), (data) => `${data} up`]),
    { body: 'made up', type: FORM },
  ],
  [
    'OS-12 the transformations, to none',
    (config) => void Object.assign(config, { transformRequest: undefined, data: 'raw' }),
    { body: 'raw', type: FORM },
  ],
  ['the token', (config) => void config.headers.set('JWT', 'forged'), {}],
  ['the token, by assignment', (config) => void (config.headers['jwt'] = 'forged'), {}],
];

describe.each(ADAPTERS_OF_AXIOS)('through the %s adapter', (adapter) => {
  const wire = new RecordingServer();
  beforeAll(async () => void (await wire.start()));
  afterAll(async () => await wire.close());

  describe.each([
    ['before', true],
    ['before', false],
    ['after', true],
    ['after', false],
  ] as const)(
    'an interceptor registered %s (last in, first out: %s) may change',
    (when, isLegacyOrder) => {
      let herald: SendingService;
      let instance: AxiosInstance;
      beforeEach(async () => {
        herald = await startUnattached(wire.url);
        instance = herald.http.axiosRef;
      });
      afterEach(async () => await herald.close());

      const register = (change: Change) => {
        const use = () => instance.interceptors.request.use((config) => change(config) ?? config);
        if (when === 'before') use();
        signingOf(herald).attach(herald.http);
        if (when === 'after') use();
      };
      const send = async () =>
        await herald.send({
          method: 'post',
          url: `${wire.url}/`,
          data: { a: 1 },
          adapter,
          transitional: { legacyInterceptorReqResOrdering: isLegacyOrder },
        });

      it.each(CHANGES)('OS-11 %s', async (_name, change, expected) => {
        register(change);
        await send();
        const recorded = wire.takeOne();
        expect({
          method: recorded.method,
          target: recorded.target,
          type: valuesOf(recorded, 'content-type')[0],
          body: recorded.body.toString(),
        }).toEqual({
          method: 'POST',
          target: '/',
          type: 'application/json',
          body: '{"a":1}',
          ...expected,
        });
        checkStrict(recorded, FROM_HERALD);
      });

      it('OS-11 everything, but then there is no token', async () => {
        register(({ headers, url }) => ({ headers, url, method: 'post', data: 'x' }));
        await send().catch(() => undefined);
        for (const recorded of wire.takeAll()) expect(valuesOf(recorded, 'jwt')).toEqual([]);
      });

      it('OS-11 the adapter', async () => {
        const seen: unknown[] = [];
        register((config) => void (config.adapter = ownAdapter(seen)));
        await send();
        expect(seen).toHaveLength(1);
        checkStrict(wire.takeOne(), FROM_HERALD);
      });

      it('OS-11 the adapter and the configuration as a whole', async () => {
        const seen: unknown[] = [];
        register((config) => ({ ...config, adapter: ownAdapter(seen) }));
        await send();
        expect(seen).toHaveLength(1);
        checkStrict(wire.takeOne(), FROM_HERALD);
      });
    },
  );
});

describe('signing, once attached', () => {
  const wire = new RecordingServer();
  let herald: SendingService;
  let instance: AxiosInstance;
  beforeAll(async () => void (await wire.start()));
  afterAll(async () => await wire.close());
  beforeEach(async () => {
    herald = await startUnattached(wire.url);
    instance = herald.http.axiosRef;
  });
  afterEach(async () => await herald.close());
  const attach = () => signingOf(herald).attach(herald.http);
  const post = async () => await herald.send({ method: 'post', url: wire.url, data: { a: 1 } });

  it('is not there before', async () => {
    await instance.post(wire.url, { a: 1 });
    expect(valuesOf(wire.takeOne(), 'jwt')).toEqual([]);
    await expect(post()).rejects.toBeInstanceOf(ServiceAuthUsageError);
    expect(wire.takeAll()).toEqual([]);
    expect(attach()).toBe(herald.http);
    await post();
    checkStrict(wire.takeOne(), FROM_HERALD);
  });

  it.each<[string, () => unknown]>([
    ['the adapter by name', () => (instance.defaults.adapter = 'fetch')],
    ['the adapters by name', () => (instance.defaults.adapter = ['xhr', 'fetch', 'http'])],
    ['the adapter', () => (instance.defaults.adapter = ownAdapter([]))],
    ['the adapter to none', () => (instance.defaults.adapter = undefined)],
    ['the transformations', () => (instance.defaults.transformRequest = [() => 'made up'])],
    ['the headers', () => (instance.defaults.headers.common['JWT'] = 'forged')],
    ['the redirects', () => (instance.defaults.maxRedirects = 5)],
    ['the parameters', () => (instance.defaults.params = { a: 1 })],
  ])('OS-11 outlives a change of the defaults: %s', async (_name, change) => {
    attach();
    change();
    await post();
    checkStrict(wire.takeOne(), FROM_HERALD);
  });

  it('outlives the removal of every interceptor', async () => {
    attach();
    instance.interceptors.request.clear();
    await post();
    checkStrict(wire.takeOne(), FROM_HERALD);
  });

  it('leaves interceptors synchronous that are', async () => {
    let hasRun = false;
    const note = (config: InternalAxiosRequestConfig) => {
      hasRun = true;
      return config;
    };
    instance.interceptors.request.use(note, undefined, { synchronous: true });
    attach();
    const sending = instance.get(wire.url, onBehalfOf(USER));
    expect(hasRun).toBe(true);
    await sending;
    checkStrict(wire.takeOne(), FROM_HERALD);
  });

  it('signs with an adapter that the request brings', async () => {
    attach();
    const seen: unknown[] = [];
    await herald.send({ url: wire.url, adapter: ownAdapter(seen) });
    expect(seen).toHaveLength(1);
    checkStrict(wire.takeOne(), FROM_HERALD);
  });

  it('signs once when it is attached twice, and by two interceptors', async () => {
    const seen: { jwt: unknown }[] = [];
    instance.defaults.adapter = async (config) => {
      seen.push({ jwt: config.headers.get('JWT') });
      return await axiosOfNest.getAdapter('http')(config);
    };
    attach();
    attach();
    const { context } = herald;
    const parts = [context.get(ServiceAuth), context.get(ServiceCallContext)] as const;
    new ServiceSigningInterceptor(...parts).attach(herald.http);
    await post();
    const recorded = wire.takeOne();
    checkStrict(recorded, FROM_HERALD);
    expect(seen).toEqual([{ jwt: valuesOf(recorded, 'jwt')[0] }]);
  });

  it('does not pile up when it is attached, or a request is repeated, many times', async () => {
    attach();
    const { adapter } = instance.defaults;
    attach();
    expect(instance.defaults.adapter).toBe(adapter);
    expect(instance.interceptors.request.handlers).toHaveLength(1);
    const first = await instance.request<unknown>(onBehalfOf(USER, { url: wire.url }));
    const second = await instance.request<unknown>(first.config);
    expect(second.config.transformRequest).toEqual(first.config.transformRequest);
    wire.takeAll();
  });

  it('goes over to instances that are made from this one', async () => {
    attach();
    const made = instance.create({ headers: { 'x-made': 'yes' } });
    const http = new HttpService(made);
    expect(await refusalOf(http.axiosRef.get(wire.url))).toBe('subject_undecided');
    expect(await refusalOf(made.get('http://127.0.0.1:1/'))).toBe('target_unknown');
  });

  it('leaves other instances alone', async () => {
    attach();
    await axiosOfNest.create().get(wire.url);
    await new HttpService(axiosOfNest.create()).axiosRef.get(wire.url);
    for (const recorded of wire.takeAll()) expect(valuesOf(recorded, 'jwt')).toEqual([]);
  });

  describe('where two services of one process share an instance', () => {
    const SCRIBE = 'https://scribe.service/';
    const scribeKey = createKey();
    const FROM_SCRIBE = { ...FROM_HERALD, issuer: SCRIBE, key: scribeKey };
    let scribe: SendingService;
    beforeEach(async () => {
      const signingKey = { privateKey: scribeKey.privatePem };
      scribe = await SendingService.start([wire.url], { issuer: SCRIBE, signingKey }, [
        attaching(HttpModule.register({})),
      ]);
    });
    afterEach(async () => await scribe.close());

    it('is done by the one that attached last', async () => {
      attach();
      signingOf(scribe).attach(herald.http);
      await post();
      checkStrict(wire.takeOne(), FROM_SCRIBE);
      attach();
      await post();
      checkStrict(wire.takeOne(), FROM_HERALD);
    });

    it('is done by the owner of an instance that was made from the other one', async () => {
      attach();
      const made = new HttpService(instance.create());
      signingOf(scribe).attach(made);
      await made.axiosRef.request(onBehalfOf(USER, { url: wire.url }));
      checkStrict(wire.takeOne(), FROM_SCRIBE);
      await post();
      checkStrict(wire.takeOne(), FROM_HERALD);
    });
  });
});

describe('signing of a bare HttpModule, which is axios itself', () => {
  const wire = new RecordingServer();
  const { adapter } = axiosOfNest.defaults;
  beforeAll(async () => void (await wire.start()));
  afterAll(async () => {
    axiosOfNest.interceptors.request.clear();
    axiosOfNest.defaults.adapter = adapter;
    await wire.close();
  });

  it('signs, and so does the next application in this process for itself', async () => {
    const herald = await SendingService.start([wire.url], {}, [attaching(HttpModule)]);
    expect(signingOf(herald).attach(herald.http).axiosRef).toBe(axiosOfNest);
    await herald.send({ url: wire.url });
    checkStrict(wire.takeOne(), FROM_HERALD);
    await herald.close();

    const key = createKey();
    const signingKey = { privateKey: key.privatePem };
    const other = await SendingService.start([wire.url], { signingKey });
    await other.send({ url: wire.url });
    checkStrict(wire.takeOne(), { ...FROM_HERALD, key });
    await other.close();
  });
});

describe('a retry', () => {
  const BODIES: readonly [string, () => unknown][] = [
    ['no body', () => undefined],
    ['an object', () => ({ a: 1 })],
    ['a string', () => 'a=1'],
    ['a buffer', () => Buffer.from('abc')],
    [
      'a form',
      () => {
        const form = new FormData();
        form.append('file', new Blob(['x']), 'x.txt');
        return form;
      },
    ],
    [
      'a form of the package form-data',
      () => {
        const form = new FormDataPackage();
        form.append('file', Readable.from([Buffer.from('x')]), { filename: 'x.txt' });
        return form;
      },
    ],
    ['a blob', () => new Blob(['abc'], { type: 'text/plain' })],
    ['a stream', () => Readable.from(['a', 'b'])],
  ];

  describe.each(ADAPTERS_OF_AXIOS)('through the %s adapter', (adapter) => {
    let left = 0;
    const wire = new RecordingServer((_request, response) => {
      response.statusCode = left > 0 ? 503 : 200;
      left -= 1;
      response.end('{}');
    });
    const silent = new RecordingServer();
    beforeAll(async () => void (await Promise.all([wire.start(), silent.start()])));
    afterAll(async () => void (await Promise.all([wire.close(), silent.close()])));

    it.each(
      BODIES.flatMap(([name, data]) => [
        [name, 'before', data] as const,
        [name, 'after', data] as const,
      ]),
    )('OS-13 with %s, by axios-retry %s signing, is signed anew', async (_name, when, data) => {
      const herald = await startUnattached(wire.url);
      const retry = () =>
        axiosRetry(herald.http.axiosRef, { retries: 2, retryCondition: () => true });
      if (when === 'before') retry();
      signingOf(herald).attach(herald.http);
      if (when === 'after') retry();
      left = 2;
      await herald.send({ method: 'post', url: `${wire.url}/a?b`, data: data(), adapter });
      await assertAttempts(wire.takeAll(), 3);
      await herald.close();
    });

    it('OS-13 by hand, with the configuration of the error, is signed anew', async () => {
      const herald = await startUnattached(wire.url);
      signingOf(herald).attach(herald.http);
      left = 1;
      const { axiosRef } = herald.http;
      axiosRef.interceptors.response.use(
        undefined,
        async (error: { config: object }) => await axiosRef.request(error.config),
      );
      await herald.send({ method: 'post', url: wire.url, data: Readable.from(['x']), adapter });
      await assertAttempts(wire.takeAll(), 2);
      await herald.close();
    });

    it('OS-13 is not tried when signing refuses', async () => {
      const herald = await startUnattached(wire.url);
      signingOf(herald).attach(herald.http);
      let tries = 0;
      axiosRetry(herald.http.axiosRef, { retries: 2, onRetry: () => void (tries += 1) });
      expect(await refusalOf(herald.send({ url: silent.url, adapter }))).toBe('target_unknown');
      expect([tries, silent.connections]).toEqual([0, 0]);
      await herald.close();
    });
  });

  /** Each attempt is one a receiver accepts, and none is like another. */
  async function assertAttempts(attempts: readonly Recorded[], count: number): Promise<void> {
    expect(attempts).toHaveLength(count);
    const census = await startCensus('express');
    const tokenIds = attempts.map((attempt) => checkStrict(attempt, FROM_HERALD)['jti']);
    expect(new Set(tokenIds).size).toBe(count);
    for (const attempt of attempts) {
      expect(attempt.body).toEqual(attempts[0]?.body);
      expect(await replay(census, attempt)).toBe('accepted');
      expect(await replay(census, attempt)).toBe('token_replayed');
    }
    await census.close();
  }
});

describe('what is cancelled', () => {
  it.each(['http', 'fetch'] as const)('while it is signed is not sent (%s)', async (adapter) => {
    const wire = await new RecordingServer().start();
    const controller = new AbortController();
    const source = axiosOfNest.CancelToken.source();
    let cancel = () => {};
    const herald = await SendingService.start([wire.url], {
      now: () => {
        cancel();
        return Date.now();
      },
    });
    const config = { method: 'post', url: wire.url, data: 'x', adapter };
    await herald.send({ ...config, signal: controller.signal, cancelToken: source.token });
    expect(wire.takeAll()).toHaveLength(1);

    cancel = () => controller.abort();
    const bySignal = herald.send({ ...config, signal: controller.signal });
    await expect(bySignal).rejects.toMatchObject({ code: 'ERR_CANCELED', name: 'CanceledError' });
    cancel = () => source.cancel('enough');
    const byToken = herald.send({ ...config, cancelToken: source.token });
    await expect(byToken).rejects.toMatchObject({ code: 'ERR_CANCELED', message: 'enough' });

    cancel = () => {};
    await herald.send({ ...config, url: `${wire.url}/last` });
    expect(wire.takeOne().target).toBe('/last');
    await herald.close();
    await wire.close();
  });
});
