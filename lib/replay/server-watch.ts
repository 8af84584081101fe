import { type TokenUse, withinDeadline } from '../core/index.js';
import { isIssuedWithin } from './issued-since.js';
import type { RedisConnection } from './redis-connection.js';

const CHECK_MILLISECONDS = 5000;

const OTHER = 'Redis is another server than before (a failover, or a restart)';
const UNKNOWN = 'it cannot be told whether Redis is the server it was before';
const CONSEQUENCE =
  'it may have forgotten which tokens were used, so this process answers 503 to tokens that were issued before now';

/**
 * Tracks when commands began to go to another server, which may lack uses of the previous one: after a failover, or a
 * restart that lost them. A new connection to the same server costs one `INFO server`, and changes nothing.
 *
 * A token issued after the change cannot have been used before it. A token without `iat` is in doubt for as long as
 * any use had to be remembered.
 */
export class ServerWatch {
  private checks = 0;
  private running: Promise<void> | undefined;
  private isUnverified = true;
  private known: readonly string[] | undefined;
  private changedAt: number | undefined;
  private longestSeconds = 0;

  constructor(
    private readonly connection: RedisConnection,
    private readonly monotonicNow: () => number,
    private readonly report: (reason: string) => void,
  ) {}

  /** Whether the check for another server is running. */
  get isChecking(): boolean {
    return this.running !== undefined;
  }

  /** Resolves when the check has succeeded or failed. */
  async settled(): Promise<void> {
    while (this.running) await this.running;
  }

  /** Begins a check, since commands may go to another server from now on. */
  check(): void {
    const check = ++this.checks;
    this.isUnverified = true;
    const ids = withinDeadline(CHECK_MILLISECONDS, this.connection.serverIds());
    this.running = ids
      .catch(() => [])
      .then((found) => {
        if (check !== this.checks) return;
        this.running = undefined;
        this.compare(found);
      });
  }

  /** Notes how long a use must be remembered. */
  note(use: TokenUse): void {
    this.longestSeconds = Math.max(this.longestSeconds, use.forgetAtSeconds - use.nowSeconds);
  }

  /** Whether the previous server may have recorded a use that is lost now. */
  mayHaveLost(use: TokenUse): boolean {
    if (this.isUnverified) return true;
    if (this.changedAt === undefined) return false;
    const seconds = (this.monotonicNow() - this.changedAt) / 1000;
    if (use.issuedAtSeconds === undefined) return !(seconds > this.longestSeconds);
    return !isIssuedWithin(seconds, use);
  }

  private compare(ids: readonly string[]): void {
    const isUnknown = ids.length === 0;
    // The connection was lost again: the next one is checked.
    if (isUnknown && !this.connection.isReady()) return;
    this.isUnverified = false;
    const { known } = this;
    this.known = isUnknown ? (known ?? []) : ids;
    if (known === undefined || (!isUnknown && ids.every((id) => known.includes(id)))) return;
    this.changedAt = this.monotonicNow();
    this.report(`${isUnknown ? UNKNOWN : OTHER}: ${CONSEQUENCE}`);
  }
}
