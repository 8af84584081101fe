import { request, type Server } from 'node:http';
import { Duplex } from 'node:stream';
import type { INestApplication } from '@nestjs/common';
import type { SocketAnswer, SocketCall } from './one-socket.js';

/**
 * Calls an application without any network, in the async context of whoever calls: the way in-process
 * dispatchers work, and the one in which a request could inherit something from another.
 */
export async function callInMemory(
  app: INestApplication,
  { method = 'GET', target, headers = {}, body }: SocketCall,
): Promise<SocketAnswer> {
  const [clientSide, serverSide] = createPair();
  const server = app.getHttpServer() as Server;
  server.emit('connection', serverSide);
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  return await new Promise((resolve, reject) => {
    const outgoing = request(
      {
        createConnection: () => clientSide,
        method,
        path: target,
        headers: { host: 'in-memory', ...length, ...headers },
      },
      (response) => {
        const received: Buffer[] = [];
        response.on('data', (chunk: Buffer) => received.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(received).toString();
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown });
          clientSide.destroy();
          serverSide.destroy();
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Two ends of one pipe: what is written to one is read from the other, in the same turn. */
function createPair(): [Duplex, Duplex] {
  const create = (other: () => Duplex): Duplex =>
    new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        other().push(chunk);
        done();
      },
      final: (done) => {
        other().push(null);
        done();
      },
    });
  const one: Duplex = create(() => two);
  const two: Duplex = create(() => one);
  return [one, two];
}
