import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TestKey } from './keys.js';

export type Respond = (request: IncomingMessage, response: ServerResponse) => void;

/** A real HTTP key server that does what a test tells it to, and counts who asks. */
export interface KeyServer {
  readonly url: string;
  /** How many requests have arrived. */
  readonly hits: number;
  readonly requests: readonly IncomingMessage[];
  /** How many connections were ever made, and how many are open. */
  readonly connections: { readonly made: number; readonly open: number };
  /** How many bytes it got rid of, on all connections. */
  readonly bytesSent: number;
  /** What every further request gets. */
  respond: Respond;
  /** Resolves when the next request has arrived. */
  nextRequest(): Promise<IncomingMessage>;
  /** Refuses connections from now on, on the same port until `resume`. */
  down(): Promise<void>;
  resume(): Promise<void>;
  close(): Promise<void>;
}

export async function startKeyServer(
  respond: Respond,
  tls?: { readonly key: string; readonly cert: string },
): Promise<KeyServer> {
  const requests: IncomingMessage[] = [];
  const sockets: Socket[] = [];
  let waiting: ((request: IncomingMessage) => void)[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push(request);
    for (const wake of waiting.splice(0)) wake(request);
    server.respond(request, response);
  };
  const create = (): Server => {
    const created: Server = tls ? createTlsServer(tls, listener) : createServer(listener);
    return created.on('connection', (socket) => sockets.push(socket));
  };
  let http = create();
  const listen = async (port: number): Promise<void> =>
    await new Promise((resolve) => http.listen(port, '127.0.0.1', resolve));
  const stop = async (): Promise<void> =>
    await new Promise((resolve) => {
      http.close(() => resolve());
      http.closeAllConnections();
    });
  await listen(0);
  const { port } = http.address() as AddressInfo;
  const server: KeyServer = {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}/.well-known/jwks.json`,
    get hits() {
      return requests.length;
    },
    requests,
    get connections() {
      return {
        made: sockets.length,
        open: sockets.filter(({ destroyed }) => !destroyed).length,
      };
    },
    get bytesSent() {
      return sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0);
    },
    respond,
    nextRequest: async () => await new Promise((resolve) => (waiting = [...waiting, resolve])),
    down: stop,
    resume: async () => {
      http = create();
      await listen(port);
    },
    close: stop,
  };
  return server;
}

/** The public JWK of a test key, with whatever members are to differ. */
export function jwkOf(key: TestKey, members: object = {}): Record<string, unknown> {
  const jwk = key.publicKey.export({ format: 'jwk' });
  return { ...jwk, kid: key.keyId, alg: key.algorithm, use: 'sig', ...members };
}

/** Answers with a JWK Set, as a good key server does. */
export function serveKeys(
  keys: readonly unknown[],
  headers: Record<string, string> = { 'cache-control': 'max-age=600' },
): Respond {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/jwk-set+json', ...headers });
    response.end(JSON.stringify({ keys }));
  };
}

/** Answers with any bytes under any status. */
export function serveText(
  status: number,
  text: string | Uint8Array,
  headers: Record<string, string> = {},
): Respond {
  return (_request, response) => {
    response.writeHead(status, headers);
    response.end(text);
  };
}

/** Never answers. */
export const hang: Respond = () => undefined;

/** Answers once it is told to, and then with what it is told to. */
export function hold(): Respond & { release(respond: Respond): void } {
  const held: Parameters<Respond>[] = [];
  const release = (respond: Respond): void => {
    for (const exchange of held.splice(0)) respond(...exchange);
  };
  return Object.assign((...exchange: Parameters<Respond>) => void held.push(exchange), { release });
}

/** Answers with a good set, but so slowly that it takes for ever. */
export function drip(keys: readonly unknown[]): Respond {
  return (_request, response) => {
    const bytes = JSON.stringify({ keys });
    let at = 0;
    const timer = setInterval(() => response.write(bytes[at++] ?? ' '), 20);
    response.on('close', () => clearInterval(timer));
  };
}

/** Answers with as many bytes as are taken, up to `limit`. */
export function flow(limit: number): Respond {
  return (_request, response) => {
    const chunk = Buffer.alloc(64 * 1024, ' ');
    let sent = 0;
    const write = (): void => {
      while (sent < limit && !response.destroyed) {
        sent += chunk.length;
        if (!response.write(chunk)) return;
      }
      response.end();
    };
    response.on('drain', write);
    write();
  };
}
