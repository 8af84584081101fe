import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import type { AxiosRequestConfig, AxiosRequestHeaders, AxiosResponse } from 'axios';
import FormDataPackage from 'form-data';
import { firstValueFrom } from 'rxjs';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { replay, startCensus } from '../support/services/receiving-service.js';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import {
  FROM_HERALD,
  refusalOf,
  SendingService,
  USER,
} from '../support/services/sending-service.js';
import type { TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const JSON_TYPE = { 'content-type': 'application/json' };
const TEXT = { 'content-type': 'text/plain' };
const OCTETS = { 'content-type': 'application/octet-stream' };
const LIMIT = 64 * 1024;

interface Kind {
  readonly name: string;
  /** Made anew for each request: a stream can be sent once. */
  readonly data: () => unknown;
  readonly headers?: AxiosRequestConfig['headers'];
  readonly config?: AxiosRequestConfig;
  /** The bytes, where they are the same each time. */
  readonly bytes?: string | Uint8Array;
  readonly type?: string | RegExp;
  /** Another body that Express can parse. Default: the same with a space behind. */
  readonly changed?: Buffer;
  /** Fastify has a parser for it; what has none it answers with 415 before any guard. */
  readonly fastify?: true;
}

const pool = Buffer.from('0123456789');
const pieces = ['one ', 'two ', 'žluť'];
const all = pieces.join('');

class Person {
  constructor(private readonly name: string) {}
  toJSON() {
    return { person: this.name };
  }
}

function form(): FormData {
  const data = new FormData();
  data.append('field', 'žluť');
  data.append('file', new Blob(['content'], { type: 'text/plain' }), 'a "quoted" name.txt');
  return data;
}

function packageForm(addFile: (form: FormDataPackage) => void): FormDataPackage {
  const data = new FormDataPackage();
  data.append('field', 'žluť');
  addFile(data);
  return data;
}

function webStream(): ReadableStream {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
      controller.close();
    },
  });
}

/** What is sent, with the bytes and type that axios makes of it. */
const SENT: readonly Kind[] = [
  {
    name: 'OS-08 an object',
    data: () => ({ a: 1 }),
    bytes: '{"a":1}',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a nested object',
    data: () => ({ a: { b: [1, { c: 'ž' }] } }),
    bytes: '{"a":{"b":[1,{"c":"ž"}]}}',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 an array',
    data: () => [1, 'two'],
    bytes: '[1,"two"]',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a date',
    data: () => new Date(0),
    bytes: '"1970-01-01T00:00:00.000Z"',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a map',
    data: () => new Map([[1, 2]]),
    bytes: '{}',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a class instance',
    data: () => new Person('x'),
    bytes: '{"person":"x"}',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a number with JSON type',
    data: () => 5,
    headers: JSON_TYPE,
    bytes: '5',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 zero with JSON type',
    data: () => 0,
    headers: JSON_TYPE,
    bytes: '0',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 false with JSON type',
    data: () => false,
    headers: JSON_TYPE,
    bytes: 'false',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 null with JSON type',
    data: () => null,
    headers: JSON_TYPE,
    bytes: 'null',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a JSON string with spaces',
    data: () => ' { "a" : 1 } ',
    headers: JSON_TYPE,
    bytes: '{ "a" : 1 }',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a string with JSON type',
    data: () => 'plain',
    headers: JSON_TYPE,
    bytes: '"plain"',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 an empty string with JSON type',
    data: () => '',
    headers: JSON_TYPE,
    bytes: '""',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a string without type',
    data: () => 'a=ž&b',
    bytes: 'a=ž&b',
    type: 'application/x-www-form-urlencoded',
    fastify: true,
  },
  {
    name: 'OS-08 a string as text',
    data: () => 'žluť',
    headers: TEXT,
    bytes: 'žluť',
    type: 'text/plain',
    fastify: true,
  },
  {
    name: 'OS-08 a lone surrogate as text',
    data: () => 'a\ud800',
    headers: TEXT,
    bytes: 'a\ufffd',
    type: 'text/plain',
    fastify: true,
  },
  {
    name: 'OS-08 a string whose type is taken away',
    data: () => 'x',
    headers: { 'content-type': false },
    bytes: 'x',
  },
  {
    name: 'OS-09 a buffer',
    data: () => Buffer.from([0, 255, 1]),
    headers: OCTETS,
    bytes: Buffer.from([0, 255, 1]),
  },
  {
    name: 'OS-09 a slice of a larger buffer',
    data: () => pool.subarray(3, 6),
    headers: OCTETS,
    bytes: '345',
  },
  // Axios sends the whole of what lies under a view.
  {
    name: 'OS-09 a view at an offset',
    data: () => new Uint8Array(Uint8Array.from([1, 2, 3, 4]).buffer, 2),
    headers: OCTETS,
    bytes: Buffer.from([1, 2, 3, 4]),
  },
  {
    name: 'OS-09 a data view',
    data: () => new DataView(Uint8Array.from([1, 2, 3, 4]).buffer, 1, 2),
    headers: OCTETS,
    bytes: Buffer.from([1, 2, 3, 4]),
  },
  {
    name: 'OS-09 an array of 16 bit numbers',
    data: () => Uint16Array.from([1, 2]),
    headers: OCTETS,
    bytes: Buffer.from(Uint16Array.from([1, 2]).buffer),
  },
  {
    name: 'OS-09 an array buffer',
    data: () => Uint8Array.from([1, 2]).buffer,
    headers: OCTETS,
    bytes: Buffer.from([1, 2]),
  },
  {
    name: 'OS-09 a shared array buffer',
    data: () => new SharedArrayBuffer(2),
    bytes: '{}',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 search parameters',
    data: () => new URLSearchParams({ a: 'ž b', c: "'" }),
    bytes: 'a=%C5%BE+b&c=%27',
    type: 'application/x-www-form-urlencoded;charset=utf-8',
    fastify: true,
  },
  {
    name: 'OS-08 an object as a form',
    data: () => ({ a: 'ž b', c: [1, 2] }),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    type: 'application/x-www-form-urlencoded',
    fastify: true,
  },
  { name: 'OS-08 form data', data: form, type: /^multipart\/form-data; boundary=/ },
  {
    name: 'OS-08 form data with a boundary of its own',
    data: form,
    headers: { 'content-type': 'multipart/form-data; boundary=abcdefghijklmnop' },
    type: /^multipart\/form-data; boundary=/,
  },
  {
    name: 'OS-08 form data with JSON type',
    data: form,
    headers: JSON_TYPE,
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 an object as multipart',
    data: () => ({ a: 'ž', b: { c: 1 } }),
    headers: { 'content-type': 'multipart/form-data' },
    type: /^multipart\/form-data; boundary=/,
  },
  {
    name: 'OS-08 a blob with a type',
    data: () => new Blob(['{"a":1}'], { type: 'application/json' }),
    bytes: '{"a":1}',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a blob without a type',
    data: () => new Blob(['abc']),
    bytes: 'abc',
    type: 'application/octet-stream',
  },
  {
    name: 'OS-08 a file',
    data: () => new File(['abc'], 'a.txt', { type: 'text/plain' }),
    bytes: 'abc',
    type: 'text/plain',
    fastify: true,
  },
  {
    name: 'OS-08 a form of the package form-data',
    data: () => packageForm((data) => data.append('file', Buffer.from('content'), 'a.txt')),
    type: /^multipart\/form-data; boundary=/,
  },
  {
    name: 'OS-10 a form of the package form-data with a stream',
    data: () =>
      packageForm((data) =>
        data.append('file', Readable.from(pieces.map((piece) => Buffer.from(piece))), {
          filename: 'a.txt',
        }),
      ),
    type: /^multipart\/form-data; boundary=/,
  },
  {
    name: 'OS-10 a stream of bytes',
    data: () =>
      Readable.from(
        pieces.map((piece) => Buffer.from(piece)),
        { objectMode: false },
      ),
    headers: OCTETS,
    bytes: all,
  },
  {
    name: 'OS-10 a stream of strings',
    data: () => Readable.from(pieces),
    headers: TEXT,
    bytes: all,
    type: 'text/plain',
    fastify: true,
  },
  { name: 'OS-10 a web stream', data: webStream, headers: OCTETS, bytes: all },
  {
    name: 'OS-10 a stream of just the size that is allowed',
    data: () => Readable.from([Buffer.alloc(LIMIT)]),
    headers: OCTETS,
    bytes: Buffer.alloc(LIMIT),
  },
  {
    name: 'OS-08 a compressed body',
    data: () => gzipSync('{"a":1}'),
    headers: { ...OCTETS, 'content-encoding': 'gzip' },
    bytes: gzipSync('{"a":1}'),
  },
  {
    name: 'OS-08 compressed JSON',
    data: () => gzipSync('{"a":1}'),
    headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
    changed: gzipSync('{"a":2}'),
    bytes: gzipSync('{"a":1}'),
  },
  {
    name: 'CH-09 a coding named in upper case',
    data: () => gzipSync('{"a":1}'),
    headers: { ...OCTETS, 'CONTENT-ENCODING': 'GZIP' },
    bytes: gzipSync('{"a":1}'),
  },
  {
    name: 'CH-09 two codings in one value',
    data: () => gzipSync(gzipSync('{"a":1}')),
    headers: { ...OCTETS, 'Content-Encoding': 'gzip, gzip' },
    bytes: gzipSync(gzipSync('{"a":1}')),
  },
  {
    name: 'CH-09 a coding without a value',
    data: () => Buffer.from('abc'),
    headers: { ...OCTETS, 'Content-Encoding': '' },
    bytes: 'abc',
  },
  {
    name: 'CH-09 a stream with a coding',
    data: () => Readable.from([gzipSync('abc')]),
    headers: { ...OCTETS, 'Content-Encoding': 'gzip' },
    bytes: gzipSync('abc'),
  },
  {
    name: 'CH-09 a part of a whole',
    data: () => Buffer.from('abc'),
    headers: { ...OCTETS, 'Content-Range': 'bytes 0-2/6' },
    bytes: 'abc',
  },
  {
    name: 'CH-09 what a transformation compresses',
    data: () => ({ a: 1 }),
    headers: OCTETS,
    config: {
      transformRequest: (data: unknown, headers: AxiosRequestHeaders) => {
        headers.set('Content-Encoding', 'gzip');
        return gzipSync(JSON.stringify(data));
      },
    },
    bytes: gzipSync('{"a":1}'),
  },
  {
    name: 'OS-08 a body whose upload is watched',
    data: () => 'abc',
    headers: TEXT,
    config: { onUploadProgress: () => undefined },
    bytes: 'abc',
    fastify: true,
  },
  {
    name: 'OS-08 a body that is sent slowly',
    data: () => 'abc',
    headers: TEXT,
    config: { maxRate: [1_000_000, 1_000_000] },
    bytes: 'abc',
    fastify: true,
  },
  {
    name: 'OS-08 a wrong Content-Length',
    data: () => 'abc',
    headers: { ...TEXT, 'content-length': '2' },
    bytes: 'abc',
    fastify: true,
  },
  {
    name: 'OS-08 a Transfer-Encoding',
    data: () => 'abc',
    headers: { ...TEXT, 'transfer-encoding': 'chunked' },
    bytes: 'abc',
    fastify: true,
  },
  {
    name: 'OS-08, OS-12 what a transformation makes: a buffer',
    data: () => ({ a: 1 }),
    headers: OCTETS,
    config: { transformRequest: [() => Buffer.from('made')] },
    bytes: 'made',
  },
  {
    name: 'OS-08, OS-12 what a transformation makes: a view',
    data: () => ({ a: 1 }),
    headers: OCTETS,
    config: { transformRequest: [() => new Uint8Array(Uint8Array.from([1, 2, 3]).buffer, 1)] },
    bytes: Buffer.from([2, 3]),
  },
  {
    name: 'OS-08, OS-12 what a transformation makes: a string',
    data: () => ({ a: 1 }),
    headers: TEXT,
    config: { transformRequest: (data: unknown) => `<${JSON.stringify(data)}>` },
    bytes: '<{"a":1}>',
    fastify: true,
  },
];

/** What axios takes for no body at all. */
const EMPTY: readonly Kind[] = [
  { name: 'OS-08 nothing', data: () => undefined },
  { name: 'OS-08 null', data: () => null },
  { name: 'OS-08 an empty string', data: () => '' },
  { name: 'OS-08 nothing with JSON type', data: () => undefined, headers: JSON_TYPE },
  { name: 'OS-09 an empty buffer', data: () => Buffer.alloc(0), headers: OCTETS },
  { name: 'OS-08 an empty blob', data: () => new Blob([]) },
  { name: 'OS-10 an empty stream', data: () => Readable.from([]), headers: OCTETS },
  {
    name: 'OS-08 nothing, but a Content-Length',
    data: () => undefined,
    headers: { 'content-length': '5' },
  },
  {
    name: 'OS-08 nothing, but a Transfer-Encoding',
    data: () => undefined,
    headers: { 'transfer-encoding': 'chunked' },
  },
];

const endless = () =>
  Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(1024);
    })(),
  );

const endlessOfTheWeb = () =>
  new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1024)) });

const REFUSED: readonly (Kind & { readonly code: string })[] = [
  { name: 'OS-08 a number', data: () => 5, code: 'body_unsupported' },
  { name: 'OS-08 zero', data: () => 0, code: 'body_unsupported' },
  { name: 'OS-08 true', data: () => true, code: 'body_unsupported' },
  { name: 'OS-08 false', data: () => false, code: 'body_unsupported' },
  { name: 'OS-08 a function', data: () => () => 'x', code: 'body_unsupported' },
  { name: 'OS-08 a big integer', data: () => 5n, code: 'body_unsupported' },
  {
    name: 'OS-10 a stream one byte over the limit',
    data: () => Readable.from([Buffer.alloc(LIMIT), Buffer.alloc(1)]),
    code: 'body_too_large',
  },
  { name: 'OS-10 an endless stream', data: endless, code: 'body_too_large' },
  { name: 'OS-10 an endless web stream', data: endlessOfTheWeb, code: 'body_too_large' },
  {
    name: 'OS-10 a form with an endless stream',
    data: () => packageForm((data) => data.append('file', endless(), { filename: 'a' })),
    code: 'body_too_large',
  },
  {
    name: 'OS-10 a stream of objects',
    data: () => Readable.from([{ a: 1 }]),
    code: 'body_unsupported',
  },
  {
    name: 'OS-10 a web stream of objects',
    data: () => Readable.toWeb(Readable.from([{ a: 1 }])),
    code: 'body_unsupported',
  },
  {
    name: 'CH-04 two codings in two lines',
    data: () => Buffer.from('abc'),
    headers: { ...OCTETS, 'Content-Encoding': ['gzip', 'gzip'] },
    code: 'header_unsignable',
  },
  {
    name: 'OS-08, OS-12 an object that no transformation serialises',
    data: () => ({ a: 1 }),
    config: { transformRequest: [] },
    code: 'body_unsupported',
  },
];

const ADAPTERS_OF_AXIOS = ['http', 'fetch'] as const;

describe.each(ADAPTERS_OF_AXIOS)('through the %s adapter', (adapter) => {
  const wire = new RecordingServer();
  let express: TestService;
  let fastify: TestService;
  let herald: SendingService;
  beforeAll(async () => {
    await wire.start();
    express = await startCensus('express');
    fastify = await startCensus('fastify');
    herald = await SendingService.start([wire.url, express.url, fastify.url], {
      maxBufferedBodyBytes: LIMIT,
    });
  });
  afterAll(async () => {
    await Promise.all([wire, express, fastify, herald].map((service) => service.close()));
  });

  const post = async (to: { readonly url: string }, kind: Kind) =>
    await herald.send({
      method: 'post',
      url: `${to.url}/things?n=1`,
      data: kind.data(),
      headers: kind.headers,
      adapter,
      ...kind.config,
    });

  describe('signs what is on the wire for', () => {
    it.each(SENT)('$name', async (kind) => {
      await post(wire, kind);
      const recorded = wire.takeOne();
      checkStrict(recorded, FROM_HERALD);
      expect(recorded.body.length).toBeGreaterThan(0);
      if (kind.bytes !== undefined) expect(recorded.body).toEqual(Buffer.from(kind.bytes));
      if (kind.type !== undefined) {
        expect(valuesOf(recorded, 'content-type')).toEqual([expect.stringMatching(kind.type)]);
      }
      const changed = kind.changed
        ? { ...recorded, body: kind.changed }
        : withOneMoreByte(recorded);
      expect(await replay(express, changed)).toBe('body_mismatch');
      expect(await replay(express, recorded)).toBe('accepted');
    });

    it.each(EMPTY)('$name, which is no body', async (kind) => {
      await post(wire, kind);
      const recorded = wire.takeOne();
      expect(checkStrict(recorded, FROM_HERALD)).not.toHaveProperty('bdy');
      expect(recorded.body).toHaveLength(0);
      expect(await replay(express, withUntypedBody(recorded))).toBe('claim_missing');
    });
  });

  describe('is accepted by a guarded application with', () => {
    it.each([...SENT, ...EMPTY])('$name', async (kind) => {
      expect((await post(express, kind)).data).toMatchObject({ accepted: 'POST', subject: USER });
    });

    it.each(SENT.filter(({ fastify: isParsed }) => isParsed))('$name, on Fastify', async (kind) => {
      expect((await post(fastify, kind)).data).toMatchObject({ accepted: 'POST', subject: USER });
    });
  });

  describe('refuses before a connection is made', () => {
    const silent = new RecordingServer();
    let cautious: SendingService;
    beforeAll(async () => {
      await silent.start();
      cautious = await SendingService.start([silent.url], { maxBufferedBodyBytes: LIMIT });
    });
    afterAll(async () => {
      expect(silent.connections).toBe(0);
      expect(wire.connections).toBeGreaterThan(0);
      await Promise.all([silent.close(), cautious.close()]);
    });
    const send = async ({ data, config, headers }: Omit<Kind, 'name'>) =>
      await cautious.send({
        method: 'post',
        url: silent.url,
        data: data(),
        adapter,
        headers,
        ...config,
      });

    it.each(REFUSED)('$name', async ({ code, ...kind }) => {
      expect(await refusalOf(send(kind))).toBe(code);
    });

    it('OS-10 a stream that fails midway, with its own error', async () => {
      const broken = new Error('the disk is gone');
      const data = () =>
        Readable.from(
          (function* () {
            yield 'begun';
            throw broken;
          })(),
        );
      await expect(send({ data })).rejects.toBe(broken);
      const part = packageForm((whole) => whole.append('file', data(), { filename: 'a' }));
      await expect(send({ data: () => part })).rejects.toBe(broken);
    });

    it('OS-10 a stream that was destroyed', async () => {
      const data = Readable.from(['x']);
      data.destroy();
      await expect(send({ data: () => data })).rejects.toMatchObject({
        code: 'ERR_STREAM_PREMATURE_CLOSE',
      });
    });

    it.each([
      ['a signal', () => ({ signal: AbortSignal.timeout(20) }), 'ERR_CANCELED'],
      ['the timeout', () => ({ timeout: 20 }), 'body_unsupported'],
    ])('OS-10 a stream that never ends, once %s says so', async (_who, config, code) => {
      const stalled = new Readable({ read: () => undefined });
      stalled.push('begun');
      await expect(send({ data: () => stalled, config: config() })).rejects.toMatchObject({ code });
      expect(stalled.destroyed).toBe(true);
      let isCancelled = false;
      const ofTheWeb = new ReadableStream({ cancel: () => void (isCancelled = true) });
      await expect(send({ data: () => ofTheWeb, config: config() })).rejects.toMatchObject({
        code,
      });
      expect(isCancelled).toBe(true);
    });

    it('OS-10 a stream whose reader unsubscribes', async () => {
      const stalled = new Readable({ read: () => undefined });
      const closed = new Promise((resolve) => stalled.on('close', resolve).on('error', resolve));
      const request = cautious.http.post(silent.url, stalled, onBehalfOf(USER, { adapter }));
      const subscription = request.subscribe({ error: () => undefined });
      setImmediate(() => subscription.unsubscribe());
      await closed;
      expect(stalled.destroyed).toBe(true);
    });
  });

  it.each(['postForm', 'putForm', 'patchForm'] as const)('OS-08 signs %s', async (method) => {
    const config = onBehalfOf(USER, { adapter });
    await firstValueFrom(herald.http[method](`${wire.url}/form`, { a: 1, b: ['x', 'y'] }, config));
    checkStrict(wire.takeOne(), FROM_HERALD);
    const { data }: AxiosResponse<unknown> = await firstValueFrom(
      herald.http[method](`${express.url}/form`, form(), config),
    );
    expect(data).toMatchObject({ subject: USER });
  });

  it.each([
    ['default', undefined, ['yes']],
    ['policy content-only', 'content-only', []],
  ] as const)(
    'OS-08 sends the headers of a form by %s',
    async (_name, formDataHeaderPolicy, sent) => {
      const data = packageForm((whole) => whole.append('a', '1'));
      const headers = { ...data.getHeaders(), 'x-of-form': 'yes', jwt: 'a.b.c' };
      Object.assign(data, { getHeaders: () => headers });
      await post(wire, { name: '', data: () => data, config: { formDataHeaderPolicy } });
      const recorded = wire.takeOne();
      expect(valuesOf(recorded, 'x-of-form')).toEqual(sent);
      checkStrict(recorded, FROM_HERALD);
    },
  );

  it.each([
    ['a buffer', (data: Buffer) => data],
    ['an array buffer', ({ buffer }: Buffer) => buffer],
  ])('OS-09 sends what it has signed though the caller writes over %s', async (_name, dataOf) => {
    const data = Buffer.from(Uint8Array.from([1, 2, 3]).buffer);
    const hasty = await SendingService.start([wire.url], {
      now: () => {
        queueMicrotask(() => data.fill(9)); // once the hash is made
        return Date.now();
      },
    });
    await hasty.send({ method: 'post', url: wire.url, data: dataOf(data), adapter });
    const recorded = wire.takeOne();
    expect(recorded.body).toEqual(Buffer.from([1, 2, 3]));
    checkStrict(recorded, FROM_HERALD);
    await hasty.close();
  });
});

/** White space at the end disturbs no parser, so that it is the guard that answers. */
function withOneMoreByte(recorded: Recorded): Recorded {
  return { ...recorded, body: Buffer.concat([recorded.body, Buffer.from(' ')]) };
}

function withUntypedBody(recorded: Recorded): Recorded {
  const rawHeaders = recorded.rawHeaders.flatMap((name, at) =>
    at % 2 === 1 || /^content-type$/i.test(name) ? [] : [name, recorded.rawHeaders[at + 1] ?? ''],
  );
  return { ...recorded, rawHeaders, body: Buffer.from('1') };
}
