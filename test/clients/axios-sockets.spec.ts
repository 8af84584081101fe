import http, { Agent } from 'node:http';
import https from 'node:https';
import { All, Controller, HttpCode, Param, UseGuards } from '@nestjs/common';
import type { AxiosError, AxiosRequestConfig } from 'axios';
import axiosRetry from 'axios-retry';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { startCensus } from '../support/services/receiving-service.js';
import { createClock } from '../support/services/receiver.js';
import { RecordingServer } from '../support/http/recording-server.js';
import {
  axiosOfNest,
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const ADAPTERS_OF_AXIOS = ['http', 'fetch'] as const;
const nextTurn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

/** What the receiver said no with. */
const codeOf = (error: unknown): unknown =>
  ((error as AxiosError).response?.data as { code?: unknown } | undefined)?.code;

describe.each(ADAPTERS)('where calls to a service on %s wait for a socket', (framework) => {
  const clock = createClock();
  /** The tokens that reached a handler, by the path they were for. */
  let served: [path: string, tokenId: string | undefined][] = [];
  let release = (): void => undefined;
  let held = new Promise<void>(() => undefined);
  let hold = (): void => undefined;

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class HoldingController {
    @All(':path')
    @HttpCode(200)
    async answer(@Param('path') path: string, @ServiceCaller() caller: ServiceIdentity) {
      served.push([path, caller.tokenId]);
      if (path !== 'held') return { path };
      hold();
      await new Promise<void>((resolve) => (release = resolve));
      return { path };
    }
  }

  let census: TestService;
  let herald: SendingService;
  let agent: Agent;
  beforeAll(async () => {
    census = await startService({
      adapter: framework,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
          now: clock.now,
        }),
      ],
      controllers: [HoldingController],
    });
  });
  afterAll(async () => await census.close());
  beforeEach(async () => {
    served = [];
    held = new Promise((resolve) => (hold = resolve));
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
    herald = await SendingService.start([census.url], { now: clock.now });
  });
  afterEach(async () => {
    agent.destroy();
    await herald.close();
  });
  const send = async (path: string, config: AxiosRequestConfig = {}) =>
    await herald.send({
      method: 'post',
      url: `${census.url}/${path}`,
      data: { path },
      httpAgent: agent,
      ...config,
    });
  const inQueue = () => Object.values(agent.requests).flatMap((requests) => requests ?? []);

  /** One call is held by the receiver, another waits behind it; then `seconds` go by. */
  const sendBehindAnother = async (seconds: number, config: AxiosRequestConfig = {}) => {
    const first = send('held');
    await held;
    const second = send('waiting', config).then(
      ({ status }) => status,
      (error: unknown) => codeOf(error) ?? error,
    );
    while (inQueue().length === 0) await nextTurn();
    clock.advance(seconds);
    release();
    expect((await first).status).toBe(200);
    return await second;
  };

  it('OS-19 for less than the lifetime of the token, they are accepted', async () => {
    expect(await sendBehindAnother(59)).toBe(200);
    expect(served.map(([path]) => path)).toEqual(['held', 'waiting']);
  });

  it('OS-19 for longer, they are refused as expired, and no handler runs', async () => {
    expect(await sendBehindAnother(120)).toBe('token_expired');
    expect(served.map(([path]) => path)).toEqual(['held']);
  });

  it('OS-19 for longer, a retry is signed anew and accepted', async () => {
    const retryCondition = (error: AxiosError) => codeOf(error) === 'token_expired';
    axiosRetry(herald.http.axiosRef, { retries: 1, retryCondition });
    expect(await sendBehindAnother(120)).toBe(200);
    expect(served.map(([path]) => path)).toEqual(['held', 'waiting']);
    expect(new Set(served.map(([, tokenId]) => tokenId)).size).toBe(2);
  });

  it('OS-19 for longer than the timeout of the call, they are never sent', async () => {
    const first = send('held');
    await held;
    const waiting = send('waiting', { timeout: 50 });
    await expect(waiting).rejects.toMatchObject({ message: 'timeout of 50ms exceeded' });
    release();
    await first;
    await send('last');
    expect(served.map(([path]) => path)).toEqual(['held', 'last']);
  });

  it('OS-19 four hundred at once, over eight sockets, are each accepted', async () => {
    agent.maxSockets = 8;
    const calls = Array.from({ length: 400 }, async (_none, id) => await send(`n-${id}`));
    while (inQueue().length === 0) await nextTurn();
    const statuses = (await Promise.all(calls)).map(({ status }) => status);
    expect(statuses).toEqual(Array(400).fill(200));
    expect(new Set(served.map(([, tokenId]) => tokenId)).size).toBe(400);
  });
});

describe.each(ADAPTERS_OF_AXIOS)('through the %s adapter, what the receiver refuses', (name) => {
  describe.each(ADAPTERS)('on %s', (framework) => {
    /** The receiver's clock: the true one, which a test may put wrong. */
    let wrongBySeconds = 0;
    const now = (): number => Date.now() + wrongBySeconds * 1000;
    let census: TestService;
    let herald: SendingService;
    let tokens: string[] = [];
    beforeAll(async () => (census = await startCensus(framework, { now })));
    afterAll(async () => await census.close());
    beforeEach(async () => {
      tokens = [];
      herald = await SendingService.start([census.url]);
    });
    afterEach(async () => await herald.close());

    /** Sends what it gets, and the first time it gets something sends that twice, as a broken proxy may. */
    const stuttering: AxiosRequestConfig['adapter'] = async (config) => {
      tokens.push(String(config.headers.get('JWT')));
      const send = axiosOfNest.getAdapter(name, config);
      if (tokens.length === 1) await send(config);
      return await send(config);
    };
    const counting: AxiosRequestConfig['adapter'] = async (config) => {
      tokens.push(String(config.headers.get('JWT')));
      return await axiosOfNest.getAdapter(name, config)(config);
    };
    const post = async (adapter: AxiosRequestConfig['adapter']) =>
      await herald
        .send({ method: 'post', url: `${census.url}/x`, data: { a: 1 }, adapter })
        .then(({ status }) => status, codeOf);
    const withRetry = () =>
      axiosRetry(herald.http.axiosRef, { retries: 1, retryCondition: () => true });

    it('OS-21 as used before is not tried again of itself', async () => {
      expect(await post(stuttering)).toBe('token_replayed');
      expect(tokens).toHaveLength(1);
    });

    it('OS-21 as used before is tried again with a new token where that is configured', async () => {
      withRetry();
      expect(await post(stuttering)).toBe(200);
      expect(new Set(tokens).size).toBe(2);
    });

    it('OS-21 as expired is not tried again of itself, and once where that is configured', async () => {
      wrongBySeconds = 120;
      expect(await post(counting)).toBe('token_expired');
      expect(tokens).toHaveLength(1);
      withRetry();
      expect(await post(counting)).toBe('token_expired');
      expect(new Set(tokens).size).toBe(3);
      wrongBySeconds = 0;
      expect(await post(counting)).toBe(200);
      expect(tokens).toHaveLength(4);
    });
  });
});

describe('a signed request is made', () => {
  const wire = new RecordingServer(({ target }, response) => {
    if (target !== '/stalled') response.end('{}');
  });
  let herald: SendingService;
  beforeAll(async () => {
    await wire.start();
    const named = `http://localhost:${wire.port}`;
    herald = await SendingService.start([wire.url, named, 'https://secure.test/']);
  });
  afterAll(async () => await Promise.all([wire.close(), herald.close()]));

  it('with what http.request is at the time, so that tests and tracers can replace it', async () => {
    const { request } = http;
    const seen: unknown[] = [];
    http.request = ((...options: Parameters<typeof request>) => {
      seen.push((options[0] as { path?: string }).path);
      return request(...options);
    }) as typeof request;
    try {
      await herald.send({ method: 'post', url: `${wire.url}/replaced`, data: { a: 1 } });
    } finally {
      http.request = request;
    }
    expect(seen).toEqual(['/replaced']);
    checkStrict(wire.takeOne(), FROM_HERALD);
  });

  it('with https.request for https:', async () => {
    const { request } = https;
    https.request = (() => {
      throw new Error('by https.request');
    }) as typeof request;
    try {
      await expect(herald.send({ url: 'https://secure.test/x' })).rejects.toThrow(
        'by https.request',
      );
    } finally {
      https.request = request;
    }
  });

  it('over sockets that are kept, one after the other', async () => {
    const httpAgent = new Agent({ keepAlive: true, maxSockets: 1 });
    const seen = wire.connections;
    for (const data of [{ a: 1 }, { a: 2 }, { a: 3 }]) {
      await herald.send({ method: 'post', url: `${wire.url}/kept`, data, httpAgent });
      checkStrict(wire.takeOne(), FROM_HERALD);
    }
    expect(wire.connections).toBe(seen + 1);
    httpAgent.destroy();
  });

  describe.each([
    ['that never get an answer', { url: '/stalled' }],
    ['that never get a connection', { lookup: () => undefined }],
  ])('and given up in time, of those %s,', (_kind, config) => {
    it.each([
      ['with the code of axios', {}, 'ECONNABORTED'],
      ['with the clearer one', { transitional: { clarifyTimeoutError: true } }, 'ETIMEDOUT'],
    ])('%s, as axios alone does', async (_which, options, code) => {
      const base = { baseURL: `http://localhost:${wire.port}`, url: '/', timeout: 50 };
      const request = { ...base, ...config, ...options } as AxiosRequestConfig;
      const expected = { code, message: 'timeout of 50ms exceeded' };
      await expect(axiosOfNest.create().request(request)).rejects.toMatchObject(expected);
      await expect(herald.http.axiosRef.request(onBehalfOf(USER, request))).rejects.toMatchObject(
        expected,
      );
      wire.takeAll();
    });
  });

  it('and no longer given up once the answer has begun, as axios does where it chooses the transport', async () => {
    const timeout = 12_345;
    const { setTimeout } = globalThis;
    const timers: NodeJS.Timeout[] = [];
    globalThis.setTimeout = ((run: () => void, delay?: number) => {
      const timer = setTimeout(run, delay);
      if (delay === timeout) timers.push(timer);
      return timer;
    }) as typeof setTimeout;
    try {
      await herald.send({ url: `${wire.url}/x`, timeout, responseType: 'stream' });
    } finally {
      globalThis.setTimeout = setTimeout;
    }
    wire.takeAll();
    expect(timers).toEqual([expect.objectContaining({ _destroyed: true })]);
  });

  it('and given up by nothing else where it takes no longer than its timeout', async () => {
    await herald.send({ url: `${wire.url}/x`, timeout: 10_000 });
    checkStrict(wire.takeOne(), FROM_HERALD);
  });
});

describe('a request to a host that is no target', () => {
  it.each(ADAPTERS_OF_AXIOS)('is axios’s own: nothing of it is hidden (%s)', async (adapter) => {
    const stranger = await new RecordingServer().start();
    const options = { unknownTargets: 'send-unsigned' as const };
    const herald = await SendingService.start(['https://census.service/'], options);
    const response = await herald.http.axiosRef.get(stranger.url, { adapter });
    expect(Object.keys(response)).toContain('request');
    await Promise.all([herald.close(), stranger.close()]);
  });
});
