import { once } from 'node:events';
import { connect, type Server, type Socket } from 'node:net';
import { ServiceAuthModule } from 'nestjs-service-auth';
import { Caller } from '../support/services/caller.js';
import { createInbox, type Inbox } from '../support/services/inbox.js';
import { acceptEverything } from '../support/services/middleware.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import {
  bodyHeaders,
  type BodyRequest,
  bodyToken,
  sendBody,
} from '../support/tokens/signed-body.js';

/** Many uploads that begin and do not end: what they cost, and that no token is used up. */

const CENSUS = 'https://census.service/';
const herald = new Caller('https://herald.service/', CENSUS);

/** Two descriptors each in this process, which stays below the usual limits. */
const UPLOADS = 1000;
const ANNOUNCED = 900 * 1024;
const SENT = 1024;
/** Of heap and buffers on both sides together, for each upload: what it announces is never set aside. */
const MAX_BYTES_EACH = 256 * 1024;

const sent: BodyRequest = {
  method: 'POST',
  contentType: 'application/octet-stream',
  body: Buffer.alloc(ANNOUNCED, 'a'),
};

function head(target: string, token: string): string {
  const headers = { ...bodyHeaders(sent), host: 'census.service', jwt: token };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
  return `POST ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

const memory = (): number => {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

describe.each(ADAPTERS)('on %s', (adapter) => {
  let service: TestService;
  let inbox: Inbox;
  let arrived = 0;
  let uses = 0;
  let onArrived: () => void = () => undefined;

  beforeAll(async () => {
    inbox = createInbox(adapter);
    service = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted],
          replayStore: { recordUse: () => (uses++ === 0 ? 'first' : 'seen') },
        }),
      ],
      controllers: inbox.controllers,
      configure: (app) => (adapter === 'fastify' ? acceptEverything(app) : undefined),
    });
    (service.app.getHttpServer() as Server).on('request', () => {
      arrived++;
      onArrived();
    });
  });
  afterAll(() => service.close());

  it(`${UPLOADS} half-open uploads use no token up, and cost what they sent (PF-07)`, async () => {
    const target = '/guarded';
    const token = bodyToken(herald, target, sent);
    const before = memory();
    const sockets: Socket[] = [];
    const allArrived = new Promise<void>((resolve) => {
      onArrived = () => (arrived === UPLOADS ? resolve() : undefined);
    });
    for (let at = 0; at < UPLOADS; at++) {
      const socket = connect(service.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(head(target, token));
      socket.write(sent.body.subarray(0, SENT));
      sockets.push(socket);
      if (at % 50 === 49) await once(socket, 'connect');
    }
    await allArrived;
    expect((memory() - before) / UPLOADS).toBeLessThan(MAX_BYTES_EACH);
    expect(uses).toBe(0);

    const gone = sockets.map((socket) => once(socket, 'close'));
    for (const socket of sockets) socket.destroy();
    await Promise.all(gone);
    expect(uses).toBe(0);
    expect(inbox.take(target)).toBeUndefined();

    // The very token of them all is still good, once.
    expect(await sendBody(service.port, target, sent, token)).toMatchObject({ status: 200 });
    expect(inbox.take(target)?.streamed?.equals(sent.body)).toBe(true);
    expect(await sendBody(service.port, target, sent, token)).toMatchObject({
      status: 401,
      code: 'token_replayed',
    });
    expect(uses).toBe(2);
  });
});
