import cluster from 'node:cluster';
import {
  type ReplayStore,
  ServiceAuthConfigError,
  type ServiceAuthObserver,
  ServiceAuthUnavailableError,
  tell,
  type TokenUse,
  type TokenUseVerdict,
} from '../core/index.js';
import { digestTokenUse } from './token-use-digest.js';

/** What a `MemoryReplayStore` is made with. */
export interface MemoryReplayStoreOptions {
  /** The most live uses that are remembered; beyond it requests are refused with 503. Default 1,000,000. */
  maxEntries?: number;
  /**
   * What becomes of tokens that were issued before the store was made, and may have been used before a
   * restart. `refuse` counts them as used, and those that do not say when they were issued. Default `accept`.
   */
  issuedBeforeStart?: 'accept' | 'refuse';
  /** A clock that never steps, in milliseconds. Default `performance.now`. */
  monotonicNow?: () => number;
}

/**
 * Remembers used tokens in the memory of one process: exact, bounded, without timers. Several
 * processes of one service need a store they share.
 *
 * Entries are forgotten by a clock that never steps, a second's worth at a time. A wall clock that
 * was put back would make forgotten tokens valid again, so whatever could have been forgotten
 * counts as seen.
 */
export class MemoryReplayStore implements ReplayStore {
  private readonly live = new Set<string>();
  /** Keys by the monotonic second in which they are forgotten. */
  private readonly bySecond = new Map<number, string[]>();
  private readonly maxEntries: number;
  private readonly monotonicNow: () => number;
  private readonly startedAt: number;
  private readonly refusesIssuedBeforeStart: boolean;
  private sweptSecond: number;
  /** The latest `forgetAtSeconds` that was forgotten. */
  private forgottenUntilSeconds = -Infinity;
  private readonly forgetAt = new Map<number, number>();

  constructor(options: MemoryReplayStoreOptions = {}) {
    this.maxEntries = options.maxEntries ?? 1_000_000;
    if (!Number.isSafeInteger(this.maxEntries) || this.maxEntries < 1) {
      throw new ServiceAuthConfigError(['maxEntries: write a whole number from 1']);
    }
    const { issuedBeforeStart = 'accept' } = options;
    if (issuedBeforeStart !== 'accept' && issuedBeforeStart !== 'refuse') {
      throw new ServiceAuthConfigError(["issuedBeforeStart: write 'accept' or 'refuse'"]);
    }
    this.refusesIssuedBeforeStart = issuedBeforeStart === 'refuse';
    this.monotonicNow = options.monotonicNow ?? (() => performance.now());
    this.startedAt = this.monotonicNow();
    this.sweptSecond = this.nowSecond();
  }

  /** How many uses are remembered. */
  get size(): number {
    return this.live.size;
  }

  /** Warns in a worker of `node:cluster`, which PM2's cluster mode is too: the others do not see these uses. */
  start(observer: ServiceAuthObserver): void {
    if (!cluster.isWorker) return;
    const reason =
      'each process of the cluster remembers for itself: give replayStore a shared one';
    tell(observer, { type: 'replay_store_unsafe', reason });
  }

  recordUse(use: TokenUse): TokenUseVerdict {
    if (this.refusesIssuedBeforeStart && this.mayBeIssuedBeforeStart(use)) return 'seen';
    this.sweep();
    const key = digestTokenUse(use, 'binary');
    if (this.live.has(key) || use.forgetAtSeconds <= this.forgottenUntilSeconds) return 'seen';
    if (this.live.size >= this.maxEntries) {
      throw new ServiceAuthUnavailableError('replay_store_unavailable', {
        detail: `the memory store is full (${this.maxEntries} entries)`,
      });
    }
    this.remember(key, use);
    return 'first';
  }

  /** By the issuer's clock, which may have been ahead when a token was used before the start. */
  private mayBeIssuedBeforeStart(use: TokenUse): boolean {
    const { issuedAtSeconds, nowSeconds, clockToleranceSeconds = 0 } = use;
    const startedAtSeconds = nowSeconds - (this.monotonicNow() - this.startedAt) / 1000;
    return !(
      issuedAtSeconds !== undefined && issuedAtSeconds > startedAtSeconds + clockToleranceSeconds
    );
  }

  private remember(key: string, use: TokenUse): void {
    const secondsLeft = Math.max(0, Math.ceil(use.forgetAtSeconds - use.nowSeconds));
    const second = this.nowSecond() + secondsLeft + 1;
    const keys = this.bySecond.get(second);
    if (keys) keys.push(key);
    else this.bySecond.set(second, [key]);
    this.forgetAt.set(
      second,
      Math.max(this.forgetAt.get(second) ?? -Infinity, use.forgetAtSeconds),
    );
    this.live.add(key);
  }

  /**
   * Forgets what is due. At most once a second all pending seconds are looked at, of which there are as many as
   * a token may live; each entry is removed once. A request does none of this but the first of its second.
   */
  private sweep(): void {
    const now = this.nowSecond();
    if (now <= this.sweptSecond) return;
    for (const second of this.dueSeconds(now)) {
      for (const key of this.bySecond.get(second) ?? []) this.live.delete(key);
      this.forgottenUntilSeconds = Math.max(
        this.forgottenUntilSeconds,
        this.forgetAt.get(second) ?? -Infinity,
      );
      this.bySecond.delete(second);
      this.forgetAt.delete(second);
    }
    this.sweptSecond = now;
  }

  private dueSeconds(now: number): number[] {
    return [...this.bySecond.keys()].filter((second) => second <= now);
  }

  private nowSecond(): number {
    return Math.floor(this.monotonicNow() / 1000);
  }
}
