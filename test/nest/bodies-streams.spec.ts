import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import multipart from '@fastify/multipart';
import type { INestApplication } from '@nestjs/common';
import { HttpAdapterHost, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import express, { json } from 'express';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { sha256 } from '../support/tokens/forge.js';
import { createInbox, type Inbox, type Received } from '../support/services/inbox.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { acceptEverything } from '../support/services/middleware.js';
import { callOver, pipeline } from '../support/http/one-socket.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import {
  answerTo,
  bodyHeaders,
  type BodyRequest,
  bodyToken,
  openBody,
  sendBody,
  splitBody,
} from '../support/tokens/signed-body.js';
import { TurnableClock } from '../support/clocks/turnable-clock.js';

/** What happens around a body: slow, broken off, too large, read by others, on a shared connection. */

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);
const KIB = 1024;
const LIMIT = 100 * KIB;
const BINARY_TYPE = 'application/octet-stream';
const JSON_TYPE = 'application/json';

let requests = 0;
const nextTarget = (path = '/guarded'): string => `${path}?stream=${requests++}`;
const bytes = (length: number, fill = 'a'): BodyRequest => ({
  method: 'POST',
  contentType: BINARY_TYPE,
  body: Buffer.alloc(length, fill),
});

interface Started extends TestService {
  readonly inbox: Inbox;
  readonly clock: TurnableClock;
}

async function start(
  adapter: Adapter,
  configure: (app: INestApplication) => unknown = () => undefined,
  logger?: LogRecorder,
  maxBufferedBodyBytes = LIMIT,
): Promise<Started> {
  const inbox = createInbox(adapter);
  const clock = new TurnableClock();
  const auth = ServiceAuthModule.forRoot({
    issuer: CENSUS,
    trustedIssuers: [herald.trusted],
    maxBufferedBodyBytes,
    now: clock.now,
  });
  const service = await startService({
    adapter,
    imports: [auth],
    controllers: inbox.controllers,
    logger,
    configure: async (app) => {
      if (adapter === 'fastify') acceptEverything(app);
      if (adapter === 'fastify') await app.register(multipart);
      await configure(app);
    },
  });
  return { ...service, inbox, clock };
}

interface FrameworkRequest {
  readonly raw?: IncomingMessage;
}

const rawOf = (incoming: FrameworkRequest): IncomingMessage =>
  incoming.raw ?? (incoming as unknown as IncomingMessage);

function deferred(): { promise: Promise<unknown>; resolve: (value: unknown) => void } {
  let resolve: (value: unknown) => void = () => undefined;
  const promise = new Promise<unknown>((settle) => (resolve = settle));
  return { promise, resolve };
}

/** The stream by its digest: comparing large buffers member by member takes seconds. */
function fingerprint(received: Received | undefined): unknown {
  return received && { ...received, streamed: received.streamed && sha256(received.streamed) };
}

/** Everything a server says on one connection until it closes it. */
async function saidUntilClose(socket: Socket): Promise<string> {
  const received: Buffer[] = [];
  socket.on('data', (chunk) => received.push(chunk));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return Buffer.concat(received).toString('latin1');
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  let service: Started;
  const logs = new LogRecorder();
  beforeAll(async () => {
    service = await start(adapter, undefined, logs);
  });
  afterAll(() => service.close());

  const send = (target: string, sent: BodyRequest, token?: string) =>
    sendBody(service.port, target, sent, token);
  const lines = (count: number): string[] => Array.from({ length: count }, (_, n) => `line ${n}`);

  async function expectPasses(target: string, sent: BodyRequest, token: string): Promise<void> {
    expect(await send(target, sent, token)).toMatchObject({ status: 200 });
    expect(service.inbox.take(target)?.streamed?.equals(sent.body)).toBe(true);
  }

  describe('a body that comes slowly', () => {
    const slow: BodyRequest = {
      method: 'POST',
      contentType: BINARY_TYPE,
      body: Buffer.from(lines(500).join('\n')),
      pieces: 2,
    };
    const [first, second] = splitBody(slow.body, 2);

    async function sendSlowly(target: string, between: () => void) {
      const outgoing = openBody(service.port, target, slow, bodyToken(herald, target, slow));
      const atBody = service.clock.nextLook();
      outgoing.write(first);
      await atBody;
      between();
      outgoing.end(second);
      return await answerTo(outgoing);
    }

    it('passes when the token is still good at its end', async () => {
      const target = nextTarget();
      expect(await sendSlowly(target, () => undefined)).toMatchObject({ status: 200 });
      expect(service.inbox.take(target)?.streamed?.equals(slow.body)).toBe(true);
    });

    it('is refused when the token expires before its end (TM-17)', async () => {
      const target = nextTarget();
      const answer = await sendSlowly(target, () => service.clock.turnBy(120));
      service.clock.turnBy(-120);
      expect(answer).toMatchObject({ status: 401, code: 'token_expired' });
      expect(service.inbox.take(target)).toBeUndefined();
    });
  });

  describe('an upload that breaks off (BB-24)', () => {
    const whole = bytes(80 * KIB);

    async function breakOff(target: string, sent: BodyRequest, token: string): Promise<void> {
      const server = service.app.getHttpServer() as Server;
      const connected = once(server, 'connection') as Promise<[Socket]>;
      const outgoing = openBody(service.port, target, sent, token);
      outgoing.on('error', () => undefined);
      const atBody = service.clock.nextLook();
      outgoing.write(sent.body.subarray(0, 40 * KIB));
      const [socket] = await connected;
      const gone = new Promise((resolve) => socket.once('close', resolve));
      await atBody;
      outgoing.destroy();
      await gone;
    }

    it.each([
      ['with Content-Length', whole],
      ['chunked', { ...whole, pieces: 4 }],
    ])('reaches no handler and does not use the token up, %s', async (_title, sent) => {
      const target = nextTarget();
      const token = bodyToken(herald, target, sent);
      const errorsBefore = logs.texts('error').length;
      await breakOff(target, sent, token);
      expect(service.inbox.take(target)).toBeUndefined();
      await expectPasses(target, sent, token);
      // A client that goes away is no fault of this service.
      expect(logs.texts('error').slice(errorsBefore)).toEqual([]);
    });
  });

  it('refuses a client that went away before the guard ran, and waits for nothing', async () => {
    const refused = deferred();
    const impatient = await start(adapter, (app) => {
      const { httpAdapter } = app.get(HttpAdapterHost);
      const untilGone = (incoming: FrameworkRequest, _response: unknown, done: () => void) =>
        void rawOf(incoming).once('close', done);
      httpAdapter.setOnRequestHook?.(untilGone);
      app.useGlobalFilters({ catch: (error: unknown) => refused.resolve(error) });
    });
    try {
      const target = nextTarget();
      const sent = bytes(80 * KIB);
      const arrived = once(impatient.app.getHttpServer() as Server, 'request');
      const outgoing = openBody(impatient.port, target, sent, bodyToken(herald, target, sent));
      outgoing.on('error', () => undefined);
      outgoing.write(sent.body.subarray(0, 9));
      await arrived;
      outgoing.destroy();
      expect(await refused.promise).toMatchObject({ response: { code: 'body_unverifiable' } });
      expect(impatient.inbox.take(target)).toBeUndefined();
    } finally {
      await impatient.close();
    }
  });

  describe('a body over maxBufferedBodyBytes that no parser reads', () => {
    const large = bytes(LIMIT + 1);
    const huge = bytes(40 * LIMIT);

    it.each([
      ['with Content-Length', large],
      ['chunked', { ...large, pieces: 10 }],
      ['far over it, with Content-Length', huge],
      ['far over it, chunked', { ...huge, pieces: 60 }],
    ])('answers 413 and closes the connection, %s', async (_title, sent) => {
      const target = nextTarget();
      const token = bodyToken(herald, target, sent);
      const answer = await send(target, sent, token);
      expect(answer).toMatchObject({ status: 413, code: 'body_unverifiable' });
      expect(answer.headers.connection).toBe('close');
      expect(service.inbox.take(target)).toBeUndefined();
    });

    it.each([
      ['with Content-Length', bytes(LIMIT)],
      ['chunked', { ...bytes(LIMIT), pieces: 10 }],
    ])('passes at exactly the limit, %s', async (_title, sent) => {
      const target = nextTarget();
      await expectPasses(target, sent, bodyToken(herald, target, sent));
    });

    it('takes nothing in it for another request', async () => {
      const inner = nextTarget();
      const smuggled = `GET ${inner} HTTP/1.1\r\nHost: x\r\njwt: ${bodyToken(herald, inner, { method: 'GET', body: Buffer.alloc(0) })}\r\n\r\n`;
      const sent = { ...large, body: Buffer.from(smuggled.repeat(300)) };
      const target = nextTarget();
      const headers = { ...bodyHeaders(sent), jwt: bodyToken(herald, target, sent) };
      const head = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
      const socket = connect(service.port, '127.0.0.1');
      socket.write(`POST ${target} HTTP/1.1\r\nHost: x\r\n${head.join('')}\r\n`);
      socket.write(sent.body);
      const said = await saidUntilClose(socket);
      expect(said.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413']);
      expect(service.inbox.take(inner)).toBeUndefined();
    });
  });

  describe('a body that is there before the guard, and that no parser reads', () => {
    let patient: Started;
    let waited = 0;
    const untilComplete = (
      incoming: FrameworkRequest,
      response: unknown,
      done: () => void,
    ): void => {
      if (!rawOf(incoming).complete) {
        setImmediate(untilComplete, incoming, response, done);
        return;
      }
      waited++;
      done();
    };
    beforeAll(async () => {
      const wait = (app: INestApplication): void =>
        app.get(HttpAdapterHost).httpAdapter.setOnRequestHook?.(untilComplete);
      patient = await start(adapter, wait, undefined, KIB);
    });
    afterAll(() => patient.close());

    it.each([
      ['at maxBufferedBodyBytes', KIB, { status: 200, code: undefined }],
      ['a byte over it', KIB + 1, { status: 413, code: 'body_unverifiable' }],
    ])('is answered by its length: BB-05 %s', async (_title, length, answer) => {
      const sent = bytes(length);
      const target = nextTarget();
      const waitedBefore = waited;
      const token = bodyToken(herald, target, sent);
      expect(await sendBody(patient.port, target, sent, token)).toMatchObject(answer);
      expect(waited).toBe(waitedBefore + 1);
      expect(patient.inbox.take(target)?.streamed?.length).toBe(
        answer.status === 200 ? length : undefined,
      );
    });
  });

  describe('two guards on one route', () => {
    it.each([
      ['bytes', bytes(3 * KIB)],
      ['bytes over what is kept', bytes(90 * KIB)],
      ['chunked bytes', { ...bytes(90 * KIB), pieces: 9 }],
    ])('read a body of %s once', async (_title, sent) => {
      const target = nextTarget('/twice');
      const token = bodyToken(herald, target, sent);
      const flipped = { ...sent, body: Buffer.from(sent.body).fill('b', 9, 10) };
      expect(await send(target, flipped, token)).toMatchObject({ code: 'body_mismatch' });
      await expectPasses(target, sent, token);
    });
  });

  describe('a connection that is kept open', () => {
    it('serves on after bodies that were refused, read or not', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const over = async (sent: BodyRequest, claims: Record<string, unknown>) => {
        const target = nextTarget();
        const headers = { ...bodyHeaders(sent), jwt: bodyToken(herald, target, sent, claims) };
        const answer = await callOver(agent, service.port, { ...sent, target, headers });
        return { status: answer.status, port: answer.localPort };
      };
      const large = bytes(90 * KIB);
      const answers = [
        await over(large, { bdy: 'f'.repeat(64) }), // read, then refused
        await over(large, { aud: 'https://other.service/' }), // refused unread
        await over(large, {}),
        await over(bytes(5 * LIMIT), { aud: 'https://other.service/' }), // refused unread, too large
        await over(large, {}),
      ];
      agent.destroy();
      expect(answers.map(({ status }) => status)).toEqual([401, 401, 200, 401, 200]);
      expect(new Set(answers.map(({ port }) => port)).size).toBe(1);
    });

    it('tells the bodies of pipelined requests apart (TF-07)', async () => {
      const bodies = [bytes(3 * KIB, 'a'), bytes(70 * KIB, 'b'), bytes(9, 'c'), bytes(50 * KIB)];
      const calls = bodies.map((sent, index) => {
        const target = nextTarget();
        const signed = index === 2 ? bytes(9, 'd') : sent;
        const token = bodyToken(herald, target, signed);
        return { method: 'POST', target, headers: { 'content-type': BINARY_TYPE, jwt: token } };
      });
      const answers = await pipeline(
        service.port,
        calls.map((one, index) => ({ ...one, body: bodies[index]?.body })),
      );
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 401, 200]);
      const arrived = calls.map(({ target }) => service.inbox.take(target)?.streamed);
      expect(arrived.map((body) => body?.length)).toEqual([3 * KIB, 70 * KIB, undefined, 50 * KIB]);
    });
  });

  describe('without the guard or without a token', () => {
    const kinds: readonly (readonly [string, BodyRequest])[] = [
      ['JSON', { method: 'POST', contentType: JSON_TYPE, body: Buffer.from('{"a":1}') }],
      ['malformed JSON', { method: 'POST', contentType: JSON_TYPE, body: Buffer.from('{"a"') }],
      ['text', { method: 'POST', contentType: 'text/plain', body: Buffer.from('hello') }],
      ['bytes', bytes(3 * KIB)],
      ['bytes over every limit', bytes(5 * LIMIT)],
      ['chunked bytes', { ...bytes(5 * LIMIT), pieces: 30 }],
      ['GET with bytes', { ...bytes(9), method: 'GET' }],
      ['nothing', { method: 'POST', body: Buffer.alloc(0) }],
    ];
    let plain: TestService & { inbox: Inbox };
    beforeAll(async () => {
      // The guard needs the module; the handlers without a guard are all that is compared.
      const inbox = createInbox(adapter, 'without the guard');
      const configure = (app: unknown) =>
        adapter === 'fastify' ? acceptEverything(app as NestFastifyApplication) : undefined;
      const app = await startService({ adapter, controllers: inbox.controllers, configure });
      plain = { ...app, inbox };
    });
    afterAll(() => plain.close());

    it.each(kinds)('a body of %s is handled as if the module were not there', async (_t, sent) => {
      const target = nextTarget('/open');
      const expected = await sendBody(plain.port, target, sent);
      const received = fingerprint(plain.inbox.take(target));
      const { date: _date, ...headers } = expected.headers;
      for (const token of [undefined, bodyToken(herald, target, sent), 'no token at all']) {
        const answer = await send(target, sent, token);
        expect(answer).toMatchObject({ ...expected, headers });
        expect(Object.keys(answer.headers)).toEqual(Object.keys(expected.headers));
        expect(fingerprint(service.inbox.take(target))).toEqual(received);
      }
    });

    it('a guarded route refuses a body without a token, and serves on', async () => {
      const target = nextTarget();
      expect(await send(target, bytes(9))).toMatchObject({ status: 401, code: 'token_missing' });
      expect(service.inbox.take(target)).toBeUndefined();
      await expectPasses(target, bytes(9), bodyToken(herald, target, bytes(9)));
    });
  });
});

describe('with a parser that is done before the body is', () => {
  let service: Started;
  beforeAll(async () => {
    service = await start('express');
  });
  afterAll(() => service.close());

  const zipped: BodyRequest = {
    method: 'POST',
    contentType: JSON_TYPE,
    headers: { 'content-encoding': 'gzip' },
    // Padded, as RFC 1952 decoders allow: what follows the padding is read by nobody.
    body: Buffer.concat([gzipSync('{"name":"Ada"}'), Buffer.alloc(2)]),
    pieces: 1,
  };

  async function endLate(rest: string) {
    const target = nextTarget();
    const outgoing = openBody(service.port, target, zipped, bodyToken(herald, target, zipped));
    const atBody = service.clock.nextLook();
    outgoing.write(zipped.body);
    await atBody; // parsed and about to be verified, and the last chunk is not there yet
    outgoing.end(rest);
    return { answer: await answerTo(outgoing), received: service.inbox.take(target) };
  }

  it('waits for the end of the body', async () => {
    const { answer, received } = await endLate('');
    expect(answer).toMatchObject({ status: 200 });
    expect(received?.body).toEqual({ name: 'Ada' });
  });

  it('refuses what comes after the part that was parsed', async () => {
    const { answer, received } = await endLate('and more');
    expect(answer).toMatchObject({ status: 401, code: 'body_mismatch' });
    expect(received).toBeUndefined();
  });
});

describe('behind what runs before this library', () => {
  const posted: BodyRequest = { method: 'POST', contentType: JSON_TYPE, body: Buffer.from('{}') };

  async function expectBinds(port: number, inbox: Inbox, sent: BodyRequest): Promise<void> {
    const target = nextTarget();
    const token = bodyToken(herald, target, sent);
    const changed = { ...sent, body: Buffer.concat([sent.body, Buffer.from(' ')]) };
    expect(await sendBody(port, target, changed, token)).toMatchObject({ code: 'body_mismatch' });
    expect(inbox.take(target)).toBeUndefined();
    expect(await sendBody(port, target, sent, token)).toMatchObject({ status: 200 });
    expect(inbox.take(target)).toBeDefined();
  }

  it.each(ADAPTERS)(
    'a hook that takes its time leaves bodies verifiable on %s',
    async (adapter) => {
      const service = await start(adapter, (app) => {
        const slowly = (_request: unknown, _response: unknown, done: () => void) =>
          void setImmediate(() => setImmediate(done));
        const { httpAdapter } = app.get(HttpAdapterHost);
        httpAdapter.setOnRequestHook?.(slowly);
      });
      try {
        for (const sent of [posted, { ...posted, pieces: 2 }, bytes(9), bytes(90 * KIB)]) {
          await expectBinds(service.port, service.inbox, sent);
        }
      } finally {
        await service.close();
      }
    },
  );

  describe.each(ADAPTERS)('BB-04 what others began to read, on %s', (adapter) => {
    const sent = bytes(90 * KIB);
    let service: Started;
    beforeAll(async () => {
      service = await start(adapter, (app) => {
        const { httpAdapter } = app.get(HttpAdapterHost);
        const interfere = (incoming: FrameworkRequest, _response: unknown, done: () => void) => {
          const stream = rawOf(incoming);
          const { meddling } = stream.headers;
          if (meddling === 'decode') stream.setEncoding('utf8');
          if (meddling !== 'read') return done();
          stream.once('readable', () => {
            stream.read(9);
            done();
          });
        };
        httpAdapter.setOnRequestHook?.(interfere);
      });
    });
    afterAll(() => service.close());

    it.each([
      ['in part, under a token for all of it', 'read', sent.body],
      ['in part, under a token for the rest', 'read', sent.body.subarray(9)],
      ['as text', 'decode', sent.body],
    ])('is refused when it is read %s', async (_title, meddling, signed) => {
      const target = nextTarget();
      const token = bodyToken(herald, target, sent, { bdy: sha256(signed) });
      expect(
        await sendBody(service.port, target, { ...sent, headers: { meddling } }, token),
      ).toMatchObject({ status: 415, code: 'body_consumed' });
      expect(service.inbox.take(target)).toBeUndefined();
    });

    it('passes when it is left alone', async () => {
      await expectBinds(service.port, service.inbox, sent);
    });
  });

  describe('a parser on the raw Express instance', () => {
    const server = express();
    server.use(json());
    const inbox = createInbox('express');
    const auth = ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] });
    const own = createServer(server);
    let app: INestApplication;
    const portOf = (listening: unknown): number =>
      ((listening as Server).address() as AddressInfo).port;

    beforeAll(async () => {
      class RawExpressModule {}
      app = await NestFactory.create(
        { module: RawExpressModule, imports: [auth], controllers: inbox.controllers } as never,
        new ExpressAdapter(server),
        { logger: false, forceCloseConnections: true },
      );
      await app.listen(0, '127.0.0.1');
      own.listen(0, '127.0.0.1');
      await once(own, 'listening');
    });
    afterAll(async () => {
      own.closeAllConnections();
      own.close();
      await app.close();
    });

    it("is watched on Nest's own server", async () => {
      await expectBinds(portOf(app.getHttpServer()), inbox, posted);
    });

    it.each([
      ['with the bdy of the body', sha256(posted.body), 415, 'body_consumed'],
      ['with the bdy of no bytes', sha256(''), 415, 'body_consumed'],
      ['without bdy', undefined, 415, 'body_consumed'],
    ])('is refused on another server, %s', async (_title, bdy, status, code) => {
      const target = nextTarget();
      const token = bodyToken(herald, target, posted, { bdy });
      expect(await sendBody(portOf(own), target, posted, token)).toMatchObject({ status, code });
      expect(inbox.take(target)).toBeUndefined();
    });

    it('does not hinder what it leaves unread, on either server', async () => {
      await expectBinds(portOf(own), inbox, bytes(70 * KIB));
      await expectBinds(portOf(app.getHttpServer()), inbox, bytes(70 * KIB));
    });
  });
});
