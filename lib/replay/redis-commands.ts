import { ServiceAuthUnavailableError, withinDeadline } from '../core/index.js';
import { describeEviction } from './redis-eviction.js';
import type { RedisReplayStoreSettings } from './redis-replay-store.options.js';
import { readServerSeconds } from './redis-server-info.js';
import { ServerWatch } from './server-watch.js';

/** How many commands may wait for a Redis that says nothing. Beyond it requests are refused at once. */
const MAX_UNANSWERED = 10_000;

/** For what happens at start, which no request waits for. */
const START_MILLISECONDS = 5000;

/** What the commands report to their store. */
export interface RedisReports {
  /** Redis works, and may forget a use. */
  unsafe(reason: string): void;
  /** The client reported an error. */
  failed(reason: string): void;
  /** The client has connected. */
  connected(): void;
}

/**
 * Sends commands over a client, and gives answers that can be relied on: in time, over the connection they were sent on,
 * and from a server that is known. The client is never asked to queue a command.
 */
export class RedisCommands {
  readonly server: ServerWatch;
  private unanswered = 0;
  private connections = 0;
  private lastError: string | undefined;

  constructor(
    private readonly settings: RedisReplayStoreSettings,
    private readonly reports: RedisReports,
  ) {
    const { connection, monotonicNow } = settings;
    this.server = new ServerWatch(connection, monotonicNow, (reason) => reports.unsafe(reason));
    if (connection.isReady()) this.server.check();
    connection.onReady(() => this.noteConnection());
    connection.onMove(() => this.server.check());
    connection.onError((error) => this.noteError(error));
  }

  /**
   * The answer to a command.
   *
   * @param send sends it at once
   * @throws Error saying why there is none, or none that can be relied on: the command may have been executed
   */
  async ask<T>(send: () => Promise<T>): Promise<T> {
    const { timeoutMilliseconds } = this.settings;
    this.assertSendable();
    const asked = this.connections;
    this.unanswered += 1;
    const answering = send().finally(() => (this.unanswered -= 1));
    const answer = await withinDeadline(timeoutMilliseconds, answering);
    if (this.server.isChecking) await withinDeadline(timeoutMilliseconds, this.server.settled());
    // What a lost connection left open is sent again, and then finds the key that it set itself.
    if (asked !== this.connections) throw new Error('the connection to Redis was lost meanwhile');
    return answer;
  }

  /**
   * The answer to a write, after as many replicas have it as the options say.
   *
   * @param isWritten whether the answer means that something was written
   */
  async replicated<T>(writing: Promise<T>, isWritten: (answer: T) => boolean): Promise<T> {
    const { connection, waitForReplicas } = this.settings;
    if (!waitForReplicas) return await writing;
    const { count, timeoutMilliseconds } = waitForReplicas;
    // Both at once, so that they go over the same connection.
    const waiting = connection.waitForReplicas(count, timeoutMilliseconds);
    const [answer, replicas] = await Promise.all([writing, waiting]);
    if (!isWritten(answer) || (typeof replicas === 'number' && replicas >= count)) return answer;
    throw new Error(`fewer than ${count} replicas have the use`);
  }

  /** The clock of Redis, in seconds since the epoch; undefined if it names none. */
  async serverSeconds(): Promise<number | undefined> {
    this.assertSendable();
    const { connection, timeoutMilliseconds } = this.settings;
    return readServerSeconds(await withinDeadline(timeoutMilliseconds, connection.info('server')));
  }

  /** Why commands fail at start, before anybody listened; undefined for a client that is still connecting. */
  get failure(): string | undefined {
    const isConnecting = this.settings.connection.isConnecting();
    return isConnecting ? this.lastError : this.notConnected();
  }

  /** Never throws: a client without the right to look gets a warning. */
  async reportEviction(): Promise<void> {
    const info = this.settings.connection.info('memory');
    const reason = await withinDeadline(START_MILLISECONDS, info).then(
      describeEviction,
      (error) => `it cannot be told whether Redis evicts keys: ${messageOf(error)}`,
    );
    if (reason !== undefined) this.reports.unsafe(reason);
  }

  async assertConnected(): Promise<void> {
    const { connection } = this.settings;
    const connected = new Promise<void>((resolve) => connection.onReady(resolve));
    try {
      await withinDeadline(START_MILLISECONDS, connected);
    } catch {
      const detail = this.notConnected();
      throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail });
    }
  }

  private assertSendable(): void {
    if (!this.settings.connection.isReady()) throw new Error(this.notConnected());
    if (this.unanswered < MAX_UNANSWERED) return;
    throw new Error(`${MAX_UNANSWERED} commands are waiting for Redis`);
  }

  private notConnected(): string {
    return `Redis is not connected${this.because()}`;
  }

  private because(): string {
    if (this.lastError !== undefined) return `: ${this.lastError}`;
    if (!this.settings.connection.isConnecting()) return ': call connect() of the client';
    return this.connections > 0 ? ' any more' : ' yet';
  }

  private noteConnection(): void {
    this.connections += 1;
    this.server.check();
    this.lastError = undefined;
    this.reports.connected();
  }

  private noteError(error: unknown): void {
    this.lastError = messageOf(error);
    this.reports.failed(this.lastError);
  }
}

/** The text alone: the error objects of clients hold commands, credentials among them. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return 'the client failed';
  const code: unknown = Reflect.get(error, 'code');
  return error.message || (typeof code === 'string' ? code : error.name);
}
