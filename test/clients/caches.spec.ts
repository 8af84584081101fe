import { HttpService } from '@nestjs/axios';
import { Controller, Get, Header, Headers, Inject, Param, Res, UseGuards } from '@nestjs/common';
import axios, { type AxiosRequestConfig } from 'axios';
import {
  buildMemoryStorage,
  type CacheOptions,
  defaultKeyGenerator,
  setupCache,
} from 'axios-cache-interceptor';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceAuthUsageError,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import {
  actingAsItself,
  onBehalfOf,
  ServiceHttpModule,
  userCacheKey,
} from 'nestjs-service-auth/axios';
import { ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { firstValueFrom, type Observable } from 'rxjs';
import { Agent, type Dispatcher, fetch as fetchOfUndici, interceptors } from 'undici';
import { Caller } from '../support/services/caller.js';
import { FetchingService } from '../support/services/fetching-service.js';
import { call } from '../support/http/http.js';
import {
  CENSUS,
  HERALD,
  heraldKey,
  refusalOf,
  SendingService,
} from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const GATEWAY = 'https://gateway.service/';
const CHRONICLE = 'https://chronicle.service/';
const ALICE = 'https://census.service/user/alice/';
const BOB = 'https://census.service/user/bob/';
const gateway = new Caller(GATEWAY, HERALD);

interface Told {
  readonly user: string;
  readonly id: string;
}

/** The service that is called: it answers with the user it was called for. */
@Controller('documents')
@UseGuards(ServiceJwtGuard)
class DocumentsController {
  @Get('open/:id')
  @SkipServiceAuth()
  @Header('Cache-Control', 'public, max-age=60')
  open(@Param('id') id: string) {
    return { id };
  }
  @Get(':id')
  find(
    @ServiceCaller() { subject = 'nobody' }: ServiceIdentity,
    @Param('id') id: string,
    @Headers() headers: Record<string, string | undefined>,
    @Res({ passthrough: true })
    response: { header(name: string, value: string): unknown },
  ): Told & { language: string | undefined } {
    const { 'x-wanted': wanted, 'accept-language': language } = headers;
    if (wanted !== undefined) response.header('Cache-Control', wanted);
    if (id.startsWith('spoken')) response.header('Vary', 'Accept-Language');
    return { user: subject, id, language };
  }
}

/** What `setupCache()` is given, and the same without users in its keys. */
const WITHOUT_USERS: CacheOptions = { interpretHeader: false, ttl: 60_000 };
const RECIPE: CacheOptions = {
  ...WITHOUT_USERS,
  generateKey: (config, meta) => userCacheKey(config, defaultKeyGenerator(config, meta)),
};

type Cached<T> = Promise<{ readonly data: T; readonly cached?: boolean }>;

/** Calls that one request creates and another one subscribes to. */
const kept = new Map<string, Observable<unknown>>();
const keeping = new Map<string, () => void>();

@Controller()
@UseGuards(ServiceJwtGuard)
class HeraldController {
  constructor(
    @Inject(HttpService) private readonly http: HttpService,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {}

  @Get('named/:id')
  async named(@ServiceCaller() caller: ServiceIdentity, @Param('id') id: string) {
    return await answered(this.http.get(`/documents/${id}`, onBehalfOf(caller)));
  }
  @Get('around/:id')
  async around(@ServiceCaller() caller: ServiceIdentity, @Param('id') id: string) {
    return await answered(
      this.callContext.runOnBehalfOf(caller, () => this.http.get(`/documents/${id}`)),
    );
  }
  @Get('unnamed/:id')
  async unnamed(@Param('id') id: string) {
    return await answered(this.http.get(`/documents/${id}`));
  }
  @Get('reference/:id')
  async reference(@ServiceCaller() caller: ServiceIdentity, @Param('id') id: string) {
    return await answered(this.http.axiosRef.get(`/documents/${id}`, onBehalfOf(caller)));
  }
  /** Creates a call, and is answered when another request has subscribed to it. */
  @Get('keep/:id')
  async keep(@Param('id') id: string) {
    kept.set(id, this.http.get(`/documents/${id}`));
    await new Promise<void>((resolve) => keeping.set(id, resolve));
    return await answered(kept.get(id));
  }
  @Get('take/:id')
  async take(@Param('id') id: string) {
    try {
      return await answered(kept.get(id));
    } finally {
      keeping.get(id)?.();
    }
  }
  @Get('is-kept/:id')
  @SkipServiceAuth()
  isKept(@Param('id') id: string) {
    return { kept: keeping.has(id) };
  }
}

/** What the called service said, and whether it was asked for it. */
async function answered(observable: Observable<unknown> | Promise<unknown> | undefined) {
  try {
    const promise = observable instanceof Promise ? observable : firstValueFrom(observable!);
    const { data, cached } = (await promise) as { data: Told; cached?: boolean };
    return { ...data, cached };
  } catch (error) {
    if (error instanceof ServiceSigningError) return { refused: error.code };
    throw error;
  }
}

/** The keys of a store in memory. */
function keysIn(storage: unknown): string[] {
  const { data } = storage as { data: Map<string, unknown> };
  return [...data.keys()];
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  let census: TestService;
  beforeAll(async () => {
    census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [
            { issuer: HERALD, publicKey: heraldKey.publicPem },
            { issuer: CHRONICLE, publicKey: heraldKey.publicPem },
          ],
        }),
      ],
      controllers: [DocumentsController],
    });
  });
  afterAll(() => census.close());

  async function startHerald(
    cache: CacheOptions,
    options: Partial<ServiceAuthModuleOptions> = {},
  ): Promise<TestService> {
    return await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          trustedIssuers: [gateway.trusted],
          signingKey: { privateKey: heraldKey.privatePem },
          targets: [{ baseUrl: census.url, audience: CENSUS }],
          ...options,
        }),
        ServiceHttpModule.register({ baseURL: census.url }),
      ],
      controllers: [HeraldController],
      configure: (app) => void setupCache(app.get(HttpService).axiosRef as never, cache),
    });
  }

  /** Two users ask for the same five documents, twenty at once, in turns that dice choose. */
  async function crowd(service: TestService, way: string, count: number) {
    const sums = { hits: 0, mixedUp: 0, refused: 0 };
    const one = async () => {
      const user = Math.random() < 0.5 ? ALICE : BOB;
      const id = String(Math.floor(Math.random() * 5));
      const { json } = await gateway.get(service.port, `/${way}/${id}`, user);
      if (json?.['cached'] === true) sums.hits += 1;
      if (json?.['refused'] !== undefined) sums.refused += 1;
      else if (json?.['user'] !== user || json['id'] !== id) sums.mixedUp += 1;
    };
    for (let sent = 0; sent < count; sent += 20) {
      await Promise.all(Array.from({ length: 20 }, one));
    }
    return sums;
  }

  describe('an answer that axios-cache-interceptor keeps is the user’s own (CA-06)', () => {
    it.each([
      ['onBehalfOf() in the call', 'named', 'explicit', 1000],
      ['onBehalfOf() in the call, by axiosRef', 'reference', 'explicit', 200],
      ['runOnBehalfOf() around it', 'around', 'explicit', 200],
      ['the user of the request', 'unnamed', 'ambient', 200],
    ] as const)(
      'with %s',
      async (_name, way, subjectPropagation, count) => {
        const herald = await startHerald(RECIPE, { subjectPropagation });
        const { hits, ...wrong } = await crowd(herald, way, count);
        await herald.close();
        expect(wrong).toEqual({ mixedUp: 0, refused: 0 });
        expect(hits).toBeGreaterThan(count / 2);
      },
      120_000,
    );

    it('and is not without a key that names the user', async () => {
      const herald = await startHerald(WITHOUT_USERS);
      const { hits, mixedUp } = await crowd(herald, 'named', 200);
      await herald.close();
      expect(mixedUp).toBeGreaterThan(0);
      expect(hits).toBeGreaterThan(0);
    });

    it('nor is anybody else’s what a call gets that names nobody (CA-07)', async () => {
      const herald = await startHerald(RECIPE);
      await gateway.get(herald.port, '/named/1', ALICE);
      const { json } = await gateway.get(herald.port, '/unnamed/1', ALICE);
      const named = await gateway.get(herald.port, '/named/1', ALICE);
      await herald.close();
      expect(json).toEqual({ refused: 'subject_undecided' });
      expect(named.json).toMatchObject({ user: ALICE, cached: true });
    });

    it('nor what a call gets that one user’s request creates and another’s subscribes to (CA-07)', async () => {
      const herald = await startHerald(RECIPE, { subjectPropagation: 'ambient' });
      for (const user of [ALICE, BOB]) await gateway.get(herald.port, '/unnamed/1', user);
      const aliceWaits = gateway.get(herald.port, '/keep/1', ALICE);
      for (let isKept: unknown = false; isKept !== true;) {
        isKept = (await call(herald.port, { target: '/is-kept/1' })).json?.['kept'];
      }
      const bob = await gateway.get(herald.port, '/take/1', BOB);
      const alice = await aliceWaits;
      keeping.clear();
      await herald.close();
      expect(bob.json).toEqual({ refused: 'subject_undecided' });
      expect(alice.json).toMatchObject({ user: ALICE, cached: true });
    });
  });

  describe('of one service', () => {
    let herald: SendingService;
    const start = async (cache: CacheOptions = RECIPE, options = {}) => {
      const started = await SendingService.start([census.url], options);
      setupCache(started.http.axiosRef as never, cache);
      return started;
    };
    beforeEach(async () => void (herald = await start()));
    afterEach(async () => await herald.close());
    const get = async (target: string, config: AxiosRequestConfig, from = herald) =>
      await (firstValueFrom(from.http.get(`${census.url}${target}`, config)) as Cached<
        Told & { language?: string }
      >);

    it.each([
      ['an id of the application', '/documents/1', { id: 'mine' }],
      ['a header that the answer varies by', '/documents/spoken-1', {}],
    ])('users stay apart with %s (CA-06)', async (_name, target, config) => {
      const asked = async () => {
        const answers = [];
        for (const user of [ALICE, BOB]) {
          for (const language of ['de', 'en']) {
            const headers = { 'accept-language': language };
            answers.push(await get(target, onBehalfOf(user, { ...config, headers })));
          }
        }
        return answers;
      };
      const first = await asked();
      const again = await asked();
      expect(first.map(({ data }) => data.user)).toEqual([ALICE, ALICE, BOB, BOB]);
      expect(again.map(({ data }) => data)).toEqual(first.map(({ data }) => data));
      expect(again.every(({ cached }) => cached)).toBe(true);
      const languages = new Set(first.map(({ data }) => data.language));
      // The id is all there is to an entry, besides the user.
      if ('id' in config) expect(languages.size).toBe(1);
      else expect(languages).toEqual(new Set(['de', 'en']));
    });

    it('the service itself is a user of its own (CA-06)', async () => {
      const target = '/documents/2';
      const configs = [actingAsItself(), onBehalfOf(ALICE)];
      for (const cached of [false, true]) {
        for (const [at, config] of configs.entries()) {
          const answer = await get(target, config);
          expect(answer).toMatchObject({ cached, data: { user: ['nobody', ALICE][at] } });
        }
      }
    });

    it('another one has answers of its own in a store that both share (CA-06)', async () => {
      const storage = buildMemoryStorage();
      const options = { issuer: CHRONICLE };
      const [first, second] = [
        await start({ ...RECIPE, storage }),
        await start({ ...RECIPE, storage }, options),
      ];
      const cached = [];
      for (const from of [first, second, first, second]) {
        cached.push((await get('/documents/3', onBehalfOf(ALICE), from)).cached);
      }
      await Promise.all([first.close(), second.close()]);
      expect(cached).toEqual([false, false, true, true]);
      const keys = keysIn(storage);
      expect(keys).toHaveLength(2);
      for (const key of keys) expect(key).not.toMatch(/alice|herald|chronicle/);
    });

    it('a refused call is refused again, and leaves nobody waiting (CA-08)', async () => {
      const nowhere = `${census.url.replace('127.0.0.1', 'localhost')}/documents/1`;
      const refused = async (url: string) =>
        await refusalOf(firstValueFrom(herald.http.get(url, onBehalfOf(ALICE))));
      const together = await Promise.all([refused(nowhere), refused(nowhere)]);
      expect([...together, await refused(nowhere)]).toEqual(Array(3).fill('target_unknown'));
      const long = `${census.url}/documents/${'1'.repeat(5000)}`;
      expect([await refused(long), await refused(long)]).toEqual(Array(2).fill('request_too_long'));
      expect(keysIn(Reflect.get(herald.http.axiosRef, 'storage'))).toEqual([]);
      await get('/documents/1', onBehalfOf(ALICE));
      expect(keysIn(Reflect.get(herald.http.axiosRef, 'storage'))).toHaveLength(1);
    });

    it.each<[string, CacheOptions, string | undefined, boolean[]]>([
      ['nothing, as answers are private', {}, undefined, [false, false, false]],
      ['what a handler gives an age, for whoever asks', {}, 'max-age=60', [false, true, true]],
      [
        'the same for one user, with keys that name the user',
        { generateKey: RECIPE.generateKey },
        'max-age=60',
        [false, false, true],
      ],
    ])('with its default settings, it keeps %s (CA-06)', async (_name, cache, wanted, expected) => {
      const from = await start(cache);
      const cached = [];
      for (const user of [ALICE, BOB, ALICE]) {
        const headers = wanted === undefined ? {} : { 'x-wanted': wanted };
        cached.push((await get('/documents/5', onBehalfOf(user, { headers }), from)).cached);
      }
      await from.close();
      expect(cached).toEqual(expected);
    });

    it('nothing is answered from the cache once the service is closed (CA-08)', async () => {
      const config = onBehalfOf(ALICE);
      expect((await get('/documents/4', config)).cached).toBe(false);
      expect((await get('/documents/4', config)).cached).toBe(true);
      await herald.close();
      expect(await refusalOf(get('/documents/4', config))).toBe('service_closed');
    });

    it.each([
      ['names nobody', {}],
      ['names a user who is not known', onBehalfOf(undefined)],
    ])(
      'a call that %s is sent without a token to a target that takes it, and gets no cached answer (CA-11)',
      async (_name, config) => {
        const target = { baseUrl: census.url, audience: CENSUS };
        const from = await start(RECIPE, { targets: [{ ...target, signing: 'best-effort' }] });
        const path = '/documents/open/1';
        const cached = [];
        for (const words of [onBehalfOf(ALICE), config, config, onBehalfOf(ALICE)]) {
          cached.push((await get(path, words, from)).cached);
        }
        await from.close();
        expect(cached).toEqual([false, false, false, true]);
        const required = await start(RECIPE, { targets: [target] });
        expect(await refusalOf(get(path, config, required))).toBe('subject_undecided');
        await required.close();
      },
    );

    it('a client that does not sign has no keys that name users (CA-07)', async () => {
      const plain = setupCache(axios.create(), RECIPE);
      await expect(plain.get(`${census.url}/documents/1`)).rejects.toThrow(ServiceAuthUsageError);
      await expect(plain.get(`${census.url}/documents/1`, onBehalfOf(ALICE))).rejects.toThrow(
        ServiceAuthUsageError,
      );
    });
  });

  describe('the cache of undici under ServiceFetch (CA-09)', () => {
    const fetching = async (dispatcher: Dispatcher) => {
      const send = (input: string, init: object) => fetchOfUndici(input, { ...init, dispatcher });
      const module = ServiceFetchModule.register({ fetch: send as typeof fetch });
      return await FetchingService.start([census.url], {}, module);
    };

    it('answers what is guarded by no token', async () => {
      const pool = new Agent();
      const dispatcher = pool.compose(interceptors.cache());
      const ages = [];
      for (let count = 0; count < 2; count++) {
        const answer = await fetchOfUndici(`${census.url}/documents/open/1`, { dispatcher });
        expect(await answer.json()).toEqual({ id: '1' });
        ages.push(answer.headers.has('age'));
      }
      await pool.close();
      expect(ages).toEqual([false, true]);
    });

    it('shares no answer between users that ask at once, with deduplicate() either', async () => {
      const pool = new Agent();
      const dispatcher = pool.compose(interceptors.deduplicate());
      const herald = await fetching(dispatcher);
      const users = [ALICE, BOB, ALICE, BOB];
      const seen = await Promise.all(
        users.map(async (user) => {
          const answer = await herald.fetch(`${census.url}/documents/1`, onBehalfOf(user));
          return ((await answer.json()) as Told).user;
        }),
      );
      await herald.close();
      await pool.close();
      expect(seen).toEqual(users);
    });

    it.each([
      ['shared', 'private, max-age=60'],
      ['shared', 'public, max-age=60'],
      ['private', 'private, max-age=60'],
      ['private', 'public, max-age=60'],
      ['private', undefined],
    ] as const)('%s, of answers with Cache-Control: %s', async (type, wanted) => {
      const pool = new Agent();
      const dispatcher = pool.compose(interceptors.cache({ type }));
      const herald = await fetching(dispatcher);
      const headers = wanted === undefined ? undefined : { 'x-wanted': wanted };
      const seen: string[] = [];
      let hits = 0;
      for (const user of [ALICE, BOB, ALICE, BOB]) {
        const answer = await herald.fetch(
          `${census.url}/documents/1`,
          onBehalfOf(user, { headers }),
        );
        seen.push(((await answer.json()) as Told).user);
        if (answer.headers.has('age')) hits += 1;
      }
      await herald.close();
      await pool.close();
      expect(seen).toEqual([ALICE, BOB, ALICE, BOB]);
      expect(hits).toBe(0);
    });
  });
});
