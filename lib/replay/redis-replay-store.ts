import {
  type ReplayStore,
  type ServiceAuthObserver,
  ServiceAuthUnavailableError,
  tell,
  type TokenUse,
  type TokenUseVerdict,
  withinDeadline,
} from '../core/index.js';
import { ClockHistory } from './clock-history.js';
import { describeEviction } from './redis-eviction.js';
import {
  readRedisReplayStoreOptions,
  type RedisReplayStoreOptions,
  type RedisReplayStoreSettings,
} from './redis-replay-store.options.js';
import { readServerSeconds } from './redis-server-info.js';
import { ServerWatch } from './server-watch.js';
import { StoreOutage } from './store-outage.js';
import { digestTokenUse } from './token-use-digest.js';

/** The most commands that may wait for a silent Redis. Over this limit requests are refused immediately. */
const MAX_UNANSWERED = 10_000;

/** How many seconds the clocks of processes that share a Redis may differ, without a token being used twice. */
const CLOCK_MARGIN_SECONDS = 60;

const ACCEPTS_UNCHECKED = 'they are accepted unchecked while Redis cannot decide (onUnavailable)';

const LOST =
  'Redis may be another server than before, and may have forgotten the use of a token that was issued before that';

/** The time limit at start, for which no request waits. */
const START_MILLISECONDS = 5000;

/**
 * Remembers used tokens in a Redis that all processes of a service share: one `SET key 1 PX ... NX` for each. If
 * Redis does not answer in time, or gives another answer, the request is refused with 503. So is every request while
 * the client is not connected: the store never lets it queue a command.
 *
 * A wall clock that is set back makes tokens valid again that Redis has forgotten: those are refused with 503.
 *
 * The store depends on Redis: a token whose use Redis loses (`FLUSHALL`, a restart, a failover, eviction) can be used
 * once more until it expires.
 */
export class RedisReplayStore implements ReplayStore {
  private readonly settings: RedisReplayStoreSettings;
  private readonly observers = new Set<ServiceAuthObserver>();
  private readonly outage = new StoreOutage((event) => {
    for (const observer of this.observers) tell(observer, event);
  });
  private readonly server: ServerWatch;
  private unanswered = 0;
  private connections = 0;
  private lastError: string | undefined;
  private readonly clock = new ClockHistory(CLOCK_MARGIN_SECONDS);

  /** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
  constructor(options: RedisReplayStoreOptions) {
    this.settings = readRedisReplayStoreOptions(options);
    const { connection, monotonicNow } = this.settings;
    this.server = new ServerWatch(connection, monotonicNow, (reason) => {
      for (const observer of this.observers)
        tell(observer, { type: 'replay_store_unsafe', reason });
    });
    if (connection.isReady()) this.server.check();
    connection.onReady(() => this.noteConnection());
    connection.onMove(() => this.server.check());
    connection.onError((error) => this.noteError(error));
  }

  async recordUse(use: TokenUse): Promise<TokenUseVerdict> {
    this.assertNotForgotten(use);
    try {
      const verdict = await this.ask(use);
      this.outage.end();
      return verdict;
    } catch (cause) {
      const unchecked = this.settings.onUnavailable === 'accept-unchecked';
      this.outage.count(messageOf(cause), unchecked ? use.issuer : undefined);
      if (unchecked) return 'first';
      throw new ServiceAuthUnavailableError('replay_store_unavailable', {
        detail: messageOf(cause),
        cause,
      });
    }
  }

  /** Begins to report failures, checks whether Redis may evict keys, and warns of a loose option. */
  async start(observer: ServiceAuthObserver): Promise<void> {
    this.observers.add(observer);
    const { connection, onUnavailable, requireConnectionAtStart } = this.settings;
    if (onUnavailable === 'accept-unchecked') {
      tell(observer, { type: 'replay_store_unsafe', reason: ACCEPTS_UNCHECKED });
    }
    if (connection.risk !== undefined) {
      tell(observer, { type: 'replay_store_unsafe', reason: connection.risk });
    }
    if (connection.isReady()) await this.reportEviction();
    else if (requireConnectionAtStart) await this.assertConnected();
    else this.reportFailedConnection(observer);
  }

  /** Stops reporting to this observer. The client stays open. */
  close(observer: ServiceAuthObserver): void {
    this.observers.delete(observer);
  }

  /** A clock that is set back makes tokens valid again that Redis has forgotten. */
  private assertNotForgotten(use: TokenUse): void {
    const steadySeconds = this.settings.monotonicNow() / 1000;
    const seconds = this.clock.putBackSeconds(use, steadySeconds);
    if (seconds === undefined) return this.clock.note(use, steadySeconds);
    const detail = `the clock was put back by ${seconds.toFixed(1)} s: the use may be forgotten`;
    this.outage.count(detail, undefined);
    throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail });
  }

  private async ask(use: TokenUse): Promise<TokenUseVerdict> {
    const { connection, timeoutMilliseconds, monotonicNow } = this.settings;
    if (!connection.isReady()) throw new Error(`Redis is not connected${this.because()}`);
    if (this.unanswered >= MAX_UNANSWERED) {
      throw new Error(`${MAX_UNANSWERED} commands are waiting for Redis`);
    }
    if (this.clock.wasPast(use, monotonicNow() / 1000)) await this.assertClock(use);
    this.server.note(use);
    const asked = this.connections;
    this.unanswered += 1;
    const answering = this.write(use).finally(() => (this.unanswered -= 1));
    const answer = await withinDeadline(timeoutMilliseconds, answering);
    if (this.server.isChecking) await withinDeadline(timeoutMilliseconds, this.server.settled());
    // After a lost connection the client sends the command again, which then finds the key that it set itself.
    if (asked !== this.connections) throw new Error('the connection to Redis was lost meanwhile');
    if (answer === null) return 'seen';
    if (answer === 'OK') {
      if (this.server.mayHaveLost(use)) throw new Error(LOST);
      return 'first';
    }
    throw new Error('Redis answered neither OK nor nil');
  }

  /** The clock was set back, but not into a time with known uses. Checks the new time against the clock of Redis. */
  private async assertClock({ nowSeconds }: TokenUse): Promise<void> {
    const { connection, timeoutMilliseconds } = this.settings;
    const info = await withinDeadline(timeoutMilliseconds, connection.info('server'));
    const seconds = readServerSeconds(info);
    if (seconds === undefined) throw new Error('the clock was put back, and Redis tells no time');
    const apart = Math.abs(seconds - nowSeconds);
    if (apart <= CLOCK_MARGIN_SECONDS) return;
    throw new Error(
      `the clock was put back, and is ${apart.toFixed(1)} s apart from that of Redis`,
    );
  }

  private async write(use: TokenUse): Promise<unknown> {
    const { connection, keyPrefix, waitForReplicas } = this.settings;
    const key = keyPrefix + digestTokenUse(use, 'base64url');
    const setting = connection.setIfAbsent(key, millisecondsToRemember(use));
    if (!waitForReplicas) return await setting;
    const { count, timeoutMilliseconds } = waitForReplicas;
    // Both together, so that they use the same connection.
    const waiting = connection.waitForReplicas(count, timeoutMilliseconds);
    const [answer, replicas] = await Promise.all([setting, waiting]);
    if (answer !== 'OK' || (typeof replicas === 'number' && replicas >= count)) return answer;
    throw new Error(`fewer than ${count} replicas have the use`);
  }

  private noteConnection(): void {
    this.connections += 1;
    this.server.check();
    this.lastError = undefined;
    if (this.observers.size > 0) void this.reportEviction();
  }

  private noteError(error: unknown): void {
    this.lastError = messageOf(error);
    this.outage.begin(this.lastError);
  }

  /** Reports failures from before the start. A client that is still connecting has not failed. */
  private reportFailedConnection(observer: ServiceAuthObserver): void {
    const isConnecting = this.settings.connection.isConnecting();
    const reason = isConnecting ? this.lastError : `Redis is not connected${this.because()}`;
    if (reason !== undefined) tell(observer, { type: 'replay_store_failed', reason });
  }

  private because(): string {
    if (this.lastError !== undefined) return `: ${this.lastError}`;
    if (!this.settings.connection.isConnecting()) return ': call connect() of the client';
    return this.connections > 0 ? ' any more' : ' yet';
  }

  /** Never throws: reports a missing permission instead. */
  private async reportEviction(): Promise<void> {
    const info = this.settings.connection.info('memory');
    const reason = await withinDeadline(START_MILLISECONDS, info).then(
      describeEviction,
      (error) => {
        return `it cannot be told whether Redis evicts keys: ${messageOf(error)}`;
      },
    );
    if (reason === undefined) return;
    for (const observer of this.observers) tell(observer, { type: 'replay_store_unsafe', reason });
  }

  private async assertConnected(): Promise<void> {
    const { connection } = this.settings;
    const connected = new Promise<void>((resolve) => connection.onReady(resolve));
    try {
      await withinDeadline(START_MILLISECONDS, connected);
    } catch {
      throw new ServiceAuthUnavailableError('replay_store_unavailable', {
        detail: `Redis is not connected${this.because()}`,
      });
    }
  }
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

/** Only the text: error objects of clients contain commands, including credentials. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return 'the client failed';
  const code: unknown = Reflect.get(error, 'code');
  return error.message || (typeof code === 'string' ? code : error.name);
}
