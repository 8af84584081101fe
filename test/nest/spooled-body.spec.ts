import { EventEmitter, once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { assertWithin, unspoolable } from '../../lib/nest/http/body/body-limits.js';
import { BodySpool } from '../../lib/nest/http/body/body-spool.js';
import { ReceivedBody } from '../../lib/nest/http/body/received-body.js';
import {
  type BodySettings,
  KeptBody,
  WatchedBody,
} from '../../lib/nest/http/body/verifiable-body.js';
import { sha256 } from '../support/tokens/forge.js';
import { codeOf } from '../support/services/peers.js';
import { canSeeDescriptors, itOnLinux, SpoolFolder } from './spool-folder.js';
import { content, KIB } from './uploads.js';

// The parts of a body that is kept until it is verified, without a server. What clients do to it is in large-bodies.spec.ts.

const folder = new SpoolFolder();
afterAll(() => folder.remove());

async function expectNoFiles(): Promise<void> {
  if (canSeeDescriptors) await folder.untilOpen(0);
  expect(folder.names).toEqual([]);
}

const errorOf = async (act: () => unknown): Promise<unknown> => {
  try {
    return await act();
  } catch (error) {
    return error;
  }
};

async function readAll(spool: BodySpool): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for (let piece = await spool.read(); piece; piece = await spool.read()) pieces.push(piece);
  return pieces;
}

let files = 0;
/** A spool over a file that the test can reach, as on a system that keeps the name of an open file. */
async function spoolOver(): Promise<{ spool: BodySpool; file: FileHandle }> {
  const path = join(folder.path, `file-${files++}`);
  const file = await open(path, 'wx+');
  return { file, spool: Reflect.construct(BodySpool, [file, path]) as BodySpool };
}

describe('BodySpool', () => {
  it('gives back what was appended, in pieces of 256 KiB, and ends', async () => {
    const spool = await BodySpool.open(folder.path);
    const bytes = content(600 * KIB);
    await spool.append([bytes.subarray(0, 5), bytes.subarray(5, 100)]);
    await spool.append([bytes.subarray(100)]);
    const pieces = await readAll(spool);
    expect(pieces.map(({ length }) => length / KIB)).toEqual([256, 256, 88]);
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
    await spool.close();
    await expectNoFiles();
  });

  itOnLinux('has no name while it is open (Linux)', async () => {
    const spool = await BodySpool.open(folder.path);
    expect([folder.names, folder.descriptors.length]).toEqual([[], 1]);
    await spool.close();
    expect(folder.descriptors).toEqual([]);
  });

  it('loses the name that the system has kept when it is closed', async () => {
    const { spool, file } = await spoolOver();
    expect(folder.names).toHaveLength(1);
    await Promise.all([spool.close(), spool.close()]);
    expect([folder.names, file.fd]).toEqual([[], -1]);
  });

  it('writes what the system did not take at once', async () => {
    const { spool, file } = await spoolOver();
    const whole = file.writev.bind(file);
    file.writev = async (chunks) =>
      await whole([Buffer.concat(chunks as unknown as Buffer[]).subarray(0, 3)] as never);
    await spool.append([Buffer.from('sixt'), Buffer.from('een bytes...')]);
    file.writev = whole;
    await spool.append([Buffer.from(' and more')]);
    expect(Buffer.concat(await readAll(spool)).toString()).toBe('sixteen bytes... and more');
    await spool.close();
  });

  it('gives back nothing of what could not be written whole', async () => {
    const { spool, file } = await spoolOver();
    await spool.append([Buffer.from('sixteen bytes...')]);
    const whole = file.writev.bind(file);
    file.writev = async (chunks) => {
      await whole(chunks);
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    const refusal = errorOf(async () => await spool.append([Buffer.from('lost')]));
    expect(await refusal).toMatchObject({ code: 'body_unverifiable', status: 503 });
    expect(Buffer.concat(await readAll(spool)).toString()).toBe('sixteen bytes...');
    await spool.close();
  });

  it('ends where the file ends, be it too early', async () => {
    const { spool, file } = await spoolOver();
    await spool.append([Buffer.from('sixteen bytes...')]);
    await file.truncate(7);
    expect((await spool.read())?.toString()).toBe('sixteen');
    expect(await spool.read()).toBeUndefined();
    await spool.close();
  });

  it('tells of a file that cannot be made, or written, with 503', async () => {
    const nowhere = join(folder.path, 'nowhere');
    expect(await errorOf(async () => await BodySpool.open(nowhere))).toMatchObject({
      code: 'body_unverifiable',
      status: 503,
      detail: 'the body could not be written to a temporary file: ENOENT',
    });
    const spool = await BodySpool.open(folder.path);
    await spool.close();
    expect(await errorOf(async () => await spool.append([Buffer.from('too late')]))).toMatchObject({
      code: 'body_unverifiable',
      status: 503,
    });
  });
});

describe('the limits of a body', () => {
  it.each([
    [undefined, 16, 17, 'the body: larger than maxBufferedBodyBytes (16)'],
    [32, 32, 33, 'the body: larger than @MaxBodyBytes(32)'],
    [8, 8, 9, 'the body: larger than @MaxBodyBytes(8)'],
  ])(
    'with @MaxBodyBytes(%s), %i bytes are within and %i are not',
    async (maxBytes, most, more, detail) => {
      const limits = { maxBytes, maxBufferedBytes: 16, spoolDirectory: '', isPassedOn: false };
      expect(() => assertWithin(limits, most)).not.toThrow();
      const error = await errorOf(() => assertWithin(limits, more));
      expect(error).toMatchObject({ code: 'body_unverifiable', status: 413, detail });
    },
  );

  it.each<[unknown, string]>([
    [Object.assign(new Error('full'), { code: 'ENOSPC' }), 'ENOSPC'],
    [new Error('other'), 'unknown'],
    [null, 'unknown'],
    [undefined, 'unknown'],
    ['text', 'unknown'],
  ])('a disk that fails with %p is told as %s', (cause, reason) => {
    const detail = `the body could not be written to a temporary file: ${reason}`;
    expect(unspoolable(cause)).toMatchObject({ status: 503, detail, cause });
  });
});

/** A request whose bytes the test pushes. */
function received(headers: IncomingMessage['headers'] = {}): IncomingMessage {
  const raw = new IncomingMessage(new Socket());
  raw.headers = headers;
  return raw;
}

describe('KeptBody', () => {
  const keptIn = (
    answer: unknown,
    headers?: IncomingMessage['headers'],
  ): { body: KeptBody; raw: IncomingMessage; asked: unknown[] } => {
    const raw = received(headers);
    const asked: unknown[] = [];
    const rawBody: BodySettings['rawBody'] = (request) => {
      asked.push(request);
      return answer;
    };
    return { body: new KeptBody(raw, rawBody), raw, asked };
  };

  it('asks the option `rawBody` once', () => {
    const settled = keptIn(Buffer.from('kept'));
    expect(settled.body.arrival()).toEqual({ bytes: 0, isReadByOthers: true });
    settled.body.settle();
    settled.body.settle();
    expect(settled.body.arrival()).toEqual({ bytes: 4, isReadByOthers: true });
    expect(settled.body.digest('sha256')).toBe(sha256('kept'));
    expect(settled.asked).toEqual([settled.raw]);

    const digested = keptIn(Buffer.from('kept'));
    expect(digested.body.digest('sha256')).toBe(sha256('kept'));
    expect(digested.body.digest('sha256')).toBe(sha256('kept'));
    expect(digested.asked).toHaveLength(1);
  });

  it.each<[string, Buffer, IncomingMessage['headers'], boolean]>([
    ['bytes', Buffer.from('kept'), {}, true],
    ['no bytes', Buffer.alloc(0), {}, false],
    ['no bytes where a header announces some', Buffer.alloc(0), { 'content-length': '4' }, true],
  ])(
    'has content unless it is certain that it has none: %s',
    (_what, bytes, headers, hasContent) => {
      const { body } = keptIn(bytes, headers);
      expect(body.hasContent).toBe(true); // not asked yet
      body.settle();
      expect(body.hasContent).toBe(hasContent);
    },
  );

  it.each([undefined, null])('refuses the body where `rawBody` answers %p', async (answer) => {
    expect(await codeOf(async () => keptIn(answer).body.settle())).toBe('body_consumed');
    const without = new KeptBody(received(), undefined);
    expect(await codeOf(async () => without.settle())).toBe('body_consumed');
    expect(() => keptIn(Buffer.alloc(1)).body.settle()).not.toThrow();
  });

  it.each<[unknown, string]>([
    ['text', 'a string'],
    [5, 'a number'],
    [{ parsed: true }, 'an object'],
  ])('names the mistake where `rawBody` answers %p', (answer, words) => {
    const { body } = keptIn(answer);
    expect(() => body.settle()).toThrow(`The option \`rawBody\` answered ${words}: it must`);
  });
});

describe('WatchedBody', () => {
  const LIMITS = {
    maxBufferedBytes: 64 * KIB,
    maxBytes: KIB * KIB,
    isPassedOn: false,
    spoolDirectory: folder.path,
  };
  const watched = (raw = received(), limits = LIMITS) => {
    const response = new EventEmitter();
    return { raw, response, body: new WatchedBody(new ReceivedBody(raw), limits, response) };
  };
  /** Pushes a piece in each turn of the event loop, as a server does. */
  const pushPart = async (raw: IncomingMessage, bytes: Buffer): Promise<void> => {
    for (let at = 0; at < bytes.length; at += 16 * KIB) {
      raw.push(bytes.subarray(at, at + 16 * KIB));
      await setImmediate();
    }
  };
  const push = async (raw: IncomingMessage, bytes: Buffer): Promise<void> => {
    await pushPart(raw, bytes);
    raw.push(null);
  };

  it('knows that nothing came once the end has come', async () => {
    const { raw, body } = watched();
    expect(body.hasContent).toBe(true);
    const settling = body.settle();
    expect(settling).toBeInstanceOf(Promise);
    raw.push(null);
    await settling;
    expect([body.hasContent, body.arrival()]).toEqual([false, { bytes: 0, isReadByOthers: false }]);
    expect(await body.digest('sha256')).toBe(sha256(''));
  });

  it.each([
    ['in memory', 64 * KIB, 0],
    ['in a file', 64 * KIB + 1, 1],
    ['in a file, in several pieces', 900 * KIB, 1],
  ])('waits %s, and is given back whole', async (_where, length, count) => {
    const bytes = content(length);
    const { raw, body } = watched();
    const digesting = body.digest('sha256');
    await push(raw, bytes);
    expect(await digesting).toBe(sha256(bytes));
    if (canSeeDescriptors) await folder.untilOpen(count);
    expect((await buffer(raw)).equals(bytes)).toBe(true);
    await expectNoFiles();
  });

  it('has no digest in another algorithm than the one it was read with', async () => {
    const bytes = content(100 * KIB);
    const { raw, body } = watched();
    const digesting = body.digest('sha256');
    await push(raw, bytes);
    await digesting;
    expect(await codeOf(async () => await body.digest('sha512'))).toBe('body_unverifiable');
    expect(await body.digest('sha256')).toBe(sha256(bytes));
    expect((await buffer(raw)).equals(bytes)).toBe(true);
  });

  it.each(['finish', 'close'])('goes with the answer that nobody reads for: %s', async (event) => {
    const { raw, body, response } = watched();
    const digesting = body.digest('sha256');
    await push(raw, content(200 * KIB));
    await digesting;
    const ended = once(raw, 'end');
    response.emit(event);
    await ended;
    expect(response.eventNames()).toEqual([]);
    await expectNoFiles();
  });

  it.each<[string, (raw: IncomingMessage) => unknown]>([
    ['flows', (raw) => raw.on('data', () => undefined)],
    ['is listened to', (raw) => raw.on('readable', () => undefined)],
    ['is let run', (raw) => raw.resume()],
    ['is paused', (raw) => raw.on('data', () => undefined).pause()],
  ])(
    'outlasts the answer of a request that %s, and goes with its connection',
    async (_how, read) => {
      const { raw, body, response } = watched();
      const digesting = body.digest('sha256');
      await push(raw, content(900 * KIB));
      await digesting;
      await setImmediate();
      read(raw);
      response.emit('finish');
      expect(raw.socket.listenerCount('close')).toBeGreaterThan(0);
      const error = once(raw, 'error');
      raw.socket.emit('close');
      expect(await error).toMatchObject([{ message: 'The rest of the body is gone.' }]);
      expect(raw.destroyed).toBe(true);
      await expectNoFiles();
    },
  );

  it('goes with its connection where nobody listens for errors, which ends no process', async () => {
    const { raw, body, response } = watched();
    const digesting = body.digest('sha256');
    await push(raw, content(900 * KIB));
    await digesting;
    await setImmediate();
    raw.resume();
    response.emit('finish');
    const closed = new Promise((resolve) => raw.once('close', resolve)); // once() listens for errors
    raw.socket.emit('close');
    await closed;
    expect([raw.errored, raw.readableEnded]).toEqual([null, false]);
    await expectNoFiles();
  });

  it.each<[string, (raw: IncomingMessage) => unknown]>([
    ['a connection that serves other requests too', (raw) => (raw.httpVersionMajor = 2)],
    [
      'a connection that lets no listener go',
      (raw) => Object.assign(raw.socket, { off: undefined }),
    ],
  ])('is read to its end after the answer where a request has %s', async (_what, prepare) => {
    const bytes = content(900 * KIB);
    const { raw, body, response } = watched();
    const { socket } = raw;
    prepare(raw);
    const digesting = body.digest('sha256');
    await push(raw, bytes);
    await digesting;
    const reading = buffer(raw);
    response.emit('finish');
    socket.emit('close');
    expect((await reading).equals(bytes)).toBe(true);
    await expectNoFiles();
  });

  it('comes once, however often the stream asks at once', async () => {
    const bytes = content(900 * KIB);
    const { raw, body } = watched();
    const digesting = body.digest('sha256');
    await push(raw, bytes);
    await digesting;
    raw._read(0);
    raw._read(0);
    expect((await buffer(raw)).equals(bytes)).toBe(true);
    await expectNoFiles();
  });

  it.each([true, false])(
    'goes with its connection where a timeout has answered meanwhile: %p',
    async (isAnswered) => {
      const bytes = content(900 * KIB);
      const { raw, body, response } = watched();
      const digesting = body.digest('sha256');
      if (isAnswered) Object.assign(response, { writableEnded: true });
      await push(raw, bytes);
      expect(await digesting).toBe(sha256(bytes));
      expect(raw.socket.listenerCount('close')).toBe(isAnswered ? 1 : 0);
      if (isAnswered) raw.socket.emit('close');
      else expect((await buffer(raw)).equals(bytes)).toBe(true);
      await expectNoFiles();
      expect(raw.socket.listenerCount('close')).toBe(0);
    },
  );

  it.each(['before its end', 'while its end is written'])(
    'goes with the connection of an answered request: %s',
    async (when) => {
      const { raw, body } = watched();
      const refusal = codeOf(async () => await body.digest('sha256'));
      await pushPart(raw, content(200 * KIB));
      if (canSeeDescriptors) await folder.untilOpen(1);
      if (when !== 'before its end') raw.push(null);
      // Node destroys only a request that has no answer yet.
      Reflect.set(raw.socket, 'destroyed', true);
      raw.socket.emit('close');
      expect(await refusal).toBe('body_unverifiable');
      await expectNoFiles();
    },
  );

  it.each([true, false])('goes with a client that is gone at once: %p', async (isGone) => {
    const { raw, body } = watched();
    if (isGone) Reflect.set(raw.socket, 'destroyed', true);
    const settling = body.settle();
    const digesting = codeOf(async () => await body.digest('sha256'));
    if (!isGone) raw.push(null);
    expect(await codeOf(async () => await settling)).toBe(
      isGone ? 'body_unverifiable' : 'accepted',
    );
    expect(await digesting).toBe(isGone ? 'body_unverifiable' : 'accepted');
    expect(raw.socket.listenerCount('close')).toBe(0);
  });

  it('goes with its client, which ends no process', async () => {
    const { raw, body } = watched();
    const digesting = body.digest('sha256');
    await push(raw, content(900 * KIB));
    await digesting;
    const closed = once(raw, 'close');
    raw.destroy();
    await closed;
    await expectNoFiles();
  });

  it('that is too large is refused, or passed on whole where the route reports', async () => {
    for (const length of [100 * KIB, 900 * KIB]) {
      const bytes = content(length);
      const limits = { ...LIMITS, maxBytes: length - 20 * KIB };
      const refused = watched(received(), limits);
      const refusal = codeOf(async () => await refused.body.digest('sha256'));
      await push(refused.raw, bytes);
      expect(await refusal).toBe('body_unverifiable');
      await expectNoFiles();

      const passed = watched(received(), { ...limits, isPassedOn: true });
      const report = codeOf(async () => await passed.body.digest('sha256'));
      await push(passed.raw, bytes);
      expect(await report).toBe('body_unverifiable');
      expect((await buffer(passed.raw)).equals(bytes)).toBe(true);
      await expectNoFiles();
    }
  });

  it.each([32, 600])(
    'keeps its order where a route reports that it is over %i KiB',
    async (most) => {
      const bytes = content(900 * KIB);
      const limits = { ...LIMITS, maxBytes: most * KIB, isPassedOn: true };
      const { raw, body } = watched(received(), limits);
      const report = codeOf(async () => await body.digest('sha256'));
      const seen = (most + 20) * KIB;
      await pushPart(raw, bytes.subarray(0, seen));
      expect(await report).toBe('body_unverifiable');
      const reading = buffer(raw);
      await push(raw, bytes.subarray(seen));
      expect((await reading).equals(bytes)).toBe(true);
      await expectNoFiles();
    },
  );

  it('that nobody reads for is passed on to nobody', async () => {
    const limits = { ...LIMITS, maxBytes: 600 * KIB, isPassedOn: true };
    const { raw, body, response } = watched(received(), limits);
    const report = codeOf(async () => await body.digest('sha256'));
    await push(raw, content(900 * KIB));
    await report;
    const ended = once(raw, 'end');
    response.emit('finish');
    await ended;
    await expectNoFiles();
  });
});
