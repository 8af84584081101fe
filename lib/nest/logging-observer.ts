import { Logger } from '@nestjs/common';
import {
  OptionReader,
  type RequestRefused,
  type RequestWouldBeRefused,
  type ServiceAuthEvent,
  type ServiceAuthObserver,
} from '../core/index.js';
import { CountedLines } from './log/counted-lines.js';
import { lineOf } from './log/event-lines.js';
import { HELD_BACK_MILLISECONDS, type Line, oneLine } from './log/line.js';
import { Outages } from './log/outages.js';

/** What a `LoggingObserver` is made with. */
export interface LoggingObserverOptions {
  /** Whether requests that were accepted or signed are logged too, at level `verbose`. Default `off`. */
  successes?: 'verbose' | 'off';
  /**
   * Whether Nest's logger gets an object (`message`, `event`, `code`, `issuer`, `route`, `detail`, ...) in place of a
   * text: for JSON logs. Default false.
   */
  fields?: boolean;
  /** A clock in milliseconds, for the lines of each minute. Default `performance.now`. */
  now?: () => number;
}

/** Issuers that a finder gives have no end. */
const MOST_KINDS = 100;
/** Strangers decide how many of these there are. They have lines of their own, so they crowd out no others. */
const MOST_UNPROVED_KINDS = 10;

const SUCCESSES: ReadonlySet<ServiceAuthEvent['type']> = new Set([
  'request_accepted',
  'request_anonymous',
  'request_signed',
  'grant_issued',
]);

/**
 * Writes what happens to Nest's log, under the name `ServiceAuth`. The observer of a service that gives none; one that
 * gives others lists it among them to keep the log.
 *
 * What operators must end is a warning, at most one a minute for each issuer and code. A refused request that names a
 * trusted issuer and does not prove it is counted the same way, since a hurried rotation looks like that: strangers can
 * cause 12 lines a minute at most. A request that names nobody who is trusted is a line at `debug`. An outage
 * has a line when it begins, one each minute, and one when it is over. No line holds a token, a subject or a name that a
 * caller made up.
 *
 * @throws ServiceAuthConfigError where an option is unknown, or has a value that is none
 *
 * @example
 * `observer: [new LoggingObserver({ successes: 'verbose' }), new OpenTelemetryObserver()]`
 */
export class LoggingObserver implements ServiceAuthObserver {
  private readonly logger = new Logger('ServiceAuth');
  private readonly options: Required<LoggingObserverOptions>;
  private readonly counted = new CountedLines((line) => this.write(line), MOST_KINDS);
  private readonly unproved = new CountedLines((line) => this.write(line), MOST_UNPROVED_KINDS);
  private readonly outages = new Outages((line) => this.write(line));
  /** Only while a line is held back: it comes when its minute is over, though nothing else happens. */
  private timer: NodeJS.Timeout | undefined;
  private dueAt = Infinity;

  constructor(options: LoggingObserverOptions = {}) {
    this.options = readOptions(options);
  }

  /** Writes the line of an event, where it has one, and the lines that are due. */
  observe(event: ServiceAuthEvent): void {
    this.writeDue();
    if (isSuccess(event)) {
      if (this.options.successes === 'verbose') this.write(lineOf(event));
      return;
    }
    this.note(event, this.options.now());
    this.scheduleNext();
  }

  /** Writes the numbers that are held back: the service is closing. The observer may be used on. */
  flush(): void {
    const now = this.options.now();
    this.counted.flush(now);
    this.unproved.flush(now);
    this.outages.flush(now);
    this.scheduleNext();
  }

  private note(event: ServiceAuthEvent, now: number): void {
    if (this.outages.take(event, now)) return;
    const kind = kindOf(event);
    const isExplained = isRefusal(event) && this.outages.explains(event);
    if (kind === undefined || isExplained) this.write(lineOf(event));
    else if (isRefusal(event) && event.issuerTrust === 'claimed')
      this.unproved.add(kind, event, now);
    else this.counted.add(kind, event, now);
  }

  private writeDue(): void {
    if (this.dueAt === Infinity) return; // then nobody reads a clock
    const now = this.options.now();
    if (now < this.dueAt) return;
    this.counted.writeDue(now);
    this.unproved.writeDue(now);
    this.outages.writeDue(now);
    this.scheduleNext();
  }

  /** Does not keep the process alive: what is held back at its end is written by {@link flush}. */
  private scheduleNext(): void {
    this.dueAt = Math.min(this.counted.dueAt, this.unproved.dueAt, this.outages.dueAt);
    if (this.dueAt === Infinity) {
      clearTimeout(this.timer);
      this.timer = undefined;
      return;
    }
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.writeDue();
      this.scheduleNext();
    }, this.waitMilliseconds()).unref();
  }

  /** A clock that stands still, or says nothing, is looked at again in a minute. */
  private waitMilliseconds(): number {
    const left = this.dueAt - this.options.now();
    return left > 0 && left < HELD_BACK_MILLISECONDS ? Math.ceil(left) : HELD_BACK_MILLISECONDS;
  }

  private write({ level, text, fields }: Line): void {
    if (this.options.fields) this.logger[level]({ message: oneLine(text), ...cleaned(fields) });
    else this.logger[level](oneLine(text));
  }
}

function isSuccess(event: ServiceAuthEvent): boolean {
  const isUnproved = event.type === 'request_accepted' && event.proofRefusal !== undefined;
  return SUCCESSES.has(event.type) && !isUnproved;
}

function readOptions(options: LoggingObserverOptions): Required<LoggingObserverOptions> {
  const reader = new OptionReader(options, ['successes', 'fields', 'now']);
  const successes = reader.word('successes', ['verbose', 'off'], 'off');
  const fields = reader.flag('fields');
  const now = reader.monotonicClock('now');
  reader.problems.assertNone();
  return { successes, fields, now };
}

function isRefusal(event: ServiceAuthEvent): event is RequestRefused | RequestWouldBeRefused {
  return event.type === 'request_refused' || event.type === 'request_would_be_refused';
}

/** What is counted together and warned of; undefined for what has one line each time. */
function kindOf(event: ServiceAuthEvent): string | undefined {
  switch (event.type) {
    case 'request_refused':
    case 'request_would_be_refused':
      return isCounted(event) ? `${event.type} ${event.code} ${event.issuer}` : undefined;
    case 'request_accepted':
      return `${event.type} ${event.proofRefusal} ${event.issuer}`;
    case 'grant_unbound':
      return `${event.type} ${event.reason} ${event.issuer}`;
    case 'lease_lost':
      return `${event.type} ${event.issuer}`;
    case 'request_failed':
      return event.reason === 'admission_error' ? undefined : `${event.type} ${event.reason}`;
    case 'signing_failed': {
      const isWarned = event.isSentUnsigned || event.code === 'unexpected_error';
      return isWarned ? `${event.type} ${event.code} ${event.audience}` : undefined;
    }
    case 'key_dropped':
      return `${event.type} ${event.issuer} ${event.reason}`;
    case 'signing_keys_unusable':
      return event.type;
    default:
      return undefined;
  }
}

/** A 503 to somebody unproved is no news: an outage says why. */
function isCounted({ issuerTrust, status }: RequestRefused | RequestWouldBeRefused): boolean {
  return issuerTrust === 'verified' || (issuerTrust === 'claimed' && status !== 503);
}

function cleaned(fields: Line['fields']): Line['fields'] {
  const clean = Object.entries(fields).flatMap(([name, value]): [string, typeof value][] =>
    value === undefined ? [] : [[name, typeof value === 'string' ? oneLine(value) : value]],
  );
  return Object.fromEntries(clean);
}
