import { EventEmitter, on, once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import {
  All,
  Controller,
  Get,
  HttpCode,
  Inject,
  Injectable,
  type OnApplicationShutdown,
  type OnModuleInit,
  Param,
  Query,
  UseGuards,
} from '@nestjs/common';
import {
  ServiceAuthModule,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
  ServiceSubject,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { Agent, type Dispatcher, fetch as fetchOfUndici, ProxyAgent } from 'undici';
import { Caller } from '../support/services/caller.js';
import { FETCHES, FetchingService } from '../support/services/fetching-service.js';
import { ForwardProxy } from '../support/http/forward-proxy.js';
import { createKey } from '../support/keys/keys.js';
import { createClock } from '../support/services/receiver.js';
import { startCensus } from '../support/services/receiving-service.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { selfSign } from '../support/keys/self-signed.js';
import { CENSUS, FROM_HERALD, HERALD, heraldKey } from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { leaksOf, secretsOfKey, tellingSegments } from '../support/observed/traces.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const userUri = (id: number) => `https://census.service/user/${id}/`;
const codeIn = (text: string): unknown => (JSON.parse(text) as { code?: unknown }).code;
/** Dispatchers have the types of undici's own fetch. */
const initWith = (dispatcher: Dispatcher, init: RequestInit = {}) =>
  ({ ...init, dispatcher }) as unknown as RequestInit;

/** A call that is handed over to what runs in the background. */
interface Job {
  readonly url: string;
  readonly init: RequestInit | undefined;
  /** Told `sent`, or why it was not. */
  readonly done: (outcome: string) => void;
}

/** What an application has running since it started: each takes jobs out of requests, into its own context. */
@Injectable()
class Background implements OnModuleInit, OnApplicationShutdown {
  private readonly queue = new EventEmitter();
  private readonly stream = new PassThrough({ objectMode: true });
  private readonly batch: Job[] = [];
  private readonly stop = new AbortController();
  private timer: NodeJS.Timeout | undefined;

  constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}

  onModuleInit(): void {
    void this.workOffQueue();
    void this.workOffStream();
    this.timer = setInterval(() => {
      for (const job of this.batch.splice(0)) void this.run(job);
    }, 1);
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
    this.stop.abort();
    this.stream.end();
  }

  /** How a job gets from a handler to where it is done. */
  readonly ways: Record<string, (job: Job) => void> = {
    queue: (job) => void this.queue.emit('job', job),
    stream: (job) => void this.stream.write(job),
    timer: (job) => void this.batch.push(job),
    itself: (job) => void this.run(job),
  };

  private async workOffQueue(): Promise<void> {
    const { signal } = this.stop;
    try {
      for await (const [job] of on(this.queue, 'job', { signal })) await this.run(job as Job);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  private async workOffStream(): Promise<void> {
    for await (const job of this.stream) await this.run(job as Job);
  }

  private async run({ url, init, done }: Job): Promise<void> {
    try {
      await (await this.fetch(url, init)).text();
      done('sent');
    } catch (error) {
      done(error instanceof ServiceSigningError ? error.code : String(error));
    }
  }
}

const PROPAGATIONS = ADAPTERS.flatMap((framework) =>
  (['explicit', 'ambient'] as const).map((propagation) => ({ framework, propagation })),
);

describe.each(PROPAGATIONS)('where a handler on $framework hands a call over', (row) => {
  const { framework, propagation } = row;
  const agent = new Caller('https://agent.service/', HERALD);
  const wire = new RecordingServer();
  let service: TestService;

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class HandingController {
    constructor(@Inject(Background) private readonly background: Background) {}

    @Get(':way')
    async hand(
      @Param('way') way: string,
      @ServiceSubject() subject: string,
      @Query('named') named?: string,
    ): Promise<string> {
      const url = `${wire.url}/?${new URLSearchParams({ subject }).toString()}`;
      const init = named === undefined ? undefined : onBehalfOf(subject);
      return await new Promise((done) => this.background.ways[way]?.({ url, init, done }));
    }
  }

  beforeAll(async () => {
    await wire.start();
    service = await startService({
      adapter: framework,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          trustedIssuers: [agent.trusted],
          targets: [{ baseUrl: wire.url, audience: CENSUS }],
          subjectPropagation: propagation,
        }),
        ServiceFetchModule,
      ],
      controllers: [HandingController],
      providers: [Background],
      configure: (app) => app.enableShutdownHooks(),
    });
  });
  afterAll(async () => await Promise.all([service.close(), wire.close()]));

  const askAll = async (target: string) => {
    const asked = Array.from({ length: 20 }, async (_none, id) =>
      agent.get(service.port, target, userUri(id)),
    );
    return (await Promise.all(asked)).map(({ text }) => text);
  };
  const checkAll = () => {
    const recorded = wire.takeAll();
    expect(recorded).toHaveLength(20);
    for (const each of recorded) {
      const subject = new URL(each.target, wire.url).searchParams.get('subject') ?? '';
      checkStrict(each, { ...FROM_HERALD, subject });
    }
  };

  it.each(['queue', 'stream', 'timer'])(
    `OS-17 to a %s that runs since the start, it is made for the user who is named, and otherwise for no other (${propagation})`,
    async (way) => {
      expect(await askAll(`/${way}`)).toEqual(Array(20).fill('subject_undecided'));
      expect(wire.takeAll()).toEqual([]);
      expect(await askAll(`/${way}?named=`)).toEqual(Array(20).fill('sent'));
      checkAll();
    },
  );

  it(`OS-17 to nothing but what it has started, it is made for its user (${propagation})`, async () => {
    if (propagation === 'explicit') {
      expect(await askAll('/itself')).toEqual(Array(20).fill('subject_undecided'));
      expect(wire.takeAll()).toEqual([]);
    }
    expect(await askAll(propagation === 'ambient' ? '/itself' : '/itself?named=')).toEqual(
      Array(20).fill('sent'),
    );
    checkAll();
  });
});

describe.each(ADAPTERS)('where calls to a service on %s wait for a socket', (framework) => {
  const clock = createClock();
  let served: string[] = [];
  let release = (): void => undefined;
  let hold = (): void => undefined;

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class HoldingController {
    @All(':path')
    @HttpCode(200)
    async answer(@Param('path') path: string, @ServiceCaller() caller: ServiceIdentity) {
      served.push(path);
      if (path === 'held') {
        hold();
        await new Promise<void>((resolve) => (release = resolve));
      }
      return { path, subject: caller.subject };
    }
  }

  let census: TestService;
  let herald: FetchingService;
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
  let handedOver: (url: string) => void = () => undefined;
  beforeEach(async () => {
    served = [];
    agent = new Agent({ connections: 1 });
    const send = (async (url: string, init: object) => {
      const answer = fetchOfUndici(url, init);
      handedOver(url);
      return await answer;
    }) as unknown as typeof fetch;
    const module = ServiceFetchModule.register({ fetch: send });
    herald = await FetchingService.start([census.url], { now: clock.now }, module);
  });
  afterEach(async () => {
    await agent.destroy();
    await herald.close();
  });
  const send = async (path: string) =>
    await herald.send(`${census.url}/${path}`, initWith(agent, { method: 'POST', body: path }));

  /** One call is held by the receiver, another waits behind it; then `seconds` go by. */
  const sendBehindAnother = async (seconds: number) => {
    const held = new Promise<void>((resolve) => (hold = resolve));
    const first = send('held');
    await held;
    const waits = new Promise((resolve) => (handedOver = resolve));
    const second = send('waiting');
    await waits;
    clock.advance(seconds);
    release();
    expect(await first).toMatchObject({ status: 200 });
    return await second;
  };

  it('OS-19 for less than the lifetime of the token, they are accepted', async () => {
    expect(await sendBehindAnother(59)).toMatchObject({ status: 200 });
    expect(served).toEqual(['held', 'waiting']);
  });

  it('OS-19 for longer, they are refused as expired, and sent again they are accepted', async () => {
    const { status, text } = await sendBehindAnother(120);
    expect([status, codeIn(text)]).toEqual([401, 'token_expired']);
    expect(served).toEqual(['held']);
    expect(await send('waiting')).toMatchObject({ status: 200 });
    expect(served).toEqual(['held', 'waiting']);
  });

  it('OS-19 four hundred at once, over eight sockets, are each accepted', async () => {
    const eight = new Agent({ connections: 8 });
    const answers = await Promise.all(
      Array.from({ length: 400 }, async (_none, id) => {
        const init = onBehalfOf(userUri(id), initWith(eight, { method: 'POST', body: String(id) }));
        const response = await herald.fetch(`${census.url}/n-${id}`, init);
        return (await response.json()) as unknown;
      }),
    );
    expect(answers).toEqual(
      answers.map((_answer, id) => ({ path: `n-${id}`, subject: userUri(id) })),
    );
    await eight.destroy();
  });
});

const GRID = ADAPTERS.flatMap((framework) =>
  FETCHES.map(({ name, module }) => ({ framework, name, module })),
);

describe.each(GRID)('by $name, what the receiver on $framework refuses', ({ name, framework }) => {
  let wrongBySeconds = 0;
  let sent: string[] = [];
  let repeats = 0;
  let census: TestService;
  let herald: FetchingService;
  /** Sends `repeats` times more what it gets, as a broken proxy may. */
  const counting = (async (url: string, init: RequestInit) => {
    const send = (name === 'the fetch of Node' ? fetch : fetchOfUndici) as typeof fetch;
    sent.push(new Headers(init.headers).get('jwt') ?? '');
    for (; repeats > 0; repeats--) await (await send(url, init)).text();
    return await send(url, init);
  }) as typeof fetch;
  beforeAll(async () => {
    census = await startCensus(framework, { now: () => Date.now() + wrongBySeconds * 1000 });
    const module = ServiceFetchModule.register({ fetch: counting });
    herald = await FetchingService.start([census.url], {}, module);
  });
  afterAll(async () => await Promise.all([census.close(), herald.close()]));
  beforeEach(() => (sent = []));
  const post = async () => {
    const { status, text } = await herald.send(census.url, { method: 'POST', body: 'x' });
    return status === 200 ? status : codeIn(text);
  };

  it('OS-21 as used before is not tried again of itself, and accepted with a new token', async () => {
    repeats = 1;
    expect(await post()).toBe('token_replayed');
    expect(sent).toHaveLength(1);
    expect(await post()).toBe(200);
    expect(new Set(sent).size).toBe(2);
  });

  it('OS-21 as expired is not tried again of itself', async () => {
    wrongBySeconds = 120;
    expect(await post()).toBe('token_expired');
    expect(sent).toHaveLength(1);
    wrongBySeconds = 0;
    expect(await post()).toBe(200);
  });
});

describe.each(FETCHES)('by $name, an answer with 421', ({ module }) => {
  it('is repeated once by fetch itself, with a token that is good for one of the two', async () => {
    const wire = await new RecordingServer((_request, response) =>
      response.writeHead(421).end(),
    ).start();
    const herald = await FetchingService.start([wire.url], {}, module);
    expect(await herald.send(wire.url, { method: 'POST', body: 'x' })).toMatchObject({
      status: 421,
    });
    const ids = wire.takeAll().map((recorded) => checkStrict(recorded, FROM_HERALD)['jti']);
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
    await Promise.all([herald.close(), wire.close()]);
  });
});

describe('through a proxy', () => {
  const wire = new RecordingServer();
  const proxy = new ForwardProxy('user:secret');
  const tlsKey = createKey();
  const ca = selfSign(tlsKey);
  let arrived: string[][] = [];
  const tls: Server = createServer({ key: tlsKey.privatePem, cert: ca }, (request, answer) => {
    arrived.push(request.rawHeaders);
    answer.end('{}');
  });
  let herald: FetchingService;
  let tlsUrl = '';
  beforeAll(async () => {
    await Promise.all([wire.start(), proxy.start(), once(tls.listen(0, '127.0.0.1'), 'listening')]);
    tlsUrl = `https://127.0.0.1:${(tls.address() as AddressInfo).port}`;
    const module = ServiceFetchModule.register({ fetch: fetchOfUndici });
    herald = await FetchingService.start([wire.url, tlsUrl], {}, module);
  });
  afterAll(async () => {
    tls.closeAllConnections();
    tls.close();
    await Promise.all([herald.close(), wire.close(), proxy.close()]);
  });
  beforeEach(() => (arrived = []));

  it('OS-22 a request arrives as signed, and its token is no matter of CONNECT', async () => {
    const dispatcher = new ProxyAgent({
      uri: proxy.url,
      requestTls: { ca, checkServerIdentity: () => undefined },
    });
    await herald.send(`${tlsUrl}/a?b`, initWith(dispatcher, { method: 'POST', body: 'x' }));
    const [connect, ...others] = proxy.takeAll();
    expect(others).toEqual([]);
    expect(connect).toMatchObject({ method: 'CONNECT', target: new URL(tlsUrl).host });
    expect(connect?.rawHeaders.join()).not.toMatch(/jwt|eyJ/i);
    const rawHeaders = arrived[0] ?? [];
    expect(rawHeaders.join()).not.toMatch(/proxy-authorization/i);
    const seen = { method: 'POST', target: '/a?b', rawHeaders, body: Buffer.from('x') };
    checkStrict(seen, FROM_HERALD);
    const [token = ''] = valuesOf(seen, 'jwt');
    expect(Buffer.concat(proxy.tunnelled).includes(token)).toBe(false);
    await dispatcher.close();
  });

  it('OS-22 over http: a request arrives as signed, behind the credentials of the proxy', async () => {
    const dispatcher = new ProxyAgent({ uri: proxy.url });
    await herald.send(`${wire.url}/a?b`, initWith(dispatcher, { method: 'POST', body: 'x' }));
    const recorded = wire.takeOne();
    expect(recorded.target).toBe('/a?b');
    expect(recorded.rawHeaders.join()).not.toMatch(/proxy-authorization/i);
    checkStrict(recorded, FROM_HERALD);
    expect(proxy.takeAll()).toHaveLength(1);
    await dispatcher.close();
  });

  it('OS-22 that refuses, a request fails without a trace of its token', async () => {
    const stranger = new ProxyAgent({ uri: proxy.url.replace('user:secret@', '') });
    const tokens: string[] = [];
    const noting = (async (url: string, init: RequestInit) => {
      tokens.push(new Headers(init.headers).get('jwt') ?? '');
      return await fetchOfUndici(url, init as object);
    }) as unknown as typeof fetch;
    const module = ServiceFetchModule.register({ fetch: noting });
    const careful = await FetchingService.start([tlsUrl], {}, module);
    const error: unknown = await careful
      .send(tlsUrl, initWith(stranger))
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'TypeError', message: 'fetch failed' });
    expect(tokens).toHaveLength(1);
    expect(leaksOf(error, [...tellingSegments(tokens), ...secretsOfKey(heraldKey)])).toEqual([]);
    expect(arrived).toEqual([]);
    await Promise.all([careful.close(), stranger.close()]);
  });
});
