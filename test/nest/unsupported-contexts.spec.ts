import { createRequire } from 'node:module';
import type { AddressInfo, Server } from 'node:net';
import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
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
import { strictToken } from '../support/forge.js';
import { call } from '../support/http.js';
import { createKey } from '../support/keys.js';
import { ADAPTERS, startService, type TestService } from '../support/service.js';

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
        imports: [
          ServiceAuthModule.forRoot({
            issuer: CENSUS,
            trustedIssuers: [{ issuer: HERALD, publicKey: heraldKey.publicPem }],
          }),
        ],
        controllers: [UserController, GuardedMessages, SkippedMessages],
        providers,
        configure: async (app) => {
          app.useWebSocketAdapter(new WsAdapter(app));
          const messages = app.connectMicroservice<MicroserviceOptions>(
            { transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } },
            { inheritAppConfig: inherit },
          );
          await app.startAllMicroservices();
          const { port } = messages.unwrap<Server>().address() as AddressInfo;
          client = ClientProxyFactory.create({
            transport: Transport.TCP,
            options: { host: '127.0.0.1', port },
          });
        },
      });
    });
    beforeEach(() => handled.splice(0));
    afterAll(async () => {
      await client.close();
      await census.close();
    });

    const token = (): string =>
      strictToken({
        key: heraldKey,
        issuer: HERALD,
        audience: CENSUS,
        subject: USER,
        target: '/user',
      });

    /** What a sender writes who wants its message to be taken for a request. */
    const likeARequest = () => {
      const jwt = token();
      const headers = { jwt, host: 'x' };
      const rawHeaders = ['JWT', jwt, 'Host', 'x'];
      const request = { headers, rawHeaders, method: 'GET', url: '/user', originalUrl: '/user' };
      return { ...request, raw: request, body: {}, httpVersionMajor: 1 };
    };

    const ask = async (pattern: string, payload: unknown): Promise<unknown> => {
      try {
        return await firstValueFrom(client.send<unknown>(pattern, payload as object));
      } catch (error) {
        return { error };
      }
    };

    it('TF-01 refuses a message, whatever it looks like', async () => {
      for (const payload of [{}, 'text', likeARequest(), { jwt: token() }, [token()]]) {
        expect(await ask('guarded', payload)).toEqual({ error: REFUSED });
      }
      expect(handled).toEqual([]);
    });

    it('TF-01 lets no event through', async () => {
      await firstValueFrom(client.emit('guarded-event', likeARequest()), { defaultValue: null });
      // An event has no answer: one message later the event has been dealt with.
      await ask('guarded', {});
      expect(handled).toEqual([]);
    });

    it('TF-10 takes no subject from a message', async () => {
      const answer = await ask('subject', { ...likeARequest(), user: USER, subject: USER });
      expect(JSON.stringify(answer)).not.toContain(USER);
      expect(answer).toHaveProperty('error');
    });

    it('answers a message that nothing guards', async () => {
      expect(await ask('unguarded', {})).toEqual(inherit ? { error: REFUSED } : 'answered');
    });

    it('refuses a message that @SkipServiceAuth() would open', async () => {
      expect(await ask('skipped', {})).toEqual({ error: REFUSED });
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
