import { once } from 'node:events';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { Agent, type ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import multipart from '@fastify/multipart';
import {
  MaxBodyBytes,
  ServiceAuthConfigError,
  ServiceAuthModule,
  ServiceAuthUsageError,
} from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { sha256, type Json } from '../support/tokens/forge.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { acceptEverything } from '../support/services/middleware.js';
import { callOver } from '../support/http/one-socket.js';
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
import { canSeeDescriptors, itOnLinux, SpoolFolder } from './spool-folder.js';
import { TurnableClock } from '../support/clocks/turnable-clock.js';
import {
  binary,
  content,
  createUploads,
  digestOf,
  form,
  KIB,
  MAX_BODY,
  MAX_BUFFERED,
  READINGS,
  readingPath,
  type Uploads,
} from './uploads.js';

/** Bodies over `maxBufferedBodyBytes` on routes with `@MaxBodyBytes()`: they wait in a file until they are verified. */

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);
const stranger = new Caller('https://stranger.service/', CENSUS);

let requests = 0;
const nextTarget = (path: string): string => `${path}?upload=${requests++}`;

/** The last byte is another: known only when everything has been read. */
function spoilEnd(sent: BodyRequest): BodyRequest {
  const body = Buffer.from(sent.body);
  body[body.length - 1] = (body.at(-1) ?? 0) ^ 1;
  return { ...sent, body };
}

interface Started extends TestService {
  readonly uploads: Uploads;
  readonly clock: TurnableClock;
  readonly folder: SpoolFolder;
  readonly logs: LogRecorder;
}

async function start(adapter: Adapter): Promise<Started> {
  const uploads = createUploads(adapter);
  const clock = new TurnableClock();
  const folder = new SpoolFolder();
  const logs = new LogRecorder();
  const auth = ServiceAuthModule.forRoot({
    issuer: CENSUS,
    trustedIssuers: [herald.trusted],
    maxBufferedBodyBytes: MAX_BUFFERED,
    spoolDirectory: folder.path,
    now: clock.now,
  });
  const service = await startService({
    adapter,
    // On Nest 11 it waits for uploads that never end, whatever Nest is told.
    fastify: { forceCloseConnections: true },
    imports: [auth],
    controllers: uploads.controllers,
    logger: logs,
    configure: async (app) => {
      if (adapter === 'express') return;
      acceptEverything(app);
      // Its own limit on files is Fastify's `bodyLimit`, 1 MiB.
      await app.register(multipart as never, { limits: { fileSize: MAX_BODY } });
    },
  });
  const close = async (): Promise<void> => {
    await service.close();
    uploads.close();
    folder.remove();
  };
  return { ...service, uploads, clock, folder, logs, close };
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  let service: Started;
  beforeAll(async () => {
    service = await start(adapter);
  });
  afterAll(() => service.close());

  const send = (target: string, sent: BodyRequest, token: string) =>
    sendBody(service.port, target, sent, token);
  const open = (target: string, sent: BodyRequest, token: string) =>
    openBody(service.port, target, sent, token);

  /** Nothing is left: no file, with a name or without. */
  async function expectNoFiles(): Promise<void> {
    if (canSeeDescriptors) await service.folder.untilOpen(0);
    expect(service.folder.names).toEqual([]);
  }

  /** Resolves when so many bodies are on their way to a file; where that cannot be seen, at the body. */
  async function untilSpooled(count = 1): Promise<void> {
    if (canSeeDescriptors) await service.folder.untilOpen(count);
  }

  async function expectPasses(
    target: string,
    sent: BodyRequest,
    token: string,
    received: string,
  ): Promise<void> {
    expect(await send(target, sent, token)).toMatchObject({ status: 200, code: undefined });
    expect(service.uploads.take(target)).toBe(received);
    await expectNoFiles();
  }

  async function expectRefused(target: string, sent: BodyRequest, token: string, code: string) {
    expect(await send(target, sent, token)).toMatchObject({ status: 401, code });
    expect(service.uploads.take(target)).toBeUndefined();
    await expectNoFiles();
  }

  /** The request that waits at its last byte, with everything else in a file. */
  async function openUntilEnd(target: string, sent: BodyRequest, token: string) {
    const server = service.app.getHttpServer() as Server;
    const connected = once(server, 'connection') as Promise<[Socket]>;
    const outgoing = open(target, sent, token);
    outgoing.on('error', () => undefined);
    const atBody = service.clock.nextLook();
    outgoing.write(sent.body.subarray(0, -1));
    const [socket] = await connected;
    await atBody;
    await untilSpooled();
    return {
      outgoing,
      end: async () => await answerTo(outgoing.end(sent.body.subarray(-1))),
      breakOff: async () => {
        const gone = new Promise((resolve) => socket.once('close', resolve));
        outgoing.destroy();
        await gone;
      },
    };
  }

  const file = content(700 * KIB);
  const bytes = binary(file);
  const multipartForm = form(file);
  const received = digestOf(file);

  describe('a body that is larger than memory may hold is verified before the handler runs', () => {
    const framings: readonly (readonly [string, Partial<BodyRequest>])[] = [
      ['with Content-Length', {}],
      ['chunked', { pieces: 9 }],
      ['in many small pieces', { pieces: 900 }],
    ];
    const routes = [
      ...Object.keys(READINGS).map((way) => ({
        title: `bytes that are read ${way}`,
        path: readingPath(way),
        sent: bytes,
        gets: received,
      })),
      { title: 'bytes that nobody reads', path: '/unread', sent: bytes, gets: 'not read' },
      {
        title: 'a form that is kept in memory (BB-26)',
        path: '/form/memory',
        sent: multipartForm,
        gets: received,
      },
      {
        title: 'a form that is written to disk (BB-26)',
        path: '/form/disk',
        sent: multipartForm,
        gets: received,
      },
    ];

    describe.each(routes)('$title', ({ path, sent: whole, gets }) => {
      it.each(framings)('%s', async (_title, framing) => {
        const sent = { ...whole, ...framing };
        const target = nextTarget(path);
        const token = bodyToken(herald, target, sent);
        await expectRefused(target, spoilEnd(sent), token, 'body_mismatch');
        const cut = { ...sent, body: sent.body.subarray(0, -1) };
        await expectRefused(target, cut, token, 'body_mismatch');
        await expectPasses(target, sent, token, gets);
        await expectRefused(target, sent, token, 'token_replayed');
      });
    });

    it.each([
      ['one byte over what is kept in memory', MAX_BUFFERED + 1],
      ['as much as is kept in memory', MAX_BUFFERED],
      ['one byte less than the limit', MAX_BODY - 1],
      ['at the limit', MAX_BODY],
    ])('of %s', async (_title, length) => {
      for (const pieces of [undefined, 7]) {
        const sent = { ...binary(content(length)), pieces };
        const target = nextTarget(readingPath('in a loop'));
        const token = bodyToken(herald, target, sent);
        await expectRefused(target, spoilEnd(sent), token, 'body_mismatch');
        await expectPasses(target, sent, token, digestOf(sent.body));
      }
    });

    it.each(['sha384', 'sha512'])('and bound by %s', async (algorithm) => {
      const { createHash } = await import('node:crypto');
      const bdy = createHash(algorithm).update(file).digest('hex');
      const target = nextTarget(readingPath('in a pipe'));
      const token = bodyToken(herald, target, bytes, { bdy });
      await expectRefused(target, spoilEnd(bytes), token, 'body_mismatch');
      await expectPasses(target, bytes, token, received);
    });

    it('when several come at once, each for itself', async () => {
      const uploads = Array.from({ length: 8 }, (_, at) => {
        const body = content(300 * KIB + at, at);
        const path = at % 2 ? readingPath('with pauses') : readingPath('in a pipe through others');
        const target = nextTarget(path);
        const signed = at % 4 === 3 ? spoilEnd(binary(body)) : binary(body);
        return { target, body, token: bodyToken(herald, target, signed) };
      });
      const opened = uploads.map(({ target, body, token }) => ({
        outgoing: open(target, { ...binary(body), pieces: 1 }, token),
        pieces: splitBody(body, 5),
      }));
      const answers = opened.map(({ outgoing }) => answerTo(outgoing));
      for (let piece = 0; piece < 5; piece++) {
        for (const { outgoing, pieces } of opened) {
          await new Promise((resolve) => outgoing.write(pieces[piece] ?? '', resolve));
        }
        if (piece === 3) await untilSpooled(uploads.length);
      }
      for (const { outgoing } of opened) outgoing.end();
      const statuses = (await Promise.all(answers)).map(({ status }) => status);
      expect(statuses).toEqual([200, 200, 200, 401, 200, 200, 200, 401]);
      const arrived = uploads.map(({ target }) => service.uploads.take(target));
      const expected = uploads.map(({ body }, at) => (at % 4 === 3 ? undefined : digestOf(body)));
      expect(arrived).toEqual(expected);
      await expectNoFiles();
    });
  });

  describe('BB-26 the limit', () => {
    const over = (limit: number): BodyRequest => binary(content(limit + 1));
    const limits = [
      { title: 'of the controller', path: readingPath('in a loop'), limit: MAX_BODY },
      { title: 'of the method, which is nearer', path: '/smaller', limit: MAX_BODY / 2 },
      { title: 'of a method alone', path: '/larger', limit: MAX_BODY },
      { title: 'that is less than is kept in memory', path: '/tiny', limit: KIB },
      { title: 'of a route without the decorator', path: '/ordinary', limit: MAX_BUFFERED },
    ];

    it.each(limits)('$title: answers 413 beyond it, passes at it', async ({ path, limit }) => {
      for (const pieces of [undefined, 7]) {
        const target = nextTarget(path);
        const sent = { ...over(limit), pieces };
        const answer = await send(target, sent, bodyToken(herald, target, sent));
        expect(answer).toMatchObject({ status: 413, code: 'body_unverifiable' });
        expect(answer.headers.connection).toBe('close');
        expect(service.uploads.take(target)).toBeUndefined();
        await expectNoFiles();
        const exact = { ...binary(content(limit)), pieces };
        await expectPasses(target, exact, bodyToken(herald, target, exact), digestOf(exact.body));
      }
    });

    it('is asserted before a byte is there, where the length is announced', async () => {
      const target = nextTarget(readingPath('in a loop'));
      const sent = over(MAX_BODY);
      const outgoing = open(target, sent, bodyToken(herald, target, sent));
      outgoing.on('error', () => undefined).flushHeaders();
      expect(await answerTo(outgoing)).toEqual({ status: 413, code: 'body_unverifiable' });
      expect(service.uploads.take(target)).toBeUndefined();
      outgoing.destroy();
    });

    it('is asserted at the first byte beyond it, where no length is announced', async () => {
      const target = nextTarget(readingPath('in a loop'));
      const sent = { ...over(MAX_BODY), pieces: 1 };
      const outgoing = open(target, sent, bodyToken(herald, target, sent));
      outgoing.on('error', () => undefined).write(sent.body); // and no end
      expect(await answerTo(outgoing)).toEqual({ status: 413, code: 'body_unverifiable' });
      expect(service.uploads.take(target)).toBeUndefined();
      outgoing.destroy();
      await expectNoFiles();
    });
  });

  describe('the file is gone', () => {
    const path = readingPath('in a loop');

    /** The very same request, which shows that the token was not used up. */
    async function expectStillGood(target: string, token: string): Promise<void> {
      await expectPasses(target, bytes, token, received);
    }

    itOnLinux('by its name while it is written (Linux)', async () => {
      const target = nextTarget(path);
      const { end } = await openUntilEnd(target, bytes, bodyToken(herald, target, bytes));
      expect(service.folder.names).toEqual([]);
      expect(service.folder.descriptors).toHaveLength(1);
      expect(await end()).toMatchObject({ status: 200 });
      await expectNoFiles();
    });

    it('when the client breaks off, and the token is not used up (BB-24)', async () => {
      for (const pieces of [undefined, 3]) {
        const target = nextTarget(path);
        const token = bodyToken(herald, target, bytes);
        const { breakOff } = await openUntilEnd(target, { ...bytes, pieces }, token);
        await breakOff();
        await expectNoFiles();
        expect(service.uploads.take(target)).toBeUndefined();
        await expectStillGood(target, token);
      }
      // A client that goes away is no fault of this service.
      expect(service.logs.texts('error')).toEqual([]);
    });

    it.each([true, false])(
      'when a timeout answers before the last byte, and the client goes: %p',
      async (isAnswered) => {
        const target = nextTarget(path);
        const token = bodyToken(herald, target, bytes);
        const server = service.app.getHttpServer() as Server;
        const asked = once(server, 'request') as Promise<[unknown, ServerResponse]>;
        const { end, outgoing } = await openUntilEnd(target, bytes, token);
        const [, response] = await asked;
        if (isAnswered) {
          const answer = answerTo(outgoing);
          response.writeHead(503).end();
          expect(await answer).toMatchObject({ status: 503 });
          outgoing.destroy();
        } else {
          expect(await end()).toMatchObject({ status: 200 });
        }
        await expectNoFiles();
        expect(service.uploads.take(target)).toBe(isAnswered ? undefined : received);
        if (isAnswered) await expectStillGood(target, token);
      },
    );

    it('when the token expires before the last byte (TM-17)', async () => {
      const target = nextTarget(path);
      const token = bodyToken(herald, target, bytes);
      const { end } = await openUntilEnd(target, bytes, token);
      service.clock.turnBy(120);
      const answer = await end();
      service.clock.turnBy(-120);
      expect(answer).toEqual({ status: 401, code: 'token_expired' });
      expect(service.uploads.take(target)).toBeUndefined();
      await expectNoFiles();
      await expectStillGood(target, token);
    });

    it('when the token is used elsewhere before the last byte', async () => {
      const target = nextTarget(path);
      const token = bodyToken(herald, target, bytes);
      const { end } = await openUntilEnd(target, bytes, token);
      expect(await send(target, bytes, token)).toMatchObject({ status: 200 });
      service.uploads.take(target);
      expect(await end()).toEqual({ status: 401, code: 'token_replayed' });
      expect(service.uploads.take(target)).toBeUndefined();
      await expectNoFiles();
    });

    it.each([
      ['throws', '/throws', 500],
      ['stops reading and throws', '/read-in-part', 500],
    ])('when the handler %s', async (_title, route, status) => {
      const target = nextTarget(route);
      expect(await send(target, bytes, bodyToken(herald, target, bytes))).toMatchObject({ status });
      expect(service.uploads.take(target)).toBeDefined();
      await expectNoFiles();
    });

    it('when the handler breaks the stream off', async () => {
      const target = nextTarget('/rejects');
      const outgoing = open(target, bytes, bodyToken(herald, target, bytes));
      const closed = new Promise((resolve) => outgoing.once('close', resolve));
      outgoing.on('error', () => undefined).end(bytes.body);
      expect(await service.uploads.received(target)).toBe('true');
      await closed; // as Node does where the body is still on its way
      await expectNoFiles();
    });

    it('when the application closes', async () => {
      const own = await start(adapter);
      const target = nextTarget(path);
      const outgoing = openBody(own.port, target, bytes, bodyToken(herald, target, bytes));
      const closed = new Promise((resolve) => outgoing.once('close', resolve));
      outgoing.on('error', () => undefined).write(bytes.body.subarray(0, -1));
      if (canSeeDescriptors) await own.folder.untilOpen(1);
      await own.app.close();
      await closed;
      expect(own.folder.names).toEqual([]);
      if (canSeeDescriptors) await own.folder.untilOpen(0);
      expect(own.uploads.take(target)).toBeUndefined();
      await own.close();
    });

    it('when a handler that answered first has read on', async () => {
      const target = nextTarget('/early');
      const headers = { ...bodyHeaders(bytes), jwt: bodyToken(herald, target, bytes) };
      const agent = new Agent({ keepAlive: true });
      const answer = await callOver(agent, service.port, { ...bytes, target, headers });
      expect(answer.status).toBe(202);
      expect(await service.uploads.received(target)).toBe(received);
      agent.destroy();
      await expectNoFiles();
    });

    it('when a handler that answered first reads on and the connection closes', async () => {
      const target = nextTarget('/early');
      const answer = await send(target, bytes, bodyToken(herald, target, bytes));
      expect(answer).toMatchObject({ status: 202 });
      expect(['broken off', received]).toContain(await service.uploads.received(target));
      await expectNoFiles();
    });
  });

  describe('nothing is written for a token that is refused anyway', () => {
    let diskless: Started;
    beforeAll(async () => {
      diskless = await start(adapter);
      // Now whatever wants to write a file fails, and says so.
      diskless.folder.remove();
    });
    afterAll(() => diskless.close());

    const path = readingPath('in a loop');
    const target = nextTarget(path);
    const now = Math.floor(Date.now() / 1000);
    const tampered = (): string => {
      const [head, payload, signature = ''] = bodyToken(herald, target, bytes).split('.');
      const other = signature.startsWith('A') ? 'B' : 'A';
      return [head, payload, other + signature.slice(1)].join('.');
    };
    const claiming = (claims: Json) => (): string => bodyToken(herald, target, bytes, claims);
    const refusals: readonly (readonly [string, string, () => string])[] = [
      ['no token', 'token_malformed', () => 'none'],
      ['another signature', 'signature_invalid', tampered],
      ['an unknown issuer', 'issuer_unknown', () => bodyToken(stranger, target, bytes)],
      ['another audience', 'audience_mismatch', claiming({ aud: 'https://other.service/' })],
      ['another target', 'request_mismatch', claiming({ req: 'POST /elsewhere' })],
      ['another Content-Type', 'header_mismatch', claiming({ hdr: { 'content-type': 'a/b' } })],
      ['no bdy', 'claim_missing', claiming({ bdy: undefined })],
      ['a time that is over', 'token_expired', claiming({ iat: now - 300, exp: now - 240 })],
    ];

    it.each(refusals)('such as one with %s', async (_title, code, token) => {
      const answer = await sendBody(diskless.port, target, bytes, token());
      expect(answer).toMatchObject({ status: 401, code });
      expect(diskless.uploads.take(target)).toBeUndefined();
    });

    it('and a good one is told that it cannot be decided now', async () => {
      for (const pieces of [undefined, 9]) {
        const sent = { ...bytes, pieces };
        const token = bodyToken(herald, target, sent);
        const answer = await sendBody(diskless.port, target, sent, token);
        expect(answer).toMatchObject({ status: 503, code: 'body_unverifiable' });
        expect(answer.headers['retry-after']).toBe('1');
        expect(diskless.uploads.take(target)).toBeUndefined();
      }
      expect(diskless.logs.texts('warn').at(-1)).toContain('temporary file: ENOENT');
    });

    it('while bodies that memory may hold pass', async () => {
      const small = binary(content(MAX_BUFFERED));
      const token = bodyToken(herald, target, small);
      const answer = await sendBody(diskless.port, target, small, token);
      expect(answer).toMatchObject({ status: 200 });
      expect(diskless.uploads.take(target)).toBe(digestOf(small.body));
    });
  });

  /** Turns what is written to an open file into what is written to a disk that is full. */
  function fillDiskUnder(descriptor: number): void {
    closeSync(descriptor);
    const others: number[] = [];
    let opened = openSync('/dev/full', 'r+');
    while (opened < descriptor) {
      others.push(opened);
      opened = openSync('/dev/full', 'r+');
    }
    for (const other of others) closeSync(other);
    expect(opened).toBe(descriptor);
  }

  itOnLinux('answers 503 when the disk is full (Linux)', async () => {
    const target = nextTarget(readingPath('in a loop'));
    const token = bodyToken(herald, target, bytes);
    const { end } = await openUntilEnd(target, bytes, token);
    const [descriptor = -1] = service.folder.descriptors;
    fillDiskUnder(descriptor);
    expect(await end()).toEqual({ status: 503, code: 'body_unverifiable' });
    expect(service.uploads.take(target)).toBeUndefined();
    await expectNoFiles();
    await expectPasses(target, bytes, token, received);
  });

  it('serves on over the same connection, whatever became of a body', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const over = async (path: string, sent: BodyRequest, claims?: Json) => {
      const target = nextTarget(path);
      const headers = { ...bodyHeaders(sent), jwt: bodyToken(herald, target, sent, claims) };
      const answer = await callOver(agent, service.port, { ...sent, target, headers });
      return { status: answer.status, port: answer.localPort, got: service.uploads.take(target) };
    };
    const loop = readingPath('in a loop');
    const answers = [
      await over(loop, bytes),
      await over('/unread', bytes),
      await over(loop, bytes, { bdy: sha256('x') }), // spooled, then refused
      await over(loop, bytes, { aud: 'https://other.service/' }), // refused unread
      await over('/throws', bytes),
      await over('/form/disk', multipartForm),
      await over(loop, binary(content(9))),
      await over(loop, bytes),
    ];
    agent.destroy();
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 401, 401, 500, 200, 200, 200]);
    expect(answers.at(-1)?.got).toBe(received);
    expect(new Set(answers.map(({ port }) => port)).size).toBe(1);
    await expectNoFiles();
  });
});

describe('@MaxBodyBytes()', () => {
  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '5', undefined, null])(
    'does not take %p',
    (bytes) => {
      expect(() => MaxBodyBytes(bytes as number)).toThrow(ServiceAuthUsageError);
    },
  );

  it.each([1, 100 * 1024 * 1024, Number.MAX_SAFE_INTEGER])('takes %p', (bytes) => {
    expect(() => MaxBodyBytes(bytes)).not.toThrow();
  });
});

describe('the option spoolDirectory', () => {
  const folder = new SpoolFolder();
  const file = join(folder.path, 'file');
  beforeAll(() => writeFileSync(file, ''));
  afterAll(() => folder.remove());

  const startWith = async (spoolDirectory: unknown) =>
    await startService({
      adapter: 'express',
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted],
          spoolDirectory: spoolDirectory as string,
        }),
      ],
    });

  it.each([
    ['a relative path', 'test'],
    ['what is not there', join(folder.path, 'nowhere')],
    ['a file', file],
    ['no path', 5],
    ['no text', ''],
    ['a path that no system has', '/\0'],
  ])('does not take %s', async (_title, path) => {
    const error: unknown = await startWith(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ServiceAuthConfigError);
    expect((error as ServiceAuthConfigError).problems).toEqual([
      'spoolDirectory: write the absolute path of a folder that is there',
    ]);
  });

  it('takes a folder', async () => {
    const service = await startWith(folder.path);
    await service.close();
  });
});
