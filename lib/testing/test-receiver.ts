import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import {
  type IncomingRequest,
  type RefusalCode,
  type ServiceIdentity,
  ServiceTokenRefusedError,
  type TargetOptions,
} from '../core/index.js';
import { decodeGrant, type DecodedToken, decodeToken, hasGrant } from './decode-token.js';
import type { SentRequestVerifier } from './sent-requests.js';

/** A request that a receiver has verified. */
export interface ReceivedRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly target: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  /** The body as JSON; undefined if it is not JSON. */
  readonly json: unknown;
  /** What the token and the grant prove. */
  readonly identity: ServiceIdentity;
  /** The content of the token. */
  readonly token: DecodedToken;
  /** The content of the grant; undefined without one. */
  readonly grant: DecodedToken | undefined;
}

/** The answer of a receiver to a verified request. */
export interface TestAnswer {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. Default `{}`. */
  readonly json?: unknown;
}

/** The options of a `TestReceiver`. */
export interface TestReceiverOptions {
  /** Answers a verified request. Default: 200 and an empty object. */
  readonly answer?: (request: ReceivedRequest) => TestAnswer | Promise<TestAnswer>;
}

/**
 * Plays a service that the application under test calls: a server on the loopback interface. It verifies requests as
 * the real service would, keeps them, and answers. A refused request gets the status and the code.
 */
export class TestReceiver {
  /** The verified requests, in the order of arrival. */
  readonly requests: ReceivedRequest[] = [];
  /** The codes of refused requests, in the order of arrival. */
  readonly refusals: RefusalCode[] = [];
  private readonly failures: unknown[] = [];
  private readonly server: Server;

  /** @internal */
  constructor(
    private readonly audience: string,
    private readonly verifier: SentRequestVerifier,
    private readonly options: TestReceiverOptions,
  ) {
    this.server = createServer((request, response) => void this.serve(request, response));
  }

  /** `http://127.0.0.1:port/`, after it has begun to listen. */
  get url(): string {
    const { port } = this.server.address() as AddressInfo;
    return `http://127.0.0.1:${port}/`;
  }

  /** The entry for this receiver in the `targets` of the application under test. */
  get target(): Required<Pick<TargetOptions, 'baseUrl' | 'audience'>> {
    return { baseUrl: this.url, audience: this.audience };
  }

  /** Starts to listen, on a free port. */
  async listen(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    // A test that forgets to close it still ends.
    this.server.unref();
    return this;
  }

  /** Closes the server. @throws the error of `answer`, which the application under test saw as 500 */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
    for (const failure of this.failures) throw failure;
  }

  private async serve(raw: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const request = await this.receive(raw);
      this.requests.push(request);
      send(response, (await this.options.answer?.(request)) ?? {});
    } catch (error) {
      send(response, this.answerTo(error));
    }
  }

  private answerTo(error: unknown): TestAnswer {
    if (!(error instanceof ServiceTokenRefusedError)) {
      this.failures.push(error);
      return { status: 500 };
    }
    const { status, code, message } = error;
    this.refusals.push(code);
    return { status, json: { statusCode: status, message, code } };
  }

  private async receive(raw: IncomingMessage): Promise<ReceivedRequest> {
    const body = await buffer(raw);
    const { method = '', url: target = '', rawHeaders, headers } = raw;
    const request: IncomingRequest = { method, target, rawHeaders, body };
    const identity = await this.verifier.verify(this.audience, request);
    const token = decodeToken({ headers });
    const grant = hasGrant(headers) ? decodeGrant({ headers }) : undefined;
    return { method, target, headers, body, json: parse(body), identity, token, grant };
  }
}

function send(response: ServerResponse, { status = 200, headers, json = {} }: TestAnswer): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(json));
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
