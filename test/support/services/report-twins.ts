import type { Server } from 'node:http';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { All, Body, Controller, Get, HttpCode, Req } from '@nestjs/common';
import {
  AllowIssuers,
  OptionalServiceAuth,
  RequireSubject,
  ServiceAuthModule,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { stoppedStore } from '../clocks/clocks.js';
import { ObservedEvents } from '../observed/observed-events.js';
import { sha256 } from '../tokens/forge.js';
import { CENSUS, CENSUS_ALIAS, NOW_SECONDS, provingTrust, SCRIBE } from './census.js';
import { acceptEverything } from './middleware.js';
import { ProvedRoutes } from './proved-routes.js';
import { type Adapter, startService, type TestService } from './service.js';

/** More headers than that, and Node may cut the list. */
export const MAX_HEADERS = 64;

/** Answers with what a handler sees of a request, but for what the guard tells it. */
@Controller('api')
class EchoController {
  @Get('thing/for-user')
  @RequireSubject()
  forUser(): string {
    return 'for a user';
  }

  @Get('thing/for-scribe')
  @AllowIssuers(SCRIBE)
  forScribe(): string {
    return 'for scribe';
  }

  @Get('thing/anonymous')
  @OptionalServiceAuth()
  anonymous(): string {
    return 'for everybody';
  }

  @All('*')
  @HttpCode(200)
  async echo(@Req() request: FrameworkRequest, @Body() body: unknown): Promise<object> {
    const stream = request.raw ?? request;
    const unread = stream.readableEnded ? undefined : sha256(await buffer(stream));
    return { method: request.method, url: request.url, body, unread };
  }
}

@Controller('api/proved')
class ProvedController extends ProvedRoutes {}

type FrameworkRequest = Readable & { raw?: Readable; method: string; url: string };

export type Mode = 'unguarded' | 'report' | 'enforce';

export interface Twin extends TestService {
  readonly events: ObservedEvents;
}

async function startTwin(adapter: Adapter, mode: Mode): Promise<Twin> {
  const events = new ObservedEvents();
  const service = await startService({
    adapter,
    imports: [
      ServiceAuthModule.forRoot({
        issuer: CENSUS,
        audience: [CENSUS_ALIAS],
        ...provingTrust,
        maxBufferedBodyBytes: 1024,
        now: () => NOW_SECONDS * 1000,
        replayStore: stoppedStore(),
        observer: events,
        enforcement: mode === 'report' ? 'report' : 'enforce',
        reportUntil: '2100-01-01',
      }),
    ],
    controllers: [ProvedController, EchoController],
    configure: (app) => {
      if (adapter === 'fastify') acceptEverything(app);
      (app.getHttpServer() as Server).maxHeadersCount = MAX_HEADERS;
      if (mode !== 'unguarded') app.useGlobalGuards(app.get(ServiceJwtGuard));
    },
  });
  return { ...service, events };
}

/** One application three times: without a guard, reporting, and enforcing. */
export async function startTwins(adapter: Adapter): Promise<Record<Mode, Twin>> {
  return {
    unguarded: await startTwin(adapter, 'unguarded'),
    report: await startTwin(adapter, 'report'),
    enforce: await startTwin(adapter, 'enforce'),
  };
}

/** The headers of an answer that the guard may change, and the time. */
export const CHANGED_HEADERS: ReadonlySet<string> = new Set([
  'cache-control',
  'date',
  'jwt-report',
  'vary',
]);
