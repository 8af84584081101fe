import { openAsBlob } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { FormData as FormDataOfUndici } from 'undici';
import { FETCHES, FetchingService } from '../support/services/fetching-service.js';
import { replay, startCensus } from '../support/services/receiving-service.js';
import { type Recorded, RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { FROM_HERALD, refusalOf } from '../support/services/sending-service.js';
import type { TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const JSON_TYPE = { 'content-type': 'application/json' };
const TEXT = { 'content-type': 'text/plain' };
const OCTETS = { 'content-type': 'application/octet-stream' };
const LIMIT = 64 * 1024;

interface Kind {
  readonly name: string;
  /** Made anew for each request: a stream can be sent once. */
  readonly body: () => unknown;
  readonly init?: RequestInit;
  /** The bytes, where they are the same each time. */
  readonly bytes?: string | Uint8Array;
  /** The one Content-Type on the wire; null for none. */
  readonly type: string | RegExp | null;
  /** Another body that Express can parse. Default: the same with a space behind. */
  readonly changed?: Buffer;
  /** Fastify has a parser for it; what has none it answers with 415 before any guard. */
  readonly fastify?: true;
}

const pool = Buffer.from('0123456789');
const pieces = ['one ', 'two ', 'žluť'];
const all = pieces.join('');
const STREAMED = { duplex: 'half' } as const;
const TEXT_OF_FETCH = 'text/plain;charset=UTF-8';

function form<Form extends { append(name: string, value: string | Blob, file?: string): void }>(
  data: Form,
): Form {
  data.append('field', 'žluť');
  data.append('field', 'twice');
  data.append('file', new Blob(['content'], { type: 'text/plain' }), 'a "quoted" name.txt');
  return data;
}

function webStream(chunks: readonly unknown[] = pieces.map((piece) => Buffer.from(piece))) {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

async function* generate(chunks: Iterable<unknown>): AsyncGenerator<unknown> {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}

/** What is sent, with the bytes and type that fetch makes of it. */
const SENT: readonly Kind[] = [
  { name: 'OS-08 a string', body: () => 'žluť', bytes: 'žluť', type: TEXT_OF_FETCH, fastify: true },
  {
    name: 'OS-08 a lone surrogate',
    body: () => 'a\ud800',
    bytes: 'a\ufffd',
    type: TEXT_OF_FETCH,
    fastify: true,
  },
  {
    name: 'OS-08 a JSON text with spaces',
    body: () => ' { "a" : 1 } ',
    init: { headers: JSON_TYPE },
    bytes: ' { "a" : 1 } ',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 an object, which fetch makes a text of',
    body: () => ({ a: 1 }),
    bytes: '[object Object]',
    type: TEXT_OF_FETCH,
    fastify: true,
  },
  { name: 'OS-08 a number', body: () => 5, bytes: '5', type: TEXT_OF_FETCH, fastify: true },
  {
    name: 'OS-08 a list of types',
    body: () => 'x',
    init: {
      headers: [
        ['content-type', 'text/plain'],
        ['Content-Type', 'text/html'],
      ],
    },
    bytes: 'x',
    type: 'text/plain, text/html',
  },
  {
    name: 'OS-09 a buffer',
    body: () => Buffer.from([0, 255, 1]),
    init: { headers: OCTETS },
    bytes: Buffer.from([0, 255, 1]),
    type: 'application/octet-stream',
  },
  { name: 'OS-09 bytes without a type', body: () => pool, bytes: pool, type: null },
  {
    name: 'OS-09 a slice of a larger buffer',
    body: () => pool.subarray(3, 6),
    bytes: '345',
    type: null,
  },
  {
    name: 'OS-09 a view at an offset',
    body: () => new Uint8Array(Uint8Array.from([1, 2, 3, 4]).buffer, 2),
    bytes: Buffer.from([3, 4]),
    type: null,
  },
  {
    name: 'OS-09 a data view',
    body: () => new DataView(Uint8Array.from([1, 2, 3, 4]).buffer, 1, 2),
    bytes: Buffer.from([2, 3]),
    type: null,
  },
  {
    name: 'OS-09 an array of 16 bit numbers',
    body: () => Uint16Array.from([1, 2]),
    bytes: Buffer.from(Uint16Array.from([1, 2]).buffer),
    type: null,
  },
  {
    name: 'OS-09 an array buffer',
    body: () => Uint8Array.from([1, 2]).buffer,
    bytes: Buffer.from([1, 2]),
    type: null,
  },
  {
    name: 'OS-08 search parameters',
    body: () => new URLSearchParams({ a: 'ž b', c: "'" }),
    bytes: 'a=%C5%BE+b&c=%27',
    type: 'application/x-www-form-urlencoded;charset=UTF-8',
    fastify: true,
  },
  {
    name: 'OS-08 form data',
    body: () => form(new FormData()),
    type: /^multipart\/form-data; boundary=/,
  },
  {
    name: 'OS-08 form data of undici',
    body: () => form(new FormDataOfUndici()),
    type: /^multipart\/form-data; boundary=/,
  },
  {
    name: 'OS-08 form data with another type',
    body: () => form(new FormData()),
    init: { headers: TEXT },
    type: 'text/plain',
    fastify: true,
  },
  {
    name: 'OS-08 a blob with a type',
    body: () => new Blob(['{"a":1}'], { type: 'application/json' }),
    bytes: '{"a":1}',
    type: 'application/json',
    fastify: true,
  },
  {
    name: 'OS-08 a blob with a type that is overruled',
    body: () => new Blob(['{"a":1}'], { type: 'application/json' }),
    init: { headers: TEXT },
    bytes: '{"a":1}',
    type: 'text/plain',
    fastify: true,
  },
  { name: 'OS-08 a blob without a type', body: () => new Blob(['abc']), bytes: 'abc', type: null },
  {
    name: 'OS-08 a file',
    body: () => new File(['abc'], 'a.txt', { type: 'text/plain' }),
    bytes: 'abc',
    type: 'text/plain',
    fastify: true,
  },
  {
    name: 'OS-08 compressed JSON',
    body: () => gzipSync('{"a":1}'),
    init: { headers: { ...JSON_TYPE, 'content-encoding': 'gzip' } },
    changed: gzipSync('{"a":2}'),
    bytes: gzipSync('{"a":1}'),
    type: 'application/json',
  },
  {
    name: 'CH-09 a coding named in upper case',
    body: () => gzipSync('{"a":1}'),
    init: { headers: { ...OCTETS, 'CONTENT-ENCODING': 'GZIP' } },
    bytes: gzipSync('{"a":1}'),
    type: 'application/octet-stream',
  },
  {
    name: 'CH-09 two codings, which fetch sends as one value',
    body: () => gzipSync(gzipSync('{"a":1}')),
    init: {
      headers: [
        ['content-type', 'application/octet-stream'],
        ['content-encoding', 'gzip'],
        ['content-encoding', 'gzip'],
      ],
    },
    bytes: gzipSync(gzipSync('{"a":1}')),
    type: 'application/octet-stream',
  },
  {
    name: 'CH-09 a coding without a value',
    body: () => Buffer.from('abc'),
    init: { headers: { ...OCTETS, 'content-encoding': '' } },
    bytes: 'abc',
    type: 'application/octet-stream',
  },
  {
    name: 'CH-09 a stream with a coding',
    body: () => new Blob([gzipSync('abc')]).stream(),
    init: { ...STREAMED, headers: { ...OCTETS, 'content-encoding': 'gzip' } },
    bytes: gzipSync('abc'),
    type: 'application/octet-stream',
  },
  {
    name: 'CH-09 a part of a whole',
    body: () => Buffer.from('abc'),
    init: { headers: { ...OCTETS, 'content-range': 'bytes 0-2/6' } },
    bytes: 'abc',
    type: 'application/octet-stream',
  },
  {
    name: 'OS-08 a wrong Content-Length',
    body: () => 'abc',
    init: { headers: { ...TEXT, 'content-length': '2' } },
    bytes: 'abc',
    type: 'text/plain',
    fastify: true,
  },
  {
    name: 'OS-08 a Transfer-Encoding',
    body: () => 'abc',
    init: { headers: { ...TEXT, 'transfer-encoding': 'chunked' } },
    bytes: 'abc',
    type: 'text/plain',
    fastify: true,
  },
  { name: 'OS-10 a web stream', body: () => webStream(), init: STREAMED, bytes: all, type: null },
  {
    name: 'OS-10 a web stream of just the size that is allowed',
    body: () => webStream([Buffer.alloc(LIMIT)]),
    init: STREAMED,
    bytes: Buffer.alloc(LIMIT),
    type: null,
  },
  {
    name: 'OS-10 the stream of a blob',
    body: () => new Blob(pieces).stream(),
    init: { ...STREAMED, headers: TEXT },
    bytes: all,
    type: 'text/plain',
    fastify: true,
  },
  {
    name: 'OS-10 a stream of Node',
    body: () =>
      Readable.from(
        pieces.map((piece) => Buffer.from(piece)),
        { objectMode: false },
      ),
    init: STREAMED,
    bytes: all,
    type: null,
  },
  {
    name: 'OS-10 an async iterable of bytes',
    body: () => generate(pieces.map((piece) => Buffer.from(piece))),
    init: STREAMED,
    bytes: all,
    type: null,
  },
  {
    name: 'OS-10 an async iterable of strings',
    body: () => generate(pieces),
    init: { ...STREAMED, headers: TEXT },
    bytes: all,
    type: 'text/plain',
    fastify: true,
  },
  {
    name: 'OS-10 an async iterable that can be asked for one iterator only',
    body: () => {
      const iterators = [generate(pieces)];
      return { [Symbol.asyncIterator]: () => iterators.pop() ?? generate(['too late']) };
    },
    init: STREAMED,
    bytes: all,
    type: null,
  },
];

/** What fetch takes for no body, or for one of no bytes. */
const EMPTY: readonly Omit<Kind, 'type'>[] = [
  { name: 'OS-08 nothing', body: () => undefined },
  { name: 'OS-08 null', body: () => null },
  { name: 'OS-08 an empty string', body: () => '' },
  { name: 'OS-08 nothing with JSON type', body: () => undefined, init: { headers: JSON_TYPE } },
  { name: 'OS-09 an empty buffer', body: () => Buffer.alloc(0), init: { headers: OCTETS } },
  { name: 'OS-08 an empty blob', body: () => new Blob([]) },
  { name: 'OS-10 an empty stream', body: () => webStream([]), init: STREAMED },
  { name: 'OS-10 an empty async iterable', body: () => generate([]), init: STREAMED },
  {
    name: 'OS-08 nothing, but a Content-Length',
    body: () => undefined,
    init: { headers: { 'content-length': '5' } },
  },
  {
    name: 'OS-08 nothing, but a Transfer-Encoding',
    body: () => undefined,
    init: { headers: { 'transfer-encoding': 'chunked' } },
  },
];

function* endlessChunks(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(1024);
}
const endless = () =>
  new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1024)) });

const REFUSED: readonly (Omit<Kind, 'type'> & { readonly code: string })[] = [
  {
    name: 'OS-10 a web stream one byte over the limit',
    body: () => webStream([Buffer.alloc(LIMIT), Buffer.alloc(1)]),
    code: 'body_too_large',
  },
  { name: 'OS-10 an endless web stream', body: endless, code: 'body_too_large' },
  {
    name: 'OS-10 an endless stream of Node',
    body: () => Readable.from(endlessChunks()),
    code: 'body_too_large',
  },
  {
    name: 'OS-10 an endless async iterable',
    body: () => generate(endlessChunks()),
    code: 'body_too_large',
  },
  {
    name: 'OS-10 a web stream of objects',
    body: () => webStream([{ a: 1 }]),
    code: 'body_unsupported',
  },
  {
    name: 'OS-10 a stream of objects',
    body: () => Readable.from([{ a: 1 }]),
    code: 'body_unsupported',
  },
  {
    name: 'OS-10 an async iterable of objects',
    body: () => generate([{ a: 1 }]),
    code: 'body_unsupported',
  },
];

/** How a call comes to have a body. */
const SPELLINGS: readonly [
  string,
  (url: string, init: RequestInit) => [string | Request, RequestInit?],
][] = [
  ['a URL and an init', (url, init) => [url, init]],
  ['a Request', (url, init) => [new Request(url, init)]],
  [
    'a Request and an init that overrules it',
    (url, init) => [new Request(url, { method: 'PUT', body: Buffer.from('other') }), init],
  ],
  ['a URL and a Request as its init', (url, init) => [url, new Request(url, init)]],
];

describe.each(FETCHES)('by $name', ({ name: implementation, module }) => {
  const wire = new RecordingServer();
  let express: TestService;
  let fastify: TestService;
  let herald: FetchingService;
  beforeAll(async () => {
    await wire.start();
    express = await startCensus('express');
    fastify = await startCensus('fastify');
    const targets = [wire.url, express.url, fastify.url];
    herald = await FetchingService.start(targets, { maxBufferedBodyBytes: LIMIT }, module);
  });
  afterAll(async () => {
    await Promise.all([wire, express, fastify, herald].map((service) => service.close()));
  });

  const initOf = ({ body, init }: Omit<Kind, 'type'>) =>
    ({ method: 'POST', body: body(), ...init }) as RequestInit;
  const post = async (to: { readonly url: string }, kind: Omit<Kind, 'type'>) =>
    await herald.send(`${to.url}/things?n=1`, initOf(kind));

  const check = (recorded: Recorded, { bytes, type }: Kind) => {
    checkStrict(recorded, FROM_HERALD);
    expect(recorded.body.length).toBeGreaterThan(0);
    if (bytes !== undefined) expect(recorded.body).toEqual(Buffer.from(bytes));
    const types = type === null ? [] : [expect.stringMatching(type)];
    if (typeof type === 'string') expect(valuesOf(recorded, 'content-type')).toEqual([type]);
    else expect(valuesOf(recorded, 'content-type')).toEqual(types);
  };

  describe('signs what is on the wire for', () => {
    it.each(SENT)('$name', async (kind) => {
      await post(wire, kind);
      const recorded = wire.takeOne();
      check(recorded, kind);
      const changed = kind.changed ?? Buffer.concat([recorded.body, Buffer.from(' ')]);
      expect(await replay(express, { ...recorded, body: changed })).toBe('body_mismatch');
      expect(await replay(express, recorded)).toBe('accepted');
    });

    it.each(EMPTY)('$name, which is no content', async (kind) => {
      await post(wire, kind);
      const recorded = wire.takeOne();
      expect(checkStrict(recorded, FROM_HERALD)).not.toHaveProperty('bdy');
      expect(recorded.body).toHaveLength(0);
    });
  });

  describe('is accepted by a guarded application with', () => {
    it.each([...SENT, ...EMPTY])('$name', async (kind) => {
      expect(await post(express, kind)).toMatchObject({
        status: 200,
        text: expect.stringContaining('"accepted":"POST"') as string,
      });
    });

    it.each(SENT.filter(({ fastify: isParsed }) => isParsed))('$name, on Fastify', async (kind) => {
      expect(await post(fastify, kind)).toMatchObject({ status: 200 });
    });
  });

  // Undici's own fetch knows no Request but its own.
  const spellings = implementation === 'the fetch of Node' ? SPELLINGS : SPELLINGS.slice(0, 1);
  describe.each(spellings)('given as %s', (_spelling, spell) => {
    // What a Request stringifies in its own way is covered above.
    it.each(SENT.filter(({ body }) => !(body() instanceof FormDataOfUndici)))(
      'signs $name',
      async (kind) => {
        await herald.send(...spell(`${wire.url}/things?n=1`, initOf(kind)));
        const recorded = wire.takeOne();
        expect(recorded.method).toBe('POST');
        check(recorded, kind);
      },
    );
  });

  it('OS-08 a blob of a file on disk', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fetch-bodies-'));
    const path = join(folder, 'a.bin');
    await writeFile(path, pool);
    await herald.send(wire.url, { method: 'PUT', body: await openAsBlob(path) });
    const recorded = wire.takeOne();
    expect(recorded.body).toEqual(pool);
    checkStrict(recorded, FROM_HERALD);
    await rm(folder, { recursive: true });
  });

  describe('refuses before a connection is made', () => {
    const silent = new RecordingServer();
    let cautious: FetchingService;
    beforeAll(async () => {
      await silent.start();
      cautious = await FetchingService.start([silent.url], { maxBufferedBodyBytes: LIMIT }, module);
    });
    afterAll(async () => {
      expect(silent.connections).toBe(0);
      await cautious.send(silent.url, { method: 'POST', body: 'x' });
      checkStrict(silent.takeOne(), FROM_HERALD);
      await Promise.all([silent.close(), cautious.close()]);
    });
    const send = async (body: unknown, init: RequestInit = {}) =>
      await cautious.send(silent.url, {
        method: 'POST',
        body,
        ...STREAMED,
        ...init,
      } as RequestInit);

    it.each(REFUSED)('$name', async ({ code, body }) => {
      expect(await refusalOf(send(body()))).toBe(code);
    });

    it('OS-10 the body of a Request over the limit, whatever it is made of', async () => {
      const request = (size: number) =>
        new Request(silent.url, { method: 'POST', body: Buffer.alloc(size) });
      expect(await refusalOf(cautious.send(request(LIMIT + 1)))).toBe('body_too_large');
    });

    it.each([
      ['a web stream', (broken: Error) => new ReadableStream({ pull: (it) => it.error(broken) })],
      [
        'a stream of Node',
        (broken: Error) =>
          new Readable({
            read: function () {
              this.destroy(broken);
            },
          }),
      ],
      [
        'an async iterable',
        (broken: Error) =>
          generate(
            (function* () {
              yield 'begun';
              throw broken;
            })(),
          ),
      ],
    ])('OS-10 %s that fails midway, with its own error', async (_kind, body) => {
      const broken = new Error('the disk is gone');
      await expect(send(body(broken))).rejects.toBe(broken);
    });

    it('OS-10 a stream that somebody reads, or has read', async () => {
      const locked = webStream();
      locked.getReader();
      await expect(send(locked)).rejects.toMatchObject({ name: 'TypeError' });
      const used = new Request(silent.url, { method: 'POST', body: 'x' });
      await used.text();
      await expect(cautious.send(used)).rejects.toMatchObject({ name: 'TypeError' });
      const read = Readable.from(['x']);
      read.read();
      await expect(send(read)).rejects.toMatchObject({ name: 'TypeError' });
    });

    it.each(['GET', 'HEAD'])('%s with a body, as fetch does', async (method) => {
      for (const body of ['x', '', webStream()]) {
        await expect(send(body, { method })).rejects.toThrow('cannot have body');
      }
    });

    it('a stream without duplex, as fetch does', async () => {
      await expect(send(webStream(), { duplex: undefined })).rejects.toThrow('duplex');
      await expect(send(generate(pieces), { duplex: undefined })).rejects.toThrow('duplex');
    });

    it('OS-10 a stream of a call that is to outlive the page, as fetch does', async () => {
      await expect(send(webStream(), { keepalive: true })).rejects.toMatchObject({
        name: 'TypeError',
      });
    });

    it.each([
      [
        'a web stream',
        () => {
          let isOver = false;
          const body = new ReadableStream({ cancel: () => void (isOver = true) });
          return { body, isOver: () => isOver };
        },
      ],
      [
        'a stream of Node',
        () => {
          const body = new Readable({ read: () => undefined });
          body.push('begun');
          return { body, isOver: () => body.destroyed };
        },
      ],
    ])('OS-10 %s that never ends, once the signal says so', async (_kind, stalled) => {
      const reason = new Error('enough');
      const { body, isOver } = stalled();
      const controller = new AbortController();
      const sending = send(body, { signal: controller.signal });
      setImmediate(() => controller.abort(reason));
      await expect(sending).rejects.toBe(reason);
      expect(isOver()).toBe(true);
      const late = stalled();
      await expect(send(late.body, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect(late.isOver()).toBe(true);
    });

    it('OS-10 an async iterable that never comes to its next chunk, once the signal says so', async () => {
      const stalled = (async function* () {
        yield 'begun';
        await new Promise(() => undefined);
      })();
      await expect(send(stalled, { signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
        name: 'TimeoutError',
      });
    });

    it('OS-10 the stream of a Request that never ends, once its own signal says so', async () => {
      const controller = new AbortController();
      const body = new ReadableStream({ pull: () => new Promise(() => undefined) });
      const request = new Request(silent.url, {
        method: 'POST',
        body,
        signal: controller.signal,
        ...STREAMED,
      });
      const sending = cautious.send(request);
      setImmediate(() => controller.abort(new Error('enough')));
      await expect(sending).rejects.toThrow('enough');
    });
  });

  it.each([
    ['a buffer', (data: Buffer) => data],
    ['an array buffer', ({ buffer }: Buffer) => buffer],
  ])('OS-09 sends what it was given though the caller writes over %s', async (_name, bodyOf) => {
    const data = Buffer.from(Uint8Array.from([1, 2, 3]).buffer);
    const sending = herald.send(wire.url, { method: 'POST', body: bodyOf(data) as Buffer });
    data.fill(9);
    await sending;
    const recorded = wire.takeOne();
    expect(recorded.body).toEqual(Buffer.from([1, 2, 3]));
    checkStrict(recorded, FROM_HERALD);
  });

  it('OS-09 sends what it was given though an init says another thing each time', async () => {
    let asked = 0;
    const count = () => (asked += 1);
    const init = {
      method: 'POST',
      get body() {
        return `body ${count()}`;
      },
      get headers() {
        return { 'content-type': `text/x-${count()}` };
      },
    };
    await herald.callContext.runOnBehalfOf(FROM_HERALD.subject ?? '', async () => {
      await (await herald.fetch(wire.url, init)).text();
    });
    checkStrict(wire.takeOne(), FROM_HERALD);
  });
});
