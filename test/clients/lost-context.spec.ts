import { EventEmitter, on, once } from 'node:events';
import { PassThrough } from 'node:stream';
import { MessageChannel } from 'node:worker_threads';
import { HttpService } from '@nestjs/axios';
import {
  Controller,
  Get,
  Inject,
  Injectable,
  type OnApplicationShutdown,
  type OnModuleInit,
  Param,
  Query,
  UseGuards,
} from '@nestjs/common';
import {
  ServiceAuthModule,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { RecordingServer } from '../support/http/recording-server.js';
import { CENSUS, FROM_HERALD, HERALD, heraldKey } from '../support/services/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { checkStrict } from '../support/tokens/wire-check.js';

const userUri = (id: number) => `https://census.service/user/${id}/`;
/** The user whose request begins a queue. */
const FIRST = 100;

/** A call that is handed over to what runs in the background. */
type Job = () => Promise<void>;

/** What an application has running since it started: each takes jobs out of requests, into its own context. */
@Injectable()
class Background implements OnModuleInit, OnApplicationShutdown {
  private readonly queue = new EventEmitter();
  /** Queues that the first job begins, by name. */
  private readonly lazyQueues = new Map<string, EventEmitter>();
  private readonly stream = new PassThrough({ objectMode: true });
  private readonly channel = new MessageChannel();
  private readonly batch: Job[] = [];
  private readonly callbacks = new Map<number, () => void>();
  private readonly stop = new AbortController();
  private timer: NodeJS.Timeout | undefined;

  onModuleInit(): void {
    void this.workOff(this.queue);
    void this.workOffStream();
    this.timer = setInterval(() => {
      for (const job of this.batch.splice(0)) void job();
    }, 1);
    this.channel.port2.on('message', (id: number) => this.callbacks.get(id)?.());
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
    this.stop.abort();
    this.stream.end();
    this.channel.port1.close();
  }

  /** How a job gets from a handler to where it is done. */
  readonly ways: Record<string, (job: Job, name: string) => void> = {
    queue: (job) => void this.queue.emit('job', job),
    lazy: (job, name) => {
      const queue = this.lazyQueues.get(name) ?? new EventEmitter();
      if (!this.lazyQueues.has(name)) void this.workOff(queue);
      this.lazyQueues.set(name, queue);
      queue.emit('job', job);
    },
    stream: (job) => void this.stream.write(job),
    timer: (job) => void this.batch.push(job),
    callback: (job) => {
      const id = this.callbacks.size;
      this.callbacks.set(id, () => void job());
      this.channel.port1.postMessage(id);
    },
  };

  private async workOff(queue: EventEmitter): Promise<void> {
    const { signal } = this.stop;
    try {
      for await (const [job] of on(queue, 'job', { signal })) await (job as Job)();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  private async workOffStream(): Promise<void> {
    for await (const job of this.stream) await (job as Job)();
  }
}

const GRID = ADAPTERS.flatMap((framework) =>
  (['explicit', 'ambient'] as const).map((propagation) => ({ framework, propagation })),
);

describe.each(GRID)('where a handler on $framework hands a call over ($propagation)', (row) => {
  const { framework, propagation } = row;
  const agent = new Caller('https://agent.service/', HERALD);
  const wire = new RecordingServer();
  const later = new EventEmitter();
  let service: TestService;

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class HandingController {
    constructor(
      @Inject(Background) private readonly background: Background,
      @Inject(HttpService) private readonly http: HttpService,
      @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
    ) {}

    /** Answers `sent`, or why the call was not; with `held` once the test says so. */
    @Get(':way')
    async hand(
      @Param('way') way: string,
      @ServiceCaller() caller: ServiceIdentity,
      @Query() query: { named?: string; bound?: string; held?: string; queue?: string },
    ): Promise<string> {
      const parameters = new URLSearchParams({ subject: caller.subject ?? '' });
      const own = { url: `${wire.url}/?${parameters.toString()}` };
      const config = query.named === undefined ? own : onBehalfOf(caller, own);
      const outcome = new Promise<string>((done) => {
        const job = async (): Promise<void> => {
          const sending = firstValueFrom(this.http.request(config));
          done(await sending.then(() => 'sent', codeOf));
        };
        const handed = query.bound === undefined ? job : this.callContext.bind(job);
        this.background.ways[way]?.(handed, query.queue ?? '');
      });
      if (query.held === undefined) return await outcome;
      const released = once(later, 'release');
      later.emit('held', await outcome);
      await released;
      return await outcome;
    }
  }

  beforeAll(async () => {
    await wire.start();
    service = await startService({
      adapter: framework,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          signingKey: { privateKey: heraldKey.privatePem },
          trustedIssuers: [agent.trusted],
          targets: [{ baseUrl: wire.url, audience: CENSUS }],
          subjectPropagation: propagation,
        }),
        ServiceHttpModule.register(),
      ],
      controllers: [HandingController],
      providers: [Background],
      configure: (app) => app.enableShutdownHooks(),
    });
  });
  afterAll(async () => await Promise.all([service.close(), wire.close()]));

  const ask = async (target: string, user: number) =>
    (await agent.get(service.port, target, userUri(user))).text;
  const askAll = async (target: string) =>
    await Promise.all(Array.from({ length: 20 }, async (_none, user) => await ask(target, user)));
  /** Every call that arrived names the user who asked for it. */
  const checkAll = () => {
    const recorded = wire.takeAll();
    for (const each of recorded) {
      const subject = new URL(each.target, wire.url).searchParams.get('subject') ?? '';
      checkStrict(each, { ...FROM_HERALD, subject });
    }
    return recorded.length;
  };
  const refusedForAll = Array(20).fill('subject_undecided');
  const sentForAll = Array(20).fill('sent');

  const WAYS = [
    ['a queue that is worked off since the start', '/queue'],
    ['a stream that is read since the start', '/stream'],
    ['a timer that runs since the start', '/timer'],
    ['a callback that something else calls', '/callback'],
  ] as const;

  it.each(WAYS)('OS-17 to %s, it is refused, and made for no other user', async (_way, target) => {
    expect(await askAll(target)).toEqual(refusedForAll);
    expect(wire.takeAll()).toEqual([]);
  });

  it.each(WAYS)(
    'OS-17 to %s, with the user named, it is made for that one',
    async (_way, target) => {
      expect(await askAll(`${target}?named=`)).toEqual(sentForAll);
      expect(checkAll()).toBe(20);
    },
  );

  it('OS-17 to a queue that an answered request has begun, it is made for no later one', async () => {
    expect(await ask('/lazy?queue=over&named=', FIRST)).toBe('sent');
    expect(checkAll()).toBe(1);
    expect(await askAll('/lazy?queue=over')).toEqual(refusedForAll);
    expect(wire.takeAll()).toEqual([]);
    expect(await askAll('/lazy?queue=over&named=')).toEqual(sentForAll);
    expect(checkAll()).toBe(20);
  });

  describe('to a queue that a request begins which is still being served', () => {
    let first: Promise<string>;
    beforeAll(async () => {
      const held = once(later, 'held');
      first = ask('/lazy?queue=live&named=&held=', FIRST);
      expect(await held).toEqual(['sent']);
      expect(checkAll()).toBe(1);
    });
    afterAll(async () => {
      later.emit('release');
      expect(await first).toBe('sent');
    });

    it('OS-17, with the user named, it is made for that one', async () => {
      expect(await askAll('/lazy?queue=live&named=')).toEqual(sentForAll);
      expect(checkAll()).toBe(20);
    });

    if (propagation === 'explicit') {
      it('OS-17, it is refused, and made for no other user', async () => {
        expect(await askAll('/lazy?queue=live')).toEqual(refusedForAll);
        expect(await askAll('/lazy?queue=live&bound=')).toEqual(refusedForAll);
        expect(wire.takeAll()).toEqual([]);
      });
    } else {
      it('OS-17, bound, it is made for the one who asked', async () => {
        expect(await askAll('/lazy?queue=live&bound=')).toEqual(sentForAll);
        expect(checkAll()).toBe(20);
      });

      it('it is made for the user of that request where it is neither named nor bound', async () => {
        expect(await ask('/lazy?queue=live', 1)).toBe('sent');
        checkStrict(wire.takeOne(), { ...FROM_HERALD, subject: userUri(FIRST) });
      });
    }
  });
});

function codeOf(error: unknown): string {
  return error instanceof ServiceSigningError ? error.code : String(error);
}
