// A service that is called and that calls, and that prints what it can reach, in every way, while it serves a user.
// Arguments: `express`, `fastify` or `http2`; `explicit` or `ambient`; a folder, which holds `key.pem` and gets what is
// printed; the issuer's public key; the URL of the service that is called, and one where no server is. Other processes
// send and answer the requests, so that nothing but this service can show what they hold.
import { AsyncResource, executionAsyncResource } from 'node:async_hooks';
import { EventEmitter, EventEmitterAsyncResource, once } from 'node:events';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { globalAgent } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { HttpService } from '@nestjs/axios';
import {
  type ArgumentsHost,
  Catch,
  ConsoleLogger,
  Controller,
  createParamDecorator,
  type ExecutionContext,
  HttpCode,
  HttpException,
  Inject,
  Logger,
  type LoggerService,
  Param,
  Post,
  Req,
  Res,
  UseGuards,
} from '@nestjs/common';
import { BaseExceptionFilter, ModuleRef } from '@nestjs/core';
import { LoggerModule, Logger as LoggerOfPino, PinoLogger } from 'nestjs-pino';
import {
  KeyHealth,
  LoggingObserver,
  ServiceAuth,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  type ServiceUserResolver,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
} from 'nestjs-service-auth';
import {
  onBehalfOf,
  ServiceHttpModule,
  ServiceSigningInterceptor,
} from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { OpenTelemetryObserver } from 'nestjs-service-auth/opentelemetry';
import { lastValueFrom, type Observable } from 'rxjs';
import { rawRequest, useFirst } from '../../support/services/middleware.js';
import { type Adapter, startService } from '../../support/services/service.js';
import { RecordedMetrics, RecordedSpans } from '../../support/observed/telemetry.js';
import { DEEP_PRINTINGS, leaksOf, PRINTINGS } from '../../support/observed/traces.js';
import { PLAIN_TEXT } from './plain-text.js';

/** In which way a call is made for the user. */
export type Way = 'identity' | 'uri' | 'around' | 'bound' | 'originated' | 'ambient';

/** What a file of what was printed is about: its name begins with the kind. */
export type Kind =
  'request' | 'call' | 'fetch-on-its-way' | 'part' | 'rejection' | 'refusal' | 'report';

/** What the test is told. */
export type Told =
  | { readonly port: number }
  /** The ways of printing that showed a text which was put into a thing as a plain member. */
  | { readonly shown: string; readonly by: readonly string[] };

const [place = '', propagation = '', folder = '', publicKey = '', wire = '', refused = ''] =
  process.argv.slice(2);
const adapter: Adapter = place === 'express' ? 'express' : 'fastify';
const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const SCRIBE = 'https://scribe.service/';
const EDGE = 'https://edge.service/';
const TRUST_DOMAIN = 'https://test.example.org/';
const BODY = { amount: 100 };

const orders = new EventEmitter();
process.on('message', (order: string) => orders.emit(order));
const tell = (told: Told | string): void => void process.send?.(told);

let printed = 0;

/** Prints a thing in every way, into a file of its own. */
function print(kind: Kind, name: string, thing: unknown): void {
  const texts = [...PRINTINGS, ...DEEP_PRINTINGS].map(
    ([way, toText]) => `--- ${way}\n${toText(thing)}\n`,
  );
  printed += 1;
  writeFileSync(join(folder, `${kind} ${name} ${printed}.txt`), texts.join(''));
}

/** Shows that the same printings find what is a plain member. */
function printMarked(name: string, thing: object): void {
  const showsMembers = Object.isExtensible(thing) && !(inspect.custom in thing);
  const holder = showsMembers ? thing : { thing };
  Object.assign(holder, { plain: { text: PLAIN_TEXT } });
  tell({ shown: name, by: leaksOf(holder, [PLAIN_TEXT]) });
  Reflect.deleteProperty(holder, 'plain');
}

const activeOf = (what: '_getActiveHandles' | '_getActiveRequests'): unknown =>
  (Reflect.get(process, what) as () => unknown).call(process);

const consoles: readonly LoggerService[] = [
  new ConsoleLogger(),
  new ConsoleLogger({ json: true }),
  new ConsoleLogger({ json: true, compact: false }),
];

/** Logs with everything that is given to it. */
class EveryLogger implements LoggerService {
  readonly loggers = [...consoles];

  readonly log = (...parts: [unknown]): void => this.each('log', parts);
  readonly error = (...parts: [unknown]): void => this.each('error', parts);
  readonly warn = (...parts: [unknown]): void => this.each('warn', parts);
  readonly debug = (...parts: [unknown]): void => this.each('debug', parts);
  readonly verbose = (...parts: [unknown]): void => this.each('verbose', parts);

  private each(level: 'log' | 'error' | 'warn' | 'debug' | 'verbose', parts: [unknown]): void {
    for (const logger of this.loggers) logger[level]?.(...parts);
  }
}

/** Prints what the guard throws, and the context it is thrown in. */
@Catch(HttpException)
class PrintingFilter extends BaseExceptionFilter {
  override catch(exception: unknown, host: ArgumentsHost): void {
    print('refusal', 'exception', exception);
    print('refusal', 'host', host);
    for (const logger of consoles) logger.error(exception);
    super.catch.call(this, exception, host);
  }
}

type Options = <T extends object>(options: T) => T;

/** Calls for the user in one of the ways there are. @param work is given what makes the options of its call */
function callingFor<T>(
  way: Way,
  caller: ServiceIdentity,
  calls: ServiceCallContext,
  work: (options: Options) => T,
): T {
  const unnamed: Options = (options) => options;
  switch (way) {
    case 'identity':
      return work((options) => onBehalfOf(caller, options));
    case 'uri':
      return work((options) => onBehalfOf(caller.subject ?? '', options));
    case 'around':
      return calls.runOnBehalfOf(caller, () => work(unnamed));
    case 'bound':
      return calls.runOnBehalfOf(caller, () => calls.bind(() => work(unnamed)))();
    case 'originated': {
      const originate = { insteadOf: 'served-grant' } as const;
      return calls.runOnBehalfOf(caller.subject, () => work(unnamed), { originate });
    }
    case 'ambient':
      return work(unnamed);
  }
}

/** The context that interceptors and guards are given. */
const Context = createParamDecorator((_data: undefined, context: ExecutionContext) => context);

@Controller()
@UseGuards(ServiceJwtGuard)
class PrintingController {
  constructor(
    @Inject(HttpService) private readonly http: HttpService,
    @Inject(ServiceFetch) private readonly fetch: ServiceFetch,
    @Inject(ServiceCallContext) private readonly calls: ServiceCallContext,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
    @Inject(PinoLogger) private readonly pino: PinoLogger,
  ) {}

  /** @param caller is the application's to print, and is not printed here */
  @Post('print/:way')
  @HttpCode(200)
  async print(
    @Param('way') way: Way,
    @ServiceCaller() caller: ServiceIdentity,
    @Req() request: object,
    @Res({ passthrough: true }) response: object,
    @Context() context: ExecutionContext,
  ) {
    const { calls } = this;
    const raw = rawRequest(request);
    const begun = callingFor(way, caller, calls, (options) => this.begin(options));
    this.printAll('request', way, begun);
    await this.printCallsOnTheirWay(way, caller);
    this.printAll('call', way, await this.outcomesOf(way, caller));
    if (way === 'identity') {
      this.printAll('request', way, { request, raw, response, context });
      this.printAll('call', way, optionsFor(caller));
      this.printAll('part', way, this.parts());
    }
    return { ok: true };
  }

  private printAll(kind: Kind, way: Way, things: Record<string, object>): void {
    for (const [name, thing] of Object.entries(things)) {
      print(kind, `${way} ${name}`, thing);
      this.log(thing);
      if (way === 'identity') printMarked(name, thing);
    }
  }

  /** With pino under the names that it has serializers for, and as it is. */
  private log(thing: object): void {
    const lines = [{ err: thing }, { req: thing }, { res: thing }, { thing }, thing];
    const loggings = [
      ...consoles.map((logger) => () => void logger.error(thing)),
      ...lines.map((line) => () => this.pino.error(line)),
    ];
    for (const logging of loggings) {
      try {
        logging();
      } catch (error) {
        // Some fail: the JSON of Nest 11 on what has circles, pino on some of the objects of Node.
        if (!(error instanceof TypeError)) throw error;
      }
    }
  }

  /** What the runtime, and this library, may keep an async context in. */
  private begin(options: Options): Record<string, object> {
    const { calls, http } = this;
    const observable = http.get(`${wire}/200`, options({}));
    return {
      timer: setTimeout(() => undefined, 600_000).unref(),
      interval: setInterval(() => undefined, 600_000).unref(),
      immediate: setImmediate(() => undefined),
      socket: connect(Number(new URL(wire).port), '127.0.0.1').unref(),
      resource: new AsyncResource('canary'),
      emitter: new EventEmitterAsyncResource({ name: 'canary' }),
      promise: Promise.resolve().then(() => undefined),
      resourceOfNow: executionAsyncResource(),
      stream: Readable.from(['a']),
      bound: calls.bind(() => undefined),
      boundAfterEnd: calls.bind(() => undefined, { afterEnd: true }),
      boundByNode: AsyncResource.bind(() => undefined),
      observable,
      subscribed: lastValueFrom(observable),
      shared: calls.runShared(() => new AsyncResource('shared')),
      handles: activeOf('_getActiveHandles') as object,
    };
  }

  private async printCallsOnTheirWay(way: Way, caller: ServiceIdentity): Promise<void> {
    const { calls, http, fetch } = this;
    const url = `${wire}/held`;
    const sending = callingFor(way, caller, calls, (options) => ({
      promise: http.axiosRef.post(url, BODY, options({})),
      observable: lastValueFrom(http.post(url, BODY, options({}))),
    }));
    await once(orders, 'held 2');
    print('call', `${way} on their way`, sending);
    print('call', `${way} agent`, globalAgent);
    print('call', `${way} handles`, activeOf('_getActiveHandles'));
    print('call', `${way} requests`, activeOf('_getActiveRequests'));
    const fetching = callingFor(
      way,
      caller,
      calls,
      async (options) => await fetch(url, options({ method: 'POST', body: JSON.stringify(BODY) })),
    );
    await once(orders, 'held 3');
    print('call', `${way} fetch`, fetching);
    if (way === 'identity') print('fetch-on-its-way', 'handles', activeOf('_getActiveHandles'));
    tell('release');
    await Promise.all([...Object.values(sending), fetching]);
    print('call', `${way} handles afterwards`, activeOf('_getActiveHandles'));
  }

  /** Answers and errors of calls, and their parts. */
  private async outcomesOf(way: Way, caller: ServiceIdentity): Promise<Record<string, object>> {
    const { calls, http, fetch } = this;
    const url = (target: string): string => `${wire}${target}`;
    const unknown = 'https://unknown.service/';
    const attempts: Record<string, (options: Options) => Promise<unknown> | Observable<unknown>> = {
      answer: (options) => http.axiosRef.post(url('/200'), BODY, options({})),
      observed: (options) => http.post(url('/200'), BODY, options({})),
      fetched: (options) => fetch(url('/200'), options({ method: 'POST', body: 'text' })),
      refusal: (options) => http.axiosRef.post(url('/401'), BODY, options({})),
      observedRefusal: (options) => http.post(url('/401'), BODY, options({})),
      unreachable: (options) => http.axiosRef.post(refused, BODY, options({})),
      unreachableByFetch: (options) => fetch(refused, options({ method: 'POST', body: 'text' })),
      unsigned: (options) => http.axiosRef.get(unknown, options({})),
      unsignedByFetch: (options) => fetch(unknown, options({})),
      unnamed: () => calls.runShared(() => http.axiosRef.get(url('/200'))),
      unheard: () => new HttpService().axiosRef.create().get(url('/200'), onBehalfOf(caller)),
      unheardByFetch: () => globalThis.fetch(url('/200'), onBehalfOf(caller)),
      copied: () => Promise.resolve().then(() => onBehalfOf({ ...caller })),
    };
    const outcomes: Record<string, object> = {};
    for (const [name, attempt] of Object.entries(attempts)) {
      const sending = callingFor(way, caller, calls, attempt);
      const settling = 'subscribe' in sending ? lastValueFrom(sending) : sending;
      const outcome = (await settling.catch((error: unknown) => error)) as object;
      outcomes[name] = outcome;
      for (const part of ['config', 'request', 'response', 'cause']) {
        const value: unknown = Reflect.get(outcome, part);
        if (typeof value === 'object' && value !== null) outcomes[`${name}.${part}`] = value;
      }
    }
    return outcomes;
  }

  private parts(): Record<string, object> {
    const { http, fetch, calls } = this;
    const get = (type: object): object =>
      this.moduleRef.get<unknown, object>(type as never, { strict: false });
    return {
      calls,
      http,
      axios: http.axiosRef,
      defaults: http.axiosRef.defaults,
      fetch,
      module: get(ServiceAuthModule),
      httpModule: get(ServiceHttpModule),
      guard: get(ServiceJwtGuard),
      interceptor: get(ServiceSigningInterceptor),
      serviceAuth: get(ServiceAuth),
      keyHealth: get(KeyHealth),
    };
  }

  /** Lets the error of a call through. */
  @Post('fail/:failure/:way')
  fail(
    @Param('failure') failure: string,
    @Param('way') way: Way,
    @ServiceCaller() caller: ServiceIdentity,
  ): unknown {
    const { calls, http, fetch } = this;
    const failures: Record<string, (options: Options) => unknown> = {
      promise: (options) => http.axiosRef.post(`${wire}/401`, BODY, options({})),
      observable: (options) => http.post(`${wire}/503`, BODY, options({})),
      unreachable: (options) => http.axiosRef.post(refused, BODY, options({})),
      fetch: (options) => fetch(refused, options({ method: 'POST', body: 'text' })),
      signing: (options) => http.axiosRef.get('https://unknown.service/', options({})),
      unnamed: () => calls.runShared(() => fetch(wire)),
    };
    return callingFor(way, caller, calls, (options) => failures[failure]?.(options));
  }

  /** Answers, and leaves behind a call that fails later. */
  @Post('leave/:way')
  leave(@Param('way') way: Way, @ServiceCaller() caller: ServiceIdentity) {
    const { calls, http } = this;
    void callingFor(way, caller, calls, async (options) => {
      await once(orders, 'later');
      await http.axiosRef.post(`${wire}/401`, BODY, options({}));
    });
    return { ok: true };
  }

  /** Lets an error through that shows what nobody hid. */
  @Post('careless')
  careless(): never {
    throw Object.assign(new Error('careless'), { config: { text: PLAIN_TEXT } });
  }
}

function optionsFor(caller: ServiceIdentity): Record<string, object> {
  return {
    optionsOfIdentity: onBehalfOf(caller),
    optionsOfAxios: onBehalfOf(caller, { params: { a: 1 }, headers: { 'x-a': 'b' } }),
    optionsOfFetch: onBehalfOf(caller, { method: 'POST', body: 'text' }),
    optionsOfUri: onBehalfOf(caller.subject ?? ''),
  };
}

class Finder implements TrustedIssuerFinder {
  find(issuer: string): TrustedIssuerOptions | undefined {
    const subjectProof = { mode: 'required', withoutSubject: 'refused' } as const;
    return issuer === HERALD ? { issuer, publicKey, subjectProof } : undefined;
  }
}

/** What an application makes of a user is its own to print: this one makes a row of a table of it. */
class Resolver implements ServiceUserResolver {
  resolveUser(): object {
    return { row: 7 };
  }
}

const metrics = new RecordedMetrics();
const spans = new RecordedSpans();
const logger = new EveryLogger();
const stream = { write: (line: string) => appendFileSync(join(folder, 'pino.log'), line) };
const service = await startService({
  adapter,
  fastify: place === 'http2' ? { http2: true } : {},
  logger,
  imports: [
    ServiceAuthModule.forRoot({
      issuer: CENSUS,
      signingKey: { privateKey: readFileSync(join(folder, 'key.pem'), 'utf8') },
      trustedIssuers: Finder,
      userResolver: Resolver,
      trustDomain: TRUST_DOMAIN,
      originators: [{ issuer: EDGE, publicKey, subjects: [`${CENSUS}user/`] }],
      originate: { subjects: [`${CENSUS}user/`] },
      targets: [wire, refused].map((baseUrl) => ({ baseUrl, audience: SCRIBE })),
      subjectPropagation: propagation === 'ambient' ? 'ambient' : 'explicit',
      observer: [
        new LoggingObserver({ successes: 'verbose' }),
        new OpenTelemetryObserver({ meterProvider: metrics.provider }),
        { observe: (event) => print('report', event.type, event) },
      ],
    }),
    ServiceHttpModule.register(),
    ServiceFetchModule,
    // The serializers are pino's own; it reads the headers of a request before the guard, hence the recipe.
    LoggerModule.forRoot({
      pinoHttp: { redact: ['req.headers.jwt', 'req.headers["txn-token"]'], stream },
      forRoutes: ['{*splat}'],
    }),
  ],
  controllers: [PrintingController],
  configure: (app) => {
    useFirst(adapter, app, spans.middleware);
    app.useGlobalFilters(new PrintingFilter(app.getHttpAdapter()));
    logger.loggers.push(app.get(LoggerOfPino));
  },
});
tell({ port: service.port });

const noteRejection = (reason: unknown): void => {
  print('rejection', 'reason', reason);
  console.error('unhandled', reason);
  new Logger('Unhandled').error(reason);
  tell('unhandled');
};
process.on('unhandledRejection', noteRejection);
await once(orders, 'finish');
print('report', 'spans', spans.exporter.getFinishedSpans());
print('report', 'metrics', await metrics.collect());
// From here on an unhandled rejection ends the process, as it does where nobody listens.
process.off('unhandledRejection', noteRejection);
tell('finished');
