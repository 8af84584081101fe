import { once } from 'node:events';
import {
  type ClientRequest,
  request,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import type { Caller } from '../services/caller.js';
import { sha256, type Json } from './forge.js';

/** A request with a body, exactly as it goes on the wire. */
export interface BodyRequest {
  readonly method: string;
  readonly contentType?: string | undefined;
  readonly headers?: OutgoingHttpHeaders;
  readonly body: Buffer;
  /** Sends the body in this many pieces without Content-Length; left out: in one, with it. */
  readonly pieces?: number;
  readonly trailers?: Readonly<Record<string, string>>;
}

export interface BodyAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** The stable code of a refusal. */
  readonly code: unknown;
}

/** The claims of a token for `sent`; `claims` are merged over them. */
export function bodyClaims(sent: BodyRequest, claims: Json = {}): Json {
  const { body, pieces } = sent;
  const binds = body.length > 0 || pieces !== undefined;
  const hdr = boundHeaders(sent);
  return {
    bdy: binds ? sha256(body) : undefined,
    hdr: binds && Object.keys(hdr).length > 0 ? hdr : undefined,
    ...claims,
  };
}

/** The headers that a token for a body binds; a header of several values has no value to bind. */
function boundHeaders({ contentType, headers }: BodyRequest): Record<string, string> {
  const bound: Record<string, string> = {};
  if (contentType !== undefined) bound['content-type'] = contentType;
  for (const [name, value] of Object.entries(headers ?? {})) {
    const lower = name.toLowerCase();
    const describes = lower === 'content-encoding' || lower === 'content-range';
    if (describes && typeof value === 'string') bound[lower] = value;
  }
  return bound;
}

/** A token for `sent` to `target`, or one whose `claims` differ. */
export function bodyToken(
  caller: Caller,
  target: string,
  sent: BodyRequest,
  claims?: Json,
): string {
  return caller.token({ method: sent.method, target, claims: bodyClaims(sent, claims) });
}

/** The headers of `sent`, framing included. */
export function bodyHeaders(sent: BodyRequest): OutgoingHttpHeaders {
  const { body, pieces, contentType, headers, trailers } = sent;
  return {
    ...(pieces === undefined ? { 'content-length': body.length } : {}),
    ...(pieces === undefined ? {} : { 'transfer-encoding': 'chunked' }),
    ...(contentType === undefined ? {} : { 'content-type': contentType }),
    ...(trailers === undefined ? {} : { trailer: Object.keys(trailers).join(', ') }),
    ...headers,
  };
}

/** One request over a connection of its own. Without a token: as any caller would send it. */
export async function sendBody(
  port: number,
  target: string,
  sent: BodyRequest,
  token?: string,
): Promise<BodyAnswer> {
  const headers = { ...bodyHeaders(sent), ...(token === undefined ? {} : { jwt: token }) };
  return await new Promise<BodyAnswer>((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, method: sent.method, path: target, agent: false, headers },
      (response) => {
        // After a 413 the server closes while bytes are still sent: the answer is what counts.
        outgoing.off('error', reject).on('error', () => undefined);
        readAnswer(response).then(resolve, reject);
      },
    );
    outgoing.on('error', reject);
    for (const piece of splitBody(sent.body, sent.pieces ?? 1)) outgoing.write(piece);
    if (sent.trailers) outgoing.addTrailers(sent.trailers);
    outgoing.end();
  });
}

/** A request whose body is written by the test, piece by piece. */
export function openBody(
  port: number,
  target: string,
  sent: BodyRequest,
  token: string,
): ClientRequest {
  const headers = { ...bodyHeaders(sent), jwt: token };
  const options = { host: '127.0.0.1', port, method: sent.method, path: target, agent: false };
  return request({ ...options, headers });
}

/** The answer to a request whose body the test writes. */
export async function answerTo(
  outgoing: ClientRequest,
): Promise<{ status: number; code: unknown }> {
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const received: Buffer[] = [];
  for await (const chunk of response) received.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, code: codeOf(Buffer.concat(received).toString()) };
}

/** Cuts a body into `count` pieces of about the same size. */
export function splitBody(body: Buffer, count: number): Buffer[] {
  const size = Math.max(1, Math.ceil(body.length / count));
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) pieces.push(body.subarray(at, at + size));
  return pieces;
}

async function readAnswer(response: IncomingMessage): Promise<BodyAnswer> {
  const received: Buffer[] = [];
  for await (const chunk of response) received.push(chunk as Buffer);
  const text = Buffer.concat(received).toString();
  const { statusCode = 0, headers } = response;
  return { status: statusCode, headers, code: codeOf(text) };
}

/** The `code` of an answer in JSON; undefined where there is none. */
export function codeOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'code' in value ? value.code : undefined;
  } catch {
    return undefined;
  }
}
