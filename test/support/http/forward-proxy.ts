import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** What a proxy was asked, as it came off the wire. */
export interface Proxied {
  readonly method: string;
  /** In absolute form, or `host:port` of a CONNECT. */
  readonly target: string;
  /** Names and values in turns. */
  readonly rawHeaders: readonly string[];
}

/** A proxy as companies have them (RFC 9110 sections 7.6 and 9.3.6), which remembers what it sees. */
export class ForwardProxy {
  readonly requests: Proxied[] = [];
  /** Everything that went through tunnels, in both directions. */
  readonly tunnelled: Buffer[] = [];
  private readonly sockets = new Set<Socket | Duplex>();
  private readonly server = createServer((incoming, outgoing) => this.forward(incoming, outgoing));

  constructor(private readonly credentials?: string) {}

  async start(): Promise<this> {
    this.server.on('connect', (incoming, socket, head) => this.tunnel(incoming, socket, head));
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** As one writes it in `HTTP_PROXY`. */
  get url(): string {
    const userinfo = this.credentials === undefined ? '' : `${this.credentials}@`;
    return `http://${userinfo}127.0.0.1:${this.port}`;
  }

  takeAll(): Proxied[] {
    return this.requests.splice(0);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  /** @returns whether the client may use this proxy */
  private admit({ method = '', url = '', rawHeaders, headers }: IncomingMessage): boolean {
    this.requests.push({ method, target: url, rawHeaders });
    if (this.credentials === undefined) return true;
    const expected = `Basic ${Buffer.from(this.credentials).toString('base64')}`;
    return headers['proxy-authorization'] === expected;
  }

  private forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
    if (!this.admit(incoming)) {
      outgoing.writeHead(407, { 'proxy-authenticate': 'Basic' }).end();
      return;
    }
    const { hostname, port, pathname, search } = new URL(incoming.url ?? '');
    const { 'proxy-authorization': _own, connection: _hop, ...headers } = incoming.headers;
    const path = pathname + search;
    const onward = request(
      { hostname, port, path, method: incoming.method, headers },
      (response) => {
        outgoing.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(outgoing);
      },
    );
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  }

  private tunnel(incoming: IncomingMessage, client: Duplex, head: Buffer): void {
    if (!this.admit(incoming)) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const { hostname, port } = new URL(`http://${incoming.url}`);
    const server = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      server.write(head);
      client.pipe(server).pipe(client);
    });
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket.on('data', (bytes: Buffer) => this.tunnelled.push(bytes));
      socket.on('error', () => socket.destroy());
    }
  }
}
