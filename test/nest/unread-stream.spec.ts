import { once } from 'node:events';
import { createServer, IncomingMessage } from 'node:http';
import { type AddressInfo, connect, Socket } from 'node:net';
import {
  isBytes,
  isStream,
  leavingUnread,
  markUnread,
  peek,
  readChunk,
  toBytes,
} from '../../lib/nest/http/body/unread-stream.js';

const received = (...pieces: (string | null)[]): IncomingMessage => {
  const raw = new IncomingMessage(new Socket());
  for (const piece of pieces) raw.push(piece);
  return raw;
};
const consumedOf = (raw: IncomingMessage): unknown => Reflect.get(raw, '_consuming');

describe('a stream that is looked at', () => {
  it('keeps what it holds, and is as unread as it was', () => {
    const raw = received('sixteen ', 'bytes...');
    expect(peek(raw)).toEqual(Buffer.from('sixteen bytes...'));
    expect([consumedOf(raw), raw.readableDidRead, raw.readableLength]).toEqual([false, false, 16]);
    expect(peek(raw)).toEqual(Buffer.from('sixteen bytes...'));
    expect(raw.read()).toEqual(Buffer.from('sixteen bytes...'));
    expect(raw.readableDidRead).toBe(true);
  });

  it('does not keep a connection from its next request once it is answered', async () => {
    // More than the stream and the socket hold while nobody reads.
    const LENGTH = 1_000_000;
    const seen: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      setImmediate(() => {
        seen.push(peek(request)?.toString());
        response.end('answered');
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const answers = async (count: number): Promise<void> => {
      let text = '';
      for await (const chunk of socket) {
        text += String(chunk);
        if (text.split('answered').length > count) return;
      }
    };
    socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${LENGTH}\r\n\r\nfirst`);
    await once(server, 'request');
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    socket.write(`${'x'.repeat(LENGTH - 'first'.length)}GET / HTTP/1.1\r\nHost: a\r\n\r\n`);
    await answers(2);
    expect(seen).toEqual(['first', undefined]);
    socket.destroy();
    server.close();
  });

  it('has nothing to show while it holds nothing', () => {
    const raw = received();
    expect(peek(raw)).toBeUndefined();
    expect([consumedOf(raw), raw.readableDidRead]).toEqual([false, false]);
  });

  it('stays consumed where it was', () => {
    const raw = received('a');
    Reflect.set(raw, '_consuming', true);
    leavingUnread(raw, () => raw.read() as unknown);
    expect(consumedOf(raw)).toBe(true);
  });

  it('is as unread where the look fails', () => {
    const raw = received('a');
    const fail = (): never => {
      raw.read();
      throw new Error('of the look');
    };
    expect(() => leavingUnread(raw, fail)).toThrow('of the look');
    expect([consumedOf(raw), raw.readableDidRead]).toEqual([false, false]);
  });

  it.each([{}, { _readableState: undefined }, { _readableState: null }, { _readableState: 'a' }])(
    'may be no stream of Node: %j',
    (host) => {
      const raw = { ...host } as unknown as IncomingMessage;
      expect(leavingUnread(raw, () => 'seen')).toBe('seen');
      expect(raw).toEqual(host);
    },
  );

  it('is marked where its state says what was read, and gets no other state', () => {
    const states: object[] = [{ dataEmitted: true }, {}];
    for (const _readableState of states) {
      markUnread({ _readableState } as unknown as IncomingMessage);
    }
    expect(states).toEqual([{ dataEmitted: false }, {}]);
  });
});

describe('a chunk', () => {
  const view = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);

  it.each<[string, unknown, boolean]>([
    ['a text', 'a', true],
    ['an empty text', '', true],
    ['bytes', view, true],
    ['a Buffer', Buffer.from('a'), true],
    ['null', null, false],
    ['undefined', undefined, false],
    ['a list', [1], false],
    ['an object', {}, false],
    ['other memory', new ArrayBuffer(1), false],
    ['other numbers', new Uint16Array(1), false],
  ])('of %s', (_what, chunk, expected) => {
    expect(isBytes(chunk)).toBe(expected);
  });

  it('becomes bytes: a text in its encoding, a view without what lies beside it', () => {
    expect(toBytes('é')).toEqual(Buffer.from([0xc3, 0xa9]));
    expect(toBytes('é', 'latin1')).toEqual(Buffer.from([0xe9]));
    expect(toBytes(view)).toEqual(Buffer.from([2, 3]));
    expect(Buffer.isBuffer(toBytes(view))).toBe(true);
    expect(toBytes(view).buffer).toBe(view.buffer);
    const buffer = Buffer.from('a');
    expect(toBytes(buffer)).toBe(buffer);
  });

  it('is read as bytes, or not at all', () => {
    const answering = (chunk: unknown): IncomingMessage =>
      ({ read: () => chunk }) as unknown as IncomingMessage;
    expect(readChunk(answering('a'))).toEqual(Buffer.from('a'));
    expect(readChunk(answering(view))).toEqual(Buffer.from([2, 3]));
    for (const none of [null, undefined, {}, 5]) expect(readChunk(answering(none))).toBeUndefined();
  });
});

describe('isStream()', () => {
  const stream = { push: () => true, read: () => null, _readableState: {} };

  it.each<[string, object, boolean]>([
    ['has all of a stream', {}, true],
    ['has no push', { push: undefined }, false],
    ['has no read', { read: undefined }, false],
    ['has another push', { push: 'push' }, false],
    ['has another read', { read: 'read' }, false],
    ['has no state', { _readableState: undefined }, false],
    ['has null for a state', { _readableState: null }, false],
    ['has a word for a state', { _readableState: 'flowing' }, false],
  ])('a request that %s', (_what, change, expected) => {
    expect(isStream({ ...stream, ...change } as unknown as IncomingMessage)).toBe(expected);
  });

  it('a request of Node', () => expect(isStream(received())).toBe(true));
});
