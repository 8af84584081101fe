import { EventEmitter, once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { HttpService } from '@nestjs/axios';
import {
  Controller,
  Get,
  Inject,
  type INestApplication,
  Module,
  Param,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import {
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { ServiceAuthTesting, type TestReceiver } from 'nestjs-service-auth/testing';
import { lastValueFrom } from 'rxjs';
import request from 'supertest';
import { ADAPTERS } from '../support/services/service.js';
import { readBlocks } from './page-blocks.mjs';

const PAGE = 'docs/for-whom.md';
/** Inside of the project, where imports are found; hidden, so that nothing else takes it for a source. */
const FOLDER = join(import.meta.dirname, '.for-whom');
const CENSUS = 'https://census.service/';
const ALICE = `${CENSUS}user/alice/`;
const BOB = `${CENSUS}user/bob/`;

const WAYS = ['inTheCall', 'insideTheTask', 'bound', 'aroundTheLimiter'] as const;
type Way = (typeof WAYS)[number];
type Prices = Record<Way, (caller: ServiceIdentity) => Promise<unknown>>;
type Limit = <T>(task: () => Promise<T>) => Promise<T>;

interface UserKey {
  readonly id: string;
  readonly caller: ServiceIdentity;
}

interface UserLoader {
  loadBatch(keys: readonly UserKey[]): Promise<unknown>;
  cacheKey(key: UserKey): string;
}

/** What the blocks of the page export. */
interface Exports {
  readonly GreetingController: Type;
  readonly NightlyJob: Type<{ run(user: string): Promise<void> }>;
  readonly Prices: new (http: HttpService, context: ServiceCallContext, limit: Limit) => Prices;
  readonly UserLoader: new (http: HttpService, context: ServiceCallContext) => UserLoader;
  readonly ReportController: Type;
  readonly ReportWorker: Type<{ process(job: { user?: string }): Promise<void> }>;
}

/** The code of the page, as a reader would copy it. */
async function importPage(): Promise<Exports> {
  mkdirSync(FOLDER, { recursive: true });
  const exports: Partial<Exports> = {};
  for (const { file, code } of readBlocks(PAGE)) {
    if (file === undefined) continue;
    writeFileSync(join(FOLDER, file), code);
    Object.assign(exports, await import(join(FOLDER, file)));
  }
  return exports as Exports;
}

/** One task at a time, each begun in the context in which the one before ended: as p-limit 3 does. */
class SharedLimit {
  readonly events = new EventEmitter();
  private readonly waiting: (() => void)[] = [];
  private isBusy = false;

  readonly limit: Limit = async (task) =>
    await new Promise((resolve, reject) => {
      const start = (): void => {
        this.isBusy = true;
        this.events.emit('started');
        task()
          .then(resolve, reject)
          .finally(() => {
            this.isBusy = false;
            this.waiting.shift()?.();
          });
      };
      if (!this.isBusy) return start();
      this.waiting.push(start);
      this.events.emit('queued');
    });
}

describe.each(ADAPTERS)('the page about for whom, on %s', (adapter) => {
  const auth = new ServiceAuthTesting();
  const shared = new SharedLimit();
  const arrivals = new EventEmitter();
  let page: Exports;
  let census: TestReceiver;
  let app: INestApplication;
  /** What the called service waits for before it answers. */
  let gate: Promise<unknown> | undefined;

  beforeAll(async () => {
    page = await importPage();
    census = await auth.startReceiver(CENSUS, {
      answer: async ({ target }) => {
        arrivals.emit(target);
        await gate;
        return { json: { name: 'Ada' } };
      },
    });
    const prices = {
      provide: page.Prices,
      useFactory: (http: HttpService, context: ServiceCallContext) =>
        new page.Prices(http, context, shared.limit),
      inject: [HttpService, ServiceCallContext],
    };

    @Controller('prices')
    @UseGuards(ServiceJwtGuard)
    class PricesController {
      constructor(@Inject(page.Prices) private readonly prices: Prices) {}

      @Get(':way')
      async find(@Param('way') way: Way, @ServiceCaller() caller: ServiceIdentity) {
        return await this.prices[way](caller);
      }
    }

    @Module({
      imports: [
        auth.module({ targets: [census.target] }),
        ServiceHttpModule.register({ baseURL: census.url }),
      ],
      controllers: [page.GreetingController, page.ReportController, PricesController],
      providers: [prices, page.NightlyJob, page.ReportWorker],
    })
    class AppModule {}

    const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
    const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
    app = module.createNestApplication(httpAdapter, { logger: false, forceCloseConnections: true });
    await app.listen(0, '127.0.0.1');
  });
  beforeEach(() => {
    gate = undefined;
  });
  afterAll(async () => {
    await app.close();
    await census.close();
    rmSync(FOLDER, { recursive: true, force: true });
  });

  /** For whom the called service was asked since the last call. */
  const takeSubjects = (): (string | undefined)[] =>
    census.requests.splice(0).map(({ identity }) => identity.subject);

  const callAs = async (user: string, method: 'GET' | 'POST', target: string) => {
    const headers = await auth.actingAs(user).headersFor(method, target);
    const agent = request(app.getHttpServer() as Server);
    const call = method === 'GET' ? agent.get(target) : agent.post(target);
    const { status, text } = await call.set(headers);
    return { status, text };
  };

  it('calls for the user of the request being served', async () => {
    const answer = await callAs(ALICE, 'GET', '/greeting/42');
    expect(answer).toEqual({ status: 200, text: 'Hello Ada' });
    expect(takeSubjects()).toEqual([ALICE]);
  });

  it('shows the message of a call that names nobody', async () => {
    const http = app.get(HttpService, { strict: false });
    const refusal: unknown = await lastValueFrom(http.get('/user')).catch(
      (error: unknown) => error,
    );
    expect(refusal).toBeInstanceOf(ServiceSigningError);
    const shown = readBlocks(PAGE).find(({ language }) => language === 'text')?.code;
    expect(`${(refusal as Error).message}\n`).toBe(shown);
    expect(takeSubjects()).toEqual([]);
  });

  it('names a user, or the service itself, where no request is served', async () => {
    await app.get(page.NightlyJob).run(BOB);
    expect(takeSubjects()).toEqual([undefined, BOB, BOB]);
  });

  it.each<[Way, string, string]>([
    ['inTheCall', ALICE, BOB],
    ['insideTheTask', ALICE, BOB],
    ['bound', ALICE, BOB],
    // What the page calls wrong: Bob's price is asked for Alice.
    ['aroundTheLimiter', ALICE, ALICE],
  ])('shares a limiter between Alice and Bob: %s', async (way, first, second) => {
    const started = once(shared.events, 'started');
    gate = once(shared.events, 'queued');
    const forAlice = callAs(ALICE, 'GET', `/prices/${way}`);
    await started;
    const forBob = callAs(BOB, 'GET', `/prices/${way}`);
    for (const { status } of await Promise.all([forAlice, forBob])) expect(status).toBe(200);
    expect(takeSubjects()).toEqual([first, second]);
  });

  it('loads for several users at once, each with an answer of their own', async () => {
    const context = app.get(ServiceCallContext, { strict: false });
    const loader = new page.UserLoader(app.get(HttpService, { strict: false }), context);
    const alice = { id: '42', caller: await auth.actingAs(ALICE).identity() };
    const bob = { id: '42', caller: await auth.actingAs(BOB).identity() };
    await context.runOnBehalfOf(ALICE, () => loader.loadBatch([alice, bob]));
    expect(new Set(takeSubjects())).toEqual(new Set([ALICE, BOB]));
    const again = { id: '42', caller: await auth.actingAs(ALICE).identity() };
    expect(loader.cacheKey(again)).toBe(loader.cacheKey(alice));
    expect(loader.cacheKey(bob)).not.toBe(loader.cacheKey(alice));
  });

  it('goes on for the user after the answer', async () => {
    const reported = once(arrivals, '/report');
    let open = (): void => undefined;
    gate = new Promise<void>((resolve) => (open = resolve));
    expect(await callAs(ALICE, 'POST', '/report')).toMatchObject({ status: 202 });
    open();
    await reported;
    expect(takeSubjects()).toEqual([ALICE, ALICE]);
  });

  it('takes the user of a job from its URI', async () => {
    const worker = app.get(page.ReportWorker);
    await worker.process({ user: BOB });
    await worker.process({});
    expect(takeSubjects()).toEqual([BOB, undefined]);
  });
});
