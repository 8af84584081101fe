import { EventEmitter, once } from 'node:events';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { ReceivedBody } from '../../lib/nest/http/body/received-body.js';
import { sha256 } from '../support/tokens/forge.js';
import { codeOf } from '../support/services/peers.js';

// The rows of the table of ReceivedBody, on the stream alone. What servers and parsers do to it is in bodies*.spec.ts.

const CONTENT = 'sixteen bytes...';
const LIMITS = {
  maxBufferedBytes: 16,
  maxBytes: undefined,
  isPassedOn: false,
  spoolDirectory: tmpdir(),
};

/** A request whose bytes the test pushes. HTTP/2 announces no length, so nothing is announced unless it is named. */
function received(headers: IncomingMessage['headers'] = {}): IncomingMessage {
  const raw = new IncomingMessage(new Socket());
  raw.headers = headers;
  return raw;
}

/** As the server does when it has the whole body. */
function arrive(raw: IncomingMessage, content = CONTENT): void {
  raw.push(content);
  raw.push(null);
}

const digestOf = async (body: ReceivedBody, limits = LIMITS): Promise<string> =>
  await body.digest('sha256', limits, new EventEmitter());

describe('ReceivedBody', () => {
  it('missed: what was read before it watched is never verified', async () => {
    const raw = received();
    arrive(raw);
    expect(raw.read()).toEqual(Buffer.from(CONTENT));
    const body = new ReceivedBody(raw);
    expect(body.isMissed).toBe(true);
    expect(await codeOf(async () => await digestOf(body))).toBe('body_consumed');
  });

  it.each<[string, (raw: IncomingMessage) => unknown]>([
    ['flows', (raw) => raw.resume()],
    ['is decoded to text', (raw) => raw.setEncoding('utf8')],
    ['has a listener of its bytes', (raw) => raw.on('data', () => undefined).pause()],
    ['has a listener that reads', (raw) => raw.on('readable', () => undefined)],
  ])('missed: what lies in the buffer of a stream that %s', (_what, claim) => {
    const raw = received();
    raw.push(CONTENT);
    claim(raw);
    expect(new ReceivedBody(raw).isMissed).toBe(true);
    const empty = received();
    claim(empty);
    expect(new ReceivedBody(empty).isMissed).toBe(false);
  });

  it('watched: what lies in the buffer already is seen, and left there', async () => {
    const raw = received();
    arrive(raw);
    const body = new ReceivedBody(raw);
    expect(body.isMissed).toBe(false);
    expect(body.hasContent).toBe(true);
    expect(await digestOf(body)).toBe(sha256(CONTENT));
    expect(await buffer(raw)).toEqual(Buffer.from(CONTENT));
  });

  it('watched: what others read is answered at its end', async () => {
    const raw = received();
    const body = new ReceivedBody(raw);
    const read: Buffer[] = [];
    raw.on('data', (chunk: Buffer) => read.push(chunk));
    raw.push(CONTENT.slice(0, 5));
    await once(raw, 'data');
    const digesting = digestOf(body);
    arrive(raw, CONTENT.slice(5));
    expect(await digesting).toBe(sha256(CONTENT));
    expect(Buffer.concat(read)).toEqual(Buffer.from(CONTENT));
  });

  it('watched: what others have read in part is refused', async () => {
    const raw = received();
    const body = new ReceivedBody(raw);
    raw.push(CONTENT);
    raw.read(5);
    expect(await codeOf(async () => await digestOf(body))).toBe('body_consumed');
  });

  it('drained: what nobody reads is read to its end and given back, for each who asks', async () => {
    const raw = received();
    const body = new ReceivedBody(raw);
    raw.push(CONTENT.slice(0, 5));
    const digests = [digestOf(body), digestOf(body)];
    arrive(raw, CONTENT.slice(5));
    expect(await Promise.all(digests)).toEqual([sha256(CONTENT), sha256(CONTENT)]);
    expect(await digestOf(body)).toBe(sha256(CONTENT));
    expect(await buffer(raw)).toEqual(Buffer.from(CONTENT));
  });

  it('refused: what is too large is refused each time', async () => {
    const raw = received();
    const body = new ReceivedBody(raw);
    const refusal = codeOf(async () => await digestOf(body));
    arrive(raw, `${CONTENT}!`);
    expect(await refusal).toBe('body_unverifiable');
    expect(await codeOf(async () => await digestOf(body))).toBe('body_unverifiable');
  });

  it('refused: a client that goes while its body is read', async () => {
    const raw = received();
    const body = new ReceivedBody(raw);
    const refusal = codeOf(async () => await digestOf(body));
    raw.push(CONTENT.slice(0, 5));
    await setImmediate();
    expect(raw.readableLength).toBe(0); // it was read
    raw.destroy();
    expect(await refusal).toBe('body_unverifiable');
  });

  it.each([
    ['while it was read', {}, true],
    ['after it was refused', { 'content-length': '32' }, false],
  ])('refused: runs to its end, which came %s', async (_when, headers, isEarly) => {
    const raw = received(headers);
    const body = new ReceivedBody(raw);
    const refusal = codeOf(async () => await digestOf(body));
    if (isEarly) arrive(raw, `${CONTENT}!`);
    expect(await refusal).toBe('body_unverifiable');
    const ended = once(raw, 'end');
    if (!isEarly) arrive(raw, CONTENT + CONTENT);
    await ended;
  });

  it.each([
    ['in part', CONTENT],
    ['not at all', ''],
  ])('held: what was there %s goes to the next reader whole', async (_what, first) => {
    const raw = received({ 'content-length': '32' });
    const body = new ReceivedBody(raw);
    if (first) raw.push(first);
    const limits = { ...LIMITS, isPassedOn: true };
    expect(await codeOf(async () => await digestOf(body, limits))).toBe('body_unverifiable');
    arrive(raw, (CONTENT + CONTENT).slice(first.length));
    expect(await buffer(raw)).toEqual(Buffer.from(CONTENT + CONTENT));
  });

  it.each([
    ['bytes come', CONTENT, true],
    ['the end comes', '', false],
  ])('settle() answers all who wait once %s', async (_what, content, hasContent) => {
    const raw = received();
    const body = new ReceivedBody(raw);
    const settle = async (): Promise<void> => await body.settle();
    const settling = [settle(), settle()];
    if (content === '') raw.push(null);
    else raw.push(content);
    await Promise.all(settling);
    expect(body.hasContent).toBe(hasContent);
  });

  it('settle() refuses a stream that closes without an end', async () => {
    const raw = received();
    const body = new ReceivedBody(raw);
    const refusal = codeOf(async () => await body.settle());
    raw.destroy();
    expect(await refusal).toBe('body_unverifiable');
    expect(body.hasContent).toBe(true);
  });

  it('what the server pushes again after the end is no part of it', async () => {
    const raw = received();
    const body = new ReceivedBody(raw);
    arrive(raw);
    arrive(raw);
    expect(await digestOf(body)).toBe(sha256(CONTENT));
    expect(await buffer(raw)).toEqual(Buffer.from(CONTENT));
  });

  it('says how much has arrived, and whether others read it', async () => {
    const raw = received();
    const body = new ReceivedBody(raw);
    expect(body.arrival()).toEqual({ bytes: 0, isReadByOthers: false });
    raw.push(CONTENT.slice(0, 5));
    expect(body.arrival()).toEqual({ bytes: 5, isReadByOthers: false });
    raw.read();
    expect(body.arrival()).toEqual({ bytes: 5, isReadByOthers: true });

    const unread = received();
    const drained = new ReceivedBody(unread);
    arrive(unread, CONTENT.slice(0, 5));
    await digestOf(drained);
    await buffer(unread);
    expect(drained.arrival()).toEqual({ bytes: 5, isReadByOthers: true });
    const draining = received();
    const other = new ReceivedBody(draining);
    const digesting = digestOf(other);
    arrive(draining);
    await digesting;
    await buffer(draining);
    expect(other.arrival()).toEqual({ bytes: CONTENT.length, isReadByOthers: false });
  });

  it('watched: a client that is gone before anybody has read is refused', async () => {
    const raw = received({ 'content-length': '16' });
    const body = new ReceivedBody(raw);
    raw.push(CONTENT.slice(0, 5));
    raw.destroy();
    expect(await codeOf(async () => await digestOf(body))).toBe('body_unverifiable');
  });

  it('has content as long as a header has announced any', () => {
    const headers: IncomingMessage['headers'] = { 'content-length': '16' };
    const raw = received(headers);
    const body = new ReceivedBody(raw);
    delete headers['content-length'];
    raw.push(null);
    expect(body.hasContent).toBe(true);
  });
});
