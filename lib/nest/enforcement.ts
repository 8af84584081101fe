import type { OptionReader } from '../core/index.js';
import type { Route } from './route-policy.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';

const DAY_MILLISECONDS = 86_400_000;

/** ISO 8601 with the time zone: a date alone is midnight in UTC. */
const INSTANT =
  /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

type EnforcementOptions = Pick<ServiceAuthModuleOptions, 'enforcement' | 'reportUntil'>;

/** Decides whether requests that fail verification are refused, or reported and let in without an identity. */
export class Enforcement {
  private constructor(
    private readonly reportsEverywhere: boolean,
    private readonly endsAt: number | undefined,
    /** Milliseconds since the epoch. */
    readonly now: () => number,
  ) {}

  /**
   * @param options as {@link checkEnforcement} takes them
   * @param now milliseconds since the epoch, read at each request; if the clock fails, requests are refused
   */
  static of({ enforcement, reportUntil }: EnforcementOptions, now: () => number): Enforcement {
    const endsAt = isInstant(reportUntil) ? new Date(reportUntil).getTime() : undefined;
    return new Enforcement(enforcement === 'report', endsAt, now);
  }

  /** Whether the module has a `reportUntil`, past or not. */
  get canReport(): boolean {
    return this.endsAt !== undefined;
  }

  /** Whether every guarded route reports now. */
  get isReporting(): boolean {
    return this.reportsEverywhere && this.millisecondsLeft > 0;
  }

  /** Whether the date has passed. */
  get isOver(): boolean {
    return this.canReport && this.millisecondsLeft <= 0;
  }

  /** The date, for the log. */
  get endText(): string {
    return this.endsAt === undefined ? 'reportUntil' : new Date(this.endsAt).toISOString();
  }

  /** Days until requests are refused, rounded up; 0 if they already are. */
  get daysLeft(): number {
    return Math.ceil(Math.max(0, this.millisecondsLeft) / DAY_MILLISECONDS);
  }

  /** Whether a request to the route that fails verification is only reported. */
  reports({ isReportOnly }: Pick<Route, 'isReportOnly'>): boolean {
    return (this.reportsEverywhere || isReportOnly) && this.millisecondsLeft > 0;
  }

  private get millisecondsLeft(): number {
    const left = this.endsAt === undefined ? 0 : this.endsAt - this.now();
    // A clock that returns no number must not leave the service in report-only mode forever.
    return Number.isFinite(left) ? left : 0;
  }
}

/** Reports problems of the options `enforcement` and `reportUntil`. */
export function checkEnforcement(reader: OptionReader): void {
  const enforcement = reader.word('enforcement', ['enforce', 'report'], 'enforce');
  const format = "write a Date, or a text such as '2027-03-31' or '2027-03-31T08:00:00Z'";
  reader.value('reportUntil', isInstant, format);
  if (enforcement === 'report' && reader.raw('reportUntil') === undefined) {
    const missing =
      "write the date from which requests are refused, such as '2027-03-31'; enforcement 'report' needs it";
    reader.report('reportUntil', missing);
  }
}

function isInstant(value: unknown): value is Date | string {
  const isReadable = value instanceof Date || (typeof value === 'string' && INSTANT.test(value));
  return isReadable && !Number.isNaN(new Date(value).getTime());
}
