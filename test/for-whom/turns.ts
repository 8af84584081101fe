import { EventEmitter, on, once } from 'node:events';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Param, type Type, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  ServiceCallContext,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { Caller } from '../support/services/caller.js';
import { decodeClaims } from '../support/tokens/forge.js';
import { type Answer, call } from '../support/http/http.js';
import { rawRequest, useFirst } from '../support/services/middleware.js';
import { type RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { CENSUS, FROM_HERALD, HERALD, heraldKey } from '../support/services/sending-service.js';
import { type Adapter, startService, type TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

/** A request that is held open, in whose turn a test runs functions, also once it is answered. */
export class Turn {
  /** What the guard verified; undefined on the route without a guard. */
  caller: ServiceIdentity | undefined;
  isAnswered = false;
  private readonly events = new EventEmitter();
  private answer: Promise<Answer> | undefined;

  /** For the handler: answers when the test says so, and leaves work behind that goes on. */
  async serve(caller: ServiceIdentity | undefined): Promise<string> {
    this.caller = caller;
    void this.work();
    const toAnswer = once(this.events, 'answer');
    this.events.emit('opened');
    await toAnswer;
    return 'answered';
  }

  /** For the middleware: the answer is sent. */
  noteClosed(): void {
    this.events.emit('closed');
  }

  /** Sends the request, and resolves while it is held open. */
  async open(send: () => Promise<Answer>): Promise<this> {
    const opened = once(this.events, 'opened');
    const answer = send();
    await Promise.race([opened, answer.then(({ text }) => Promise.reject(new Error(text)))]);
    this.answer = answer;
    return this;
  }

  /** Runs `fn` in the turn of the request. */
  async run<T>(fn: () => T): Promise<Awaited<T>> {
    return await new Promise<Awaited<T>>((resolve, reject) => {
      const task = async (): Promise<void> => {
        try {
          resolve(await fn());
        } catch (error) {
          reject(error as Error);
        }
      };
      this.events.emit('task', task);
    });
  }

  /** Resolves once the request is over on the server too. */
  async end(): Promise<void> {
    if (this.isAnswered) return;
    this.isAnswered = true;
    const closed = once(this.events, 'closed');
    this.events.emit('answer');
    await Promise.all([this.answer, closed]);
  }

  /** Ends what the request left behind too. */
  async close(): Promise<void> {
    await this.end();
    this.events.emit('task', undefined);
  }

  private async work(): Promise<void> {
    for await (const [task] of on(this.events, 'task')) {
      if (task === undefined) return;
      void (task as () => Promise<void>)();
    }
  }
}

/** A service that is called by users, whose requests are held open, and that calls others meanwhile. */
export class TurnService {
  private readonly caller = new Caller('https://agent.service/', HERALD);
  private readonly turns = new Map<string, Turn>();

  private constructor(readonly wire: RecordingServer) {}

  private service: TestService | undefined;

  /** Its calls go to `wire`. */
  static async start(
    adapter: Adapter,
    wire: RecordingServer,
    options: Partial<ServiceAuthModuleOptions> = {},
    providers: Type[] = [],
  ): Promise<TurnService> {
    const turns = new TurnService(wire);
    turns.service = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          trustedIssuers: [turns.caller.trusted],
          targets: [{ baseUrl: wire.url, audience: CENSUS }],
          ...options,
        }),
        ServiceHttpModule.register(),
        ServiceFetchModule,
      ],
      controllers: [turns.controller()],
      providers,
      configure: (app) =>
        useFirst(adapter, app, (request, response, next) => {
          const id = rawRequest(request).url?.split('/').at(-1) ?? '';
          response.once('close', () => setImmediate(() => turns.turns.get(id)?.noteClosed()));
          next();
        }),
    });
    return turns;
  }

  /** Opens a request of a user. */
  async openFor(user: string | undefined): Promise<Turn> {
    return await this.open(async (id) => {
      return await this.caller.get(this.port, `/guarded/${id}`, user);
    });
  }

  /** Opens a request without a token, on a route without a guard. */
  async openUnguarded(): Promise<Turn> {
    return await this.open(async (id) => await call(this.port, { target: `/unguarded/${id}` }));
  }

  get http(): HttpService {
    return this.get(HttpService);
  }

  get fetch(): ServiceFetch {
    return this.get(ServiceFetch);
  }

  get context(): ServiceCallContext {
    return this.get(ServiceCallContext);
  }

  get<T>(token: Type<T> | (abstract new () => T)): T {
    if (!this.service) throw new Error('not started');
    return this.service.app.get<T>(token, { strict: false });
  }

  async close(): Promise<void> {
    await this.service?.close();
  }

  private get port(): number {
    return this.service?.port ?? 0;
  }

  private async open(send: (id: string) => Promise<Answer>): Promise<Turn> {
    const id = String(this.turns.size);
    const turn = new Turn();
    this.turns.set(id, turn);
    return await turn.open(async () => await send(id));
  }

  private controller(): Type {
    const { turns } = this;

    @Controller()
    class TurnController {
      @Get('guarded/:id')
      @UseGuards(ServiceJwtGuard)
      async guarded(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity) {
        return await turns.get(id)?.serve(caller);
      }

      @Get('unguarded/:id')
      async unguarded(@Param('id') id: string) {
        return await turns.get(id)?.serve(undefined);
      }
    }
    return TurnController;
  }
}

/** The users of all requests that arrived since the last look, in order; undefined: the service itself. */
export function takeSubjects(wire: RecordingServer): (string | undefined)[] {
  return wire.takeAll().map((recorded) => {
    const [token = ''] = valuesOf(recorded, 'jwt');
    const subject = token === '' ? 'unsigned' : decodeClaims(token)['sub'];
    const named = typeof subject === 'string' ? subject : undefined;
    checkStrict(recorded, { ...FROM_HERALD, subject: named });
    return named;
  });
}
