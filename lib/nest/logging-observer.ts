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

/** The options of a `LoggingObserver`. */
export interface LoggingObserverOptions {
  /** Whether accepted and signed requests are logged too, at level `verbose`. Default `off`. */
  successes?: 'verbose' | 'off';
  /**
   * Whether Nest's logger gets an object (`message`, `event`, `code`, `issuer`, `route`, `detail`, ...) instead of a
   * text: for JSON logs. Default false.
   */
  fields?: boolean;
  /** A clock in milliseconds, for the lines of each minute. Default `performance.now`. */
  now?: () => number;
}

/** A finder can return any number of issuers. */
const MOST_KINDS = 100;
/** Strangers decide how many kinds these are. They have a separate limit, so they do not displace others. */
const MOST_UNPROVED_KINDS = 10;

const SUCCESSES: ReadonlySet<ServiceAuthEvent['type']> = new Set([
  'request_accepted',
  'request_anonymous',
  'request_signed',
  'grant_issued',
]);

/**
 * Writes events to Nest's log, under the name `ServiceAuth`. It is the default observer. If you configure other
 * observers, list it among them to keep the log.
 *
 * A problem that operators must solve is a warning, at most one a minute for each issuer, code and kind of call (request,
 * message, job). A refused call that names a trusted issuer without proving it counts too, since a hurried rotation looks the same. So strangers
 * can cause at most 12 lines a minute. A request that names no trusted issuer has a line at `debug`. An outage has a
 * line when it begins, one each minute, and one when it ends. No line contains a token, a subject or a name that a
 * caller invents.
 *
 * @throws ServiceAuthConfigError if an option is unknown or invalid
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
  /** Set only while a line is held back: it writes the line after its minute, even without another event. */
  private timer: NodeJS.Timeout | undefined;
  private dueAt = Infinity;

  constructor(options: LoggingObserverOptions = {}) {
    this.options = readOptions(options);
  }

  /** Writes the line of an event, if it has one, and the lines that are due. */
  observe(event: ServiceAuthEvent): void {
    this.writeDue();
    if (isSuccess(event)) {
      if (this.options.successes === 'verbose') this.write(lineOf(event));
      return;
    }
    this.note(event, this.options.now());
    this.scheduleNext();
  }

  /** Writes the numbers that are held back, since the service is closing. The observer can still be used. */
  flush(): void {
    const now = this.options.now();
    this.counted.flush(now);
    this.unproved.flush(now);
    this.outages.flush(now);
    this.scheduleNext();
  }

  private note(event: ServiceAuthEvent, now: number): void {
    if (this.outages.take(event, now)) return;
    if (event.type === 'signing_failed') this.outages.countUnsent(event);
    const kind = kindOf(event);
    const isExplained = isRefusal(event) && this.outages.explains(event);
    if (kind === undefined || isExplained) this.write(lineOf(event));
    else if (isRefusal(event) && event.issuerTrust !== 'verified')
      this.unproved.add(kind, event, now);
    else this.counted.add(kind, event, now);
  }

  private writeDue(): void {
    if (this.dueAt === Infinity) return; // then no clock is read
    const now = this.options.now();
    if (now < this.dueAt) return;
    this.counted.writeDue(now);
    this.unproved.writeDue(now);
    this.outages.writeDue(now);
    this.scheduleNext();
  }

  /** Does not keep the process alive: {@link flush} writes lines that are still held back at its end. */
  private scheduleNext(): void {
    this.dueAt = Math.min(this.counted.dueAt, this.unproved.dueAt, this.outages.dueAt);
    if (this.dueAt === Infinity) {
      clearTimeout(this.timer);
      this.timer = undefined;
      return;
    }
    this.timer ??= setTimeout(() => this.writeLater(), this.waitMilliseconds()).unref();
  }

  private writeLater(): void {
    this.timer = undefined;
    try {
      this.writeDue();
      this.scheduleNext();
    } catch {
      // The application's logger, or its clock, failed. In a timer that would end the process. The next event goes on.
    }
  }

  /** If the clock does not advance or returns NaN, waits a minute. */
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

/** The kind under which warnings are counted; undefined for events that have one line each. */
function kindOf(event: ServiceAuthEvent): string | undefined {
  const kind = kindWithin(event);
  return kind && 'transport' in event ? `${event.transport} ${kind}` : kind;
}

function kindWithin(event: ServiceAuthEvent): string | undefined {
  switch (event.type) {
    case 'request_refused':
    case 'request_would_be_refused':
      if (isNearMiss(event)) return `${event.type} ${event.code} ${event.detail}`;
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

/** The caller spells the name of a trusted issuer in another way: a mistake in the configuration of either side. */
function isNearMiss({ code, detail }: RequestRefused | RequestWouldBeRefused): boolean {
  return code === 'issuer_unknown' && detail?.startsWith('differs from ') === true;
}

/** A 503 to an unproved caller is not counted: the lines of an outage explain it. */
function isCounted({ issuerTrust, status }: RequestRefused | RequestWouldBeRefused): boolean {
  return issuerTrust === 'verified' || (issuerTrust === 'claimed' && status !== 503);
}

function cleaned(fields: Line['fields']): Line['fields'] {
  const clean = Object.entries(fields).flatMap(([name, value]): [string, typeof value][] =>
    value === undefined ? [] : [[name, typeof value === 'string' ? oneLine(value) : value]],
  );
  return Object.fromEntries(clean);
}
