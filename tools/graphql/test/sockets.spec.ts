import { once } from 'node:events';
import type { INestApplication } from '@nestjs/common';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket as NetSocket } from 'node:net';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { ServiceAuthMiddleware } from 'nestjs-service-auth';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { io, type Socket } from 'socket.io-client';
import { WebSocket, WebSocketServer } from 'ws';
import { call } from '../../../test/support/http/http.js';
import type { Caller } from '../../../test/support/services/caller.js';
import { CENSUS, type GraphQLService, startGraphQL, USER } from './stacks.js';

const HANDSHAKE = '/socket.io/?EIO=4&transport=websocket';
const POLLING = '/socket.io/?EIO=4&transport=polling';

/** As docs/graphql.md has it. */
class VerifiedIoAdapter extends IoAdapter {
  constructor(private readonly app: INestApplication) {
    super(app);
  }

  override createIOServer(...args: Parameters<IoAdapter['createIOServer']>) {
    const server = super.createIOServer(...args);
    server.engine.use(this.app.get(ServiceAuthMiddleware).express({ route: '/socket.io' }));
    return server;
  }
}

@WebSocketGateway()
class EchoGateway {
  @SubscribeMessage('echo')
  echo(@MessageBody() text: string): string {
    return text;
  }
}

const headersOf = (caller: Caller, target: string) =>
  caller.headers({ target, subject: USER }) as Record<string, string>;

describe.each(['express', 'fastify'] as const)('Socket.IO on %s', (adapter) => {
  let census: GraphQLService;
  beforeAll(async () => {
    census = await startGraphQL({
      adapter,
      providers: [EchoGateway],
      configure: (app) => void app.useWebSocketAdapter(new VerifiedIoAdapter(app)),
    });
  });
  beforeEach(() => census.events.decisions.splice(0));
  afterAll(async () => await census.close());

  /** What the client gets for a message, or why it could not connect. */
  async function echo(extraHeaders: Record<string, string>): Promise<unknown> {
    const socket: Socket = io(census.url, {
      transports: ['websocket'],
      reconnection: false,
      extraHeaders,
    });
    try {
      return await new Promise((resolve) => {
        socket.once('connect_error', ({ message }) => resolve(message));
        socket.once('connect', () => socket.emit('echo', 'Ada', resolve));
      });
    } finally {
      socket.disconnect();
    }
  }

  it('GQ-09 a client whose handshake is signed', async () => {
    const headers = headersOf(census.herald, HANDSHAKE);
    expect(await echo(headers)).toBe('Ada');
    expect(census.events.decisions).toMatchObject([
      { type: 'request_accepted', route: '/socket.io' },
    ]);
    expect(await echo(headers)).toBe('websocket error');
    expect(await echo(headersOf(census.herald, `${HANDSHAKE}&admin=1`))).toBe('websocket error');
    expect(await echo({})).toBe('websocket error');
    expect(census.events.decisions.slice(1)).toMatchObject([
      { code: 'token_replayed' },
      { code: 'request_mismatch' },
      { code: 'token_missing' },
    ]);
  });

  it('GQ-09 a client that signs with ServiceAuth', async () => {
    const { issuer, key } = census.herald;
    const herald = await createServiceAuth({
      issuer,
      signingKey: { privateKey: key.privatePem },
      targets: [{ baseUrl: `${census.url}/`, audience: CENSUS }],
    });
    const url = new URL(HANDSHAKE, census.url);
    const token = await herald.sign({ method: 'GET', url, headers: {}, body: new Uint8Array() });
    expect(await echo({ JWT: String(token) })).toBe('Ada');
    herald.close();
  });

  it('GQ-02 each request of polling', async () => {
    const query = { target: POLLING };
    expect(await call(census.port, query)).toMatchObject({ status: 401, code: 'token_missing' });
    const opened = await census.herald.send(census.port, query);
    expect(opened).toMatchObject({ status: 200 });
    const { sid } = JSON.parse(opened.text.slice(1)) as { sid: string };
    const target = `${POLLING}&sid=${sid}`;
    const post = { method: 'POST', target, body: '40', contentType: 'text/plain' } as const;
    const headers = { 'content-type': post.contentType };
    expect(await call(census.port, { ...post, headers })).toMatchObject({ code: 'token_missing' });
    const changed = { ...post, headers: census.herald.headers(post), body: '41' };
    expect(await call(census.port, changed)).toMatchObject({ code: 'body_mismatch' });
    expect(await census.herald.send(census.port, post)).toMatchObject({ status: 200, text: 'ok' });
    expect(await call(census.port, { target })).toMatchObject({ code: 'token_missing' });
    const polled = await census.herald.get(census.port, target);
    expect(polled.text).toMatch(/^40\{"sid"/);
  });
});

describe('http-proxy-middleware and WebSockets', () => {
  const legacy = createServer();
  const sockets = new WebSocketServer({ server: legacy });
  sockets.on('connection', (socket, { url, headers }) =>
    socket.send(`${url} ${String(headers['jwt'])}`),
  );
  let census: GraphQLService;
  beforeAll(async () => {
    legacy.listen(0, '127.0.0.1');
    await once(legacy, 'listening');
    const { port } = legacy.address() as AddressInfo;
    const proxy = createProxyMiddleware({ target: `http://127.0.0.1:${port}` });
    census = await startGraphQL({ adapter: 'express' });
    const verify = census.app.get(ServiceAuthMiddleware).upgrade({ route: '/live' });
    const server = census.app.getHttpServer() as Server;
    server.on('upgrade', (request: IncomingMessage, socket: NetSocket, head: Buffer) =>
      verify(request, socket, () => void proxy.upgrade(request, socket, head)),
    );
  });
  afterAll(async () => {
    sockets.close();
    sockets.clients.forEach((each) => each.terminate());
    await census.close();
    legacy.closeAllConnections();
    legacy.close();
  });

  async function open(headers: Record<string, string>): Promise<unknown> {
    const socket = new WebSocket(`ws://127.0.0.1:${census.port}/live`, { headers });
    const refused = new Promise((resolve) => {
      socket.once('unexpected-response', (_request, answer) => resolve(answer.statusCode));
    });
    const greeted = once(socket, 'message').then(([message]) => String(message));
    try {
      return await Promise.race([greeted, refused]);
    } finally {
      greeted.catch(() => undefined);
      socket.on('error', () => undefined);
      socket.terminate();
    }
  }

  it('GQ-09 forwards a signed handshake alone, without its token', async () => {
    expect(await open({})).toBe(401);
    expect(await open(headersOf(census.herald, '/other'))).toBe(401);
    expect(await open(headersOf(census.herald, '/live'))).toBe('/live undefined');
  });
});
