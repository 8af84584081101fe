import { Readable } from 'node:stream';
import { actingAsItself } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { RecordingServer } from '../support/http/recording-server.js';
import { CENSUS, SendingService, USER } from '../support/services/sending-service.js';

const events = new ObservedEvents();
let server: RecordingServer;
let herald: SendingService;

beforeAll(async () => {
  server = await new RecordingServer().start();
  herald = await SendingService.start([server.url], { observer: events, maxBufferedBodyBytes: 8 });
});
beforeEach(() => void events.decisions.splice(0));
afterAll(async () => {
  await herald.close();
  await server.close();
});

const signed = {
  type: 'request_signed',
  transport: 'http',
  audience: CENSUS,
  profile: 'strict',
  durationMilliseconds: expect.any(Number) as number,
};

it('tells of each request that axios sends signed, once', async () => {
  await herald.send({ url: `${server.url}/user`, method: 'post', data: { canary: 1 } });
  await firstValueFrom(herald.http.get(server.url, actingAsItself()));
  expect(events.decisions).toEqual([
    { ...signed, hasSubject: true },
    { ...signed, hasSubject: false },
  ]);
  expect(JSON.stringify(events.decisions)).not.toMatch(/canary|eyJ/);
  expect(JSON.stringify(events.decisions)).not.toContain(USER);
});

it.each([
  ['target_unknown', undefined, { url: 'http://127.0.0.1:9/canary' }],
  ['target_invalid', undefined, { url: 'ftp://canary/' }],
  ['body_unsupported', CENSUS, { method: 'post', data: 5n }],
  ['body_too_large', CENSUS, { method: 'post', data: () => Readable.from('canary-body') }],
  [
    'header_unsignable',
    CENSUS,
    { method: 'post', data: 'x', headers: { 'content-type': 'a\u0100' } },
  ],
])('tells of a request that axios does not send, once: %s', async (code, audience, config) => {
  const { data } = config as { data?: unknown };
  const body = typeof data === 'function' ? (data as () => unknown)() : data;
  const transformRequest = [(value: unknown) => value];
  const sending = herald.send({ url: server.url, ...config, data: body, transformRequest });
  await expect(sending).rejects.toMatchObject({ code });
  expect(events.decisions).toEqual([
    { type: 'signing_failed', transport: 'http', code, audience, isSentUnsigned: false },
  ]);
});

it('tells of a call for nobody', async () => {
  const sending = firstValueFrom(herald.http.get(server.url));
  await expect(sending).rejects.toMatchObject({ code: 'subject_undecided' });
  expect(events.decisions).toEqual([
    {
      type: 'signing_failed',
      transport: 'http',
      code: 'subject_undecided',
      audience: CENSUS,
      isSentUnsigned: false,
    },
  ]);
});

it('tells of no failure to sign where the body fails, or the caller no longer wants the answer', async () => {
  const controller = new AbortController();
  const broken = new Readable({ read: () => broken.destroy(new Error('of the stream')) });
  const unwanted = new Readable({ read: () => controller.abort() });
  const send = async (data: Readable) =>
    await herald.send({ url: server.url, method: 'post', data, signal: controller.signal });
  await expect(send(broken)).rejects.toThrow('of the stream');
  await expect(send(unwanted)).rejects.toMatchObject({ code: 'ERR_CANCELED' });
  expect(events.decisions).toEqual([]);
});
