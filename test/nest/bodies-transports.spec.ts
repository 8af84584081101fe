import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { Readable } from 'node:stream';
import type { INestApplication } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import type { FastifyInstance } from 'fastify';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { sha256, type Json } from '../support/tokens/forge.js';
import { createInbox } from '../support/services/inbox.js';
import { injectWithoutCookies } from '../support/http/inject-without-cookies.js';
import { bodyHeaders, type BodyRequest, bodyToken, codeOf } from '../support/tokens/signed-body.js';

/** Fastify beyond HTTP/1.1 on a socket: cleartext HTTP/2, and requests injected without a server. */

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);
const KIB = 1024;
const LIMIT = 100 * KIB;
const JSON_TYPE = 'application/json';
const BINARY_TYPE = 'application/octet-stream';

let requests = 0;
const nextTarget = (): string => `/guarded?transport=${requests++}`;

interface Answer {
  readonly status: number;
  readonly code: unknown;
}

type Send = (target: string, sent: BodyRequest, token: string) => Promise<Answer>;

const inbox = createInbox('fastify');

async function start(adapter: FastifyAdapter): Promise<INestApplication> {
  const auth = ServiceAuthModule.forRoot({
    issuer: CENSUS,
    trustedIssuers: [herald.trusted],
    maxBufferedBodyBytes: LIMIT,
  });
  const [controller, guarded] = inbox.controllers;
  const controllers = [controller, guarded].filter((one) => one !== undefined);
  const testing = await Test.createTestingModule({ imports: [auth], controllers }).compile();
  const app = testing.createNestApplication<NestFastifyApplication>(adapter, { logger: false });
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  fastify.addContentTypeParser('*', (_request, _stream, done) => done(null));
  return app;
}

const json: BodyRequest = {
  method: 'POST',
  contentType: JSON_TYPE,
  body: Buffer.from('{"name":"Ada"}\n'),
};
const binary = (length: number): BodyRequest => ({
  method: 'POST',
  contentType: BINARY_TYPE,
  body: Buffer.alloc(length, 'a'),
});

const KINDS: readonly (readonly [string, BodyRequest])[] = [
  ['JSON', json],
  ['JSON over what is kept', { ...json, body: Buffer.from(`["${'x'.repeat(90 * KIB)}"]\n`) }],
  ['text', { ...json, contentType: 'text/plain' }],
  ['bytes', binary(9)],
  ['bytes over what is kept', binary(90 * KIB)],
  ['a body without a type', { ...json, contentType: undefined }],
  ['a GET with bytes', { ...binary(9), method: 'GET' }],
  ['a DELETE with bytes', { ...binary(9), method: 'DELETE' }],
];

function itBindsBodies(send: Send): void {
  /** The handler got what was signed; what was parsed is a string or comes from JSON. */
  function expectIntact(target: string, { body }: BodyRequest): void {
    const received = inbox.take(target);
    const parsed = received?.body;
    if (received?.streamed) expect(received.streamed.equals(body)).toBe(true);
    else
      expect(typeof parsed === 'string' ? parsed : `${JSON.stringify(parsed)}\n`).toBe(
        body.toString(),
      );
  }

  async function expectPasses(target: string, sent: BodyRequest, token: string): Promise<void> {
    expect(await send(target, sent, token)).toEqual({ status: 200, code: undefined });
    expectIntact(target, sent);
  }

  describe.each(KINDS)('%s', (_title, sent) => {
    const { body } = sent;
    const changes: readonly (readonly [string, Partial<BodyRequest>, Json, string])[] = [
      ['one bit flipped', { body: flipLetter(body) }, {}, 'body_mismatch'],
      ['the last byte cut off', { body: body.subarray(0, -1) }, {}, 'body_mismatch'],
      ['a byte appended', { body: Buffer.concat([body, Buffer.from(' ')]) }, {}, 'body_mismatch'],
      ['a token without bdy', {}, { bdy: undefined }, 'claim_missing'],
      ['a token for no bytes', {}, { bdy: sha256('') }, 'body_mismatch'],
    ];

    it.each(changes)(
      'is refused with %s, and passes as signed',
      async (_t, change, claims, code) => {
        const target = nextTarget();
        const token = bodyToken(herald, target, sent, claims);
        expect(await send(target, { ...sent, ...change }, token)).toEqual({ status: 401, code });
        expect(inbox.take(target)).toBeUndefined();
        const good = Object.keys(claims).length > 0 ? bodyToken(herald, target, sent) : token;
        await expectPasses(target, sent, good);
      },
    );
  });
}

/** Changes a letter in the middle, so that JSON stays JSON. */
function flipLetter(body: Buffer): Buffer {
  const flipped = Buffer.from(body);
  const index = body.length > 20 ? body.length >> 1 : body.indexOf('a');
  flipped[index] = (flipped[index] ?? 0) ^ 1;
  return flipped;
}

describe('injected into Fastify', () => {
  let app: NestFastifyApplication;
  beforeAll(async () => {
    injectWithoutCookies();
    app = (await start(new FastifyAdapter())) as NestFastifyApplication;
    await app.init();
    await (app.getHttpAdapter().getInstance() as unknown as FastifyInstance).ready();
  });
  afterAll(() => app.close());

  type Method = 'POST' | 'GET' | 'DELETE';
  async function inject(sent: BodyRequest, target: string, token: string, payload?: unknown) {
    const { contentType } = sent;
    const type = contentType === undefined ? {} : { 'content-type': contentType };
    const answer = await app.inject({
      method: sent.method as Method,
      url: target,
      headers: { jwt: token, ...type },
      ...(payload === undefined ? {} : { payload: payload as Buffer }),
    });
    return { status: answer.statusCode, code: codeOf(answer.body) };
  }

  describe('with a buffer', () => {
    itBindsBodies(async (target, sent, token) => await inject(sent, target, token, sent.body));
  });

  describe('with a stream, which no header announces', () => {
    itBindsBodies(
      async (target, sent, token) => await inject(sent, target, token, Readable.from([sent.body])),
    );
  });

  it('passes a request without a body', async () => {
    const nothing = { method: 'GET', body: Buffer.alloc(0) };
    for (const claims of [{}, { bdy: sha256('') }]) {
      const target = nextTarget();
      const token = bodyToken(herald, target, nothing, claims);
      expect(await inject(nothing, target, token)).toMatchObject({ status: 200 });
    }
  });
});

describe('HTTP/2 without TLS on Fastify', () => {
  let app: INestApplication;
  let session: ClientHttp2Session;
  beforeAll(async () => {
    app = await start(new FastifyAdapter({ http2: true, forceCloseConnections: true } as never));
    await app.listen(0, '127.0.0.1');
    const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
    session = connect(`http://127.0.0.1:${port}`);
    await once(session, 'connect');
  });
  afterAll(async () => {
    session.destroy();
    await app.close();
  });

  function open(target: string, sent: BodyRequest, token: string, endStream = false) {
    const { 'transfer-encoding': _coding, ...headers } = bodyHeaders(sent);
    const names = { ':method': sent.method, ':path': target, jwt: token };
    return session.request({ ...headers, ...names }, { endStream });
  }

  async function answerTo(stream: ReturnType<typeof open>): Promise<Answer> {
    const received: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => received.push(chunk));
    const ended = once(stream, 'end');
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    await ended;
    return { status: Number(headers[':status']), code: codeOf(Buffer.concat(received).toString()) };
  }

  const send: Send = async (target, sent, token) => {
    const stream = open(target, sent, token);
    stream.end(sent.body);
    return await answerTo(stream);
  };

  describe('with content-length', () => {
    itBindsBodies(send);
  });

  describe('without content-length', () => {
    itBindsBodies(async (target, sent, token) => await send(target, { ...sent, pieces: 1 }, token));
  });

  const gzip = { 'Content-Encoding': 'gzip' };
  const range = { 'Content-Range': 'bytes 0-8/18' };
  type Headers = BodyRequest['headers'];
  it.each<[string, signed: Headers, sent: Headers]>([
    ['CH-01 an added coding', {}, gzip],
    ['CH-02 a removed coding', gzip, {}],
    ['CH-03 another coding', gzip, { 'Content-Encoding': 'br' }],
    ['CH-06 an added range', {}, range],
  ])('refuses %s, and passes it as signed', async (_title, signed, other) => {
    const target = nextTarget();
    const sent = { ...binary(9), headers: signed };
    const token = bodyToken(herald, target, sent);
    const refused = await send(target, { ...sent, headers: other }, token);
    expect(refused).toEqual({ status: 401, code: 'header_mismatch' });
    expect(inbox.take(target)).toBeUndefined();
    expect(await send(target, sent, token)).toEqual({ status: 200, code: undefined });
    expect(inbox.take(target)?.streamed).toEqual(sent.body);
  });

  /** Resolves when the next stream of the server is over on both sides. */
  async function nextStreamGone(): Promise<void> {
    const server = app.getHttpServer() as Server;
    const [stream] = (await once(server, 'stream')) as [NodeJS.EventEmitter];
    await new Promise((resolve) => stream.once('close', resolve));
  }

  const nothing: BodyRequest = { method: 'POST', body: Buffer.alloc(0) };

  it.each([
    ['that ends with its headers', true, { bdy: undefined }, 200],
    ['that ends with its headers, with the bdy of no bytes', true, { bdy: sha256('') }, 200],
    ['that ends later', false, { bdy: undefined }, 200],
    ['that ends later, with the bdy of no bytes', false, { bdy: sha256('') }, 200],
    ['that ends later, with the bdy of some bytes', false, { bdy: sha256('x') }, 401],
    ['that ends with its headers, with the bdy of some bytes', true, { bdy: sha256('x') }, 401],
  ])('answers a request without a body %s', async (_title, endStream, claims, status) => {
    const target = nextTarget();
    const unframed = { ...nothing, pieces: endStream ? undefined : 1 };
    const stream = open(target, unframed, bodyToken(herald, target, nothing, claims), endStream);
    if (!endStream) stream.end();
    expect(await answerTo(stream)).toMatchObject({ status });
  });

  it.each([
    ['with content-length', {}],
    ['without content-length', { pieces: 1 }],
  ])('answers 413 to what is over maxBufferedBodyBytes %s, and serves on', async (_t, framing) => {
    const large = { ...binary(5 * LIMIT), ...framing };
    const target = nextTarget();
    const gone = nextStreamGone();
    const answer = await send(target, large, bodyToken(herald, target, large));
    expect(answer).toEqual({ status: 413, code: 'body_unverifiable' });
    await gone; // the rest of the body is taken in, or the stream would stay
    expect(inbox.take(target)).toBeUndefined();
    const exact = { ...binary(LIMIT), ...framing };
    const token = bodyToken(herald, target, exact);
    expect(await send(target, exact, token)).toMatchObject({ status: 200 });
    expect(inbox.take(target)?.streamed?.length).toBe(LIMIT);
  });

  it.each([
    ['before its body is looked at', { iss: 'https://nobody.service/' }, 'issuer_unknown'],
    ['while its body is read', {}, 'body_unverifiable'],
  ])('BB-36 ends the stream of an upload that is refused %s', async (_title, claims, code) => {
    const target = nextTarget();
    const piece = Buffer.alloc(64 * KIB);
    const sent = { ...binary(0), body: piece, pieces: 1 };
    const gone = nextStreamGone();
    const stream = open(target, sent, bodyToken(herald, target, sent, claims));
    // Without an end: only the receiver can end this.
    const pump = (): void => {
      while (!stream.destroyed && !stream.closed && stream.write(piece));
    };
    stream.on('drain', pump);
    pump();
    expect(await answerTo(stream)).toMatchObject({ code });
    await gone;
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    stream.destroy(); // Node's client keeps it as long as a write waits
    expect(inbox.take(target)).toBeUndefined();
    const good = binary(LIMIT);
    const next = nextTarget();
    expect(await send(next, good, bodyToken(herald, next, good))).toMatchObject({ status: 200 });
  });

  it('delivers nothing of an upload that breaks off, and does not use the token up', async () => {
    const sent = { ...binary(80 * KIB), pieces: 2 };
    const target = nextTarget();
    const token = bodyToken(herald, target, sent);
    const arrived = once(app.getHttpServer() as Server, 'stream');
    const gone = nextStreamGone();
    const stream = open(target, sent, token);
    stream.write(sent.body.subarray(0, 9));
    await arrived;
    stream.close(constants.NGHTTP2_CANCEL);
    await gone;
    expect(inbox.take(target)).toBeUndefined();
    expect(await send(target, sent, token)).toEqual({ status: 200, code: undefined });
    expect(inbox.take(target)?.streamed?.equals(sent.body)).toBe(true);
  });
});
