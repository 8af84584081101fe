import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AxiosRequestConfig } from 'axios';
import {
  ServiceAuth,
  ServiceAuthConfigError,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCallContext,
  ServiceSigningError,
  SIGNING_FAILURES,
  type SigningFailureCode,
} from 'nestjs-service-auth';
import { actingAsItself, onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { RecordingServer } from '../support/http/recording-server.js';
import {
  CENSUS,
  FROM_HERALD,
  HERALD,
  heraldKey,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import { leaksOf, secretsOfKey } from '../support/observed/traces.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const CANARY = 'canary-that-must-not-sing';
const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

const errorOf = async (failing: Promise<unknown>): Promise<unknown> =>
  await failing.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: unknown) => error,
  );

interface Row {
  readonly code: SigningFailureCode;
  readonly options?: () => Partial<ServiceAuthModuleOptions>;
  /** What is refused in a request full of canaries. */
  readonly bad: () => AxiosRequestConfig;
  /** What is sent in its place. Default: the request without it. */
  readonly good?: () => AxiosRequestConfig;
}

/** What a request may hold, and its errors may not. */
const canaries = (): AxiosRequestConfig => ({
  url: `${wire.url}/${CANARY}`,
  params: { [CANARY]: CANARY },
  data: { secret: CANARY },
  headers: HEADERS,
});
const HEADERS = {
  'x-secret': CANARY,
  authorization: CANARY,
  'content-type': 'application/json',
};

const having = (config: AxiosRequestConfig) => () => config;
const stream = (times: number) => new Blob([CANARY.repeat(times)]).stream();
const headers = (changes: Record<string, unknown>) => () =>
  ({ headers: { ...HEADERS, ...changes } }) as AxiosRequestConfig;

const ROWS: readonly Row[] = [
  { code: 'target_unknown', bad: having({ url: `https://unknown.service/${CANARY}` }) },
  {
    code: 'target_invalid',
    bad: () => ({ url: wire.url.replace('//', `//${CANARY}:${CANARY}@`) }),
  },
  { code: 'target_invalid', bad: having({ url: `${CANARY}:${CANARY}` }) },
  { code: 'subject_undecided', bad: having({}), good: having(onBehalfOf(USER)) },
  {
    code: 'subject_invalid',
    bad: having(onBehalfOf(`${CANARY} ${CANARY}`)),
    good: having(onBehalfOf(USER)),
  },
  {
    code: 'subject_invalid',
    bad: having(onBehalfOf(`https://${CANARY}@a/`)),
    good: having(onBehalfOf(USER)),
  },
  {
    code: 'grant_unusable',
    options: () => ({
      trustDomain: 'https://test.example.org/',
      targets: [{ baseUrl: wire.url, audience: CENSUS, grants: 'required' }],
    }),
    bad: having(onBehalfOf(USER)),
    good: having(actingAsItself()),
  },
  {
    code: 'subject_required',
    options: () => ({ targets: [{ baseUrl: wire.url, audience: CENSUS, profile: 'original' }] }),
    bad: having(actingAsItself()),
    good: having(onBehalfOf(USER)),
  },
  {
    code: 'header_unsignable',
    options: () => ({ signedHeaders: ['x-secret'] }),
    bad: headers({ 'x-secret': [CANARY, CANARY] }),
  },
  { code: 'header_unsignable', bad: headers({ 'content-type': `${CANARY}/ž` }) },
  { code: 'request_too_long', bad: () => ({ url: `${wire.url}/${CANARY.repeat(200)}` }) },
  {
    code: 'token_too_large',
    options: () => ({ signedHeaders: ['x-secret'] }),
    bad: headers({ 'x-secret': CANARY.repeat(300) }),
  },
  { code: 'body_unsupported', bad: having({ transformRequest: [] }) },
  { code: 'body_unsupported', bad: () => ({ data: Readable.from([{ secret: CANARY }]) }) },
  {
    code: 'body_too_large',
    bad: () => ({ data: stream(100) }),
    good: () => ({ data: stream(1) }),
  },
  {
    code: 'grant_unusable',
    options: () => ({
      trustDomain: 'https://test.example.org/',
      targets: [{ baseUrl: wire.url, audience: CENSUS, grants: 'required' }],
    }),
    bad: having(onBehalfOf(USER)),
    good: having(actingAsItself()),
  },
];

describe.each(['http', 'fetch'] as const)('through the %s adapter', (adapter) => {
  it.each(ROWS)(
    'what is refused with $code: its error tells nothing of it ($#)',
    async ({ code, options, bad, good }) => {
      const herald = await SendingService.start([wire.url], {
        maxBufferedBodyBytes: 1000,
        ...options?.(),
      });
      const subject = code === 'subject_undecided' ? {} : onBehalfOf(USER);
      const send = async (config?: AxiosRequestConfig) =>
        await herald.http.axiosRef.request({
          method: 'post',
          ...canaries(),
          ...subject,
          ...config,
          adapter,
        });
      const error = await errorOf(send(bad()));
      expect(error).toBeInstanceOf(ServiceSigningError);
      expect(error).toMatchObject({ code });
      expect(leaksOf(error, [CANARY, ...secretsOfKey(heraldKey)])).toEqual([]);
      expect(wire.takeAll()).toEqual([]);
      await send(good?.());
      expect(JSON.stringify(wire.takeOne())).toContain(CANARY);
      await herald.close();
    },
  );
});

describe.each(['http', 'fetch'] as const)('through the %s adapter', (adapter) => {
  it('what is refused with service_closed: its error tells nothing of it', async () => {
    const herald = await SendingService.start([wire.url]);
    const { axiosRef } = herald.http;
    const send = async () =>
      await axiosRef.request(onBehalfOf(USER, { method: 'post', ...canaries(), adapter }));
    await send();
    expect(JSON.stringify(wire.takeOne())).toContain(CANARY);
    await herald.close();
    const error = await errorOf(send());
    expect(error).toBeInstanceOf(ServiceSigningError);
    expect(error).toMatchObject({ code: 'service_closed' });
    expect(leaksOf(error, [CANARY, ...secretsOfKey(heraldKey)])).toEqual([]);
    expect(wire.takeAll()).toEqual([]);
  });

  it('what is refused with originate_refused: its error tells nothing of it', async () => {
    const herald = await SendingService.start([wire.url], {
      trustDomain: 'https://test.example.org/',
      originate: { subjects: [CENSUS] },
    });
    const context = herald.context.get(ServiceCallContext, { strict: false });
    const send = async () =>
      await herald.http.axiosRef.request({ method: 'post', ...canaries(), adapter });
    /** A grant with so many secrets in it. */
    const sendWith = async (times: number) => {
      const originate = { transactionContext: { note: CANARY.repeat(times) } };
      return await context.runOnBehalfOf(USER, send, { originate });
    };
    await sendWith(1);
    expect(wire.takeAll()).toHaveLength(1);
    const error = await errorOf(sendWith(300));
    expect(error).toBeInstanceOf(ServiceSigningError);
    expect(error).toMatchObject({ code: 'originate_refused' });
    expect(leaksOf(error, [CANARY, ...secretsOfKey(heraldKey)])).toEqual([]);
    expect(wire.takeAll()).toEqual([]);
    await herald.close();
  });
});

it('every code of a refusal to sign is among these, but for a service that has no key', () => {
  // Making a grant sends nothing: test/core/grants/issue-grant.spec.ts.
  const provoked = [...ROWS.map(({ code }) => code), 'service_closed', 'originate_refused'];
  // No client of HTTP gets as far: test/core/signing-failures.spec.ts, test/core/messages.
  const ofMessages = ['message_unsignable', 'method_unsignable'];
  expect([...new Set(provoked), ...ofMessages, 'sending_disabled'].toSorted()).toEqual(
    Object.keys(SIGNING_FAILURES).toSorted(),
  );
});

describe('a signing key that is no good', () => {
  const folder = mkdtempSync(join(tmpdir(), 'signing-leaks-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const fileOf = (content: string): string => {
    const path = join(folder, String(Math.random()).slice(2));
    writeFileSync(path, content);
    return path;
  };
  const key = createKey();
  const { privateKey: weakKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const weakPem = weakKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const encryptedPem = key.privateKey
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: CANARY })
    .toString();
  const linesOf = (pem: string) => pem.split('\n').filter((line) => /^[\w+/=]{20,}$/.test(line));
  const secrets = [CANARY, ...secretsOfKey(key), ...linesOf(weakPem), ...linesOf(encryptedPem)];
  const jwk = key.privateKey.export({ format: 'jwk' });
  const brokenPem = key.privatePem.replace(/\n[^-]/, `\n${CANARY}`);

  @Module({})
  class SendingModule {}

  const start = async (signingKey: unknown, logger: LogRecorder) => {
    const targets = [{ baseUrl: wire.url, audience: CENSUS }];
    const options = { issuer: HERALD, signingKey, targets } as ServiceAuthModuleOptions;
    const imports = [ServiceAuthModule.forRoot(options), ServiceHttpModule.register()];
    const module = { module: SendingModule, imports };
    return await NestFactory.createApplicationContext(module as never, {
      logger,
      abortOnError: false,
    });
  };

  it.each<[string, () => unknown, string]>([
    ['none at all', () => undefined, 'signingKey'],
    [
      'one whose environment variable is not set',
      () => ({ privateKey: undefined }),
      'signingKey.privateKey',
    ],
    ['a public key', () => ({ privateKey: key.publicPem }), 'signingKey.privateKey'],
    ['a shared secret', () => ({ privateKey: CANARY }), 'signingKey.privateKey'],
    [
      'a shared secret as JWK',
      () => ({ privateKey: { kty: 'oct', k: CANARY } }),
      'signingKey.privateKey',
    ],
    [
      'a shared secret as KeyObject',
      () => ({ privateKey: createSecretKey(CANARY, 'utf8') }),
      'signingKey.privateKey',
    ],
    ['RSA of 1024 bits', () => ({ privateKey: weakPem }), 'signingKey.privateKey'],
    ['an encrypted key', () => ({ privateKey: encryptedPem }), 'signingKey.privateKey'],
    ['a broken PEM', () => ({ privateKey: brokenPem }), 'signingKey.privateKey'],
    ['a broken JWK', () => ({ privateKey: { ...jwk, d: CANARY } }), 'signingKey.privateKey'],
    ['a good key under a wrong name', () => ({ key: key.privatePem }), 'signingKey.key'],
    [
      'a good key of another algorithm',
      () => ({ privateKey: key.privatePem, algorithm: 'RS256' }),
      'signingKey.algorithm',
    ],
    ['a good key where options belong', () => key.privatePem, 'signingKey'],
    ['a file of no key', () => ({ keyFile: fileOf(CANARY) }), 'signingKey.keyFile'],
    ['a file of a broken PEM', () => ({ keyFile: fileOf(brokenPem) }), 'signingKey.keyFile'],
    [
      'a file of broken JSON',
      () => ({ keyFile: fileOf(JSON.stringify(jwk).slice(0, -9)) }),
      'signingKey.keyFile',
    ],
    [
      'a function that fails',
      () => () => Promise.reject(new Error(CANARY)),
      'signingKey.privateKey',
    ],
  ])(
    'OS-20 %s: the service does not start, and tells none of it',
    async (_title, signingKey, field) => {
      const logger = new LogRecorder();
      const error = await errorOf(start(signingKey(), logger));
      expect(error).toBeInstanceOf(ServiceAuthConfigError);
      const { problems } = error as ServiceAuthConfigError;
      expect(problems.map((problem) => problem.split(': ')[0])).toContain(field);
      expect(leaksOf([error, logger.entries], secrets)).toEqual([]);
      expect(leaksOf(error, secrets)).toEqual([]);
    },
  );

  it.each<[string, () => unknown]>([
    ['as PEM', () => ({ privateKey: key.privatePem })],
    ['as JWK', () => ({ privateKey: jwk })],
    ['as KeyObject', () => ({ privateKey: key.privateKey })],
    ['in a file', () => ({ keyFile: fileOf(key.privatePem) })],
    ['from a function', () => async () => await Promise.resolve({ privateKey: key.privatePem })],
  ])('OS-20 a good key %s signs, and is shown by nothing', async (_form, signingKey) => {
    const logger = new LogRecorder();
    const context = await start(signingKey(), logger);
    const serviceAuth = context.get(ServiceAuth, { strict: false });
    const http = context.get(ServiceHttpModule, { strict: false });
    const token = await serviceAuth.sign({
      method: 'GET',
      url: `${wire.url}/`,
      headers: {},
      body: new Uint8Array(),
      subject: USER,
    });
    const recorded = { method: 'GET', target: '/', body: Buffer.alloc(0) };
    checkStrict({ ...recorded, rawHeaders: ['JWT', token ?? ''] }, { ...FROM_HERALD, key });
    expect(leaksOf([serviceAuth, http, logger.entries], secrets)).toEqual([]);
    await context.close();
  });
});
