// The services of the battery: the application whose requests share work, and the service that this work calls.
import 'reflect-metadata';
import { Agent, createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { HttpService } from '@nestjs/axios';
import {
  Controller,
  Get,
  Inject,
  type MessageEvent,
  Module,
  Param,
  Sse,
  UseGuards,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import {
  OptionalServiceAuth,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { catchError, map, type Observable, of, take } from 'rxjs';

export const HERALD = 'https://herald.service/';
export const CENSUS = 'https://census.service/';
export const CHRONICLE = 'https://chronicle.service/';

export type Adapter = 'express' | 'fastify';
export type Mode = 'ambient' | 'explicit';

/** What the called service says of one call id: the user in the token that it came with. */
export interface Answer {
  readonly id: string;
  readonly sub: string | null;
}

/** What a request of the battery is answered: that, or why the call was not sent. */
export type Outcome = Answer | { readonly refused: string } | { readonly failed: string };

/** A request being served: its call id, and the user; undefined for a stranger. */
export interface Served {
  readonly id: string;
  readonly caller: ServiceIdentity | undefined;
}

/** What the handlers do; the battery replaces it for each cell. */
export interface Desk {
  serve(request: Served): Promise<Answer>;
  feed(request: Served): Observable<Answer>;
}

/** What the work of a cell may use of the application. */
export interface Clients {
  readonly callContext: ServiceCallContext;
  readonly http: HttpService;
  readonly fetch: ServiceFetch;
}

/** An application that serves, and what is in it. */
export interface Application extends Clients {
  readonly port: number;
  close(): Promise<void>;
}

const DESK = 'DESK';

@Controller()
@UseGuards(ServiceJwtGuard)
export class WorkController {
  constructor(@Inject(DESK) private readonly desk: Desk) {}

  @Get('work/:id')
  async work(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity) {
    return await outcomeOf(this.desk.serve({ id, caller }));
  }

  /** Strangers get in here. */
  @Get('open/:id')
  @OptionalServiceAuth()
  async open(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity | undefined) {
    return await outcomeOf(this.desk.serve({ id, caller }));
  }

  @Sse('feed/:id')
  feed(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity) {
    return eventsOf(this.desk.feed({ id, caller }));
  }

  @Sse('open-feed/:id')
  @OptionalServiceAuth()
  openFeed(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity | undefined) {
    return eventsOf(this.desk.feed({ id, caller }));
  }
}

async function outcomeOf(work: Promise<Answer>): Promise<Outcome> {
  try {
    return await work;
  } catch (error) {
    return toOutcome(error);
  }
}

function eventsOf(feed: Observable<Answer>): Observable<MessageEvent> {
  return feed.pipe(
    take(1),
    catchError((error: unknown) => of(toOutcome(error))),
    map((data: Outcome) => ({ data })),
  );
}

/** Libraries wrap the errors of the work that they run. */
function toOutcome(error: unknown): Outcome {
  let inner = error;
  while (inner instanceof Error && !(inner instanceof ServiceSigningError)) inner = inner.cause;
  if (inner instanceof ServiceSigningError) return { refused: inner.code };
  return { failed: String(error) };
}

/** Starts the application whose requests share work. */
export async function startApplication(options: {
  adapter: Adapter;
  mode: Mode;
  privateKey: string;
  callerKey: string;
  calledUrl: string;
  desk: Desk;
}): Promise<Application> {
  const { adapter, mode, privateKey, callerKey, calledUrl, desk } = options;
  const httpAgent = new Agent({ keepAlive: true });
  class CensusModule {}
  Module({
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        signingKey: { privateKey },
        trustedIssuers: [{ issuer: HERALD, publicKey: callerKey }],
        targets: [{ baseUrl: calledUrl, audience: CHRONICLE }],
        subjectPropagation: mode,
      }),
      ServiceHttpModule.register({ baseURL: calledUrl, httpAgent }),
      ServiceFetchModule,
    ],
    controllers: [WorkController],
    providers: [{ provide: DESK, useValue: desk }],
  })(CensusModule);
  const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = await NestFactory.create(CensusModule, httpAdapter, { logger: false });
  const server = app.getHttpServer() as Server;
  // A socket that is closed at the moment of its next use would be a failure of the battery.
  server.keepAliveTimeout = 0;
  await app.listen(0, '127.0.0.1');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    callContext: app.get(ServiceCallContext),
    http: app.get(HttpService, { strict: false }),
    fetch: app.get(ServiceFetch, { strict: false }),
    close: async () => {
      httpAgent.destroy();
      await app.close();
    },
  };
}

/** A body that the called service answers, from what was asked and the user it was asked for. */
export type Answerer = (
  request: { method: string; target: string; headers: Headers; body: string },
  sub: string | null,
) => Promise<unknown>;

/** The service that is called: verifies every call, and records the user that each call id was called for. */
export async function startCalled(publicKey: string, answer: Answerer) {
  const records: Answer[] = [];
  const flaky = new Set<string>();
  const auth = await createServiceAuth({
    issuer: CHRONICLE,
    trustedIssuers: [{ issuer: CENSUS, publicKey }],
  });
  const echo = (id: string, sub: string | null): Answer => {
    records.push({ id, sub });
    return { id, sub };
  };
  const serve = async (incoming: IncomingMessage): Promise<[status: number, body: unknown]> => {
    const { method = '', url: target = '', rawHeaders } = incoming;
    const body = await buffer(incoming);
    const { subject = null } = await auth.verify({ method, target, rawHeaders, body });
    const [, first = '', ids = ''] = target.split('/');
    if (first === 'echo') return [200, ids.split(',').map((id) => echo(id, subject))];
    if (first === 'flaky') {
      const isSecond = flaky.delete(ids);
      if (!isSecond) flaky.add(ids);
      return [isSecond ? 200 : 503, [echo(ids, subject)]];
    }
    const headers = new Headers(Object.entries(incoming.headersDistinct).map(toPair));
    const answered = await answer({ method, target, headers, body: body.toString() }, subject);
    return [200, answered];
  };
  const server = createServer((incoming, response) => {
    const answered = serve(incoming).catch((error: unknown) => [401, String(error)] as const);
    void answered.then(([status, body]) => {
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(body));
    });
  });
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    auth.close();
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${port}/`, records, echo, close };
}

const toPair = ([name, values]: [string, string[] | undefined]): [string, string] => [
  name,
  (values ?? []).join(', '),
];
