import { randomBytes } from 'node:crypto';
import {
  type Lease,
  type LeasingReplayStore,
  ServiceAuthUnavailableError,
  type TokenUse,
  withinDeadline,
} from '../core/index.js';
import { Backoff } from './backoff.js';

export interface ReserveOptions {
  /** How long a reservation lasts without renewal: a process that stops for longer may lose it. */
  readonly leaseMilliseconds: number;
  /** In seconds since the epoch: expiry of the token plus clock tolerance. From then on nothing is reserved or renewed. */
  readonly mayRenewUntilSeconds: number;
  /** The wall clock, in milliseconds since the epoch. */
  readonly now: () => number;
  /** A clock that never steps, in milliseconds. */
  readonly monotonicNow: () => number;
  /** How long to ask again while another delivery holds the use. Default 0: one question. */
  readonly waitMilliseconds?: number;
}

/**
 * Reserves a use for the handler that is about to run. While another delivery holds it, asks again after 50 ms, doubled
 * up to 2 s.
 *
 * @returns the reservation, which renews itself until `commit()` or `release()`. `busy`: another delivery still holds the
 *   use, or its token has expired meanwhile. `seen`: the use is done
 * @throws ServiceAuthUnavailableError `replay_store_unavailable` when the store cannot decide. A reservation that it may
 *   have made is released
 */
export async function reserveUse(
  store: LeasingReplayStore,
  use: TokenUse,
  options: ReserveOptions,
): Promise<LeasedUse | 'busy' | 'seen'> {
  const { leaseMilliseconds, mayRenewUntilSeconds, now, monotonicNow } = options;
  const lease = { owner: randomBytes(16).toString('base64url'), milliseconds: leaseMilliseconds };
  const backoff = new Backoff(options.waitMilliseconds ?? 0, monotonicNow);
  for (;;) {
    const nowSeconds = now() / 1000;
    // The use of an expired token may be forgotten, so that it must not be reserved after a wait.
    if (!(nowSeconds < mayRenewUntilSeconds)) return 'busy';
    const dated = { ...use, nowSeconds };
    const verdict = await reserve(store, dated, lease);
    if (verdict === 'first') return new LeasedUse(store, dated, { ...options, lease });
    if (verdict === 'seen') return 'seen';
    const pause = backoff.next();
    if (pause === undefined) return 'busy';
    await timePasses(pause);
  }
}

async function reserve(store: LeasingReplayStore, use: TokenUse, lease: Lease) {
  try {
    const verdict: unknown = await store.reserve(use, lease);
    if (verdict === 'first' || verdict === 'busy' || verdict === 'seen') return verdict;
    throw new Error('the store answered none of "first", "busy", "seen"');
  } catch (cause) {
    void attempt(async () => await store.release(use, lease.owner));
    if (cause instanceof ServiceAuthUnavailableError) throw cause;
    const detail = cause instanceof Error ? cause.message : 'the store failed';
    throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail, cause });
  }
}

/** What a reservation was made with. */
interface Held extends ReserveOptions {
  readonly lease: Lease;
}

/**
 * A use that this process holds while a handler runs. It renews itself at each third of its length, and as soon as it can
 * after a renewal that failed. Its timers keep no process alive.
 *
 * `commit()` and `release()` end it: the first call decides, later calls wait for the same end.
 */
export class LeasedUse {
  private timer: NodeJS.Timeout | undefined;
  private failures: Backoff | undefined;
  private ending: Promise<'owned' | 'lost'> | undefined;

  /** @param held as it was reserved a moment ago */
  constructor(
    private readonly store: LeasingReplayStore,
    private readonly use: TokenUse,
    private readonly held: Held,
  ) {
    this.schedule(this.renewalMilliseconds);
  }

  /**
   * Writes that the use is done: the handler has had its effect. Asks a store that cannot answer again, for as long as a
   * lease lasts. Never rejects.
   *
   * @returns `lost`: the reservation was no longer this one, or the store did not take the commit, so that
   *   another delivery may have run the handler, or may run it. `lost` also after `release()`
   */
  async commit(): Promise<'owned' | 'lost'> {
    return await (this.ending ??= this.writeDone());
  }

  /**
   * Gives the use up: the handler failed, or did not run, and the next delivery may run it at once. Never rejects: a
   * reservation that the store cannot release ends with its lease. After `commit()` nothing is released.
   */
  async release(): Promise<void> {
    await (this.ending ??= this.giveBack());
  }

  private get renewalMilliseconds(): number {
    return Math.max(1, Math.floor(this.held.leaseMilliseconds / 3));
  }

  /** Pauses no longer than between renewals, so that the lease lasts meanwhile. */
  private newBackoff(mostMilliseconds: number): Backoff {
    return new Backoff(mostMilliseconds, this.held.monotonicNow, this.renewalMilliseconds);
  }

  private schedule(milliseconds: number): void {
    this.timer = setTimeout(() => void this.keepRenewed(), milliseconds).unref();
  }

  private async keepRenewed(): Promise<void> {
    if (!(this.held.now() / 1000 < this.held.mayRenewUntilSeconds)) return;
    const renewed = await this.renew();
    if (this.ending || renewed === 'lost') return;
    if (renewed === 'owned') {
      this.failures = undefined;
      return this.schedule(this.renewalMilliseconds);
    }
    this.failures ??= this.newBackoff(Infinity);
    this.schedule(this.failures.next() ?? this.renewalMilliseconds);
  }

  /** Undefined where the store gives no answer. */
  private async renew(): Promise<'owned' | 'lost' | undefined> {
    const { store, use, held } = this;
    const renewing = attempt(async () => await store.renew(use, held.lease));
    const isOwned = await inTime(this.renewalMilliseconds, renewing);
    if (typeof isOwned !== 'boolean') return undefined;
    return isOwned ? 'owned' : 'lost';
  }

  private async writeDone(): Promise<'owned' | 'lost'> {
    clearTimeout(this.timer);
    const { store, use, held } = this;
    const backoff = this.newBackoff(held.leaseMilliseconds);
    for (;;) {
      const committing = attempt(async () => await store.commit(use, held.lease.owner));
      const isOwned = await inTime(held.leaseMilliseconds, committing);
      if (typeof isOwned === 'boolean') return isOwned ? 'owned' : 'lost';
      const pause = backoff.next();
      if (pause === undefined) return 'lost';
      await timePasses(pause);
      await this.renew();
    }
  }

  private async giveBack(): Promise<'lost'> {
    clearTimeout(this.timer);
    const { store, use, held } = this;
    const releasing = attempt(async () => await store.release(use, held.lease.owner));
    await inTime(held.leaseMilliseconds, releasing);
    return 'lost';
  }
}

/** What `work` gives; undefined where it fails: stores report their failures themselves. */
async function attempt(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return await work();
  } catch {
    return undefined;
  }
}

async function timePasses(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Undefined where a store says nothing. */
async function inTime(milliseconds: number, work: Promise<unknown>): Promise<unknown> {
  return await attempt(async () => await withinDeadline(milliseconds, work));
}
