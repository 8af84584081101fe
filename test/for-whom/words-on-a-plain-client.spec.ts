import { HttpModule, HttpService } from '@nestjs/axios';
import { NestFactory } from '@nestjs/core';
import axios, { type AxiosRequestConfig } from 'axios';
import { ServiceAuthUsageError } from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { lastValueFrom } from 'rxjs';
import {
  fetch as fetchOfUndici,
  request as requestOfUndici,
  Request as RequestOfUndici,
} from 'undici';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { axiosOfNest, CENSUS, SendingService, USER } from '../support/services/sending-service.js';
import { takeSubjects } from './turns.js';

const wire = new RecordingServer();
let plain: HttpService;
let ofNode: SendingService;
let ofUndici: SendingService;
beforeAll(async () => {
  await wire.start();
  const module = HttpModule.register({}) as never;
  const bare = await NestFactory.createApplicationContext(module, { logger: false });
  plain = bare.get(HttpService, { strict: false });
  const targets = { targets: [{ baseUrl: wire.url, audience: CENSUS }] };
  const itself = { ...targets, subjectOutsideRequest: 'act-as-itself' as const };
  const undici = ServiceFetchModule.register({ fetch: fetchOfUndici });
  ofNode = await SendingService.start([], itself, [ServiceFetchModule]);
  ofUndici = await SendingService.start([], itself, [undici]);
});
afterAll(async () => await Promise.all([ofNode.close(), ofUndici.close(), wire.close()]));

const serviceFetch = (service: SendingService): ServiceFetch =>
  service.context.get(ServiceFetch, { strict: false });

/** What undici's own types take, which are others than those of Node. */
type UndiciInit = ConstructorParameters<typeof RequestOfUndici>[1];

const WORDS = [
  ['onBehalfOf()', <T extends object>(options?: T) => onBehalfOf(USER, options), USER],
  ['actingAsItself()', <T extends object>(options?: T) => actingAsItself(options), undefined],
] as const;

type Options = object | undefined;

/** Clients that do not sign, called with options that may have words in them. */
const AXIOS: readonly (readonly [string, (options: Options) => Promise<unknown>])[] = [
  ['HttpService of HttpModule', (options) => lastValueFrom(plain.get(wire.url, options))],
  ['its post()', (options) => lastValueFrom(plain.post(wire.url, { a: 1 }, options))],
  ['its request()', (options) => lastValueFrom(plain.request({ url: wire.url, ...options }))],
  ['its axiosRef', (options) => plain.axiosRef.get(wire.url, options)],
  ['axios.create()', (options) => axiosOfNest.create().get(wire.url, options)],
  [
    'axios.create() with an adapter of its own',
    (options) => axiosOfNest.create({ adapter: 'fetch' }).get(wire.url, options),
  ],
  ['the default instance of axios', (options) => axios.get(wire.url, options)],
  ['axios()', (options) => axios({ url: wire.url, ...options } as AxiosRequestConfig)],
  ['axios.postForm()', (options) => axios.postForm(wire.url, { a: 1 }, options)],
];

const FETCHES: readonly (readonly [string, (options: Options) => Promise<unknown>])[] = [
  ['fetch', async (options) => await fetch(wire.url, options)],
  [
    'fetch, with more options',
    async (options) => await fetch(wire.url, { ...options, method: 'PUT' }),
  ],
  ['a Request, sent with fetch', async (options) => await fetch(new Request(wire.url, options))],
  [
    'a Request that is cloned, sent with fetch',
    async (options) => await fetch(new Request(wire.url, options).clone()),
  ],
  [
    'a Request made from a Request',
    async (options) => await fetch(new Request(new Request(wire.url, options))),
  ],
  ['fetch of undici', async (options) => await fetchOfUndici(wire.url, options as UndiciInit)],
  [
    'a Request of undici',
    async (options) => await fetchOfUndici(new RequestOfUndici(wire.url, options as UndiciInit)),
  ],
  [
    'request() of undici',
    async (options) =>
      await requestOfUndici(wire.url, options as Parameters<typeof requestOfUndici>[1]),
  ],
];

/** Clients that sign, and do not see the words of a `Request`. */
const SIGNING: readonly (readonly [string, (options: Options) => Promise<unknown>])[] = [
  [
    'a Request, sent with ServiceFetch',
    async (options) => await serviceFetch(ofNode)(new Request(wire.url, options)),
  ],
  [
    'a Request that is cloned, sent with ServiceFetch',
    async (options) => await serviceFetch(ofNode)(new Request(wire.url, options).clone()),
  ],
  [
    'a Request with an empty query, sent with ServiceFetch',
    async (options) => await serviceFetch(ofNode)(new Request(`${wire.url}/?`, options)),
  ],
  [
    'a Request of undici, sent with its ServiceFetch',
    async (options) => {
      const request = new RequestOfUndici(wire.url, options as UndiciInit);
      return await serviceFetch(ofUndici)(request as unknown as Request);
    },
  ],
];

const MESSAGE =
  /^Nothing was sent: onBehalfOf\(\) and actingAsItself\(\) need a client that signs\. Import ServiceHttpModule .* or ServiceFetchModule/;

describe.each(WORDS)('FW-16 %s is an error', (_words, name) => {
  it.each([...AXIOS, ...FETCHES, ...SIGNING])('to %s', async (_client, send) => {
    const error: unknown = await send(name()).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ServiceAuthUsageError);
    expect((error as Error).message).toMatch(MESSAGE);
    expect(wire.takeAll()).toEqual([]);
    expect(wire.connections).toBe(0);
  });
});

describe('FW-16 without words it is sent', () => {
  it.each([...AXIOS, ...FETCHES])('unsigned by %s', async (_client, send) => {
    await send(undefined);
    expect(wire.takeAll().map((recorded) => valuesOf(recorded, 'jwt'))).toEqual([[]]);
  });

  it.each(SIGNING)('signed by %s', async (_client, send) => {
    await send(undefined);
    expect(takeSubjects(wire)).toEqual([undefined]);
  });
});

describe('FW-16 with words it is signed by a client that signs', () => {
  it.each(WORDS)('with %s in the call', async (_words, name, subject) => {
    const refusing = await SendingService.start([wire.url]);
    await lastValueFrom(refusing.http.get(wire.url, name()));
    await refusing.http.axiosRef.post(wire.url, { a: 1 }, name());
    for (const service of [ofNode, ofUndici]) {
      await serviceFetch(service)(wire.url, name());
      await serviceFetch(service)(wire.url, name({ method: 'PUT', body: 'x' }));
    }
    await serviceFetch(ofNode)(new Request(wire.url), name());
    expect(takeSubjects(wire)).toEqual(Array(7).fill(subject));
    await refusing.close();
  });

  it('with the adapter, the dispatcher and the referrer that the caller gave', async () => {
    const seen: unknown[] = [];
    const send = (async (_input: never, init: object) => {
      seen.push(Reflect.get(init, 'dispatcher'), Reflect.get(init, 'referrer'));
      return await Promise.resolve(new Response());
    }) as never;
    const module = ServiceFetchModule.register({ fetch: send });
    const service = await SendingService.start([wire.url], {}, [module]);
    const dispatcher = { dispatch: () => true };
    const given = { dispatcher, referrer: 'about:client' } as object;
    await serviceFetch(service)(wire.url, onBehalfOf(USER, given));
    await serviceFetch(service)(wire.url, onBehalfOf(USER, onBehalfOf(USER, given)));
    await serviceFetch(service)(wire.url, onBehalfOf(USER));
    expect(seen).toEqual([
      dispatcher,
      'about:client',
      dispatcher,
      'about:client',
      undefined,
      undefined,
    ]);
    await service.close();
  });

  it('and their JSON does not show the user', () => {
    const words = onBehalfOf(USER, { method: 'PUT' });
    expect(JSON.parse(JSON.stringify(words))).toMatchObject({ method: 'PUT' });
    expect(JSON.stringify(words)).not.toContain(USER);
  });
});
