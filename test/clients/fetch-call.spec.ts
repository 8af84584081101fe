import { inspect } from 'node:util';
import { readCall } from '../../lib/clients/fetch-call.js';
import { actingAsItself } from '../../lib/for-whom/call-options.js';

const TOKEN = 'e30.e30.c2VjcmV0';
const request = () =>
  new Request('http://base/a?', { headers: { JWT: TOKEN, 'X-Order': 'first' }, method: 'DELETE' });
const see = (value: unknown) => inspect(value, { depth: Infinity, showHidden: true });

describe('readCall()', () => {
  it.each([
    ['as the init', () => readCall('http://base/', request())],
    [
      'as the options of a call that names its user',
      () => readCall('http://base/', actingAsItself(request())),
    ],
    ['that is made anew for its empty query', () => readCall(request(), undefined)],
  ])('keeps the headers of a Request %s, and nothing of its token', (_name, read) => {
    const { init } = read();
    expect([...new Headers(init.headers)]).toEqual([['x-order', 'first']]);
    expect(init.method).toBe('DELETE');
    expect(Object.getOwnPropertySymbols(init)).toEqual([]);
    expect(see(init)).not.toContain(TOKEN);
    expect(see(request())).toContain(TOKEN);
  });
});
