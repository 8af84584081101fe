import cluster from 'node:cluster';
import { randomBytes } from 'node:crypto';
import { isMainThread } from 'node:worker_threads';
import {
  type Lease,
  type LeasingReplayStore,
  type ReservationVerdict,
  type ServiceAuthObserver,
  ServiceAuthUnavailableError,
  tell,
  type TokenUse,
  type TokenUseVerdict,
} from '../core/index.js';
import { ClockHistory } from './clock-history.js';
import { type Digest, LAST_SECOND, type Place } from './digest-table.js';
import { isIssuedWithin } from './issued-since.js';
import { lengthOf } from './lease-length.js';
import { LiveUses } from './live-uses.js';
import {
  type MemoryReplayStoreOptions,
  type MemoryReplayStoreSettings,
  readMemoryReplayStoreOptions,
} from './memory-replay-store.options.js';
import { Reservations } from './reservations.js';
import { StoreOutage } from './store-outage.js';
import { digestTokenUse } from './token-use-digest.js';
import { UsedDigests } from './used-digests.js';

/**
 * Remembers used tokens in the memory of one process: exact, bounded, without timers. Several processes of one
 * service need a shared store.
 *
 * Entries expire by a monotonic clock, in steps of one second. A wall clock that is set back makes forgotten tokens
 * valid again: the store refuses tokens that it could have forgotten, with 503.
 *
 * A reservation takes a place like a use, so that there is room for what its handler commits.
 *
 * An issuer may hold as many uses as there are free places. Alone it gets half of the store, and each of `n`
 * issuers that take all they can gets one part of `n + 1`: the last part stays free for issuers that call later.
 */
export class MemoryReplayStore implements LeasingReplayStore {
  private readonly digests = new UsedDigests();
  private readonly reservations = new Reservations();
  /** Keeps callers from making up ids whose digests crowd one place of a table. */
  private readonly salt = randomBytes(16).toString('base64url');
  private readonly uses = new LiveUses();
  private readonly clock = new ClockHistory(0);
  private readonly observers = new Set<ServiceAuthObserver>();
  private readonly outage = new StoreOutage((event) => {
    for (const observer of this.observers) tell(observer, event);
  });
  private readonly settings: MemoryReplayStoreSettings;
  private readonly startedAt: number;
  /** Seconds since the start; what is forgotten in it, or before, is forgotten. */
  private sweptSecond = 0;

  /** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
  constructor(options: MemoryReplayStoreOptions = {}) {
    this.settings = readMemoryReplayStoreOptions(options);
    this.startedAt = this.settings.monotonicNow();
  }

  /** How many uses are remembered or reserved. */
  get size(): number {
    return this.uses.total + this.reservations.size;
  }

  /**
   * How many uses one issuer may have while no other issuer has any.
   *
   * @internal
   */
  get roomForOneIssuer(): number {
    const { maxEntries, sharesFairly } = this.settings;
    return sharesFairly ? Math.floor(maxEntries / 2) : maxEntries;
  }

  /**
   * Begins to report failures. Warns in a worker thread and in a worker of `node:cluster`, also in PM2's cluster
   * mode: other workers do not see these uses.
   */
  start(observer: ServiceAuthObserver): void {
    this.observers.add(observer);
    if (!cluster.isWorker && isMainThread) return;
    const which = isMainThread ? 'process of the cluster' : 'worker thread';
    const reason = `each ${which} remembers used tokens for itself. Give replayStore a shared store (Redis)`;
    tell(observer, { type: 'replay_store_unsafe', reason });
  }

  /** Stops reporting to this observer. */
  close(observer: ServiceAuthObserver): void {
    this.observers.delete(observer);
  }

  recordUse(use: TokenUse): TokenUseVerdict {
    const now = this.settings.monotonicNow();
    if (this.countsAsUsed(use, now)) return 'seen';
    this.sweep(now);
    const key = this.keyOf(use);
    const place = this.digests.locate(digestOf(key), this.sweptSecond);
    if (place.isLive || this.reservations.find(key, now)) return 'seen';
    this.assertNotForgotten(use, now);
    this.assertRoomFor(use.issuer);
    this.remember(use, place);
    this.clock.note(use, now / 1000);
    this.outage.end();
    return 'first';
  }

  /**
   * Reserves a use. What was issued before the start cannot be decided if `issuedBeforeStart` is `refuse`: as `seen` it
   * would be dropped, and with it each message that waited during a restart.
   */
  reserve(use: TokenUse, lease: Lease): ReservationVerdict {
    const now = this.settings.monotonicNow();
    const length = lengthOf(lease);
    this.sweep(now);
    const key = this.keyOf(use);
    if (this.digests.locate(digestOf(key), this.sweptSecond).isLive) return 'seen';
    if (this.reservations.find(key, now)) return 'busy';
    if (this.countsAsUsed(use, now)) this.fail('it was issued before the memory store was made');
    this.assertNotForgotten(use, now);
    this.reservations.delete(key);
    this.assertRoomFor(use.issuer);
    this.hold(key, use, { owner: lease.owner, milliseconds: length });
    this.clock.note(use, now / 1000);
    this.outage.end();
    return 'first';
  }

  renew(use: TokenUse, lease: Lease): boolean {
    const length = lengthOf(lease);
    const key = this.keyOf(use);
    if (this.reservations.find(key, this.settings.monotonicNow())?.owner !== lease.owner)
      return false;
    this.hold(key, use, { owner: lease.owner, milliseconds: length });
    return true;
  }

  commit(use: TokenUse, owner: string): boolean {
    const now = this.settings.monotonicNow();
    this.sweep(now);
    const key = this.keyOf(use);
    const place = this.digests.locate(digestOf(key), this.sweptSecond);
    if (place.isLive) return false;
    const reservation = this.reservations.find(key, now);
    this.reservations.delete(key);
    // The place of a reservation is free for the use, no matter which owner held it.
    if (!reservation) this.assertRoomFor(use.issuer);
    this.remember(use, place);
    return reservation?.owner === owner;
  }

  release(use: TokenUse, owner: string): void {
    const key = this.keyOf(use);
    if (this.reservations.find(key, this.settings.monotonicNow())?.owner !== owner) return;
    this.reservations.delete(key);
  }

  private hold(key: string, { issuer }: TokenUse, { owner, milliseconds }: Lease): void {
    const untilMilliseconds = this.settings.monotonicNow() + milliseconds;
    this.reservations.set(key, { issuer, owner, untilMilliseconds });
  }

  private remember(use: TokenUse, place: Place): void {
    const second = this.secondToForget(use);
    this.digests.put(place, second, this.sweptSecond);
    this.uses.add(use.issuer, second);
    this.digests.shrink(this.uses.total, this.sweptSecond);
  }

  private countsAsUsed(use: TokenUse, now: number): boolean {
    if (!this.settings.refusesIssuedBeforeStart) return false;
    return !isIssuedWithin((now - this.startedAt) / 1000, use);
  }

  private assertNotForgotten(use: TokenUse, now: number): void {
    const seconds = this.clock.putBackSeconds(use, now / 1000);
    if (seconds === undefined) return;
    this.fail(`the clock was put back by ${seconds.toFixed(1)} s: the use may be forgotten`);
  }

  private assertRoomFor(issuer: string): void {
    const { maxEntries, sharesFairly } = this.settings;
    const free = maxEntries - this.size;
    if (free <= 0) this.fail(`the memory store is full (${maxEntries} entries), for ${issuer}`);
    const own = sharesFairly ? this.uses.countOf(issuer) + this.reservations.countOf(issuer) : 0;
    if (own >= free) {
      this.fail(
        `${issuer} has used up its share of the memory store (${own} of ${maxEntries} entries)`,
      );
    }
  }

  private fail(detail: string): never {
    this.outage.countRefused(detail);
    throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail });
  }

  private keyOf(use: TokenUse): string {
    return digestTokenUse(use, 'binary', this.salt);
  }

  private secondToForget({ forgetAtSeconds, nowSeconds }: TokenUse): number {
    const secondsLeft = Math.max(0, Math.ceil(forgetAtSeconds - nowSeconds));
    const wanted = this.sweptSecond + secondsLeft + 1;
    return wanted < LAST_SECOND ? wanted : LAST_SECOND;
  }

  /**
   * Forgets expired uses, at most once a second: subtracts them from the counts, and leaves their slots to later
   * uses.
   */
  private sweep(milliseconds: number): void {
    const now = secondOf(milliseconds) - secondOf(this.startedAt);
    if (now <= this.sweptSecond) return;
    this.uses.forgetUntil(now);
    this.reservations.sweep(milliseconds);
    this.sweptSecond = now;
  }
}

const secondOf = (milliseconds: number): number => Math.floor(milliseconds / 1000);

const digestOf = (key: string): Digest => [
  wordAt(key, 0),
  wordAt(key, 4),
  wordAt(key, 8),
  wordAt(key, 12),
];

/** Four bytes of a binary string as a number. */
function wordAt(bytes: string, at: number): number {
  const low = bytes.charCodeAt(at) | (bytes.charCodeAt(at + 1) << 8);
  const high = bytes.charCodeAt(at + 2) | (bytes.charCodeAt(at + 3) << 8);
  return (low | (high << 16)) >>> 0;
}
