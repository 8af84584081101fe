import { createServer, get, IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { removeToken } from '../../lib/nest/http/header-list.js';

/** A host may derive its requests from those of Node. */
class HostRequest extends IncomingMessage {}

/** A host may keep the headers in another way than Node. */
class OtherRequest extends IncomingMessage {
  readonly #distinct = { jwt: ['token'], host: ['census.service'] };

  static {
    Object.defineProperty(this.prototype, 'headersDistinct', {
      get(this: OtherRequest) {
        return this.#distinct;
      },
    });
  }
}

/** What `read` sees of a request with a token, which a server makes with this class. */
async function serveOne<T>(
  Class: typeof IncomingMessage,
  read: (raw: IncomingMessage) => T,
): Promise<T> {
  const server = createServer({ IncomingMessage: Class });
  const seen = new Promise<T>((resolve) => {
    server.on('request', (raw, response) => {
      resolve(read(raw));
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const headers = { host: 'census.service', jwt: 'token' };
  const answered = new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, headers, agent: false }, (answer) =>
      answer.resume().on('end', resolve),
    ).on('error', reject);
  });
  try {
    const [result] = await Promise.all([seen, answered]);
    return result;
  } finally {
    server.close();
  }
}

describe('removeToken', () => {
  it.each([
    ['a request of Node', IncomingMessage],
    ['a request derived from it', HostRequest],
    ['a request that keeps its headers in another way', OtherRequest],
  ])('takes the token alone out of the headersDistinct of %s', async (_name, Class) => {
    const { before, after } = await serveOne(Class, (raw) => {
      const read = () => ({ jwt: raw.headersDistinct['jwt'], host: raw.headersDistinct['host'] });
      const before = read();
      removeToken(raw);
      return { before, after: read() };
    });
    expect(before).toEqual({ jwt: ['token'], host: ['census.service'] });
    expect(after).toEqual({ jwt: undefined, host: ['census.service'] });
  });

  it.each([
    ['a request of Node', IncomingMessage],
    ['a request derived from it', HostRequest],
  ])('does not make the headersDistinct that nobody has read: %s', async (_name, Class) => {
    const { before, after, read } = await serveOne(Class, (raw) => {
      const before = Object.getOwnPropertySymbols(raw);
      removeToken(raw);
      const after = Object.getOwnPropertySymbols(raw);
      void raw.headersDistinct;
      return { before, after, read: Object.getOwnPropertySymbols(raw) };
    });
    expect(after).toEqual(before);
    expect(read).toHaveLength(before.length + 1);
  });

  it('leaves a request without headersDistinct as it is, as that of HTTP/2', () => {
    const raw = { headers: { host: 'census.service' } };
    removeToken(raw as unknown as IncomingMessage);
    expect(raw).toEqual({ headers: { host: 'census.service' } });
  });
});
