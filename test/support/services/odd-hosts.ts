import { createServer, IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { INestApplication } from '@nestjs/common';
import type { Adapter } from './service.js';

/** Hands requests to an application whose own server is not in the way. */
export function listenerOf(app: INestApplication, adapter: Adapter): RequestListener {
  const instance: unknown = app.getHttpAdapter().getInstance();
  if (adapter === 'express') return instance as RequestListener;
  const fastify = instance as { readonly routing: RequestListener };
  return (request, response) => fastify.routing(request, response);
}

export interface Host {
  readonly port: number;
  close(): Promise<void>;
}

/** A server of the host's own, which does what it likes before the application gets a request. */
export async function startHost(listener: RequestListener): Promise<Host> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port: (server.address() as AddressInfo).port, close };
}

/** Resolves once all of a body lies in the buffer of its stream, where nobody has read it. */
export async function untilBuffered(request: IncomingMessage, bytes: number): Promise<void> {
  while (request.readableLength < bytes && !request.complete) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** How a host gives an application the request that it has read itself. */
export interface Manners {
  /** Gives `headers` alone. */
  readonly withoutRawHeaders?: boolean;
  /** Pushes the body, and its end, each time the stream asks for more. */
  readonly pushesAgain?: boolean;
  /** Has a plain object as the socket. */
  readonly plainSocket?: boolean;
  /** Gives Content-Length as a number, in each list that it gives. */
  readonly numericLength?: boolean;
  /** Says that the request is complete, and pushes the end of its stream in a later turn. */
  readonly lateEnd?: boolean;
}

/** The request as a host makes it anew from an event, with all of its bytes there. */
export async function remade(
  real: IncomingMessage,
  manners: Manners,
  change: (parts: { headers: IncomingMessage['headers']; body: Buffer }) => void = () => undefined,
): Promise<IncomingMessage> {
  const parts = { headers: { ...real.headers }, body: await buffer(real) };
  change(parts);
  const { body, headers } = parts;
  const socket = { encrypted: false, remoteAddress: '127.0.0.1', destroy: () => undefined };
  const made = new IncomingMessage(manners.plainSocket ? (socket as never) : new Socket());
  const { method, url } = real;
  Object.assign(made, { method, url, headers, httpVersion: '1.1', complete: true });
  Object.assign(made, { httpVersionMajor: 1, httpVersionMinor: 1 });
  if (!manners.withoutRawHeaders) made.rawHeaders = [...real.rawHeaders];
  if (manners.numericLength) giveNumericLength(made, body.length);
  let isOver = false;
  made._read = () => {
    if (isOver && !manners.pushesAgain) return;
    isOver = true;
    if (body.length > 0) made.push(body);
    if (manners.lateEnd) process.nextTick(() => made.push(null));
    else made.push(null);
  };
  return made;
}

function giveNumericLength(made: IncomingMessage, length: number): void {
  Object.assign(made.headers, { 'content-length': length });
  const list: unknown[] = made.rawHeaders;
  if (list.length === 0) return;
  const at = list.findIndex((each) => /^content-length$/i.test(String(each)));
  list.splice(at < 0 ? list.length : at, 2, 'content-length', length);
}
