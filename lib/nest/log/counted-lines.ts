import type { ServiceAuthEvent } from '../../core/index.js';
import { lineOf, summaryOf } from './event-lines.js';
import { HELD_BACK_MILLISECONDS, type Line } from './line.js';

interface Window {
  openedAt: number;
  count: number;
  /** Whether the log already has everything that was counted: one event with its own line. */
  isTold: boolean;
  last: ServiceAuthEvent;
  /** Whether it counts events of several kinds. */
  readonly isMixed: boolean;
}

/**
 * Writes at most one line a minute for each kind of event: the first immediately, later ones as a number. Each event
 * also has its own line at `debug`.
 */
export class CountedLines {
  private readonly windows = new Map<string, Window>();

  /** @param mostKinds the most kinds with their own line in one minute; the others share one */
  constructor(
    private readonly write: (line: Line) => void,
    private readonly mostKinds: number,
  ) {}

  /** @param kind events of one kind are counted together */
  add(kind: string, event: ServiceAuthEvent, now: number): void {
    const isRoom = this.windows.has(kind) || this.windows.size < this.mostKinds;
    const key = isRoom ? kind : `others ${event.type}`;
    const last = isRoom || !('issuer' in event) ? event : { ...event, issuer: 'other issuers' };
    const window = this.windows.get(key);
    this.write({ ...lineOf(event), level: window ? 'debug' : 'warn' });
    if (window) Object.assign(window, { count: window.count + 1, isTold: false, last });
    else this.windows.set(key, { openedAt: now, count: 1, isTold: true, last, isMixed: !isRoom });
  }

  /** The time of the next line; Infinity if none is held back. */
  get dueAt(): number {
    const [oldest] = [...this.windows.values()].map(({ openedAt }) => openedAt).toSorted(ascending);
    return oldest === undefined ? Infinity : oldest + HELD_BACK_MILLISECONDS;
  }

  /** Writes the numbers of each minute that is over. */
  writeDue(now: number): void {
    for (const [kind, window] of this.windows) {
      if (now < window.openedAt + HELD_BACK_MILLISECONDS) continue;
      if (window.isTold) this.windows.delete(kind);
      else this.tell(window, now);
    }
  }

  /** Writes every number that is held back, and starts again. */
  flush(now: number): void {
    for (const window of this.windows.values()) if (!window.isTold) this.tell(window, now);
    this.windows.clear();
  }

  private tell(window: Window, now: number): void {
    const { count, last, openedAt, isMixed } = window;
    this.write(summaryOf(last, { count, milliseconds: now - openedAt, isMixed }));
    Object.assign(window, { openedAt: now, count: 0, isTold: true });
  }
}

function ascending(one: number, other: number): number {
  return one - other;
}
