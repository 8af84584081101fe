import { ServiceAuthUsageError } from '../core/index.js';

/**
 * The clock of tokens in a test. It does not advance until the test moves it, so that nothing expires because a
 * machine is slow.
 */
export class TestClock {
  private milliseconds: number;

  /** @param start its first time. Default: the time of creation */
  constructor(start: Date = new Date()) {
    this.milliseconds = readTime(start);
  }

  /** Milliseconds since the epoch, for the option `now`. */
  readonly now = (): number => this.milliseconds;

  /** Whole seconds since the epoch, as `iat` and `exp` have them. */
  get seconds(): number {
    return Math.floor(this.milliseconds / 1000);
  }

  /** Moves the clock forward, or back if `seconds` is negative. */
  advance(seconds: number): void {
    this.milliseconds = readTime(new Date(this.milliseconds + seconds * 1000));
  }

  /** Sets the clock to a time. */
  set(moment: Date): void {
    this.milliseconds = readTime(moment);
  }
}

/** @throws ServiceAuthUsageError for an invalid date, which cannot be compared */
function readTime(moment: Date): number {
  const milliseconds = moment.getTime();
  if (Number.isFinite(milliseconds)) return milliseconds;
  throw new ServiceAuthUsageError('The clock was given no valid time.');
}
