import { EventEmitter } from 'node:events';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Param, Query, UseGuards } from '@nestjs/common';
import type { AxiosRequestConfig } from 'axios';
import {
  actingAsItself,
  onBehalfOf,
  OptionalServiceAuth,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSigningError,
} from 'nestjs-service-auth';
import { ServiceHttpModule } from 'nestjs-service-auth/axios';
import { concatMap, firstValueFrom, map, mergeMap, Subject } from 'rxjs';
import { Caller } from '../support/services/caller.js';
import { call } from '../support/http/http.js';
import { createKey } from '../support/keys/keys.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';

const HERALD = 'https://herald.service/';
const CENSUS = 'https://census.service/';
const CHRONICLE = 'https://chronicle.service/';
const USERS = 12;
const STRANGERS = 3;
const herald = new Caller(HERALD, CENSUS);
const censusKey = createKey();
const userOf = (at: number): string => `https://census.service/user/${at}/`;

/** The user that a call was signed for, or why it was not. */
type Asked = string;
type Task = () => Promise<Asked>;
/** Runs a task, sooner or later, in the turn of whoever is there then. */
type Share = (task: Task) => Promise<Asked>;

@Controller('echo')
@UseGuards(ServiceJwtGuard)
class EchoController {
  @Get()
  get(@ServiceCaller() { subject }: ServiceIdentity, @Query('ids') ids: string) {
    return ids.split(',').map((id) => ({ id, asked: subject ?? 'nobody' }));
  }
}

interface Deferred {
  readonly promise: Promise<Asked>;
  readonly run: () => Promise<void>;
}

function defer(task: Task): Deferred {
  let settle: (asked: Promise<Asked>) => void = () => undefined;
  const promise = new Promise<Asked>((resolve) => (settle = resolve));
  const run = async (): Promise<void> => {
    const asked = task();
    settle(asked);
    await asked;
  };
  return { promise, run };
}

/** What requests share, each begun before any of them, unless it is said otherwise. */
const SHARED: Record<string, () => Share> = {
  'a limiter that the end of a task drains': () => {
    const waiting: Deferred[] = [];
    let isBusy = false;
    const drain = async (): Promise<void> => {
      isBusy = true;
      for (let next = waiting.shift(); next; next = waiting.shift()) await next.run();
      isBusy = false;
    };
    return async (task) => {
      const deferred = defer(task);
      waiting.push(deferred);
      if (!isBusy) void drain();
      return await deferred.promise;
    };
  },
  'a pool that calls the next in line on release': () => {
    const waiting: (() => void)[] = [];
    let free = 2;
    const acquire = (use: () => void): void => {
      if (free === 0) return void waiting.push(use);
      free--;
      use();
    };
    const release = (): void => {
      const next = waiting.shift();
      if (next) next();
      else free++;
    };
    return async (task) => {
      const { promise, run } = defer(task);
      acquire(() => void run().then(release));
      return await promise;
    };
  },
  'a Subject with concatMap': () => {
    const tasks = new Subject<Deferred>();
    tasks.pipe(concatMap(async ({ run }) => await run())).subscribe();
    return async (task) => {
      const deferred = defer(task);
      tasks.next(deferred);
      return await deferred.promise;
    };
  },
  'a Subject with mergeMap, two at once': () => {
    const tasks = new Subject<Deferred>();
    tasks.pipe(mergeMap(async ({ run }) => await run(), 2)).subscribe();
    return async (task) => {
      const deferred = defer(task);
      tasks.next(deferred);
      return await deferred.promise;
    };
  },
  'an event that another request emits': () => {
    const bus = new EventEmitter().setMaxListeners(0);
    let waiting = 0;
    return async (task) => {
      const { promise, run } = defer(task);
      bus.once('go', () => void run());
      if (++waiting === USERS + STRANGERS) bus.emit('go');
      return await promise;
    };
  },
  'a list that the timer of the first request works off': () => {
    const tasks: Deferred[] = [];
    let timer: NodeJS.Timeout | undefined;
    return async (task) => {
      const deferred = defer(task);
      tasks.push(deferred);
      timer ??= setInterval(() => {
        for (const { run } of tasks.splice(0)) void run();
        if (tasks.length === 0) clearInterval(timer);
      }, 1).unref();
      return await deferred.promise;
    };
  },
};

interface Key {
  readonly id: string;
  readonly caller: ServiceIdentity | undefined;
}

interface Group {
  readonly ids: string[];
  readonly options: AxiosRequestConfig;
}

type Way = 'nothing' | 'words' | 'around' | 'bound' | 'around, bound';

/** All requests of a round begin their work in one turn, as requests do that wait for the same thing. */
class Round {
  private missing = USERS + STRANGERS;
  private begin: () => void = () => undefined;
  private readonly begun = new Promise<void>((resolve) => (this.begin = resolve));

  constructor(
    readonly share: Share,
    readonly way: Way,
  ) {}

  async meet(): Promise<void> {
    if (--this.missing === 0) this.begin();
    await this.begun;
  }
}

let round: Round;

@Controller()
@UseGuards(ServiceJwtGuard)
class WorkController {
  private batch: (Key & { settle: (asked: Asked) => void })[] = [];
  private readonly groups = new Map<string, Group>();

  constructor(
    @Inject(HttpService) private readonly http: HttpService,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {}

  @Get('work/:id')
  @OptionalServiceAuth()
  async work(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity | undefined) {
    await round.meet();
    const options = round.way === 'words' && caller ? onBehalfOf(caller) : undefined;
    return await this.inWay(caller, async (bind) => {
      return await round.share(bind(async () => await this.ask([id], options).then(firstOf)));
    });
  }

  /** The Observable is made here, and subscribed to in the shared work. */
  @Get('made-before/:id')
  @OptionalServiceAuth()
  async madeBefore(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity | undefined) {
    await round.meet();
    return await this.inWay(caller, async (bind) => {
      const made = this.observe([id]);
      return await round.share(bind(async () => await askedBy(firstValueFrom(made)).then(firstOf)));
    });
  }

  /** A batch of everybody's keys, loaded in the turn of the one who made it full. */
  @Get('batched/:id')
  @OptionalServiceAuth()
  async batched(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity | undefined) {
    await round.meet();
    return await this.inWay(caller, async () => {
      return await new Promise<Asked>((settle) => {
        this.batch.push({ id, caller, settle });
        if (this.batch.length === USERS + STRANGERS) void this.loadBatch(this.batch.splice(0));
      });
    });
  }

  /** Puts calls with equal options together, and sends them with those of the first, as Apollo's BatchHttpLink does. */
  @Get('keyed/:id')
  @OptionalServiceAuth()
  async keyed(@Param('id') id: string, @ServiceCaller() caller: ServiceIdentity | undefined) {
    const options = caller ? onBehalfOf(caller) : {};
    const key = JSON.stringify(options);
    const group: Group = this.groups.get(key) ?? { ids: [], options };
    this.groups.set(key, group);
    group.ids.push(id);
    await round.meet();
    this.groups.delete(key);
    return { asked: firstOf(await this.ask(group.ids, group.options)) };
  }

  private async loadBatch(keys: WorkController['batch']): Promise<void> {
    await this.callContext.runShared(async () => {
      if (round.way !== 'words') {
        const asked = await this.ask(keys.map(({ id }) => id));
        for (const [at, { settle }] of keys.entries()) settle(asked[at] ?? asked[0] ?? 'none');
        return;
      }
      const load = async ({ id, caller, settle }: (typeof keys)[number]): Promise<void> =>
        settle(firstOf(await this.ask([id], caller && onBehalfOf(caller))));
      await Promise.all(keys.map(load));
    });
  }

  private async inWay(
    caller: ServiceIdentity | undefined,
    use: (bind: (task: Task) => Task) => Promise<Asked>,
  ): Promise<{ asked: Asked }> {
    const isBound = round.way === 'bound' || round.way === 'around, bound';
    const isAround = round.way === 'around' || round.way === 'around, bound';
    const run = async (): Promise<Asked> =>
      await use((task) => (isBound ? this.callContext.bind(task) : task));
    const asked = isAround && caller ? this.callContext.runOnBehalfOf(caller, run) : run();
    return { asked: await asked };
  }

  private observe(ids: readonly string[], options?: AxiosRequestConfig) {
    return this.http
      .get<{ asked: Asked }[]>(`/echo?ids=${ids.join(',')}`, options)
      .pipe(map(({ data }) => data.map(({ asked }) => asked)));
  }

  private async ask(ids: readonly string[], options?: AxiosRequestConfig): Promise<Asked[]> {
    return await askedBy(firstValueFrom(this.observe(ids, options)));
  }
}

async function askedBy(answers: Promise<Asked[]>): Promise<Asked[]> {
  try {
    return await answers;
  } catch (error) {
    if (error instanceof ServiceSigningError) return [error.code];
    throw error;
  }
}

const firstOf = ([asked = 'none']: Asked[]): Asked => asked;

const REFUSED = 'subject_undecided';
const OWN = Array.from({ length: USERS }, (_, at) => userOf(at));
const ALL_REFUSED = OWN.map(() => REFUSED);

describe.each(ADAPTERS)('work that requests share, on %s', (adapter: Adapter) => {
  let chronicle: TestService;
  const services: Partial<Record<'ambient' | 'explicit', TestService>> = {};
  beforeAll(async () => {
    chronicle = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: CHRONICLE,
          trustedIssuers: [{ issuer: CENSUS, publicKey: censusKey.publicPem }],
        }),
      ],
      controllers: [EchoController],
    });
    for (const mode of ['ambient', 'explicit'] as const) {
      services[mode] = await startService({
        adapter,
        imports: [
          ServiceAuthModule.forRoot({
            issuer: CENSUS,
            signingKey: { privateKey: censusKey.privatePem },
            trustedIssuers: [herald.trusted],
            targets: [{ baseUrl: `${chronicle.url}/`, audience: CHRONICLE }],
            subjectPropagation: mode,
          }),
          ServiceHttpModule.register({ baseURL: chronicle.url }),
        ],
        controllers: [WorkController],
      });
    }
  });
  afterAll(async () => {
    for (const service of Object.values(services)) await service.close();
    await chronicle.close();
  });

  /** For whom the calls of all users and of all strangers were made. */
  async function askAll(
    mode: 'ambient' | 'explicit',
    way: Way,
    { share = async (task) => await task(), route = 'work' }: { share?: Share; route?: string },
  ) {
    round = new Round(share, way);
    const { port = 0 } = services[mode] ?? {};
    const askedFor = async (answer: ReturnType<typeof call>) => (await answer).json?.['asked'];
    const users = OWN.map((user, at) => askedFor(herald.get(port, `/${route}/${at}`, user)));
    const strangers = Array.from({ length: STRANGERS }, (_, at) =>
      askedFor(call(port, { target: `/${route}/stranger-${at}` })),
    );
    return { users: await Promise.all(users), strangers: await Promise.all(strangers) };
  }

  const everyOne = { users: OWN, strangers: Array.from({ length: STRANGERS }, () => REFUSED) };
  const nobody = { ...everyOne, users: ALL_REFUSED };

  describe.each(Object.entries(SHARED))('%s', (_name, create) => {
    it('is done for each its own user where the call names them, and refused where it does not (OS-80)', async () => {
      expect(await askAll('explicit', 'words', { share: create() })).toEqual(everyOne);
      // A stranger has nobody to name: in `ambient` that call takes the turn that it is in.
      const { users } = await askAll('ambient', 'words', { share: create() });
      expect(users).toEqual(OWN);
      expect(await askAll('explicit', 'nothing', { share: create() })).toEqual(nobody);
    });

    it('is done for each its own user where it is bound, and for another where it is not (OS-81)', async () => {
      expect(await askAll('ambient', 'bound', { share: create() })).toEqual(everyOne);
      expect(await askAll('ambient', 'around, bound', { share: create() })).toEqual(everyOne);
      expect(await askAll('explicit', 'around, bound', { share: create() })).toEqual(everyOne);
      // What no code can see from inside: docs/for-whom.md lists it.
      const { users } = await askAll('explicit', 'around', { share: create() });
      expect(users).not.toEqual(OWN);
    });

    it('is never done for another user with an Observable that a request made (OS-82)', async () => {
      const route = 'made-before';
      const { users, strangers } = await askAll('ambient', 'nothing', { share: create(), route });
      const foreign = users.filter((user, at) => user !== OWN[at]);
      expect(new Set(foreign)).toEqual(new Set([REFUSED]));
      expect(strangers).toEqual(everyOne.strangers);
      expect(await askAll('ambient', 'bound', { share: create(), route })).toEqual(everyOne);
      expect(await askAll('explicit', 'around', { share: create(), route })).toEqual(everyOne);
      expect(await askAll('explicit', 'nothing', { share: create(), route })).toEqual(nobody);
    });
  });

  it('is done for each its own user where a batch takes options for the same by their JSON (OS-84)', async () => {
    for (const mode of ['ambient', 'explicit'] as const) {
      expect(await askAll(mode, 'words', { route: 'keyed' })).toEqual(everyOne);
    }
  });

  it('is refused in runShared() where a call names nobody, and done for each whom one names (OS-83)', async () => {
    const route = 'batched';
    for (const mode of ['ambient', 'explicit'] as const) {
      expect(await askAll(mode, 'words', { route })).toEqual(everyOne);
      expect(await askAll(mode, 'nothing', { route })).toEqual(nobody);
      expect(await askAll(mode, 'around', { route })).toEqual(nobody);
    }
  });
});

describe('the options of a call as JSON', () => {
  const [alice = '', bob = ''] = OWN;

  it('differ by user, are equal for one, and show none (OS-84)', () => {
    const texts = [onBehalfOf(alice), onBehalfOf(bob), actingAsItself(), {}].map(toJson);
    expect(new Set(texts).size).toBe(texts.length);
    expect(toJson(onBehalfOf(alice))).toBe(toJson(onBehalfOf(alice)));
    expect(texts.join()).not.toContain('census');
  });
});

const toJson = (options: object): string => JSON.stringify(options);
