import type { Logger } from '@nestjs/common';
import type { ServiceAuthEvent, ServiceAuthObserver, Target } from '../core/index.js';
import type { Enforcement } from './enforcement.js';

const DAY_MILLISECONDS = 86_400_000;
const DAYS_OF_WARNINGS = 7;
/** A finder can return any number of issuers. */
const MOST_COUNTS = 100;

/** Logs, in report-only mode, which calls the service will refuse, and from when on. */
export class ReportSummary implements ServiceAuthObserver {
  private readonly counts = new Map<string, number>();
  private enforcement: Enforcement | undefined;
  private warnedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly logger: Logger) {}

  /** Logs the end of report-only mode, and warns of targets whose calls fail meanwhile. */
  start(enforcement: Enforcement, targets: readonly Target[]): void {
    this.enforcement = enforcement;
    if (!enforcement.isReporting) {
      if (enforcement.isOver) {
        this.logger.warn(
          `${enforcement.endText} is over: the guard refuses calls. Remove enforcement and reportUntil.`,
        );
      }
      return;
    }
    this.logger.warn(
      `Report-only for ${days(enforcement.daysLeft)}: until ${enforcement.endText} calls that fail their verification are served without an identity.`,
    );
    const required = targets.filter(({ signing }) => signing === 'required');
    if (required.length === 0) return;
    const names = required.map(({ audience }) => audience).join(', ');
    this.logger.warn(
      `A call that would be refused has no user, so the requests for it to ${names} fail with subject_undecided. Write signing: 'best-effort' for these targets.`,
    );
  }

  /** In the last seven days, warns once a day of the calls that will be refused. */
  observe(event: ServiceAuthEvent): void {
    if (event.type !== 'request_would_be_refused' || !this.enforcement) return;
    this.count(`${event.issuer ?? 'unknown issuers'} with ${event.code}`);
    const { daysLeft, now } = this.enforcement;
    if (daysLeft === 0 || daysLeft > DAYS_OF_WARNINGS) return;
    if (now() - this.warnedAt < DAY_MILLISECONDS) return;
    this.warnedAt = now();
    this.warn(this.enforcement);
  }

  private count(what: string): void {
    const key = this.counts.has(what) || this.counts.size < MOST_COUNTS ? what : 'others';
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }

  private warn({ daysLeft, endText }: Enforcement): void {
    const like = likeThese(this.counts);
    this.counts.clear();
    this.logger.warn(
      `In ${days(daysLeft)}, from ${endText} on, the guard refuses calls like ${like}.`,
    );
  }
}

const days = (count: number): string => (count === 1 ? '1 day' : `${count} days`);

/** Omits the count in the first line: it is written at the first call, so the count would look harmless. */
function likeThese(counts: ReadonlyMap<string, number>): string {
  const [[first = '', times = 0] = [], ...others] = counts;
  if (times === 1 && others.length === 0) return `this one of ${first}`;
  const counted = [...counts].map(([what, number]) => `${number} of ${what}`).join('; ');
  return `these, counted since the last such line or the start: ${counted}`;
}
