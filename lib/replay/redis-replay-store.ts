import {
  type Lease,
  type LeasingReplayStore,
  type ReservationVerdict,
  type ServiceAuthEvent,
  type ServiceAuthObserver,
  ServiceAuthUnavailableError,
  tell,
  type TokenUse,
  type TokenUseVerdict,
} from '../core/index.js';
import { ClockHistory } from './clock-history.js';
import { lengthOf } from './lease-length.js';
import { messageOf, RedisCommands } from './redis-commands.js';
import { COMMIT, type LeaseScript, RELEASE, RENEW, RESERVE } from './redis-lease-scripts.js';
import {
  readRedisReplayStoreOptions,
  type RedisReplayStoreOptions,
  type RedisReplayStoreSettings,
} from './redis-replay-store.options.js';
import { failureOf, StoreOutage } from './store-outage.js';
import { digestTokenUse } from './token-use-digest.js';

/** How far the clocks of processes that share a Redis may differ without a token being used twice. */
const CLOCK_MARGIN_SECONDS = 60;

const ACCEPTS_UNCHECKED = 'they are accepted unchecked while Redis cannot decide (onUnavailable)';

const LOST =
  'Redis may be another server than before, and may have forgotten the use of a token that was issued before that';

/**
 * Remembers used tokens in a Redis that all processes of a service share: one `SET key 1 PX ... NX` for each. If
 * Redis does not answer in time, or gives another answer, the request is refused with 503. So is every request while
 * the client is not connected: the store never lets it queue a command.
 *
 * A use of a delivery is reserved, renewed, committed and released by one `EVAL` each. `onUnavailable` does not apply to
 * these four: the broker delivers a refused message again, so that a reservation which nobody holds would save nothing.
 *
 * A wall clock that was put back makes tokens valid again that Redis has forgotten: those are refused with 503.
 *
 * The store depends on Redis: a token whose use Redis loses (`FLUSHALL`, a restart, a failover, eviction) can be used
 * once more until it expires.
 */
export class RedisReplayStore implements LeasingReplayStore {
  private readonly settings: RedisReplayStoreSettings;
  private readonly observers = new Set<ServiceAuthObserver>();
  private readonly outage: StoreOutage;
  private readonly redis: RedisCommands;
  private readonly clock = new ClockHistory(CLOCK_MARGIN_SECONDS);

  /** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
  constructor(options: RedisReplayStoreOptions) {
    this.settings = readRedisReplayStoreOptions(options);
    const report = (event: ServiceAuthEvent): void => {
      for (const observer of this.observers) tell(observer, event);
    };
    this.outage = new StoreOutage(report, this.acceptsUnchecked);
    this.redis = new RedisCommands(this.settings, {
      unsafe: (reason) => this.reportUnsafe(reason),
      failed: (reason) => this.outage.begin(reason),
      connected: () => {
        if (this.observers.size > 0) void this.redis.reportEviction();
      },
    });
  }

  async recordUse(use: TokenUse): Promise<TokenUseVerdict> {
    return await this.decide(use, this.acceptsUnchecked, async () => await this.record(use));
  }

  /** Reserves a use. A `first` is never given without Redis, whatever `onUnavailable` says. */
  async reserve(use: TokenUse, lease: Lease): Promise<ReservationVerdict> {
    const args = [lease.owner, `${lengthOf(lease)}`];
    return await this.decide(use, false, async () => await this.makeReservation(use, args));
  }

  async renew(use: TokenUse, lease: Lease): Promise<boolean> {
    const length = lengthOf(lease);
    return await this.isOwned(RENEW, use, [lease.owner, `${length}`]);
  }

  async commit(use: TokenUse, owner: string): Promise<boolean> {
    return await this.isOwned(COMMIT, use, [owner, `${millisecondsToRemember(use)}`]);
  }

  async release(use: TokenUse, owner: string): Promise<void> {
    await this.isOwned(RELEASE, use, [owner]);
  }

  /** Begins to report failures, checks whether Redis may evict keys, and warns of a loose option. */
  async start(observer: ServiceAuthObserver): Promise<void> {
    this.observers.add(observer);
    const { connection, requireConnectionAtStart } = this.settings;
    if (this.acceptsUnchecked) {
      tell(observer, { type: 'replay_store_unsafe', reason: ACCEPTS_UNCHECKED });
    }
    if (connection.risk !== undefined) {
      tell(observer, { type: 'replay_store_unsafe', reason: connection.risk });
    }
    if (connection.isReady()) await this.redis.reportEviction();
    else if (requireConnectionAtStart) await this.redis.assertConnected();
    else this.reportFailedConnection(observer);
  }

  /** Stops reporting to this observer. The client stays open. */
  close(observer: ServiceAuthObserver): void {
    this.observers.delete(observer);
  }

  private get acceptsUnchecked(): boolean {
    return this.settings.onUnavailable === 'accept-unchecked';
  }

  /** A clock that is set back makes tokens valid again that Redis has forgotten. */
  private assertNotForgotten(use: TokenUse): void {
    const steadySeconds = this.settings.monotonicNow() / 1000;
    const seconds = this.clock.putBackSeconds(use, steadySeconds);
    if (seconds === undefined) return this.clock.note(use, steadySeconds);
    const detail = `the clock was put back by ${seconds.toFixed(1)} s: the use may be forgotten`;
    this.outage.countRefused(detail);
    throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail });
  }

  /** @param unchecked whether the answer is `first` where there is none */
  private async decide<T>(use: TokenUse, unchecked: boolean, ask: () => Promise<T>) {
    this.assertNotForgotten(use);
    try {
      if (this.mayBePutBack(use)) await this.assertClock(use);
      this.redis.server.note(use);
      const verdict = await ask();
      this.outage.end();
      return verdict;
    } catch (cause) {
      this.outage.count(messageOf(cause), unchecked ? use.issuer : undefined);
      if (unchecked) return 'first';
      throw unavailable(cause);
    }
  }

  private async record(use: TokenUse): Promise<TokenUseVerdict> {
    const { connection } = this.settings;
    const answer = await this.redis.ask(async () => {
      const setting = connection.setIfAbsent(this.keyOf(use), millisecondsToRemember(use));
      return await this.redis.replicated(setting, (said) => said === 'OK');
    });
    if (answer === null) return 'seen';
    if (answer !== 'OK') throw new Error('Redis answered neither OK nor nil');
    return this.firstOf(use);
  }

  private async makeReservation(use: TokenUse, args: string[]): Promise<ReservationVerdict> {
    const answer = await this.run(RESERVE, use, args);
    return answer === 'seen' || answer === 'busy' ? answer : this.firstOf(use);
  }

  private firstOf(use: TokenUse): 'first' {
    if (this.redis.server.mayHaveLost(use)) throw new Error(LOST);
    return 'first';
  }

  private mayBePutBack(use: TokenUse): boolean {
    return this.clock.wasPast(use, this.settings.monotonicNow() / 1000);
  }

  /** The clock was set back, but not into a time with known uses. Checks the new time against the clock of Redis. */
  private async assertClock({ nowSeconds }: TokenUse): Promise<void> {
    const seconds = await this.redis.serverSeconds();
    if (seconds === undefined) throw new Error('the clock was put back, and Redis tells no time');
    const apart = Math.abs(seconds - nowSeconds);
    if (apart <= CLOCK_MARGIN_SECONDS) return;
    throw new Error(
      `the clock was put back, and is ${apart.toFixed(1)} s apart from that of Redis`,
    );
  }

  /** Of a delivery that was let in: what fails is reported, and is no request that was refused. */
  private async isOwned(script: LeaseScript, use: TokenUse, args: string[]): Promise<boolean> {
    try {
      const answer = await this.run(script, use, args);
      this.outage.end();
      return answer === 'owned';
    } catch (cause) {
      this.outage.begin(messageOf(cause));
      throw unavailable(cause);
    }
  }

  private async run({ text, answers }: LeaseScript, use: TokenUse, args: string[]) {
    const { connection } = this.settings;
    const answer = await this.redis.ask(async () => {
      const running = connection.evaluate(text, this.keyOf(use), args);
      return await this.redis.replicated(running, (said) => said === 'first' || said === 'owned');
    });
    if (typeof answer === 'string' && answers.includes(answer)) return answer;
    throw new Error(`Redis answered none of ${answers.join(', ')}`);
  }

  private keyOf(use: TokenUse): string {
    return this.settings.keyPrefix + digestTokenUse(use, 'base64url');
  }

  private reportUnsafe(reason: string): void {
    for (const observer of this.observers) tell(observer, { type: 'replay_store_unsafe', reason });
  }

  /** Reports failures from before the start. A client that is still connecting has not failed. */
  private reportFailedConnection(observer: ServiceAuthObserver): void {
    const reason = this.redis.failure;
    if (reason !== undefined) tell(observer, failureOf(reason, this.acceptsUnchecked));
  }
}

function unavailable(cause: unknown): ServiceAuthUnavailableError {
  return new ServiceAuthUnavailableError('replay_store_unavailable', {
    detail: messageOf(cause),
    cause,
  });
}

/**
 * Counted from the `iat` of the token, plus a margin beyond its last acceptance: the clock of this process may be
 * ahead of other clocks, or be set back later.
 */
function millisecondsToRemember({
  forgetAtSeconds,
  nowSeconds,
  issuedAtSeconds,
}: TokenUse): number {
  const fromSeconds = Math.min(nowSeconds, issuedAtSeconds ?? nowSeconds);
  const milliseconds = Math.ceil((forgetAtSeconds - fromSeconds) * 1000);
  return Math.max(0, milliseconds) + CLOCK_MARGIN_SECONDS * 1000;
}
