import { EventEmitter, once } from 'node:events';
import { request } from 'node:http';
import { PassThrough, type Readable } from 'node:stream';
import { Controller, Get, Inject, Req, Res, StreamableFile } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import {
  type CallSubject,
  OptionalServiceAuth,
  type ServiceAuth,
  ServiceAuthModule,
  ServiceCallContext,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { type RequestState } from '../../lib/nest/request-state.js';
import { Caller } from '../support/services/caller.js';
import { rawRequest, useFirst } from '../support/services/middleware.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';

const CENSUS = 'https://census.service/';
const USER = 'https://census.service/user/21/';
const herald = new Caller('https://herald.service/', CENSUS);

/** What the handlers tell the test, and the test tells them. */
const events = new EventEmitter();

/** Express's own response, or Fastify's around Node's. */
interface FrameworkResponse {
  readonly raw?: FrameworkResponse;
  end(text: string): unknown;
}

@Controller()
class WorkController {
  constructor(@Inject(ServiceCallContext) private readonly context: ServiceCallContext) {}

  /** Answers, and leaves something behind that goes on. */
  @Get('answered')
  answered(@Req() incoming: object) {
    const { socket } = rawRequest(incoming);
    void once(events, 'go').then(() => events.emit('later', this.context.current()));
    return { now: this.context.current() ?? 'nobody', port: socket.remotePort };
  }

  /** Answers by itself, and is not done then. */
  @Get('early')
  async early(@Res() response: FrameworkResponse) {
    (response.raw ?? response).end('{}');
    await once(events, 'go');
    events.emit('later', this.context.current());
  }

  /** Waits for a caller who hangs up meanwhile. */
  @Get('hung-up')
  async hungUp(@Req() incoming: object) {
    const { socket } = rawRequest(incoming);
    const gone = once(socket, 'close');
    events.emit('waiting');
    await gone;
    events.emit('in-handler', this.context.current());
    void once(events, 'go').then(() => events.emit('later', this.context.current()));
    return 'nobody hears this';
  }

  /** Answers with a stream that somebody else writes to. */
  @Get('streamed')
  streamed() {
    const stream = new PassThrough();
    stream.write('begun');
    void once(events, 'go').then(() => events.emit('later', this.context.current()));
    return new StreamableFile(stream);
  }

  @Get('optional')
  @OptionalServiceAuth()
  optional() {
    return { now: this.context.current() ?? 'nobody' };
  }
}

describe.each(ADAPTERS)('for whom calls are made, on %s', (adapter) => {
  let census: TestService;
  beforeAll(async () => {
    census = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CENSUS,
          trustedIssuers: [herald.trusted],
          subjectPropagation: 'ambient',
        }),
      ],
      controllers: [WorkController],
      providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
      configure: (app) => {
        useFirst(adapter, app, (_request, response, next) => {
          response.once('close', () => setImmediate(() => events.emit('closed')));
          next();
        });
      },
    });
  });
  afterAll(async () => await census.close());

  /** What a call that starts now would be made for. */
  async function laterSubject(): Promise<CallSubject | undefined> {
    const later = once(events, 'later') as Promise<[CallSubject | undefined]>;
    events.emit('go');
    return (await later)[0];
  }

  it('is its user while a request is served, and nobody once it is answered', async () => {
    const closed = once(events, 'closed');
    const answer = await herald.get(census.port, '/answered', USER);
    expect(answer.json).toMatchObject({ now: { subject: USER } });
    await closed;
    expect(await laterSubject()).toBeUndefined();
  });

  it('is nobody once it is answered, where its handler goes on', async () => {
    const closed = once(events, 'closed');
    expect(await herald.get(census.port, '/early', USER)).toMatchObject({ status: 200 });
    await closed;
    expect(await laterSubject()).toBeUndefined();
  });

  it('is still its user where the caller hangs up, until the handler has done its work', async () => {
    const [waiting, closed] = [once(events, 'waiting'), once(events, 'closed')];
    const inHandler = once(events, 'in-handler') as Promise<[CallSubject | undefined]>;
    const headers = herald.headers({ target: '/hung-up', subject: USER });
    const outgoing = request({ port: census.port, path: '/hung-up', headers, host: '127.0.0.1' });
    outgoing.on('error', () => undefined).end();
    await waiting;
    outgoing.destroy();
    expect(await inHandler).toEqual([{ subject: USER }]);
    await closed;
    await new Promise((resolve) => setImmediate(resolve));
    expect(await laterSubject()).toBeUndefined();
  });

  it('is its user while an answer is streamed, and nobody once its caller has hung up', async () => {
    for (const hangsUp of [false, true]) {
      const closed = once(events, 'closed');
      const headers = herald.headers({ target: '/streamed', subject: USER });
      const outgoing = request({
        port: census.port,
        path: '/streamed',
        headers,
        host: '127.0.0.1',
      });
      outgoing.on('error', () => undefined).end();
      const [answer] = (await once(outgoing, 'response')) as [Readable];
      answer.on('error', () => undefined);
      await once(answer, 'data');
      if (hangsUp) outgoing.destroy();
      if (hangsUp) await closed;
      expect(await laterSubject()).toEqual(hangsUp ? undefined : { subject: USER });
      outgoing.destroy();
      await closed;
    }
  });

  it('is nobody where the caller proved nothing', async () => {
    const answer = await herald.send(census.port, { target: '/optional', headers: { jwt: '' } });
    expect(answer.json).toEqual({ now: 'nobody' });
    const proved = await herald.get(census.port, '/optional', USER);
    expect(proved.json).toEqual({ now: { subject: USER } });
  });

  it('is nobody by default, proved or not: each call names its user', async () => {
    const byDefault = await startService({
      adapter,
      imports: [ServiceAuthModule.forRoot({ issuer: CENSUS, trustedIssuers: [herald.trusted] })],
      controllers: [WorkController],
      providers: [{ provide: APP_GUARD, useExisting: ServiceJwtGuard }],
    });
    const proved = await herald.get(byDefault.port, '/optional', USER);
    expect(proved.json).toEqual({ now: 'nobody' });
    await byDefault.close();
  });
});

describe('ServiceCallContext of requests that overlap', () => {
  let serviceAuth: ServiceAuth;
  let context: ServiceCallContext;
  beforeAll(async () => {
    serviceAuth = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [herald.trusted],
    });
    context = new ServiceCallContext(serviceAuth, { subjectPropagation: 'ambient' });
  });
  afterAll(() => serviceAuth.close());

  const stateOf = (subject: string): RequestState => ({
    verification: {
      verifier: serviceAuth,
      identity: { subject } as ServiceIdentity,
      isReport: false,
      previous: undefined,
    },
  });
  const end = (state: RequestState): void => void (state.endedAt = performance.now());
  const subjectNow = (): string | undefined => context.current()?.subject;

  it('is each their own until each is answered, and begins anew after the last', async () => {
    const [one, other, next] = [stateOf('urn:one'), stateOf('urn:other'), stateOf('urn:next')];
    const later = new EventEmitter();
    const answered = once(later, 'go');
    const serve = async (state: RequestState): Promise<(string | undefined)[]> =>
      await context.runForRequest(state, async () => {
        const atOnce = subjectNow();
        await answered;
        return [atOnce, subjectNow()];
      });
    const served = [serve(one), serve(other)];
    end(one);
    later.emit('go');
    expect(await Promise.all(served)).toEqual([
      ['urn:one', undefined],
      ['urn:other', 'urn:other'],
    ]);
    end(other);
    expect(await serve(next)).toEqual(['urn:next', 'urn:next']);
    end(next);
    expect(subjectNow()).toBeUndefined();
  });

  it('does not come back to what was left behind when another request begins', async () => {
    const [one, next] = [stateOf('urn:one'), stateOf('urn:next')];
    const go = new EventEmitter();
    const leftBehind = context.runForRequest(one, async () => {
      await once(go, 'go');
      return subjectNow();
    });
    end(one);
    const nextNow = context.runForRequest(next, () => {
      go.emit('go');
      return subjectNow();
    });
    expect(await leftBehind).toBeUndefined();
    expect(nextNow).toBe('urn:next');
  });
});
