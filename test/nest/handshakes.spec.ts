import { once } from 'node:events';
import type { IncomingMessage, OutgoingHttpHeaders, Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { HttpService } from '@nestjs/axios';
import { ConflictException, Controller, Get, UseGuards } from '@nestjs/common';
import {
  type MountOptions,
  ServiceAuthMiddleware,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceJwtGuard,
  ServiceSubject,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { lastValueFrom } from 'rxjs';
import { WebSocket, WebSocketServer } from 'ws';
import { createKey } from '../support/keys/keys.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import { Caller } from '../support/services/caller.js';
import {
  contextOfSecond,
  FIRST_MIDDLEWARE,
  middlewareOfFirst,
  SecondServiceModule,
} from '../support/services/second-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const TARGET = '/live?room=1';
const herald = new Caller('https://herald.service/', CENSUS);
const archive = new Caller('https://archive.service/', CENSUS);
const key = createKey();

@Controller('whom')
@UseGuards(ServiceJwtGuard)
class WhomController {
  @Get()
  whom(@ServiceSubject({ optional: true }) subject: string | undefined) {
    return { subject: subject ?? 'nobody' };
  }
}

/** What became of a handshake: the greeting on the open socket, or the answer that refused it. */
async function shake(port: number, headers: OutgoingHttpHeaders, target = TARGET) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${target}`, {
    headers: headers as Record<string, string>,
  });
  try {
    return await Promise.race([
      once(socket, 'message').then(([message]) => JSON.parse(String(message)) as object),
      once(socket, 'unexpected-response').then(([, answer]) => readAnswer(answer as never)),
    ]);
  } finally {
    socket.on('error', () => undefined);
    socket.terminate();
  }
}

async function readAnswer(answer: IncomingMessage): Promise<object> {
  let text = '';
  for await (const chunk of answer) text += String(chunk);
  const { code } = JSON.parse(text) as { code?: string };
  return { status: answer.statusCode, code, challenge: answer.headers['www-authenticate'] };
}

const signed = (caller: Caller, subject?: string, target = TARGET) =>
  caller.headers({ target, ...(subject !== undefined && { subject }) });

describe.each(ADAPTERS)('on %s', (adapter) => {
  const events = new ObservedEvents();
  const opened: (string | undefined)[] = [];
  /** For whom a call would be that a message on an open socket makes. */
  const said: unknown[] = [];
  const running: TestService[] = [];
  let inbox: TestService;
  beforeAll(async () => {
    const trusted = { issuer: CENSUS, publicKey: key.publicPem };
    const issuer = 'https://inbox.service/';
    inbox = await startService({
      adapter: 'express',
      imports: [ServiceAuthModule.forRoot({ issuer, trustedIssuers: [trusted] })],
      controllers: [WhomController],
    });
  });
  beforeEach(() => {
    events.decisions.splice(0);
    opened.splice(0);
  });
  afterAll(async () => void (await Promise.all([...running, inbox].map((each) => each.close()))));

  async function start(options?: MountOptions, more: object = {}): Promise<TestService> {
    const service = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted, archive.trusted],
          signingKey: { privateKey: key.privatePem },
          targets: [{ baseUrl: `${inbox.url}/`, audience: 'https://inbox.service/' }],
          subjectPropagation: 'ambient',
          observer: events,
          ...more,
        }),
        ServiceHttpModule.register({ baseURL: inbox.url }),
      ],
    });
    running.push(service);
    const sockets = new WebSocketServer({ noServer: true });
    const http = service.app.get(HttpService, { strict: false });
    const verify = service.app.get(ServiceAuthMiddleware).upgrade(options);
    const server = service.app.getHttpServer() as Server;
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) =>
      verify(request, socket, () => {
        opened.push(request.headers['jwt'] as string | undefined);
        sockets.handleUpgrade(request, socket, head, (open) => {
          const asked = http.get<object>('/whom');
          void lastValueFrom(asked).then(({ data }) => open.send(JSON.stringify(data)));
          open.on('message', () => said.push(service.app.get(ServiceCallContext).current()));
        });
      }),
    );
    return service;
  }

  it('GQ-09 lets a signed handshake in, without its token, and calls for its user', async () => {
    const census = await start({ route: '/live' });
    expect(await shake(census.port, signed(herald, USER))).toEqual({ subject: USER });
    expect(await shake(census.port, signed(herald))).toEqual({ subject: 'nobody' });
    expect(opened).toEqual([undefined, undefined]);
    const accepted = events.decisions.filter(({ type }) => type === 'request_accepted');
    expect(accepted).toMatchObject([{ route: '/live' }, { route: '/live' }]);
  });

  it('GQ-09 refuses one that is unsigned, signed for another target, or used before', async () => {
    const census = await start({ route: '/live' });
    const challenge = expect.stringContaining('JWT') as string;
    expect(await shake(census.port, {})).toEqual({ status: 401, code: 'token_missing', challenge });
    const moved = signed(herald, USER, '/live?room=2');
    expect(await shake(census.port, moved)).toMatchObject({ code: 'request_mismatch' });
    expect(opened).toEqual([]);
    const used = signed(herald, USER);
    expect(await shake(census.port, used)).toEqual({ subject: USER });
    expect(await shake(census.port, used)).toMatchObject({ status: 401, code: 'token_replayed' });
    expect(opened).toHaveLength(1);
  });

  it('GQ-09 asks of its callers what a mount asks', async () => {
    const census = await start({ allowIssuers: [archive.issuer], requireSubject: true });
    const codes = [signed(herald, USER), signed(archive), signed(archive, USER)].map(
      async (headers) => await shake(census.port, headers),
    );
    expect(await Promise.all(codes)).toMatchObject([
      { status: 403, code: 'issuer_not_allowed' },
      { status: 403, code: 'subject_missing' },
      { subject: USER },
    ]);
  });

  it('GQ-09 lets a message on an open socket act for nobody, and its handshake for its user', async () => {
    const census = await start({}, { subjectOutsideRequest: 'act-as-itself' });
    const socket = new WebSocket(`ws://127.0.0.1:${census.port}${TARGET}`, {
      headers: signed(herald, USER) as Record<string, string>,
    });
    const [greeting] = (await once(socket, 'message')) as [Buffer];
    expect(JSON.parse(String(greeting))).toEqual({ subject: USER });
    said.splice(0);
    socket.send('call somebody');
    socket.close();
    await once(socket, 'close');
    expect(said).toEqual([undefined]);
    expect(census.app.get(ServiceCallContext).current()).toEqual({ subject: undefined });
  });

  it('GQ-11 lets a second service do nothing for itself, in a handshake or for its messages', async () => {
    const imports = [
      ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] }),
    ];
    const providers = [FIRST_MIDDLEWARE];
    const census = await startService({
      adapter,
      imports: [...imports, SecondServiceModule],
      providers,
    });
    running.push(census);
    const second = contextOfSecond(census.app);
    const whom: unknown[] = [];
    const sockets = new WebSocketServer({ noServer: true });
    const verify = middlewareOfFirst(census.app).upgrade();
    const server = census.app.getHttpServer() as Server;
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) =>
      verify(request, socket, () => {
        whom.push(second.current());
        sockets.handleUpgrade(request, socket, head, (open) => {
          open.on('message', () => whom.push(second.current()));
        });
      }),
    );
    const socket = new WebSocket(`ws://127.0.0.1:${census.port}${TARGET}`, {
      headers: signed(herald, USER) as Record<string, string>,
    });
    await once(socket, 'open');
    socket.send('call somebody');
    socket.close();
    await once(socket, 'close');
    expect(whom).toEqual([undefined, undefined]);
    expect(second.current()).toEqual({ subject: undefined });
  });

  it('answers an error of the application, and opens nothing', async () => {
    const userResolver = {
      resolveUser: () => {
        throw new ConflictException();
      },
    };
    const census = await start({}, { userResolver });
    expect(await shake(census.port, signed(herald, USER))).toMatchObject({ status: 409 });
    expect(opened).toEqual([]);
  });

  it('outlives a caller that hangs up while it is verified', async () => {
    const census = await start();
    const socket = connect(census.port, '127.0.0.1');
    await once(socket, 'connect');
    const lines = Object.entries(signed(herald)).map(
      ([name, value]) => `${name}: ${String(value)}`,
    );
    const upgrade = ['Host: 127.0.0.1', 'Connection: Upgrade', 'Upgrade: websocket', ...lines];
    socket.write(`GET ${TARGET} HTTP/1.1\r\n${upgrade.join('\r\n')}\r\n\r\n`);
    socket.resetAndDestroy();
    expect(await shake(census.port, signed(herald, USER))).toEqual({ subject: USER });
  });

  it.each([true, false])(
    'GQ-09 outlives a handshake that a caller sends behind a request, without its answer: %p',
    async (isPending) => {
      const census = await start();
      const server = census.app.getHttpServer() as Server;
      const socket = connect(census.port, '127.0.0.1');
      socket.on('error', () => undefined);
      const came = once(socket, 'data').then(([bytes]) => String(bytes));
      const first = `GET /whom HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
      const upgrade = `GET ${TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
      if (isPending) {
        // Nobody answers the first request.
        server.removeAllListeners('request');
        socket.write(first + upgrade);
        await once(socket, 'close');
        expect(opened).toEqual([]);
      } else {
        socket.write(first);
        expect(await came).toContain('404');
        const answer = once(socket, 'data').then(([bytes]) => String(bytes));
        socket.write(upgrade);
        expect(await answer).toContain('token_missing');
      }
      socket.destroy();
      expect(await shake(census.port, signed(herald, USER))).toEqual({ subject: USER });
    },
  );

  it.each([true, false])(
    'GQ-09 keeps the socket of a caller that stays only where it lets the handshake in: %p',
    async (isSigned) => {
      const census = await start();
      const server = census.app.getHttpServer() as Server;
      const taken = once(server, 'connection').then(([socket]) => socket as Socket);
      const socket = connect({ port: census.port, host: '127.0.0.1', allowHalfOpen: true });
      const lines = Object.entries({
        host: '127.0.0.1',
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...(isSigned && signed(herald, USER)),
      }).map(([name, value]) => `${name}: ${String(value)}`);
      socket.write(`GET ${TARGET} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      const atCensus = await taken;
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(String(answer)).toContain(isSigned ? '101' : 'token_missing');
      if (!isSigned && !atCensus.destroyed) await once(atCensus, 'close');
      expect(atCensus.destroyed).toBe(!isSigned);
      socket.destroy();
    },
  );
});
