import cluster from 'node:cluster';
import { randomBytes } from 'node:crypto';
import {
  type ReplayStore,
  ServiceAuthConfigError,
  type ServiceAuthObserver,
  ServiceAuthUnavailableError,
  tell,
  type TokenUse,
  type TokenUseVerdict,
} from '../core/index.js';
import { type Digest, DigestTable, LAST_SECOND } from './digest-table.js';
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

/** Each grows by itself, so that no request pays for the growth of all. */
const TABLES = 256;
/** More slots than this for each live use are those of a burst that is over. */
const MOST_SLOTS_FOR_EACH = 4;

/** The uses that are forgotten in one second. */
interface DueUses {
  count: number;
  /** The latest of them. */
  forgetAtSeconds: number;
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
  private readonly tables = Array.from({ length: TABLES }, () => new DigestTable());
  /** Keeps callers from making up ids whose digests crowd one place of a table. */
  private readonly salt = randomBytes(16).toString('base64url');
  /** What is forgotten in each second to come. */
  private readonly bySecond = new Map<number, DueUses>();
  private readonly maxEntries: number;
  private readonly monotonicNow: () => number;
  private readonly startedAt: number;
  private readonly refusesIssuedBeforeStart: boolean;
  private live = 0;
  private usedSlots = 0;
  private nextToRebuild = 0;
  /** Seconds since the start; what is forgotten in it, or before, is forgotten. */
  private sweptSecond = 0;
  /** The latest `forgetAtSeconds` that was forgotten. */
  private forgottenUntilSeconds = -Infinity;

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
  }

  /** How many uses are remembered. */
  get size(): number {
    return this.live;
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
    const digest = this.digestOf(use);
    const table = this.tableAt(digest[3]); // inside of it the first word says where
    const place = table.locate(digest, this.sweptSecond);
    if (place.isLive || use.forgetAtSeconds <= this.forgottenUntilSeconds) return 'seen';
    if (this.live >= this.maxEntries) {
      throw new ServiceAuthUnavailableError('replay_store_unavailable', {
        detail: `the memory store is full (${this.maxEntries} entries)`,
      });
    }
    const usedBefore = table.usedSlots;
    table.put(place, digest, this.noteUse(use), this.sweptSecond);
    this.usedSlots += table.usedSlots - usedBefore;
    this.shrink();
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

  private digestOf(use: TokenUse): Digest {
    const bytes = digestTokenUse(use, 'binary', this.salt);
    return [wordAt(bytes, 0), wordAt(bytes, 4), wordAt(bytes, 8), wordAt(bytes, 12)];
  }

  private tableAt(index: number): DigestTable {
    const table = this.tables[index % TABLES];
    if (table) return table;
    throw new RangeError(`there is no table ${index}`);
  }

  /** Counts a use among those of its second. @returns the second in which it is forgotten */
  private noteUse({ forgetAtSeconds, nowSeconds }: TokenUse): number {
    const secondsLeft = Math.max(0, Math.ceil(forgetAtSeconds - nowSeconds));
    const wanted = this.sweptSecond + secondsLeft + 1;
    const second = wanted < LAST_SECOND ? wanted : LAST_SECOND;
    const due = this.bySecond.get(second);
    if (due) {
      due.count++;
      due.forgetAtSeconds = Math.max(due.forgetAtSeconds, forgetAtSeconds);
    } else this.bySecond.set(second, { count: 1, forgetAtSeconds });
    this.live++;
    return second;
  }

  /**
   * Forgets what is due: counts it out, and leaves the slots to whoever needs them. At most once a second all
   * pending seconds are looked at, of which there are as many as a token may live.
   */
  private sweep(): void {
    const now = secondOf(this.monotonicNow()) - secondOf(this.startedAt);
    if (now <= this.sweptSecond) return;
    for (const [second, { count, forgetAtSeconds }] of this.bySecond) {
      if (second > now) continue;
      this.live -= count;
      this.forgottenUntilSeconds = Math.max(this.forgottenUntilSeconds, forgetAtSeconds);
      this.bySecond.delete(second);
    }
    this.sweptSecond = now;
  }

  /** After a burst the tables are large and hold little that lives: they are built anew, one with each use. */
  private shrink(): void {
    if (this.usedSlots <= MOST_SLOTS_FOR_EACH * this.live + TABLES) return;
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
