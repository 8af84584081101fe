import { request, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: Record<string, unknown> | undefined;
  /** The stable code of a refusal. */
  readonly code: unknown;
}

export interface Call {
  readonly method?: string;
  /** The request target, sent as it is. */
  readonly target: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
  /** Sends the body in these pieces, without Content-Length. */
  readonly chunks?: readonly (string | Uint8Array)[];
}

/** One request with Node's own client, which changes neither target nor headers nor bytes. */
export async function call(port: number, options: Call): Promise<Answer> {
  const { method = 'GET', target, headers = {}, body, chunks } = options;
  const isChunked = Object.keys(headers).some((name) => name.toLowerCase() === 'transfer-encoding');
  const hasLength = body !== undefined && !isChunked;
  const length = hasLength ? { 'content-length': Buffer.byteLength(body) } : {};
  return await new Promise<Answer>((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        method,
        path: target,
        agent: false,
        headers: { ...length, ...headers },
      },
      (response) => {
        const received: Buffer[] = [];
        response.on('data', (chunk: Buffer) => received.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(received).toString();
          resolve(toAnswer(response.statusCode ?? 0, response.headers, text));
        });
      },
    );
    outgoing.on('error', reject);
    for (const chunk of chunks ?? []) outgoing.write(chunk);
    outgoing.end(body);
  });
}

function toAnswer(status: number, headers: IncomingHttpHeaders, text: string): Answer {
  const json = parse(text);
  return { status, headers, text, json, code: json?.['code'] };
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Writes bytes to a socket and answers everything that comes back until the server closes it. */
export async function rawCall(port: number, bytes: string | Uint8Array): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const received: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => received.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(received).toString('latin1')));
    socket.on('error', reject);
  });
}
