import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { buffer } from 'node:stream/consumers';

/**
 * Stands between two services, and can change the bodies of what goes through.
 *
 * `target` is where requests go on to: set it before the first one. With `changesBodies` the last
 * lower-case letter of each body becomes an `x`: it stays as long as it was, and JSON if it was.
 */
export async function startChangingProxy() {
  const proxy = { url: '', target: '', changesBodies: false, close: () => server.close() };
  const server = createServer((incoming, answer) => {
    void forward(incoming, answer).catch((error) => answer.destroy(error));
  });

  /** @type {(incoming: import('node:http').IncomingMessage, answer: import('node:http').ServerResponse) => Promise<void>} */
  async function forward(incoming, answer) {
    const body = await buffer(incoming);
    const { method, url: path, headers } = incoming;
    const outgoing = request(`${proxy.target}${path}`, { method, headers, agent: false });
    outgoing.end(proxy.changesBodies ? changed(body) : body);
    const [received] = /** @type {[import('node:http').IncomingMessage]} */ (
      await once(outgoing, 'response')
    );
    answer.writeHead(received.statusCode ?? 502, received.headers);
    received.pipe(answer);
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  proxy.url = `http://127.0.0.1:${address.port}`;
  return proxy;
}

/** @param {Buffer} body */
function changed(body) {
  return Buffer.from(body.toString('utf8').replace(/[a-z](?=[^a-z]*$)/, 'x'));
}
