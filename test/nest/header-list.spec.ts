import type { IncomingMessage } from 'node:http';
import {
  hasTokenElsewhere,
  headerListOf,
  isNamed,
  maxHeadersCountOf,
  mayHaveToken,
  removeToken,
} from '../../lib/nest/http/header-list.js';

// What hosts give that are no Node server. Real requests are in header-lists.spec.ts and distinct-headers.spec.ts.

const request = (members: object): IncomingMessage =>
  ({ httpVersionMajor: 1, ...members }) as unknown as IncomingMessage;
const TOKEN = 'e30.e30.c2ln';

describe('the headers of a request', () => {
  it.each<[object, string[]]>([
    [{ rawHeaders: ['A', '1'], headers: { b: '2' } }, ['A', '1']],
    [{ rawHeaders: [], headers: { b: '2' } }, ['b', '2']],
    [{ rawHeaders: 'A', headers: { b: '2' } }, ['b', '2']],
    [{ headers: { b: ['2', '3'], c: 4 } }, ['b', '2', 'b', '3', 'c', '4']],
    [{ headers: { b: undefined, c: null, d: [undefined] } }, ['b', '', 'c', '', 'd', '']],
    [{ headers: {} }, []],
    [{}, []],
  ])('of %j', (members, list) => {
    expect(headerListOf(request(members))).toEqual(list);
  });

  it.each<[string, object, boolean]>([
    ['a token in both lists', { rawHeaders: ['JWT', TOKEN], headers: { jwt: TOKEN } }, true],
    ['a token in the raw headers', { rawHeaders: ['JWT', TOKEN], headers: {} }, true],
    ['a token in the other list', { rawHeaders: ['A', '1'], headers: { jwt: TOKEN } }, false],
    ['a token in the only list', { headers: { jwt: TOKEN } }, true],
    ['a token, and no headers', { rawHeaders: ['JWT', TOKEN] }, true],
    ['no token', { rawHeaders: ['A', '1'], headers: { a: '1' } }, false],
    ['no token, and no headers', { rawHeaders: ['A', '1'] }, false],
    ['an empty header', { rawHeaders: ['JWT', ''], headers: { jwt: '' } }, false],
    [
      'a list that may be cut',
      { rawHeaders: ['A', '1', 'B', '2'], socket: { server: { maxHeadersCount: 2 } } },
      true,
    ],
    [
      'a list that cannot be cut',
      { rawHeaders: ['A', '1', 'B', '2'], socket: { server: { maxHeadersCount: 3 } } },
      false,
    ],
  ])('may have a token: %s', (_what, members, expected) => {
    expect(mayHaveToken(request(members))).toBe(expected);
  });

  it.each<[object, boolean]>([
    [{ rawHeaders: ['A', '1'], headers: { jwt: TOKEN } }, true],
    [{ rawHeaders: ['JWT', TOKEN], headers: { jwt: '' } }, false],
    [{ rawHeaders: ['JWT', TOKEN], headers: {} }, false],
    [{ rawHeaders: ['JWT', TOKEN] }, false],
  ])('have a token in the list that is not verified: %j', (members, expected) => {
    expect(hasTokenElsewhere(request(members))).toBe(expected);
  });

  it('may have a token by another list than that of the request', () => {
    const raw = request({ rawHeaders: ['JWT', ''] });
    expect([mayHaveToken(raw), mayHaveToken(raw, ['JWT', TOKEN])]).toEqual([false, true]);
  });

  it.each<[object, number | undefined]>([
    [{ socket: { server: { maxHeadersCount: 5 } } }, 5],
    [{ socket: { server: { maxHeadersCount: 0 } } }, 0],
    [{ socket: { server: { maxHeadersCount: -1 } } }, 0],
    [{ socket: { server: { maxHeadersCount: null } } }, undefined],
    [{ socket: { server: { maxHeadersCount: '5' } } }, undefined],
    [{ socket: { server: {} } }, undefined],
    [{ socket: {} }, undefined],
    [{ socket: null }, undefined],
    [{}, undefined],
    [{ httpVersionMajor: 2, socket: { server: { maxHeadersCount: 5 } } }, 0],
    [{ httpVersionMajor: 3 }, 0],
  ])('may be cut by the server of %j from how many on: %p', (members, count) => {
    expect(maxHeadersCountOf(request(members))).toBe(count);
  });
});

describe('removeToken()', () => {
  it.each<[object, object]>([
    [
      { rawHeaders: ['A', 'jwt', 'JWT', TOKEN, 'jwt', TOKEN], headers: { a: 'jwt', jwt: TOKEN } },
      { rawHeaders: ['A', 'jwt', 'JWT', '', 'jwt', ''], headers: { a: 'jwt' } },
    ],
    [
      { rawHeaders: ['JWT', TOKEN, 'jwt'], headers: { a: '1' } },
      { rawHeaders: ['JWT', '', 'jwt'], headers: { a: '1' } },
    ],
    [{ headers: { Jwt: TOKEN, jwts: '1' } }, { headers: { jwts: '1' } }],
    [{ rawHeaders: ['JWT', TOKEN] }, { rawHeaders: ['JWT', ''] }],
    [{}, {}],
    [{ headersDistinct: { jwt: [TOKEN], a: ['1'] } }, { headersDistinct: { a: ['1'] } }],
  ])('makes of %j: %j', (members, left) => {
    const raw = request(members);
    removeToken(raw);
    expect(raw).toEqual(request(left));
  });
});

it.each<[string | undefined, boolean]>([
  ['jwt', true],
  ['JWT', true],
  ['jWt', true],
  ['jwt ', false],
  ['jw', false],
  ['jwx', false],
  ['', false],
  [undefined, false],
])('isNamed(%p, "jwt") is %p', (name, expected) => {
  expect(isNamed(name, 'jwt')).toBe(expected);
});
