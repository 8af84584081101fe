import { Readable } from 'node:stream';
import { createServiceAuth, type TargetOptions } from 'nestjs-service-auth/core';
import { createSignedFetch, ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { ServiceAuth } from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { createSignedDispatcher } from 'nestjs-service-auth/undici';
import { Agent } from 'undici';
import { firstValueFrom } from 'rxjs';
import { RecordingServer } from '../support/http/recording-server.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { valuesOf } from '../support/http/recording-server.js';
import {
  CENSUS,
  HERALD,
  heraldKey,
  SendingService,
  USER,
} from '../support/services/sending-service.js';

type Signing = TargetOptions['signing'];

const events = new ObservedEvents();
let server: RecordingServer;
beforeAll(async () => void (server = await new RecordingServer().start()));
beforeEach(() => void events.decisions.splice(0));
afterAll(async () => await server.close());

const targets = (signing: Signing): TargetOptions[] => [
  { baseUrl: server.url, audience: CENSUS, signing },
];
const tokensOf = (): readonly string[] => valuesOf(server.takeOne(), 'jwt');

/** A call whose options say `words`, of each client. */
const CLIENTS: readonly [string, (herald: SendingService, words: object) => Promise<unknown>][] = [
  ['axios', async ({ http }, words) => await firstValueFrom(http.post(server.url, 'body', words))],
  [
    'fetch',
    async ({ context }, words) =>
      await context.get(ServiceFetch, { strict: false })(server.url, {
        method: 'POST',
        body: 'body',
        ...words,
      }),
  ],
  [
    'undici',
    async ({ context }, words) => {
      const agent = new Agent();
      const signed = createSignedDispatcher(context.get(ServiceAuth, { strict: false }), agent);
      const { body } = await signed.request({
        origin: server.url,
        path: '/',
        method: 'POST',
        body: 'body',
        ...words,
      });
      await body.dump();
      await agent.close();
    },
  ],
];

async function start(signing: Signing): Promise<SendingService> {
  return await SendingService.start([], { targets: targets(signing), observer: events }, [
    ServiceHttpModule.register(),
    ServiceFetchModule,
  ]);
}

/** Calls that cannot be signed: for a user who is not known, or with a header that no token can bind. */
const UNSIGNABLE: readonly [string, object, string][] = [
  ['nobody is named', {}, 'subject_undecided'],
  ['its user is not known', onBehalfOf(undefined), 'subject_undecided'],
  ['its user is no URI', onBehalfOf('anna'), 'subject_invalid'],
];

describe.each(CLIENTS)('signing of a target, with %s', (_client, send) => {
  it.each(UNSIGNABLE)(
    'RO-09 best-effort: a call is sent without a token where %s',
    async (_, words, code) => {
      const herald = await start('best-effort');
      await send(herald, words);
      expect(server.requests[0]?.body.toString()).toBe('body');
      expect(tokensOf()).toEqual([]);
      expect(events.decisions).toEqual([
        { type: 'signing_failed', transport: 'http', code, audience: CENSUS, isSentUnsigned: true },
      ]);
      await herald.close();
    },
  );

  it.each(UNSIGNABLE)('RO-09 required: it is not sent where %s', async (_, words, code) => {
    const herald = await start('required');
    await expect(send(herald, words)).rejects.toMatchObject({ code });
    expect(server.takeAll()).toEqual([]);
    expect(events.decisions).toEqual([
      { type: 'signing_failed', transport: 'http', code, audience: CENSUS, isSentUnsigned: false },
    ]);
    await herald.close();
  });

  it('RO-09 best-effort: a call that can be signed is signed', async () => {
    const herald = await start('best-effort');
    await send(herald, onBehalfOf(USER));
    expect(tokensOf()).toHaveLength(1);
    expect(events.decisions).toMatchObject([{ type: 'request_signed' }]);
    await herald.close();
  });

  it('RO-09 best-effort: after close() a call is sent without a token', async () => {
    const herald = await start('best-effort');
    await herald.close();
    await send(herald, onBehalfOf(USER));
    expect(tokensOf()).toEqual([]);
    expect(events.decisions).toMatchObject([{ code: 'service_closed', isSentUnsigned: true }]);
  });
});

it('RO-09 best-effort: a call whose body cannot be read into memory is not sent', async () => {
  const options = { targets: targets('best-effort'), observer: events, maxBufferedBodyBytes: 8 };
  const herald = await SendingService.start([], options);
  const sending = herald.send({
    url: server.url,
    method: 'post',
    data: Readable.from(['too long for it']),
  });
  await expect(sending).rejects.toMatchObject({ code: 'body_too_large' });
  expect(server.takeAll()).toEqual([]);
  expect(events.decisions).toMatchObject([{ code: 'body_too_large', isSentUnsigned: false }]);
  await herald.close();
});

it('RO-09 best-effort: a call that names its user and goes to no target is not sent', async () => {
  const options = { targets: targets('best-effort'), unknownTargets: 'send-unsigned' } as const;
  const herald = await SendingService.start([], options);
  const sending = firstValueFrom(herald.http.get('http://127.0.0.1:9/', onBehalfOf(undefined)));
  await expect(sending).rejects.toMatchObject({ code: 'target_unknown' });
  await herald.close();
});

it.each([
  ['best-effort', undefined],
  ['required', 'subject_invalid'],
] as const)('sign(): with %s signing answers or throws %s', async (signing, code) => {
  const auth = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey: heraldKey.privatePem },
    targets: targets(signing),
  });
  const signingOne = auth.sign({
    method: 'GET',
    url: server.url,
    headers: {},
    body: new Uint8Array(),
    subject: 'anna',
  });
  if (code === undefined) expect(await signingOne).toBeUndefined();
  else await expect(signingOne).rejects.toMatchObject({ code });
  const signedFetch = createSignedFetch(auth);
  if (code === undefined) expect((await signedFetch(server.url)).status).toBe(200);
  else await expect(signedFetch(server.url)).rejects.toMatchObject({ code: 'subject_undecided' });
  server.takeAll();
  auth.close();
});
