import fc from 'fast-check';
import {
  type LeasingReplayStore,
  MemoryReplayStore,
  type TokenUse,
} from 'nestjs-service-auth/core';
import { RedisReplayStore } from 'nestjs-service-auth/redis';
import { Clocks } from '../support/clocks/clocks.js';
import { itHolds } from '../support/properties/property.js';
import { openClient, type OpenClient } from '../support/redis/redis-clients.js';
import { describeRedis, RedisServer } from '../support/redis/redis-server.js';
import { answerOf, leaseOf } from '../support/replay/leasing-store-contract.js';
import { HERALD } from '../support/services/peers.js';

const OWNERS = ['a', 'b', 'c'];
const USES = ['one', 'two'];
const LIFETIME_SECONDS = 100_000;
const UNDECIDED = /^replay_store_unavailable: the clock was put back/;

/** What is known of a use: nothing, a reservation, or that it is done. */
type Known = 'done' | { readonly owner: string; readonly untilSeconds: number } | undefined;

/** The rules of reservations, written by hand: one use after the other, by a clock that never steps. */
interface Model {
  readonly uses: Map<string, Known>;
  passedSeconds: number;
  /** A wall clock that was set may leave things undecided, and nothing else. */
  isSteady: boolean;
}

/** A store, and the clocks it goes by. */
interface Real {
  readonly store: LeasingReplayStore;
  readonly clocks: Clocks;
  readonly tokenIds: string;
  pass(seconds: number): Promise<void> | void;
}

function holderIn(model: Model, id: string): Known {
  const known = model.uses.get(id);
  if (known === undefined || known === 'done') return known;
  return known.untilSeconds > model.passedSeconds ? known : undefined;
}

function useOf({ clocks, tokenIds }: Real, id: string): TokenUse {
  const start = 1_800_000_000;
  return {
    issuer: HERALD,
    tokenId: `${tokenIds}${id}`,
    nowSeconds: clocks.wallSeconds,
    issuedAtSeconds: start,
    forgetAtSeconds: start + LIFETIME_SECONDS,
  };
}

function expectAnswer(model: Model, answer: unknown, expected: unknown): boolean {
  if (!model.isSteady && typeof answer === 'string' && UNDECIDED.test(answer)) return false;
  expect(answer).toBe(expected);
  return true;
}

abstract class Step implements fc.AsyncCommand<Model, Real> {
  constructor(
    protected readonly id: string,
    protected readonly owner: string,
    protected readonly seconds: number,
  ) {}

  check(): boolean {
    return true;
  }

  abstract run(model: Model, real: Real): Promise<void>;

  /** No multiple of what passes, so that no step is at the very end of a lease. */
  protected get leaseSeconds(): number {
    return this.seconds + 50;
  }

  protected hold(model: Model): void {
    const untilSeconds = model.passedSeconds + this.leaseSeconds;
    model.uses.set(this.id, { owner: this.owner, untilSeconds });
  }

  protected isOwn(model: Model): boolean {
    const known = holderIn(model, this.id);
    return typeof known === 'object' && known.owner === this.owner;
  }

  toString(): string {
    return `${this.constructor.name}(${this.id}, ${this.owner}, ${this.seconds})`;
  }
}

class Reserve extends Step {
  async run(model: Model, real: Real): Promise<void> {
    const known = holderIn(model, this.id);
    const expected = known === 'done' ? 'seen' : known ? 'busy' : 'first';
    const lease = leaseOf(this.owner, this.leaseSeconds);
    const answer = await answerOf(() => real.store.reserve(useOf(real, this.id), lease));
    if (expectAnswer(model, answer, expected) && expected === 'first') this.hold(model);
  }
}

class Renew extends Step {
  async run(model: Model, real: Real): Promise<void> {
    const isOwn = this.isOwn(model);
    const lease = leaseOf(this.owner, this.leaseSeconds);
    expect(await real.store.renew(useOf(real, this.id), lease)).toBe(isOwn);
    if (isOwn) this.hold(model);
  }
}

class Commit extends Step {
  /** A commit that is sent again may answer as the first did. */
  override check(model?: Model): boolean {
    return model?.uses.get(this.id) !== 'done';
  }

  async run(model: Model, real: Real): Promise<void> {
    const isOwn = this.isOwn(model);
    expect(await real.store.commit(useOf(real, this.id), this.owner)).toBe(isOwn);
    model.uses.set(this.id, 'done');
  }
}

class Release extends Step {
  async run(model: Model, real: Real): Promise<void> {
    await real.store.release(useOf(real, this.id), this.owner);
    if (this.isOwn(model)) model.uses.set(this.id, undefined);
  }
}

class RecordUse extends Step {
  async run(model: Model, real: Real): Promise<void> {
    const expected = holderIn(model, this.id) === undefined ? 'first' : 'seen';
    const answer = await answerOf(() => real.store.recordUse(useOf(real, this.id)));
    if (!expectAnswer(model, answer, expected)) return;
    if (expected === 'first') model.uses.set(this.id, 'done');
  }
}

class Pass extends Step {
  async run(model: Model, real: Real): Promise<void> {
    model.passedSeconds += this.seconds;
    await real.pass(this.seconds);
  }
}

class SetWallClock extends Step {
  run(model: Model, real: Real): Promise<void> {
    model.isSteady = false;
    real.clocks.step(this.owner === 'a' ? -this.seconds : this.seconds);
    return Promise.resolve();
  }
}

const steps = (kinds: readonly (new (...parts: [string, string, number]) => Step)[]) =>
  fc.commands(
    kinds.map((Kind) =>
      fc
        .tuple(
          fc.constantFrom(...USES),
          fc.constantFrom(...OWNERS),
          fc.integer({ min: 1, max: 20 }).map((times) => times * 100),
        )
        .map((parts) => new Kind(...parts)),
    ),
    { maxCommands: 25 },
  );

const STEADY = [Reserve, Renew, Commit, Release, RecordUse, Pass, Reserve] as const;

async function follow(commands: Iterable<fc.AsyncCommand<Model, Real>>, real: Real) {
  const model = { uses: new Map<string, Known>(), passedSeconds: 0, isSteady: true };
  await fc.asyncModelRun(() => ({ model, real }), commands);
}

describe('reservations of uses', () => {
  const startMemory = (): Real => {
    const clocks = new Clocks();
    const store = new MemoryReplayStore({ monotonicNow: clocks.monotonicNow });
    return { store, clocks, tokenIds: '', pass: (seconds) => clocks.pass(seconds) };
  };

  itHolds(
    'RP-08 in memory go by the model, whatever several owners do',
    [steps(STEADY)],
    async (commands) => await follow(commands, startMemory()),
  );

  itHolds(
    'RP-08, RP-19 in memory go by the model, or are undecided, whatever steps the wall clock makes',
    [steps([...STEADY, SetWallClock])],
    async (commands) => await follow(commands, startMemory()),
  );
});

describeRedis('reservations of uses in Redis', () => {
  let redis: RedisServer;
  let open: OpenClient;
  let store: RedisReplayStore;
  let clocks: Clocks;
  let runs = 0;
  beforeAll(async () => {
    redis = await RedisServer.start();
    open = openClient('ioredis', redis.port);
    await open.ready();
    store = new RedisReplayStore({
      client: open.client,
      timeoutMilliseconds: 10_000,
      monotonicNow: () => clocks.monotonicMilliseconds,
    });
  });
  afterAll(async () => {
    open.close();
    await redis.close();
  });

  it('RP-08 go by the model, whatever several owners do', async () => {
    const property = fc.asyncProperty(steps(STEADY), async (commands) => {
      clocks = new Clocks();
      const pass = async (seconds: number): Promise<void> => {
        clocks.pass(seconds);
        for (const key of await redis.keys()) {
          const left = (await redis.command('PTTL', key)) as number;
          await redis.command('PEXPIRE', key, `${left - seconds * 1000}`);
        }
      };
      await redis.command('FLUSHALL');
      await follow(commands, { store, clocks, tokenIds: `${++runs}`, pass });
    });
    await fc.assert(property, { numRuns: 200 });
  }, 300_000);
});
