import cluster from 'node:cluster';
import { randomBytes } from 'node:crypto';
import { isMainThread } from 'node:worker_threads';
import {
  OptionReader,
  type ReplayStore,
  type ServiceAuthObserver,
  ServiceAuthUnavailableError,
  tell,
  type TokenUse,
  type TokenUseVerdict,
} from '../core/index.js';
import { ClockHistory } from './clock-history.js';
import { type Digest, DigestTable, LAST_SECOND } from './digest-table.js';
import { isIssuedWithin } from './issued-since.js';
import { LiveUses } from './live-uses.js';
import { StoreOutage } from './store-outage.js';
import { digestTokenUse } from './token-use-digest.js';

/** The options of a `MemoryReplayStore`. */
export interface MemoryReplayStoreOptions {
  /** The most live uses in memory; over this limit requests are refused with 503. Default 1,000,000. */
  maxEntries?: number;
  /**
   * The share of one issuer. `half-of-free`: as many places as it leaves free, so that it is refused before other
   * issuers. `all`: every place, for a service with one caller. Default `half-of-free`.
   */
  issuerShare?: 'half-of-free' | 'all';
  /**
   * What the store does with tokens issued before it was created, which may have been used before a restart. `refuse`
   * counts them as used, and also tokens without `iat`. Default `accept`.
   */
  issuedBeforeStart?: 'accept' | 'refuse';
  /** A monotonic clock, in milliseconds. Default `performance.now`. */
  monotonicNow?: () => number;
}

const OPTION_NAMES = [
  'maxEntries',
  'issuerShare',
  'issuedBeforeStart',
  'monotonicNow',
] as const satisfies (keyof MemoryReplayStoreOptions)[];

/** Each table grows by itself, so that no request pays for the growth of all. */
const TABLES = 256;
/** More slots than this for each live use remain from a past burst. */
const MOST_SLOTS_FOR_EACH = 4;

/**
 * Remembers used tokens in the memory of one process: exact, bounded, without timers. Several processes of one
 * service need a shared store.
 *
 * Entries expire by a monotonic clock, in steps of one second. A wall clock that is set back makes forgotten tokens
 * valid again: the store refuses tokens that it could have forgotten, with 503.
 *
 * An issuer may have as many uses as there are free places. Alone it gets half of the store. Each of `n` issuers that
 * take all they can gets one part of `n + 1`. The last part stays free for issuers that call later.
 */
export class MemoryReplayStore implements ReplayStore {
  private readonly tables = Array.from({ length: TABLES }, () => new DigestTable());
  /** Prevents callers from choosing ids whose digests collide in a table. */
  private readonly salt = randomBytes(16).toString('base64url');
  private readonly uses = new LiveUses();
  private readonly clock = new ClockHistory(0);
  private readonly observers = new Set<ServiceAuthObserver>();
  private readonly outage = new StoreOutage((event) => {
    for (const observer of this.observers) tell(observer, event);
  });
  private readonly maxEntries: number;
  private readonly sharesFairly: boolean;
  private readonly monotonicNow: () => number;
  private readonly startedAt: number;
  private readonly refusesIssuedBeforeStart: boolean;
  private usedSlots = 0;
  private nextToRebuild = 0;
  /** Seconds since the start. Uses that end in this second, or before, are forgotten. */
  private sweptSecond = 0;

  /** @throws ServiceAuthConfigError listing every problem, each as `field: what to write` */
  constructor(options: MemoryReplayStoreOptions = {}) {
    const reader = new OptionReader(options, OPTION_NAMES);
    this.maxEntries = reader.integer('maxEntries', { from: 1, fallback: 1_000_000 });
    const share = reader.word('issuerShare', ['half-of-free', 'all'], 'half-of-free');
    this.sharesFairly = share === 'half-of-free';
    const before = reader.word('issuedBeforeStart', ['accept', 'refuse'], 'accept');
    this.refusesIssuedBeforeStart = before === 'refuse';
    this.monotonicNow = reader.monotonicClock('monotonicNow');
    reader.problems.assertNone();
    this.startedAt = this.monotonicNow();
  }

  /** The number of remembered uses. */
  get size(): number {
    return this.uses.total;
  }

  /**
   * Begins to report failures. Warns in a worker thread and in a worker of `node:cluster`, also in PM2's cluster
   * mode: other workers do not see these uses.
   */
  start(observer: ServiceAuthObserver): void {
    this.observers.add(observer);
    if (!cluster.isWorker && isMainThread) return;
    const which = isMainThread ? 'process of the cluster' : 'worker thread';
    const reason = `each ${which} remembers for itself: give replayStore a shared store (Redis)`;
    tell(observer, { type: 'replay_store_unsafe', reason });
  }

  /** Stops reporting to this observer. */
  close(observer: ServiceAuthObserver): void {
    this.observers.delete(observer);
  }

  recordUse(use: TokenUse): TokenUseVerdict {
    const now = this.monotonicNow();
    const secondsSinceStart = (now - this.startedAt) / 1000;
    if (this.refusesIssuedBeforeStart && !isIssuedWithin(secondsSinceStart, use)) return 'seen';
    this.sweep(now);
    const digest = this.digestOf(use);
    const table = this.tableAt(digest[3]); // within a table, the first word of the digest gives the place
    const place = table.locate(digest, this.sweptSecond);
    if (place.isLive) return 'seen';
    this.assertNotForgotten(use, now);
    this.assertRoomFor(use.issuer);
    const second = this.secondToForget(use);
    const usedBefore = table.usedSlots;
    table.put(place, second, this.sweptSecond);
    this.usedSlots += table.usedSlots - usedBefore;
    this.uses.add(use.issuer, second);
    this.clock.note(use, now / 1000);
    this.shrink();
    this.outage.end();
    return 'first';
  }

  private assertNotForgotten(use: TokenUse, now: number): void {
    const seconds = this.clock.putBackSeconds(use, now / 1000);
    if (seconds === undefined) return;
    this.fail(`the clock was put back by ${seconds.toFixed(1)} s: the use may be forgotten`);
  }

  private assertRoomFor(issuer: string): void {
    const { maxEntries } = this;
    const free = maxEntries - this.uses.total;
    if (free <= 0) this.fail(`the memory store is full (${maxEntries} entries), for ${issuer}`);
    const own = this.sharesFairly ? this.uses.countOf(issuer) : 0;
    if (own >= free) {
      this.fail(
        `${issuer} has used up its share of the memory store (${own} of ${maxEntries} entries)`,
      );
    }
  }

  private fail(detail: string): never {
    this.outage.count(detail, undefined);
    throw new ServiceAuthUnavailableError('replay_store_unavailable', { detail });
  }

  private digestOf(use: TokenUse): Digest {
    const bytes = digestTokenUse(use, 'binary', this.salt);
    return [wordAt(bytes, 0), wordAt(bytes, 4), wordAt(bytes, 8), wordAt(bytes, 12)];
  }

  private tableAt(index: number): DigestTable {
    const table = this.tables[index % TABLES];
    if (table) return table;
    throw new RangeError(`there is no table ${index}`);
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
    this.sweptSecond = now;
  }

  /** After a burst the tables are large, with few live uses. Each use rebuilds one table. */
  private shrink(): void {
    if (this.usedSlots <= MOST_SLOTS_FOR_EACH * this.uses.total + TABLES) return;
    const table = this.tableAt(this.nextToRebuild++);
    const usedBefore = table.usedSlots;
    table.rebuild(this.sweptSecond);
    this.usedSlots += table.usedSlots - usedBefore;
  }
}

const secondOf = (milliseconds: number): number => Math.floor(milliseconds / 1000);

/** Four bytes of a binary string as a number. */
function wordAt(bytes: string, at: number): number {
  const low = bytes.charCodeAt(at) | (bytes.charCodeAt(at + 1) << 8);
  const high = bytes.charCodeAt(at + 2) | (bytes.charCodeAt(at + 3) << 8);
  return (low | (high << 16)) >>> 0;
}
