const FIRST_MILLISECONDS = 50;
const MOST_MILLISECONDS = 2000;

/** The pauses between questions: 50 ms, doubled up to 2 s, for a limited time in all. */
export class Backoff {
  private readonly startedAt: number;
  private pause = FIRST_MILLISECONDS;
  private paused = 0;

  constructor(
    private readonly mostMilliseconds: number,
    private readonly monotonicNow: () => number,
    private readonly longestPauseMilliseconds = MOST_MILLISECONDS,
  ) {
    this.startedAt = monotonicNow();
  }

  /** How long to pause before the next question; undefined when the time is over, also by a clock that stands still. */
  next(): number | undefined {
    const passed = Math.max(this.paused, this.monotonicNow() - this.startedAt);
    const left = this.mostMilliseconds - passed;
    if (!(left > 0)) return undefined;
    const pause = Math.min(this.pause, this.longestPauseMilliseconds, left);
    this.pause = Math.min(this.pause * 2, MOST_MILLISECONDS);
    this.paused += pause;
    return pause;
  }
}
