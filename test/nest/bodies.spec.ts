import { isUtf8 } from 'node:buffer';
import type { AddressInfo, Server } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { NestApplicationOptions } from '@nestjs/common';
import multipart from '@fastify/multipart';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { json, raw, text, urlencoded } from 'express';
import type { FastifyInstance } from 'fastify';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { sha256, type Json } from '../support/tokens/forge.js';
import { createInbox, type Inbox, type Received } from '../support/services/inbox.js';
import { type Adapter, ADAPTERS, startService } from '../support/services/service.js';
import { type BodyRequest, bodyToken, sendBody } from '../support/tokens/signed-body.js';
import { expectVerdict } from '../support/http/verdict.js';

/**
 * Every kind of body, in every way an application can have its parsers, on both adapters: signed it
 * passes and arrives unchanged, changed in any way it is refused before the handler runs. Every
 * refused request is followed by the very one its token was made for, which passes.
 */

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';
const VENDOR_TYPE = 'application/vnd.api+json';
const BINARY_TYPE = 'application/octet-stream';
const BOUNDARY = 'a-boundary-that-occurs-nowhere-else';
const MULTIPART_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

const KIB = 1024;
const document = Buffer.from('{"name":"Ada","size":1.0}\n');
const binary = (length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, at) => (at * 7 + (at >> 8)) & 0xff));
const bigDocument = (length: number): Buffer =>
  Buffer.from(`${JSON.stringify({ name: 'x'.repeat(length) })}\n`);
const uploaded = binary(3 * KIB);
const form = Buffer.concat([
  Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n`),
  Buffer.from(`Content-Type: ${BINARY_TYPE}\r\n\r\n`),
  uploaded,
  Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
]);
const zipped = gzipSync(document);

interface BodyKind extends BodyRequest {
  readonly title: string;
  readonly path?: '/upload';
  /** What a parser makes of it, where one does. */
  readonly parsed?: unknown;
  /** The byte in which a bit is flipped, so that it is still what the type says. */
  readonly flipAt: number;
  /** Too large to be verified where no parser reads it. */
  readonly onlyParsed?: boolean;
}

const at = document.indexOf('Ada');
const parsed = { name: 'Ada', size: 1 };
const jsonBody = { method: 'POST', contentType: JSON_TYPE, body: document, flipAt: at, parsed };
const binaryBody = { method: 'POST', contentType: BINARY_TYPE, flipAt: 0 };

const KINDS: readonly BodyKind[] = [
  { title: 'JSON', ...jsonBody },
  { title: 'chunked JSON (BB-08)', ...jsonBody, pieces: 5 },
  {
    title: 'chunked JSON with trailers (BB-08)',
    ...jsonBody,
    pieces: 2,
    trailers: { 'x-checksum': '1' },
  },
  { title: 'JSON with a charset', ...jsonBody, contentType: 'application/json; charset=utf-8' },
  { title: 'JSON with an odd parameter (BB-27)', ...jsonBody, contentType: 'application/json\t;x' },
  { title: 'JSON over the 64 KiB that are kept', ...jsonBody, ...largeJson(70 * KIB) },
  { title: 'JSON of 900 KiB in pieces', ...jsonBody, ...largeJson(900 * KIB), pieces: 90 },
  {
    title: 'JSON larger than maxBufferedBodyBytes',
    ...jsonBody,
    ...largeJson(1500 * KIB),
    onlyParsed: true,
  },
  {
    title: 'JSON with duplicate keys (BB-16)',
    ...jsonBody,
    body: Buffer.from('{"name":"Eve","name":"Ada","size":1}\n'),
    flipAt: 22,
  },
  {
    title: 'gzipped JSON (BB-20)',
    ...jsonBody,
    headers: { 'content-encoding': 'gzip' },
    body: zipped,
    flipAt: 4, // in the time stamp: what comes out stays the same, what was sent does not
  },
  {
    title: 'a form',
    method: 'POST',
    contentType: FORM_TYPE,
    body: Buffer.from('name=Ada&size=1'),
    parsed: { name: 'Ada', size: '1' },
    flipAt: 5,
  },
  { title: 'plain text (BB-04)', ...jsonBody, contentType: 'text/plain', parsed: String(document) },
  { title: 'an own JSON type (BB-05)', ...jsonBody, contentType: VENDOR_TYPE },
  { title: 'a body without a type (BB-05)', ...jsonBody, contentType: undefined },
  { title: 'bytes of 1 byte (BB-05)', ...binaryBody, body: binary(1) },
  { title: 'bytes of 70 KiB', ...binaryBody, body: binary(70 * KIB) },
  { title: 'chunked bytes (BB-06)', ...binaryBody, body: binary(3 * KIB), pieces: 3 },
  { title: 'bytes of 900 KiB in pieces', ...binaryBody, body: binary(900 * KIB), pieces: 90 },
  {
    title: 'a multipart form (BB-05, BB-26)',
    method: 'POST',
    path: '/upload',
    contentType: MULTIPART_TYPE,
    body: form,
    parsed: uploaded,
    flipAt: form.indexOf(uploaded) + 1,
  },
  {
    title: 'a chunked multipart form (BB-06, BB-26)',
    method: 'POST',
    path: '/upload',
    contentType: MULTIPART_TYPE,
    body: form,
    pieces: 7,
    parsed: uploaded,
    flipAt: form.indexOf(uploaded) + 1,
  },
  { title: 'a GET with JSON (BB-07, BB-08)', ...jsonBody, method: 'GET' },
  { title: 'a HEAD with JSON (BB-07)', ...jsonBody, method: 'HEAD' },
  { title: 'a DELETE with JSON (BB-07, BB-08)', ...jsonBody, method: 'DELETE' },
  { title: 'a DELETE with bytes (BB-07)', ...binaryBody, method: 'DELETE', body: binary(9) },
];

const EMPTY_KINDS: readonly BodyKind[] = [
  {
    title: 'Content-Length 0 without a type (BB-09)',
    method: 'POST',
    body: Buffer.alloc(0),
    flipAt: 0,
  },
  { title: 'Content-Length 0 of JSON (BB-28)', ...jsonBody, body: Buffer.alloc(0), parsed: {} },
  {
    title: 'Content-Length 0 of bytes (BB-09)',
    ...binaryBody,
    body: Buffer.alloc(0),
  },
];

function largeJson(length: number) {
  const body = bigDocument(length);
  return { body, parsed: JSON.parse(String(body)) as unknown, flipAt: length >> 1 };
}

/** What is on the wire instead of what the token was made for. */
interface Mutation {
  readonly title: string;
  readonly change: (kind: BodyKind) => Partial<BodyRequest>;
  /** The claims of the token, where they are not those of the unchanged request. */
  readonly claims?: (kind: BodyKind) => Json;
  readonly code: string | ((kind: BodyKind) => string);
}

const unlabelled = (kind: BodyKind): boolean => kind.contentType === undefined;

const MUTATIONS: readonly Mutation[] = [
  {
    title: 'one bit flipped (BB-01)',
    change: ({ body, flipAt }) => ({ body: flipBit(body, flipAt) }),
    code: 'body_mismatch',
  },
  {
    title: 'the last byte cut off (BB-01)',
    change: ({ body }) => ({ body: body.subarray(0, -1) }),
    code: 'body_mismatch',
  },
  {
    title: 'a byte appended (BB-01)',
    change: ({ body }) => ({ body: Buffer.concat([body, Buffer.from(' ')]) }),
    code: 'body_mismatch',
  },
  {
    title: 'the body dropped (BB-02)',
    change: () => ({ body: Buffer.alloc(0), headers: {}, trailers: undefined }),
    code: ({ headers }) => (headers === undefined ? 'body_mismatch' : 'header_mismatch'),
  },
  {
    title: 'another Content-Type (BB-18)',
    change: ({ contentType, body }) => ({
      contentType:
        contentType === 'text/plain' ? JSON_TYPE : isUtf8(body) ? 'text/plain' : 'image/png',
    }),
    code: 'header_mismatch',
  },
  {
    title: 'the Content-Type dropped (BB-18)',
    change: () => ({ contentType: undefined }),
    code: (kind) => (unlabelled(kind) ? 'nothing to drop' : 'header_mismatch'),
  },
];

/** The token is for a request without a body, and the body was put under it. */
const ADDITIONS: readonly Mutation[] = [
  {
    title: 'a token without bdy (BB-03)',
    change: () => ({}),
    claims: () => ({ bdy: undefined }),
    code: 'claim_missing',
  },
  {
    title: 'a token without bdy and hdr (BB-03)',
    change: () => ({}),
    claims: () => ({ bdy: undefined, hdr: undefined }),
    code: (kind) => (unlabelled(kind) ? 'claim_missing' : 'header_mismatch'),
  },
  {
    title: 'a token whose bdy is of no bytes (BB-10)',
    change: () => ({}),
    claims: () => ({ bdy: sha256('') }),
    code: 'body_mismatch',
  },
];

function flipBit(body: Buffer, index: number): Buffer {
  const flipped = Buffer.from(body);
  flipped[index] = (flipped[index] ?? 0) ^ 1;
  return flipped;
}

/** How an application comes by its parsers. */
interface Setup {
  readonly title: string;
  readonly nest?: NestApplicationOptions;
  readonly configure?: Readonly<Record<Adapter, (app: AnyApplication) => unknown>>;
  /** The types that are parsed; what is not in it reaches the guard unread on Express. */
  readonly parses: Readonly<Record<Adapter, readonly string[]>>;
  readonly create?: 'Test.createTestingModule';
}

type AnyApplication = NestExpressApplication & NestFastifyApplication;

const LIMIT = 4 * KIB * KIB;
const EXPRESS_TYPES = [JSON_TYPE, FORM_TYPE];
const FASTIFY_TYPES = [JSON_TYPE, FORM_TYPE, 'text/plain', 'multipart/form-data'];

/** Only what an application needs for bodies this large anyway. */
const raiseLimits = {
  express: (app: AnyApplication) => app.useBodyParser('json', { limit: LIMIT }),
  // The limit is the adapter's: a call of useBodyParser() keeps Nest 11 from having parsers of its own.
  fastify: async (app: AnyApplication) => await app.register(multipart),
};

const SETUPS: readonly Setup[] = [
  {
    title: 'by default',
    configure: raiseLimits,
    parses: { express: EXPRESS_TYPES, fastify: FASTIFY_TYPES },
  },
  {
    title: 'with rawBody: true',
    nest: { rawBody: true },
    configure: {
      express: raiseLimits.express,
      fastify: async (app) => {
        await raiseLimits.fastify(app);
        const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
        const options = { parseAs: 'buffer' } as const;
        fastify.addContentTypeParser([BINARY_TYPE, VENDOR_TYPE], options, (request, body, done) => {
          done(null, Object.assign(request, { rawBody: body }).rawBody);
        });
      },
    },
    parses: { express: EXPRESS_TYPES, fastify: [...FASTIFY_TYPES, BINARY_TYPE, VENDOR_TYPE] },
  },
  {
    title: "with bodyParser: false and the application's parsers",
    nest: { bodyParser: false },
    configure: {
      express: (app) => {
        app.use(json({ limit: LIMIT }), urlencoded({ extended: true }), text({ limit: LIMIT }));
        app.use(raw({ type: [BINARY_TYPE, VENDOR_TYPE], limit: LIMIT }));
      },
      fastify: async (app) => {
        await app.register(multipart);
        const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
        const options = { parseAs: 'buffer', bodyLimit: LIMIT } as const;
        fastify.addContentTypeParser([JSON_TYPE, VENDOR_TYPE], options, (_request, body, done) =>
          done(null, body),
        );
        // Hands the stream on unread: the handler reads it, after the guard has.
        fastify.addContentTypeParser('*', (_request, _stream, done) => done(null));
      },
    },
    parses: {
      express: [...EXPRESS_TYPES, 'text/plain', BINARY_TYPE, VENDOR_TYPE],
      fastify: [...FASTIFY_TYPES, '*', 'bytes of JSON'],
    },
  },
  {
    title: 'with bodyParser: false and no parser at all',
    nest: { bodyParser: false },
    configure: { express: () => undefined, fastify: (app) => app.register(multipart) },
    parses: { express: [], fastify: [JSON_TYPE, 'text/plain', 'multipart/form-data'] },
  },
  {
    title: 'made by Test.createTestingModule',
    configure: raiseLimits,
    parses: { express: EXPRESS_TYPES, fastify: FASTIFY_TYPES },
    create: 'Test.createTestingModule',
  },
];

/**
 * What the framework answers before any guard runs; undefined where the guard decides. Express
 * passes on what it cannot read, Fastify does not.
 */
function frameworkAnswer(adapter: Adapter, setup: Setup, sent: BodyRequest): number | undefined {
  const types = setup.parses[adapter];
  const type = (sent.contentType ?? '').split(';')[0]?.trim() ?? '';
  const isZipped = sent.headers?.['content-encoding'] === 'gzip';
  const isBroken = isZipped && sent.body.length !== zipped.length;
  if (adapter === 'express') {
    return isBroken && types.includes(type) ? 400 : undefined;
  }
  if (['GET', 'HEAD'].includes(sent.method)) return undefined;
  const isEmpty = sent.body.length === 0;
  if (type === '') {
    if (isEmpty && sent.pieces === undefined) return undefined;
    return types.includes('*') ? undefined : 415;
  }
  if (!types.includes(type) && !types.includes('*')) return 415;
  if (type !== JSON_TYPE || types.includes('bytes of JSON')) return undefined;
  return isEmpty || isZipped ? 400 : undefined;
}

/** The handler got exactly what was sent, or exactly what a parser makes of it. */
function expectIntact(kind: BodyKind, received: Received | undefined): void {
  const { body, streamed } = received ?? {};
  if (streamed) expect(streamed.equals(kind.body)).toBe(true);
  else if (Buffer.isBuffer(body)) {
    expect(body.equals(Buffer.isBuffer(kind.parsed) ? kind.parsed : kind.body)).toBe(true);
  } else expect(body).toEqual(kind.parsed);
  const isRaw = Buffer.isBuffer(received?.rawBody) && kind.headers === undefined;
  if (isRaw) expect(kind.body.equals(received.rawBody as Buffer)).toBe(true);
}

let port: number;
let inbox: Inbox;
let requests = 0;
const nextTarget = (kind: BodyKind): string => `${kind.path ?? '/guarded'}?request=${requests++}`;

async function start(adapter: Adapter, setup: Setup): Promise<{ close(): Promise<unknown> }> {
  inbox = createInbox(adapter);
  const auth = ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] });
  const metadata = { imports: [auth], controllers: inbox.controllers };
  const configure = setup.configure?.[adapter];
  if (setup.create === undefined) {
    const service = await startService({
      adapter,
      ...metadata,
      nest: setup.nest,
      configure,
      fastify: { bodyLimit: LIMIT },
    });
    port = service.port;
    return service;
  }
  const testing = await Test.createTestingModule(metadata).compile();
  const app = testing.createNestApplication(
    adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter({ bodyLimit: LIMIT }),
    { logger: false, forceCloseConnections: true },
  );
  await configure?.(app as unknown as AnyApplication);
  await app.listen(0, '127.0.0.1');
  port = ((app.getHttpServer() as Server).address() as AddressInfo).port;
  return app;
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  describe.each(SETUPS)('$title', (setup) => {
    let app: { close(): Promise<unknown> };
    beforeAll(async () => {
      app = await start(adapter, setup);
    });
    afterAll(() => app.close());

    /** Sends what was signed: it passes, and arrives as it was sent. */
    async function expectPasses(kind: BodyKind, target: string, token: string): Promise<void> {
      const framework = frameworkAnswer(adapter, setup, kind);
      const answer = await sendBody(port, target, kind, token);
      expectVerdict(answer, { status: framework ?? 200 });
      if (framework === undefined) expectIntact(kind, inbox.take(target));
      else expect(String(answer.code)).toMatch(/^(undefined|FST_.*)$/);
    }

    async function expectRefused(kind: BodyKind, { change, code, claims }: Mutation) {
      const target = nextTarget(kind);
      const sent = { ...kind, ...change(kind) };
      const token = bodyToken(herald, target, kind, claims?.(kind));
      const answer = await sendBody(port, target, sent, token);
      const framework = frameworkAnswer(adapter, setup, sent);
      const hasBody = framework === undefined && kind.method !== 'HEAD';
      const refusal = { code: typeof code === 'string' ? code : code(kind) };
      expectVerdict(answer, { status: framework ?? 401, ...(hasBody ? refusal : {}) });
      expect(inbox.take(target)).toBeUndefined();
      return { target, token };
    }

    const { parses } = setup;
    const kinds = KINDS.filter((kind) => !kind.onlyParsed || parses[adapter].includes(JSON_TYPE));
    describe.each(kinds)('$title', (kind) => {
      it('passes as signed', async () => {
        const target = nextTarget(kind);
        await expectPasses(kind, target, bodyToken(herald, target, kind));
      });

      const applicable = MUTATIONS.filter(
        ({ code }) => typeof code === 'string' || code(kind) !== 'nothing to drop',
      );
      it.each(applicable)('refuses $title, and then takes the original', async (mutation) => {
        const { target, token } = await expectRefused(kind, mutation);
        await expectPasses(kind, target, token);
      });

      it.each(ADDITIONS)('refuses it under $title', async (addition) => {
        await expectRefused(kind, addition);
      });

      it('refuses each of two bodies under the token of the other (BB-30)', async () => {
        const other = { ...kind, body: flipBit(kind.body, kind.flipAt) };
        const target = nextTarget(kind);
        const tokens = [kind, other].map((sent) => bodyToken(herald, target, sent));
        for (const [index, sent] of [other, kind].entries()) {
          const answer = await sendBody(port, target, sent, tokens[index]);
          expectVerdict(answer, { status: frameworkAnswer(adapter, setup, sent) ?? 401 });
          expect(inbox.take(target)).toBeUndefined();
        }
        await expectPasses(kind, target, tokens[0] ?? '');
      });
    });

    describe.each(EMPTY_KINDS)('$title', (kind) => {
      it.each([
        ['without bdy', {}],
        ['with the bdy of no bytes', { bdy: sha256('') }],
      ])('passes %s (BB-09)', async (_title, claims) => {
        const target = nextTarget(kind);
        await expectPasses(kind, target, bodyToken(herald, target, kind, claims));
      });

      it('refuses the bdy of some bytes (BB-02)', async () => {
        const target = nextTarget(kind);
        const token = bodyToken(herald, target, kind, { bdy: sha256('x') });
        const framework = frameworkAnswer(adapter, setup, kind);
        const answer = await sendBody(port, target, kind, token);
        const code = framework ? undefined : 'body_mismatch';
        expectVerdict(answer, { status: framework ?? 401, code });
        expect(inbox.take(target)).toBeUndefined();
      });
    });

    it.each([
      ['with spaces', '{ "name": "Ada", "size": 1.0 }\n'],
      ['with its keys in another order', '{"size":1.0,"name":"Ada"}\n'],
      ['with a number written otherwise', '{"name":"Ada","size":1}\n'],
      ['with a letter escaped', '{"name":"\\u0041da","size":1.0}\n'],
    ])('refuses the same JSON %s (BB-15)', async (_title, reserialised) => {
      const kind: BodyKind = { title: 'JSON', ...jsonBody };
      const { target, token } = await expectRefused(kind, {
        title: 'the same value in other bytes',
        change: () => ({ body: Buffer.from(reserialised) }),
        code: 'body_mismatch',
      });
      await expectPasses(kind, target, token);
    });
  });
});
