import { ServiceAuthUsageError } from '../core/index.js';

/**
 * The clock that tokens are issued and verified by in a test. It stands still until the test moves it, so that
 * nothing expires because a machine is slow.
 */
export class TestClock {
  private milliseconds: number;

  /** @param start where it stands at first. Default: the time at which it is made */
  constructor(start: Date = new Date()) {
    this.milliseconds = readTime(start);
  }

  /** Milliseconds since the epoch, for the option `now`. */
  readonly now = (): number => this.milliseconds;

  /** Whole seconds since the epoch, as `iat` and `exp` have them. */
  get seconds(): number {
    return Math.floor(this.milliseconds / 1000);
  }

  /** Moves the clock on, or back when `seconds` is negative. */
  advance(seconds: number): void {
    this.milliseconds = readTime(new Date(this.milliseconds + seconds * 1000));
  }

  /** Sets the clock to a moment. */
  set(moment: Date): void {
    this.milliseconds = readTime(moment);
  }
}

/** @throws ServiceAuthUsageError for what is no moment: nothing could be compared with it */
function readTime(moment: Date): number {
  const milliseconds = moment.getTime();
  if (Number.isFinite(milliseconds)) return milliseconds;
  throw new ServiceAuthUsageError('The clock was given no valid time.');
}
