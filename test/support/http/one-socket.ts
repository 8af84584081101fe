import { Agent, request } from 'node:http';
import { connect } from 'node:net';

export interface SocketAnswer {
  readonly status: number;
  readonly body: unknown;
}

export interface SocketCall {
  readonly method?: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string | number | string[] | undefined>>;
  readonly body?: string | Uint8Array;
}

/** An agent with few sockets that stay open, so that many users share each of them. */
export function keepAliveAgent(maxSockets: number): Agent {
  return new Agent({ keepAlive: true, maxSockets });
}

/** One request over an agent's sockets; tells which local port it went out from. */
export async function callOver(
  agent: Agent,
  port: number,
  { method = 'GET', target, headers = {}, body }: SocketCall,
): Promise<SocketAnswer & { readonly localPort: number | undefined }> {
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  return await new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, agent, method, path: target, headers: { ...length, ...headers } },
      (response) => {
        const localPort = response.socket.localPort;
        const received: Buffer[] = [];
        response.on('data', (chunk: Buffer) => received.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(received).toString();
          resolve({ status: response.statusCode ?? 0, body: parseBody(text), localPort });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Writes all requests to one socket at once, and reads the answers in their order. */
export async function pipeline(
  port: number,
  calls: readonly SocketCall[],
): Promise<SocketAnswer[]> {
  return await new Promise((resolve, reject) => {
    const answers: SocketAnswer[] = [];
    let pending = Buffer.alloc(0);
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(Buffer.concat(calls.map((one) => serialise(one))));
    });
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      for (let read = readAnswer(pending); read; read = readAnswer(pending)) {
        answers.push(read.answer);
        pending = pending.subarray(read.length);
      }
      if (answers.length === calls.length) socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (answers.length === calls.length) resolve(answers);
      else reject(new Error(`${answers.length} answers to ${calls.length} requests`));
    });
  });
}

function serialise({ method = 'GET', target, headers = {}, body = '' }: SocketCall): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
  const length = body.length > 0 ? `Content-Length: ${Buffer.byteLength(body)}\r\n` : '';
  const head = `${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${length}${lines.join('')}\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(body)]);
}

/** The first whole answer of a buffer; undefined while bytes are missing. */
function readAnswer(bytes: Buffer): { answer: SocketAnswer; length: number } | undefined {
  const endOfHead = bytes.indexOf('\r\n\r\n');
  if (endOfHead < 0) return undefined;
  const head = bytes.subarray(0, endOfHead).toString('latin1');
  const contentLength = /^content-length: (\d+)$/im.exec(head)?.[1];
  if (contentLength === undefined) throw new Error(`an answer without Content-Length: ${head}`);
  const length = endOfHead + 4 + Number(contentLength);
  if (bytes.length < length) return undefined;
  const status = Number(head.split(' ')[1]);
  const body = parseBody(bytes.subarray(endOfHead + 4, length).toString());
  return { answer: { status, body }, length };
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
