import {
  type CallTransport,
  type DuplicateDropped,
  type GrantUnbound,
  type LeaseLost,
  type RefusalCode,
  REFUSALS,
  type RequestAccepted,
  type RequestFailed,
  type RequestRefused,
  type RequestWouldBeRefused,
  type ServiceAuthEvent,
  type SigningFailed,
  type UnboundReason,
} from '../../core/index.js';
import {
  counted,
  countsOf,
  ended,
  lastMinutes,
  type Line,
  type LineFields,
  nounOf,
} from './line.js';

type Refusal = RequestRefused | RequestWouldBeRefused;

/** A count: the number of events of one kind, and their time span in milliseconds. */
export interface Tally {
  readonly count: number;
  readonly milliseconds: number;
  /** Whether the events are of several kinds, so that only the type is common to them. */
  readonly isMixed: boolean;
}

/** The line of one event. {@link Outages} writes the lines of outages. */
export function lineOf(event: ServiceAuthEvent): Line {
  const { level, text } = describe(event);
  return { level, text, fields: fieldsOf(event) };
}

/** One line for many events of one kind; `event` is the last of them. */
export function summaryOf(event: ServiceAuthEvent, tally: Tally): Line {
  const text = summarise(event, tally) ?? `${describe(event).text} (${times(tally)})`;
  return { level: 'warn', text, fields: { ...fieldsOf(event), count: tally.count } };
}

type Described = Pick<Line, 'level' | 'text'>;

function describe(event: ServiceAuthEvent): Described {
  switch (event.type) {
    case 'request_accepted': {
      if (event.proofRefusal !== undefined) return describeUnproved(event);
      const { transport, issuer, algorithm, keyId, hasSubject, route } = event;
      const forWhom = hasSubject ? ', for a user' : '';
      const text = `Accepted a ${nounOf(transport)} of ${issuer}${to(route)}${forWhom}: ${algorithm}, key ${keyId}`;
      return { level: 'verbose', text };
    }
    case 'grant_unbound':
      return { level: 'debug', text: describeUnbound(event) };
    case 'grant_issued': {
      const { transaction, lifetimeSeconds, insteadOf } = event;
      const instead = insteadOf === undefined ? '' : ', in a call of another service';
      const text = `Made a grant for ${lifetimeSeconds} s: transaction ${transaction}${instead}`;
      return { level: 'verbose', text };
    }
    case 'request_anonymous':
      return {
        level: 'verbose',
        text: `Accepted an anonymous ${nounOf(event.transport)}${to(event.route)}`,
      };
    case 'request_refused':
    case 'request_would_be_refused':
      return { level: 'debug', text: describeRefusal(event) };
    case 'request_failed':
      return describeFailed(event);
    case 'lease_lost':
    case 'duplicate_dropped':
      return describeDelivery(event);
    case 'request_signed': {
      const forWhom = event.hasSubject ? ', for a user' : '';
      return {
        level: 'verbose',
        text: `Signed a ${nounOf(event.transport)} to ${event.audience}${forWhom}`,
      };
    }
    case 'signing_failed':
      return describeUnsigned(event);
    default:
      return describeSurroundings(event);
  }
}

function describeUnproved(event: RequestAccepted): Described {
  const { transport, issuer, route } = event;
  const text = `Accepted a ${nounOf(transport)} of ${issuer}${to(route)} without proof that its user asked (subjectProof 'report'): ${reasonOfUnproved(event)}`;
  return { level: 'debug', text };
}

function reasonOfUnproved({ proofRefusal: code, transport }: RequestAccepted): string {
  return code === undefined ? '' : `${code}. ${adviceFor(code, transport)}`;
}

const UNBOUND: Readonly<Record<UnboundReason, string>> = {
  claim_only: 'the token names a grant, and no grant came with it',
  header_only: 'a grant came, and the token does not name it',
  unequal: 'the token was made for another grant',
  repeated: 'several grants came',
  malformed: 'what came in the place of a grant is none',
};

function describeUnbound({ transport, issuer, route, reason }: GrantUnbound): string {
  return `Accepted a ${nounOf(transport)} of ${issuer}${to(route)} without its grant: ${UNBOUND[reason]}. ${UNBOUND_ADVICE[transport]}`;
}

const UNBOUND_ADVICE: Readonly<Record<CallTransport, string>> = {
  http: 'Look for a gateway that drops or adds Txn-Token.',
  messages: 'Look for a client or a broker that drops or adds Txn-Token.',
  jobs: 'Look for code that changes the options of jobs.',
};

function describeRefusal(event: Refusal): string {
  const did =
    event.type === 'request_would_be_refused'
      ? 'Let in (report-only mode)'
      : event.status === 503
        ? UNDECIDED[event.transport]
        : 'Refused';
  const what = `a ${nounOf(event.transport)}${fromWhom(event, 1)}`;
  return `${did} ${what}${to(event.route)}: ${reasonOf(event)}`;
}

/** What the service does where it cannot decide: a broker or a queue hands the call in again, or its sender does. */
const UNDECIDED: Readonly<Record<CallTransport, string>> = {
  http: 'Answered 503 to',
  messages: 'Could not decide (503)',
  jobs: 'Could not decide (503)',
};

/** The words after "a request" and "312 requests", with their space. Without an issuer the code says what is wrong. */
function fromWhom({ code, issuer, issuerTrust }: Refusal, count: number): string {
  if (issuerTrust === 'verified') return ` of ${issuer}`;
  if (issuerTrust === 'claimed') return ` that ${count === 1 ? 'names' : 'name'} ${issuer}`;
  return NO_ISSUER[code] ?? '';
}

const NO_ISSUER: Partial<Record<RefusalCode, string>> = {
  issuer_unknown: ' of an unknown issuer',
  token_missing: ' without a token',
};

function reasonOf({ code, detail, issuerTrust, status, transport }: Refusal): string {
  const what = detail === undefined ? code : `${code}, ${detail}`;
  const isUnproved = issuerTrust === 'claimed' && status !== 503;
  return `${ended(what)} ${adviceFor(code, transport)}${isUnproved ? DOUBT : ''}`;
}

const DOUBT = ' If this caller has no failures, a stranger used its name.';

/** A log is not Markdown, so names have no backticks. */
function adviceFor(code: RefusalCode, transport: CallTransport): string {
  const { hint, logHint = hint, messageHint = logHint } = REFUSALS[code];
  return (transport === 'http' ? logHint : messageHint).replaceAll('`', '');
}

function describeFailed({ transport, reason, route }: RequestFailed): Described {
  // An exception that the application throws on purpose, such as one of Nest, is not a failure.
  const level = reason === 'admission_error' ? 'debug' : 'warn';
  const what = `a ${nounOf(transport)}${to(route)}`;
  return { level, text: `Could not decide ${what}: ${reason}. ${WHERE_ERROR_IS[transport]}` };
}

function describeDelivery(event: LeaseLost | DuplicateDropped): Described {
  const { type, transport, issuer, route } = event;
  const what = `a ${nounOf(transport)} of ${issuer}${to(route)}`;
  if (type === 'lease_lost') {
    const text = `Handled ${what} whose reservation was lost meanwhile: it may run twice. ${LOST_ADVICE}`;
    return { level: 'warn', text };
  }
  return { level: 'debug', text: `Dropped ${what}: it was handled before.` };
}

const LOST_ADVICE =
  'Look for a handler that blocks the event loop, a stopped process, and outages of the replay store.';

const NEST_HAS_ERROR = "The error is in the log of Nest's exceptions.";

const WHERE_ERROR_IS: Readonly<Record<CallTransport, string>> = {
  http: NEST_HAS_ERROR,
  messages: NEST_HAS_ERROR,
  jobs: 'The error is the reason of the failed job.',
};

const UNSIGNED_ADVICE: Partial<Record<SigningFailed['code'], string>> = {
  subject_undecided: ' Name the user with onBehalfOf(...).',
  target_unknown: ' Add its base URL to targets, or call with a client that does not sign.',
  sending_disabled: ' Set signingKey, or call with a client that does not sign.',
  key_unavailable: ' The keys that verify its answer are not known.',
};

function describeUnsigned(event: SigningFailed): Described {
  const { transport, code, audience = 'a URL outside targets', isSentUnsigned } = event;
  const what = `a ${nounOf(transport)} to ${audience}`;
  const advice = UNSIGNED_ADVICE[code] ?? '';
  if (isSentUnsigned) {
    return {
      level: 'warn',
      text: `Sent ${what} without a token: ${code}.${advice}`,
    };
  }
  const level = code === 'unexpected_error' ? 'warn' : 'debug';
  return { level, text: `Did not send ${what}: ${code}.${advice}` };
}

/** Events of keys and of the replay store. */
type SurroundingsEvent = Exclude<
  ServiceAuthEvent,
  | { type: `request_${string}` | `grant_${string}` }
  | { type: 'signing_failed' | 'lease_lost' | 'duplicate_dropped' }
>;

function describeSurroundings(event: SurroundingsEvent): Described {
  switch (event.type) {
    case 'keys_refreshed':
      return { level: 'debug', text: `Fetched the keys of ${event.issuer}: ${keyIds(event)}` };
    case 'keys_refresh_failed':
      return {
        level: 'debug',
        text: `Cannot fetch the keys of ${event.issuer}: ${event.reason}.`,
      };
    case 'key_dropped': {
      const text = `Does not use a key of ${event.issuer}: ${event.reason}. Calls signed with it are refused until its owner publishes a usable one.`;
      return { level: 'warn', text };
    }
    case 'original_issuer_found':
      return { level: 'warn', text: warningOfOriginal(event.issuer) };
    case 'signing_keys_changed': {
      const text = `Signing with key ${event.keyId} from now on; published: ${event.publishedKeyIds.join(', ')}`;
      return { level: 'log', text };
    }
    case 'signing_keys_unusable': {
      const text = `Cannot reload the signing key (${event.reason}). Still signing with the key that was loaded before, and looking again. A restart fails until this is mended.`;
      return { level: 'warn', text };
    }
    case 'issuer_look_up_failed':
      return { level: 'debug', text: `Cannot look up issuers: ${event.reason}.` };
    case 'issuer_look_up_recovered':
      return { level: 'log', text: 'Can look up issuers again.' };
    case 'replay_store_failed':
      return { level: 'debug', text: `Cannot ask the replay store: ${ended(event.reason)}` };
    case 'replay_store_recovered': {
      const { refused, acceptedUnchecked } = event;
      const counts = countsOf('replay_store_unavailable', refused, acceptedUnchecked);
      const text = `Can ask the replay store again. ${counts}`;
      return { level: 'log', text };
    }
    case 'token_accepted_unchecked': {
      const text = `Accepted a token of ${event.issuer} that may have been used before (${event.reason}); ${event.count} such tokens since the start`;
      return { level: 'debug', text };
    }
    case 'replay_store_unsafe':
      return { level: 'warn', text: `Replay protection has a gap: ${ended(event.reason)}` };
  }
}

function keyIds({ keyIds: known }: { readonly keyIds: readonly string[] }): string {
  return known.length === 1 ? '1 key' : `${known.length} keys`;
}

/** The warning about an issuer in the original profile, listed or found. */
export function warningOfOriginal(issuer: string): string {
  return `Tokens of ${issuer} are accepted in the original profile: they bind no URL and may be replayed. Let the caller sign in the strict profile, then remove profile: 'original' of this trusted issuer.`;
}

function summarise(
  event: ServiceAuthEvent,
  { count, milliseconds, isMixed }: Tally,
): string | undefined {
  const many = (transport: CallTransport): string =>
    counted(count, isMixed ? undefined : transport);
  const within = `in ${lastMinutes(milliseconds)}`;
  switch (event.type) {
    case 'request_refused': {
      const those = `${many(event.transport)}${fromWhom(event, count)}`;
      return event.status === 503
        ? `${UNDECIDED[event.transport]} ${those} ${within}: ${reasonOf(event)}`
        : `${those} refused ${within}: ${reasonOf(event)}`;
    }
    case 'request_would_be_refused':
      return `${many(event.transport)}${fromWhom(event, count)} would be refused by enforcement ${within}: ${reasonOf(event)}`;
    case 'request_accepted':
      return `Accepted ${many(event.transport)} of ${event.issuer} without proof that the user asked (subjectProof 'report') ${within}: ${reasonOfUnproved(event)}`;
    case 'grant_unbound':
      return `Accepted ${many(event.transport)} of ${event.issuer} without their grant ${within}: ${UNBOUND[event.reason]}. ${UNBOUND_ADVICE[event.transport]}`;
    case 'request_failed':
      return `Could not decide ${many(event.transport)} ${within}: ${event.reason}. ${WHERE_ERROR_IS[event.transport]}`;
    case 'lease_lost':
      return `Handled ${many(event.transport)} of ${event.issuer} whose reservations were lost meanwhile ${within}: they may run twice. ${LOST_ADVICE}`;
    case 'signing_failed': {
      const did = event.isSentUnsigned ? 'Sent' : 'Did not send';
      const how = event.isSentUnsigned ? ' without a token' : '';
      const target = event.audience ?? 'URLs outside targets';
      return `${did} ${many(event.transport)} to ${target}${how} ${within}: ${event.code}.`;
    }
    default:
      return undefined;
  }
}

function times({ count, milliseconds }: Tally): string {
  return `${count} times in ${lastMinutes(milliseconds)}`;
}

function to(route: string | undefined): string {
  return route === undefined ? '' : ` to ${route}`;
}

/** Every member of the event, with lists as text. Events contain no subject and no token. */
function fieldsOf(event: ServiceAuthEvent): LineFields {
  const { type, ...members } = event;
  const fields = Object.entries(members).map(([name, value]): [string, LineFields[string]] => [
    name,
    Array.isArray(value) ? value.join(', ') : (value as LineFields[string]),
  ]);
  return { event: type, ...Object.fromEntries(fields) };
}
