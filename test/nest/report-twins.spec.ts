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
import { tokenFor, toCall, withParts } from '../support/attacks/attempt.js';
import { TABLES } from '../support/attacks/tables.js';
import { stoppedStore } from '../support/clocks/clocks.js';
import { type Answer, call } from '../support/http/http.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import {
  BASELINE,
  CENSUS,
  CENSUS_ALIAS,
  NOW_SECONDS,
  SCRIBE,
  provingTrust,
} from '../support/services/census.js';
import { acceptEverything } from '../support/services/middleware.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import { ProvedRoutes } from '../support/services/proved-routes.js';
import { sha256 } from '../support/tokens/forge.js';

/** The attack catalogue's requests to one application three times: without a guard, reporting, and enforcing. */

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

type Mode = 'unguarded' | 'report' | 'enforce';

interface Twin extends TestService {
  readonly events: ObservedEvents;
}

async function start(adapter: Adapter, mode: Mode): Promise<Twin> {
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
      if (mode !== 'unguarded') app.useGlobalGuards(app.get(ServiceJwtGuard));
    },
  });
  return { ...service, events };
}

const CHANGED: ReadonlySet<string> = new Set(['cache-control', 'date', 'jwt-report', 'vary']);

/** Of an answer, what the guard may not change. */
function unchanged({ status, text, headers }: Answer): object {
  const others = Object.entries(headers).filter(([name]) => !CHANGED.has(name));
  return { status, text, headers: Object.fromEntries(others) };
}

describe.each(ADAPTERS)('enforcement on %s', (adapter) => {
  let twins: Record<Mode, Twin>;
  beforeAll(async () => {
    twins = {
      unguarded: await start(adapter, 'unguarded'),
      report: await start(adapter, 'report'),
      enforce: await start(adapter, 'enforce'),
    };
  });
  afterAll(async () => {
    for (const twin of Object.values(twins)) await twin.close();
  });

  describe.each(TABLES)('%s', (_name, rows) => {
    const here = rows.filter(({ only }) => only === undefined || only === adapter);
    it.each(here)('RO-01 report changes no answer, and counts one $code: $title', async (row) => {
      const attack = withParts(withParts(BASELINE, row.common), row.change);
      const token = tokenFor(attack, NOW_SECONDS);
      const send = async (mode: Mode): Promise<Answer> => {
        twins[mode].events.decisions.splice(0);
        return await call(twins[mode].port, toCall(attack, token));
      };
      const plain = await send('unguarded');
      const reported = await send('report');
      expect(unchanged(reported)).toEqual(unchanged(plain));
      const refused = await send('enforce');
      expect(twins.report.events.decisions).toMatchObject([
        { type: 'request_would_be_refused', code: row.code },
      ]);
      expect(twins.enforce.events.decisions).toMatchObject([
        { type: 'request_refused', code: row.code },
      ]);
      expect(refused.code).toBe(row.code);
    });
  });
});
