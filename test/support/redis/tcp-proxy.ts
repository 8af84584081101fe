import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between a client and a server, and does to their connections what networks do. */
export class TcpProxy {
  /** How many connections were made so far. */
  accepted = 0;
  private isSwallowing = false;
  private isRefusing = false;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private readonly server: Server;

  private constructor(private target: number) {
    this.server = createServer((socket) => this.join(socket));
  }

  static async start(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Where new connections go from now on. */
  leadTo(target: number): void {
    this.target = target;
  }

  /** How many connections are open. */
  get open(): number {
    return this.pairs.size;
  }

  /** Resolves with the next connection. */
  async nextAccepted(): Promise<void> {
    await once(this.server, 'accepted');
  }

  /** From now on, what the server says is lost; what it is told arrives. */
  swallowReplies(): void {
    this.isSwallowing = true;
  }

  /** Resolves with what the server says next, which is lost. */
  async nextSwallowed(): Promise<string> {
    const [text] = (await once(this.server, 'swallowed')) as [string];
    return text;
  }

  /** From now on, new connections are closed at once. */
  refuse(): void {
    this.isRefusing = true;
  }

  /** From now on, everything gets through again. What was lost stays lost. */
  pass(): void {
    this.isSwallowing = false;
    this.isRefusing = false;
  }

  /** Resets every connection. */
  reset(): void {
    for (const [socket, upstream] of this.pairs) {
      socket.resetAndDestroy();
      upstream.destroy();
    }
  }

  async close(): Promise<void> {
    this.server.close();
    this.reset();
    await once(this.server, 'close');
  }

  private join(socket: Socket): void {
    this.accepted += 1;
    this.server.emit('accepted');
    if (this.isRefusing) {
      socket.resetAndDestroy();
      return;
    }
    const upstream = connect(this.target, '127.0.0.1');
    const pair = [socket, upstream] as const;
    this.pairs.add(pair);
    const part = (): void => {
      this.pairs.delete(pair);
      socket.destroy();
      upstream.destroy();
    };
    for (const each of pair) each.on('error', part).on('close', part);
    socket.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => {
      if (this.isSwallowing) this.server.emit('swallowed', bytes.toString());
      else socket.write(bytes);
    });
  }
}
