import { Logger } from '@nestjs/common';
import {
  OptionReader,
  type RequestRefused,
  type RequestWouldBeRefused,
  type ServiceAuthEvent,
  type ServiceAuthObserver,
} from '../core/index.js';

/** What a `LoggingObserver` is made with. */
export interface LoggingObserverOptions {
  /** Whether requests that were accepted or signed are logged too, at level `verbose`. Default `off`. */
  successes?: 'verbose' | 'off';
}

const SUCCESSES: ReadonlySet<ServiceAuthEvent['type']> = new Set([
  'request_accepted',
  'request_anonymous',
  'request_signed',
]);

interface Line {
  readonly level: 'verbose' | 'debug' | 'log' | 'warn';
  readonly text: string;
}

/**
 * Writes what happens to Nest's log, under the name `ServiceAuth`: trouble that operators must end as a
 * warning, each refusal for whoever debugs. The observer of a service that gives none; one that gives
 * others lists it among them to keep the log.
 *
 * No line holds a token, a subject or a name that a caller made up.
 *
 * @throws ServiceAuthConfigError where an option is unknown, or has a value that is none
 *
 * @example
 * `observer: [new LoggingObserver({ successes: 'verbose' }), new OpenTelemetryObserver()]`
 */
export class LoggingObserver implements ServiceAuthObserver {
  private readonly logger = new Logger('ServiceAuth');
  private readonly logsSuccesses: boolean;

  constructor(options: LoggingObserverOptions = {}) {
    const reader = new OptionReader(options, ['successes']);
    this.logsSuccesses = reader.word('successes', ['verbose', 'off'], 'off') === 'verbose';
    reader.problems.assertNone();
  }

  /** Writes the line of an event, where it has one. */
  observe(event: ServiceAuthEvent): void {
    if (!this.logsSuccesses && SUCCESSES.has(event.type)) return;
    const { level, text } = describe(event);
    this.logger[level](oneLine(text));
  }
}

/** Reasons quote other systems, such as Redis: what they say must not look like a line of its own. */
function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '\u{fffd}');
}

function describe(event: ServiceAuthEvent): Line {
  switch (event.type) {
    case 'request_accepted': {
      const { issuer, algorithm, keyId, hasSubject, route } = event;
      const who = `${issuer}${hasSubject ? ' for a user' : ''}`;
      return { level: 'verbose', text: `Accepted${at(route)}: ${who}, ${algorithm}, key ${keyId}` };
    }
    case 'request_refused':
      return describeRefused(event);
    case 'request_would_be_refused':
      return describeRefused(event);
    case 'request_anonymous':
      return { level: 'verbose', text: `Accepted${at(event.route)}: nobody, without a token` };
    case 'request_failed': {
      // What the application throws on purpose, an exception of Nest say, is no trouble.
      const level = event.reason === 'admission_error' ? 'debug' : 'warn';
      return { level, text: `Not decided${at(event.route)}: ${event.reason}` };
    }
    case 'request_signed': {
      const forWhom = event.hasSubject ? ', for a user' : '';
      return { level: 'verbose', text: `Signed for ${event.audience}${forWhom}` };
    }
    case 'signing_failed': {
      const { code, audience = 'no target' } = event;
      const level = code === 'unexpected_error' ? 'warn' : 'debug';
      return { level, text: `Not signed with ${code}, for ${audience}` };
    }
    default:
      return describeSurroundings(event);
  }
}

function describeRefused({
  code,
  status,
  detail,
  ...event
}: RequestRefused | RequestWouldBeRefused): Line {
  const reason = detail ? `${code}: ${detail}` : code;
  const from = {
    verified: `from ${event.issuer}`,
    claimed: `said to be from ${event.issuer}`,
    unknown: 'from an unknown issuer',
  }[event.issuerTrust];
  // 503 is no verdict on the caller: the operators of this service must act.
  if (status === 503 && event.type === 'request_refused') {
    return { level: 'warn', text: `Undecided with ${reason}, ${from}${at(event.route)}` };
  }
  if (event.type === 'request_would_be_refused') {
    return { level: 'debug', text: `Would refuse with ${reason}, ${from}${at(event.route)}` };
  }
  return { level: 'debug', text: `Refused with ${reason}, ${from}${at(event.route)}` };
}

function at(route: string | undefined): string {
  return route === undefined ? '' : ` at ${route}`;
}

/** Of keys and of the replay store. */
type SurroundingsEvent = Exclude<
  ServiceAuthEvent,
  { type: `request_${string}` } | { type: 'signing_failed' }
>;

function describeSurroundings(event: SurroundingsEvent): Line {
  switch (event.type) {
    case 'keys_refreshed':
      return { level: 'debug', text: `Keys of ${event.issuer} refreshed: ${event.keyIds.length}` };
    case 'keys_refresh_failed': {
      const meanwhile = event.servingStale ? 'known keys serve on' : 'no key is known';
      return { level: 'warn', text: `Keys of ${event.issuer}: ${event.reason}; ${meanwhile}` };
    }
    case 'key_dropped':
      return { level: 'warn', text: `A key of ${event.issuer} is not used: ${event.reason}` };
    case 'original_issuer_found':
      return { level: 'warn', text: warningOfOriginal(event.issuer) };
    case 'signing_keys_changed':
      return {
        level: 'log',
        text: `Key ${event.keyId} signs; published: ${event.publishedKeyIds.join(', ')}`,
      };
    case 'signing_keys_unusable':
      return { level: 'warn', text: `The key before signs on: ${event.reason}` };
    case 'replay_store_failed':
      return { level: 'warn', text: `The replay store cannot answer: ${event.reason}` };
    case 'replay_store_recovered': {
      const meanwhile = `${event.refused} refused, ${event.acceptedUnchecked} accepted unchecked`;
      return { level: 'log', text: `The replay store answers again; meanwhile ${meanwhile}` };
    }
    case 'token_accepted_unchecked': {
      const { issuer, reason, count } = event;
      return { level: 'debug', text: `Token ${count} accepted unchecked, of ${issuer}: ${reason}` };
    }
    case 'replay_store_unsafe':
      return { level: 'warn', text: `Tokens may be used twice: ${event.reason}` };
  }
}

/** What operators read of an issuer, be it listed or found, whose tokens are in the original profile. */
export function warningOfOriginal(issuer: string): string {
  return `Tokens of ${issuer} are accepted in the original profile: they bind no URL and may be replayed.`;
}
