import { Controller, Scope, UseGuards } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload, type Server } from '@nestjs/microservices';
import {
  actingAsItself,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
} from 'nestjs-service-auth';
import { MemoryReplayStore } from 'nestjs-service-auth/core';
import { EventConsumer, serviceMessage } from 'nestjs-service-auth/microservices';
import { lastValueFrom, toArray } from 'rxjs';
import {
  HAS_METADATA,
  INSTALLED_TRANSPORTS,
  type MeetingPlace,
} from '../../support/messages/brokers.js';
import {
  acknowledge,
  CensusService,
  HERALD,
  HeraldService,
} from '../../support/messages/messaging-services.js';

const own = (data: unknown): object => serviceMessage(data, actingAsItself());
const CALLS = 20;

/** What was handled, by all replicas together. */
const handled: string[] = [];
let wake: (() => void) | undefined;
/** How many messages Nest serves. */
let running = 0;
let wakeEnded: (() => void) | undefined;

function note(what: string, context: unknown): string {
  acknowledge(context as object);
  handled.push(what);
  wake?.();
  return what;
}

async function handledOf(count: number): Promise<void> {
  while (handled.length < count) await new Promise<void>((resolve) => (wake = resolve));
}

@Controller()
@UseGuards(ServiceJwtGuard)
class ReplicaController {
  @MessagePattern('house.get')
  get(@Payload() data: { id: number }, @Ctx() context: unknown) {
    return note(`get ${data.id}`, context);
  }

  @EventPattern('house.changed')
  changed(@Payload() data: { id: number }, @Ctx() context: unknown) {
    note(`changed ${data.id}`, context);
  }

  @EventPattern('house.forgotten')
  @EventConsumer('instance')
  forgotten(@Payload() data: { id: number }, @Ctx() context: unknown) {
    note(`forgotten ${data.id}`, context);
  }

  @MessagePattern({ cmd: 'get', area: { of: 'houses', near: 'sea' } })
  byObject(@Payload() data: { id: number }, @Ctx() context: unknown) {
    return note(`object ${data.id}`, context);
  }

  @EventPattern({ cmd: 'changed', area: { of: 'houses', near: 'sea' } })
  eventByObject(@Payload() data: { id: number }, @Ctx() context: unknown) {
    note(`object event ${data.id}`, context);
  }
}

@Controller({ scope: Scope.REQUEST })
@UseGuards(ServiceJwtGuard)
class ScopedController {
  private calls = 0;

  @MessagePattern('scoped.get')
  get(@ServiceCaller() caller: ServiceIdentity, @Ctx() context: unknown) {
    this.calls += 1;
    note('scoped', context);
    return { calls: this.calls, caller: caller.issuer };
  }
}

describe.each(INSTALLED_TRANSPORTS)('replicas over $name', ({ name, isFanOut, ...transport }) => {
  let place: MeetingPlace;
  let replicas: CensusService[];
  let herald: HeraldService;

  beforeAll(async () => {
    place = await transport.start();
    const replayStore = new MemoryReplayStore();
    const controllers = [ReplicaController, ScopedController];
    const setup = { place, queue: 'replicas', controllers, options: { replayStore } };
    replicas = [await CensusService.start(setup)];
    if (name !== 'TCP') replicas.push(await CensusService.start(setup));
    herald = await HeraldService.start({ place, queue: 'replicas' });
    // Nest 11 calls the hook at the end where it answers, so not for what is dropped.
    if (HAS_METADATA) replicas.forEach(countRunning);
  }, 300_000);

  afterAll(async () => {
    await herald?.close();
    for (const replica of replicas ?? []) await replica.close();
    await place?.close();
  });

  beforeEach(() => {
    handled.splice(0);
    for (const { events } of replicas) {
      events.all.splice(0);
      events.decisions.splice(0);
    }
  });

  const refused = (): unknown[] => replicas.flatMap(({ events }) => events.of('request_refused'));

  /** Where each replica gets each message, one of them drops it. */
  async function dropped(count: number): Promise<void> {
    if (!isFanOut) return;
    const all = () => replicas.flatMap(({ events }) => events.of('duplicate_dropped'));
    while (all().length < count) {
      await Promise.race(
        replicas.map(async ({ events }) => await events.next('duplicate_dropped')),
      );
    }
  }

  /** As instrumentation does, which closes a span where Nest says that a message is over. */
  function countRunning({ app }: CensusService): void {
    const server = Reflect.get(app, 'serverInstance') as Server;
    server.setOnProcessingStartHook((_transport, _context, done) => {
      running += 1;
      void done();
    });
    server.setOnProcessingEndHook(() => {
      running -= 1;
      wakeEnded?.();
    });
  }

  afterEach(async () => {
    while (running > 0) await new Promise<void>((resolve) => (wakeEnded = resolve));
    expect(running).toBe(0);
  });

  it('MS-40 answer a request once', async () => {
    for (let id = 0; id < CALLS; id++) {
      const answers = herald.census.send<unknown, unknown>('house.get', own({ id }));
      expect(await lastValueFrom(answers.pipe(toArray()))).toEqual([`get ${id}`]);
    }
    await dropped(CALLS);
    expect(handled).toHaveLength(CALLS);
    expect(refused()).toEqual([]);
  });

  it('MS-40 handle an event once', async () => {
    for (let id = 0; id < CALLS; id++) await herald.tell('house.changed', own({ id }));
    await handledOf(CALLS);
    await dropped(CALLS);
    expect(new Set(handled).size).toBe(CALLS);
    expect(handled).toHaveLength(CALLS);
    expect(refused()).toEqual([]);
  });

  it('MS-40 handle an event each, where its handler says so', async () => {
    const count = isFanOut ? 2 * CALLS : CALLS;
    for (let id = 0; id < CALLS; id++) await herald.tell('house.forgotten', own({ id }));
    await handledOf(count);
    expect(new Set(handled).size).toBe(CALLS);
    expect(handled).toHaveLength(count);
    expect(refused()).toEqual([]);
    expect(replicas.flatMap(({ events }) => events.of('duplicate_dropped'))).toEqual([]);
  });

  it.each([
    [{ cmd: 'get', area: { of: 'houses', near: 'sea' } }],
    [{ area: { near: 'sea', of: 'houses' }, cmd: 'get' }],
  ])('MS-41 take a request to %j', async (pattern) => {
    const answer = herald.census.send<unknown, unknown>(pattern, own({ id: 1 }));
    expect(await lastValueFrom(answer)).toBe('object 1');
  });

  it.each([
    [{ cmd: 'changed', area: { of: 'houses', near: 'sea' } }],
    [{ area: { near: 'sea', of: 'houses' }, cmd: 'changed' }],
  ])('MS-41 take an event to %j', async (pattern) => {
    await lastValueFrom(herald.census.emit<unknown, unknown>(pattern, own({ id: 1 })), {
      defaultValue: undefined,
    });
    await handledOf(1);
    expect(handled).toEqual(['object event 1']);
    expect(refused()).toEqual([]);
  });

  it('make a controller of its own for each request, where it wants that', async () => {
    for (let count = 0; count < 2; count++) {
      expect(await herald.ask('scoped.get', own({}))).toEqual({ calls: 1, caller: HERALD });
    }
  });
});
