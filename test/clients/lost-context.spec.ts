import { EventEmitter, on } from 'node:events';
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
import type { AxiosRequestConfig } from 'axios';
import {
  ServiceAuthModule,
  ServiceJwtGuard,
  ServiceSigningError,
  ServiceSubject,
} from 'nestjs-service-auth';
import { onBehalfOf, ServiceHttpModule } from 'nestjs-service-auth/axios';
import { firstValueFrom } from 'rxjs';
import { Caller } from '../support/caller.js';
import { RecordingServer } from '../support/recording-server.js';
import { CENSUS, FROM_HERALD, HERALD, heraldKey } from '../support/sending-service.js';
import { ADAPTERS, startService, type TestService } from '../support/service.js';
import { checkStrict } from '../support/wire-check.js';

const userUri = (id: number) => `https://census.service/user/${id}/`;

/** A call that is handed over to what runs in the background. */
interface Job {
  readonly config: AxiosRequestConfig;
  /** Told `sent`, or why it was not. */
  readonly done: (outcome: string) => void;
}

/** What an application has running since it started: each takes jobs out of requests, into its own context. */
@Injectable()
class Background implements OnModuleInit, OnApplicationShutdown {
  private readonly queue = new EventEmitter();
  private readonly lazyQueue = new EventEmitter();
  private isWorking = false;
  private readonly stream = new PassThrough({ objectMode: true });
  private readonly channel = new MessageChannel();
  private readonly batch: Job[] = [];
  private readonly callbacks = new Map<number, () => void>();
  private readonly stop = new AbortController();
  private timer: NodeJS.Timeout | undefined;

  constructor(@Inject(HttpService) private readonly http: HttpService) {}

  onModuleInit(): void {
    void this.workOff(this.queue);
    void this.workOffStream();
    this.timer = setInterval(() => {
      for (const job of this.batch.splice(0)) void this.run(job);
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
  readonly ways: Record<string, (job: Job) => void> = {
    queue: (job) => void this.queue.emit('job', job),
    lazy: (job) => {
      if (!this.isWorking) void this.workOff(this.lazyQueue);
      this.isWorking = true;
      this.lazyQueue.emit('job', job);
    },
    stream: (job) => void this.stream.write(job),
    timer: (job) => void this.batch.push(job),
    callback: (job) => {
      const id = this.callbacks.size;
      this.callbacks.set(id, () => void this.run(job));
      this.channel.port1.postMessage(id);
    },
  };

  private async workOff(queue: EventEmitter): Promise<void> {
    const { signal } = this.stop;
    try {
      for await (const [job] of on(queue, 'job', { signal })) await this.run(job as Job);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  private async workOffStream(): Promise<void> {
    for await (const job of this.stream) await this.run(job as Job);
  }

  private async run({ config, done }: Job): Promise<void> {
    try {
      await firstValueFrom(this.http.request(config));
      done('sent');
    } catch (error) {
      done(error instanceof ServiceSigningError ? error.code : String(error));
    }
  }
}

describe.each(ADAPTERS)('where a handler on %s hands a call over', (framework) => {
  const agent = new Caller('https://agent.service/', HERALD);
  const wire = new RecordingServer();
  let service: TestService;

  @Controller()
  @UseGuards(ServiceJwtGuard)
  class HandingController {
    constructor(@Inject(Background) private readonly background: Background) {}

    @Get(':way')
    async hand(
      @Param('way') way: string,
      @ServiceSubject() subject: string,
      @Query('named') named?: string,
    ): Promise<string> {
      const own = { url: `${wire.url}/?${new URLSearchParams({ subject }).toString()}` };
      const config = named === undefined ? own : onBehalfOf(subject, own);
      return await new Promise((done) => this.background.ways[way]?.({ config, done }));
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
        }),
        ServiceHttpModule.register(),
      ],
      controllers: [HandingController],
      providers: [Background],
      configure: (app) => app.enableShutdownHooks(),
    });
  });
  afterAll(async () => await Promise.all([service.close(), wire.close()]));

  const askAll = async (target: string, users: number) => {
    const asked = Array.from({ length: users }, async (_none, id) =>
      agent.get(service.port, target, userUri(id)),
    );
    return (await Promise.all(asked)).map(({ text }) => text);
  };

  const WAYS = [
    ['a queue that is worked off since the start', '/queue'],
    ['a stream that is read since the start', '/stream'],
    ['a timer that runs since the start', '/timer'],
    ['a callback that something else calls', '/callback'],
  ] as const;

  it.each(WAYS)('OS-17 to %s, it is refused, and made for no other user', async (_way, target) => {
    expect(await askAll(target, 20)).toEqual(Array(20).fill('subject_undecided'));
    expect(wire.takeAll()).toEqual([]);
  });

  it('OS-17 to a queue that the first user’s request has begun, it is made for no later one', async () => {
    expect((await agent.get(service.port, '/lazy', userUri(0))).text).toBe('sent');
    checkStrict(wire.takeOne(), { ...FROM_HERALD, subject: userUri(0) });
    expect(await askAll('/lazy', 20)).toEqual(Array(20).fill('subject_undecided'));
    expect(wire.takeAll()).toEqual([]);
    expect((await agent.get(service.port, '/lazy?named=', userUri(1))).text).toBe('sent');
    checkStrict(wire.takeOne(), { ...FROM_HERALD, subject: userUri(1) });
  });

  it.each(WAYS)(
    'OS-17 to %s, with the user named, it is made for that one',
    async (_way, target) => {
      expect(await askAll(`${target}?named=`, 20)).toEqual(Array(20).fill('sent'));
      const recorded = wire.takeAll();
      expect(recorded).toHaveLength(20);
      for (const each of recorded) {
        const subject = new URL(each.target, wire.url).searchParams.get('subject') ?? '';
        checkStrict(each, { ...FROM_HERALD, subject });
      }
    },
  );
});
