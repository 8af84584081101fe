import { createRequire } from 'node:module';
import type { AddressInfo, Server } from 'node:net';
import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  type INestApplication,
  Inject,
  Injectable,
  Param,
  Req,
  Res,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD, ExternalContextCreator } from '@nestjs/core';
import {
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  Transport,
} from '@nestjs/microservices';
import { WsAdapter } from '@nestjs/platform-ws';
import { MessageBody, SubscribeMessage, WebSocketGateway, WsException } from '@nestjs/websockets';
import {
  REFUSALS,
  ServiceAuthModule,
  ServiceJwtGuard,
  ServiceSubject,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { firstValueFrom } from 'rxjs';
import { WebSocket } from 'ws';
import { strictToken } from '../support/tokens/forge.js';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const heraldKey = createKey();

const REFUSED = {
  status: 'error',
  code: 'context_unsupported',
  message: REFUSALS.context_unsupported.message,
};

const handled: string[] = [];

const nest = createRequire(import.meta.url)('@nestjs/core/package.json') as { version: string };
/** Nest 11 does not apply APP_GUARD to gateways: they need @UseGuards there. */
const isAppGuardOnGateways = Number.parseInt(nest.version, 10) >= 12;

@Controller('user')
@UseGuards(ServiceJwtGuard)
class UserController {
  @Get()
  find(@ServiceSubject() subject: string) {
    return { subject };
  }
}

@Controller()
class GuardedMessages {
  @MessagePattern('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded(@Payload() payload: unknown) {
    handled.push('guarded');
    return { payload };
  }

  @MessagePattern('subject')
  subject(@ServiceSubject({ optional: true }) subject: string) {
    handled.push('subject');
    return { subject };
  }

  @EventPattern('guarded-event')
  @UseGuards(ServiceJwtGuard)
  event(@Payload() _data: unknown, ..._others: unknown[]) {
    handled.push('event');
  }

  @MessagePattern('unguarded')
  unguarded(@Ctx() _context: unknown) {
    return 'answered';
  }
}

@Controller()
class SkippedMessages {
  @MessagePattern('skipped')
  @SkipServiceAuth()
  @UseGuards(ServiceJwtGuard)
  skipped() {
    return 'answered';
  }
}

/** Nest 12 answers like this by itself; the filter of Nest 11 reaches clients of socket.io alone. */
@Catch(WsException)
class AnsweringFilter implements ExceptionFilter<WsException> {
  catch(exception: WsException, host: ArgumentsHost) {
    const socket = host.switchToWs().getClient<WebSocket>();
    socket.send(JSON.stringify({ event: 'exception', data: exception.getError() }));
  }
}

@WebSocketGateway({ path: '/live' })
@UseFilters(AnsweringFilter)
class LiveGateway {
  @SubscribeMessage('guarded')
  @UseGuards(ServiceJwtGuard)
  guarded(@MessageBody() body: unknown) {
    handled.push('ws');
    return { event: 'guarded', data: body };
  }

  @SubscribeMessage('skipped')
  @SkipServiceAuth()
  @UseGuards(ServiceJwtGuard)
  skipped() {
    return { event: 'skipped', data: 'answered' };
  }

  @SubscribeMessage('unguarded')
  unguarded() {
    return { event: 'unguarded', data: 'answered' };
  }
}

const serviceAuth = () =>
  ServiceAuthModule.forRoot({
    issuer: CENSUS,
    trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
  });

const token = (target = '/user'): string =>
  strictToken({ key: heraldKey, issuer: HERALD, audience: CENSUS, subject: USER, target });

/** What a sender writes who wants its message to be taken for a request. */
const likeARequest = () => {
  const jwt = token();
  const headers = { jwt, host: 'x' };
  const rawHeaders = ['JWT', jwt, 'Host', 'x'];
  const request = { headers, rawHeaders, method: 'GET', url: '/user', originalUrl: '/user' };
  return { ...request, raw: request, body: {}, httpVersionMajor: 1 };
};

const ask = async (client: ClientProxy, pattern: string, payload: unknown): Promise<unknown> => {
  try {
    return await firstValueFrom(client.send<unknown>(pattern, payload as object));
  } catch (error) {
    return { error };
  }
};

/** Lets an application take messages over TCP as well, and answers a client of it. */
async function listenForMessages(
  app: INestApplication,
  inheritAppConfig: boolean,
): Promise<ClientProxy> {
  const messages = app.connectMicroservice<MicroserviceOptions>(
    { transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } },
    { inheritAppConfig },
  );
  await app.startAllMicroservices();
  const { port } = messages.unwrap<Server>().address() as AddressInfo;
  const options = { host: '127.0.0.1', port };
  return ClientProxyFactory.create({ transport: Transport.TCP, options });
}

describe.each(ADAPTERS)('on %s', (adapter) => {
  describe.each([
    ['by @UseGuards', { providers: [LiveGateway], inherit: false }],
    [
      'by APP_GUARD and inheritAppConfig too',
      {
        providers: [LiveGateway, { provide: APP_GUARD, useExisting: ServiceJwtGuard }],
        inherit: true,
      },
    ],
  ])('guarded %s', (_title, { providers, inherit }) => {
    let census: TestService;
    let client: ClientProxy;

    beforeAll(async () => {
      census = await startService({
        adapter,
        imports: [serviceAuth()],
        controllers: [UserController, GuardedMessages, SkippedMessages],
        providers,
        configure: async (app) => {
          app.useWebSocketAdapter(new WsAdapter(app));
          client = await listenForMessages(app, inherit);
        },
      });
    });
    beforeEach(() => handled.splice(0));
    afterAll(async () => {
      await client.close();
      await census.close();
    });

    it('TF-01 refuses a message, whatever it looks like', async () => {
      for (const payload of [{}, 'text', likeARequest(), { jwt: token() }, [token()]]) {
        expect(await ask(client, 'guarded', payload)).toEqual({ error: REFUSED });
      }
      expect(handled).toEqual([]);
    });

    it('TF-01 lets no event through', async () => {
      await firstValueFrom(client.emit('guarded-event', likeARequest()), { defaultValue: null });
      // An event has no answer: one message later the event has been dealt with.
      await ask(client, 'guarded', {});
      expect(handled).toEqual([]);
    });

    it('TF-10 takes no subject from a message', async () => {
      const answer = await ask(client, 'subject', { ...likeARequest(), user: USER, subject: USER });
      expect(JSON.stringify(answer)).not.toContain(USER);
      expect(answer).toHaveProperty('error');
    });

    it('answers a message that nothing guards', async () => {
      expect(await ask(client, 'unguarded', {})).toEqual(inherit ? { error: REFUSED } : 'answered');
    });

    it('refuses a message that @SkipServiceAuth() would open', async () => {
      expect(await ask(client, 'skipped', {})).toEqual({ error: REFUSED });
    });

    it('TF-04 refuses a message on a web socket', async () => {
      const request = likeARequest();
      const [first, second, twin] = await talk(census.port, request.headers, [
        { event: 'guarded', data: request },
        { event: 'guarded', data: 'text' },
        { event: 'unguarded', data: {} },
      ]);
      const refused = { event: 'exception', data: REFUSED };
      expect(first).toMatchObject(refused);
      expect(second).toMatchObject(refused);
      const isTwinRefused = inherit && isAppGuardOnGateways;
      expect(twin).toMatchObject(
        isTwinRefused ? refused : { event: 'unguarded', data: 'answered' },
      );
      expect(handled).toEqual([]);
    });

    it('refuses a message on a web socket that @SkipServiceAuth() would open', async () => {
      const answers = await talk(census.port, { jwt: token() }, [{ event: 'skipped', data: {} }]);
      expect(answers).toEqual([expect.objectContaining({ event: 'exception' })]);
    });

    it('serves the same token over HTTP', async () => {
      const answer = await call(census.port, { target: '/user', headers: { JWT: token() } });
      expect(answer).toMatchObject({ status: 200, json: { subject: USER } });
    });
  });

  describe('TF-02 a hybrid application with APP_GUARD', () => {
    const start = async (inherit: boolean) => {
      let client: ClientProxy | undefined;
      const service = await startService({
        adapter,
        imports: [serviceAuth()],
        controllers: [UserController, GuardedMessages],
        providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
        configure: async (app) => void (client = await listenForMessages(app, inherit)),
      });
      if (!client) throw new Error('no client');
      return { service, client };
    };
    const talkTo = async (inherit: boolean) => {
      const { service, client } = await start(inherit);
      const subject = { ...likeARequest(), user: USER, subject: USER };
      try {
        return {
          unguarded: await ask(client, 'unguarded', likeARequest()),
          guarded: await ask(client, 'guarded', likeARequest()),
          subject: JSON.stringify(await ask(client, 'subject', subject)),
          http: (await call(service.port, { target: '/user', headers: { JWT: token() } })).status,
          anonymous: (await call(service.port, { target: '/user' })).status,
        };
      } finally {
        await client.close();
        await service.close();
      }
    };
    const overHttp = { http: 200, anonymous: 401 };

    it('without inheritAppConfig: Nest guards no message, and a message is nobody', async () => {
      const answers = await talkTo(false);
      // As the README says: only what is guarded by name is guarded here.
      expect(answers).toMatchObject({ ...overHttp, unguarded: 'answered' });
      expect(answers.guarded).toEqual({ error: REFUSED });
      expect(answers.subject).toContain('error');
      expect(answers.subject).not.toContain(USER);
    });

    it('with inheritAppConfig: every message is refused', async () => {
      const answers = await talkTo(true);
      expect(answers).toMatchObject({ ...overHttp, unguarded: { error: REFUSED } });
      expect(answers.guarded).toEqual({ error: REFUSED });
    });
  });

  describe('TF-03 a handler of a job', () => {
    @Injectable()
    class UserProcessor {
      @UseGuards(ServiceJwtGuard)
      guarded() {
        handled.push('job');
        return 'processed';
      }
      @SkipServiceAuth()
      @UseGuards(ServiceJwtGuard)
      skipped() {
        handled.push('job');
        return 'processed';
      }
      unguarded() {
        return 'processed';
      }
    }

    /** Runs handlers as modules of other transports do, with a request where one might look for it. */
    @Controller('job')
    class JobController {
      constructor(
        @Inject(UserProcessor) private readonly processor: UserProcessor,
        @Inject(ExternalContextCreator) private readonly contexts: ExternalContextCreator,
      ) {}

      @Get(':field')
      async run(
        @Param('field') field: 'guarded' | 'skipped' | 'unguarded',
        @Req() req: object,
        @Res({ passthrough: true }) res: object,
      ): Promise<unknown> {
        const { processor } = this;
        const process = this.contexts.create(
          processor,
          Reflect.get(processor, field) as (...args: unknown[]) => unknown,
          field,
          undefined,
          undefined,
          undefined,
          undefined,
          undefined,
          'job',
        );
        return (await process({}, { id: 1 }, { req, res, request: req }, {})) as unknown;
      }
    }

    let census: TestService;
    beforeAll(async () => {
      census = await startService({
        adapter,
        imports: [serviceAuth()],
        controllers: [JobController, UserController],
        providers: [UserProcessor],
      });
    });
    beforeEach(() => handled.splice(0));
    afterAll(async () => await census.close());

    it.each(['guarded', 'skipped'])('that is %s is refused, token or not', async (field) => {
      const target = `/job/${field}`;
      for (const headers of [{}, { JWT: token(target) }]) {
        const answer = await call(census.port, { target, headers });
        expect(answer).toMatchObject({ status: 403, code: 'context_unsupported' });
      }
      expect(handled).toEqual([]);
    });

    it('that nothing guards is run', async () => {
      const answer = await call(census.port, { target: '/job/unguarded' });
      expect(answer).toMatchObject({ status: 200, text: 'processed' });
    });
  });
});

/** Sends one message after the other, each after the answer to the one before. */
async function talk(
  port: number,
  headers: { readonly jwt: string },
  messages: readonly object[],
): Promise<unknown[]> {
  return await new Promise<unknown[]>((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, {
      headers: { jwt: headers.jwt },
    });
    const answers: unknown[] = [];
    const sendNext = (): void => socket.send(JSON.stringify(messages[answers.length]));
    socket.on('error', reject);
    socket.on('open', sendNext);
    socket.on('message', (data: Buffer) => {
      answers.push(JSON.parse(data.toString()));
      if (answers.length < messages.length) sendNext();
      else socket.close();
    });
    socket.on('close', () => resolve(answers));
  });
}
