import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as it came off the wire. */
export interface Recorded {
  readonly method: string;
  /** The request target of the request line, untouched. */
  readonly target: string;
  /** Names and values in turns. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

export type Reply = (request: Recorded, response: ServerResponse) => void;

/** A bare server without any framework: it writes down what arrives and answers 200. */
export class RecordingServer {
  readonly requests: Recorded[] = [];
  connections = 0;
  private readonly server = createServer((request, response) => {
    void this.record(request, response);
  });

  constructor(private readonly reply: Reply = (_request, response) => response.end('{}')) {}

  async start(): Promise<this> {
    this.server.on('connection', () => (this.connections += 1));
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Without a final slash. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The one request that came since the last call. */
  takeOne(): Recorded {
    const taken = this.requests.splice(0);
    const [only] = taken;
    if (!only || taken.length > 1) throw new Error(`Expected one request, got ${taken.length}`);
    return only;
  }

  takeAll(): Recorded[] {
    return this.requests.splice(0);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private async record(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const recorded = {
      method: request.method ?? '',
      target: request.url ?? '',
      rawHeaders: request.rawHeaders,
      body: Buffer.concat(chunks),
    };
    this.requests.push(recorded);
    this.reply(recorded, response);
  }
}

/** Every value of a header, in order; `name` in lower case. */
export function valuesOf(request: Recorded, name: string): string[] {
  return request.rawHeaders.filter(
    (_value, at) => at % 2 === 1 && request.rawHeaders[at - 1]?.toLowerCase() === name,
  );
}
