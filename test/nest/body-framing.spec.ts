import type { IncomingMessage } from 'node:http';
import {
  announcedBytes,
  announcesContent,
  endsWithHeaders,
  hasEnded,
} from '../../lib/nest/http/body/body-framing.js';

const request = (members: object): IncomingMessage => members as IncomingMessage;

describe('what a request says of its body', () => {
  it.each<[object | undefined, boolean, number]>([
    [undefined, false, 0],
    [{}, false, 0],
    [{ 'content-length': '0' }, false, 0],
    [{ 'content-length': 0 }, false, 0],
    [{ 'content-length': '12' }, true, 12],
    [{ 'content-length': 12 }, true, 12],
    [{ 'content-length': '00' }, true, 0],
    [{ 'transfer-encoding': 'chunked' }, true, 0],
    [{ 'transfer-encoding': '' }, true, 0],
    [{ 'content-length': '0', 'transfer-encoding': 'chunked' }, true, 0],
  ])('with the headers %j: content %p, %d bytes', (headers, announces, bytes) => {
    expect(announcesContent(request({ headers }))).toBe(announces);
    expect(announcedBytes(request({ headers }))).toBe(bytes);
  });

  it.each<[object, boolean]>([
    [{ _readableState: { ended: true } }, true],
    [{ _readableState: { ended: false } }, false],
    [{ _readableState: { ended: 1 } }, false],
    [{ _readableState: {} }, false],
    [{ _readableState: null }, false],
    [{ _readableState: 'ended' }, false],
    [{}, false],
  ])('its stream has ended: %j', (members, expected) => {
    expect(hasEnded(request(members))).toBe(expected);
  });

  it.each<[object, boolean]>([
    [{ stream: { endAfterHeaders: true } }, true],
    [{ stream: { endAfterHeaders: false } }, false],
    [{ stream: {} }, false],
    [{ stream: null }, false],
    [{}, false],
  ])('HTTP/2 says that nothing follows: %j', (members, expected) => {
    expect(endsWithHeaders(request(members))).toBe(expected);
  });
});
