import type { RequestRefused, ServiceAuthEvent, SigningFailed } from '../../core/index.js';
import {
  counted,
  countsOf,
  durationText,
  ended,
  HELD_BACK_MILLISECONDS,
  lastMinutes,
  type Line,
} from './line.js';
import { adviceForKeys, adviceForStore } from './outage-advice.js';

/** A finder can return any number of issuers. */
const MOST_OUTAGES = 100;
/** Only this many outages have their own lines: if all keys are unreachable, the first few are enough. */
const MOST_TOLD = 5;
/** Keys are fetched again within six minutes, unless their issuer is no longer trusted. */
const FORGOTTEN_MILLISECONDS = 600_000;

/** What can fail: the keys of one issuer, the look-up of issuers, the replay store. */
interface Trouble {
  readonly key: string;
  /** The words after "Cannot" or "Still cannot". */
  readonly what: string;
  readonly code: 'key_unavailable' | 'replay_store_unavailable';
  readonly issuer?: string;
  /** Whether it is about keys that verify answers, and no calls. */
  readonly areOfAnswers?: true | undefined;
  readonly reason: string;
  /** What the service does meanwhile, unless it decides no call. */
  readonly meanwhile?: string | undefined;
  readonly advice: string;
}

type Undecided = Pick<RequestRefused, 'code' | 'status' | 'issuer' | 'detail'>;

interface Outage {
  trouble: Trouble;
  /** Whether it has its own lines. */
  isTold: boolean;
  startedAt: number;
  /** The times of its last event and of its last line. */
  heardAt: number;
  toldAt: number;
  isOver: boolean;
  /** Whether it ended and began again within a minute. Then its end is not logged immediately. */
  flaps: boolean;
  /** Calls that could not be decided (503), or messages that were not sent: since the last line, and in total. */
  refused: number;
  refusedInAll: number;
}

/**
 * Writes a line when an outage begins, one each minute while it lasts, and one when it ends. An outage that comes and
 * goes has one line a minute.
 */
export class Outages {
  private readonly outages = new Map<string, Outage>();

  constructor(private readonly write: (line: Line) => void) {}

  /** Handles an event that begins, continues or ends an outage. Returns whether the event needs no other line. */
  take(event: ServiceAuthEvent, now: number): boolean {
    switch (event.type) {
      case 'keys_refresh_failed':
        return this.begin(troubleWithKeys(event), now);
      case 'issuer_look_up_failed':
        return this.begin(troubleWithFinder(event.reason), now);
      case 'replay_store_failed':
        return this.begin(troubleWithStore(event.reason, meanwhileAccepting(event)), now);
      case 'keys_refreshed':
        return this.end(keyOf(event), now);
      case 'issuer_look_up_recovered':
        return this.end('finder', now);
      case 'replay_store_recovered':
        return this.end('store', now, event);
      default:
        return false;
    }
  }

  /** Counts a call that could not be decided (503). Returns whether an outage explains it. */
  explains({ code, status, issuer, detail }: Undecided): boolean {
    if (status !== 503) return false;
    const key = code === 'replay_store_unavailable' ? 'store' : `keys ${issuer}`;
    const outage = this.outages.get(issuer === undefined ? 'finder' : key);
    if (!outage || outage.isOver || outage.trouble.code !== code) return false;
    // A store may be down, come back as another server, or be full: the last call decides.
    if (key === 'store' && detail !== undefined) {
      outage.trouble = troubleWithStore(detail, outage.trouble.meanwhile);
    }
    outage.refused++;
    outage.refusedInAll++;
    return true;
  }

  /** Counts a message that was not sent, since nobody could verify its answer. */
  countUnsent({ code, audience }: Pick<SigningFailed, 'code' | 'audience'>): void {
    const outage = this.outages.get(`answers ${audience}`);
    if (!outage || outage.isOver || outage.trouble.code !== code) return;
    outage.refused++;
    outage.refusedInAll++;
  }

  /** The time of the next line; Infinity if there is none. */
  get dueAt(): number {
    let dueAt = Infinity;
    for (const { toldAt } of this.outages.values()) dueAt = Math.min(dueAt, toldAt);
    return dueAt + HELD_BACK_MILLISECONDS;
  }

  /** Writes the state of each outage that has had no line for a minute. */
  writeDue(now: number): void {
    for (const [key, outage] of this.outages) {
      if (now < outage.toldAt + HELD_BACK_MILLISECONDS) continue;
      if (isForgotten(outage, now)) this.outages.delete(key);
      else if (!outage.isOver) this.tellState(outage, now);
      else if (outage.flaps) this.tellEnd(outage, now);
      else this.outages.delete(key);
    }
  }

  /** Writes the number of calls that could not be decided since the last line. */
  flush(now: number): void {
    for (const outage of this.outages.values()) {
      if (outage.refused > 0) this.tellState(outage, now);
    }
    this.outages.clear();
  }

  private begin(trouble: Trouble, now: number): boolean {
    const known = this.outages.get(trouble.key);
    if (known) {
      const flaps = known.isTold && (known.flaps || known.isOver);
      Object.assign(known, { trouble, heardAt: now, isOver: false, flaps });
      return false;
    }
    if (this.outages.size >= MOST_OUTAGES) return false;
    const isTold = this.toldCount < MOST_TOLD;
    const times = { startedAt: now, heardAt: now, toldAt: now };
    const counts = { refused: 0, refusedInAll: 0 };
    const begun = { trouble, isTold, isOver: false, flaps: false };
    this.outages.set(trouble.key, { ...begun, ...times, ...counts });
    if (!isTold) return false;
    const text = `Cannot ${trouble.what}: ${ended(trouble.reason)} ${untilOver(trouble)} ${trouble.advice}`;
    this.write({ level: 'warn', text, fields: fieldsOf(trouble, 'begun') });
    return true;
  }

  private end(key: string, now: number, store?: { readonly acceptedUnchecked: number }): boolean {
    const outage = this.outages.get(key);
    if (!outage || outage.isOver) return false;
    outage.isOver = true;
    if (!outage.isTold) return false;
    if (!outage.flaps) this.tellEnd(outage, now, store?.acceptedUnchecked);
    return true;
  }

  private get toldCount(): number {
    return [...this.outages.values()].filter(({ isTold }) => isTold).length;
  }

  /** The line of the oldest outage counts the key outages without their own lines. */
  private describeOthers(outage: Outage): string[] {
    const [oldest, ...others] = this.outages.values();
    const untold = others.filter(({ isTold, isOver }) => !isTold && !isOver).length;
    if (untold === 0 || outage !== oldest) return [];
    return [`The same is true of ${untold} more issuers.`];
  }

  private tellState(outage: Outage, now: number): void {
    outage.isTold ||= this.toldCount < MOST_TOLD;
    if (!outage.isTold) return void Object.assign(outage, { toldAt: now });
    const { trouble, startedAt, toldAt, refused } = outage;
    const lasts = durationText(now - startedAt);
    const text = [
      `Still cannot ${trouble.what}, for ${lasts}: ${ended(trouble.reason)}`,
      meanwhileOf(trouble, refused, now - toldAt),
      ...this.describeOthers(outage),
      trouble.advice,
    ];
    const fields = { ...fieldsOf(trouble, 'lasting'), count: refused };
    this.write({ level: 'warn', text: text.join(' '), fields });
    Object.assign(outage, { toldAt: now, refused: 0, flaps: false });
  }

  private tellEnd(outage: Outage, now: number, acceptedUnchecked = 0): void {
    const { trouble, startedAt, refusedInAll } = outage;
    const counts = countsOfOutage(trouble, refusedInAll, acceptedUnchecked);
    const text = `Can ${trouble.what} again after ${durationText(now - startedAt)}. ${counts}`;
    const fields = { ...fieldsOf(trouble, 'over'), count: refusedInAll, acceptedUnchecked };
    this.write({ level: 'log', text, fields });
    Object.assign(outage, { toldAt: now, refused: 0, flaps: false });
  }
}

function isForgotten({ trouble, heardAt }: Outage, now: number): boolean {
  return trouble.issuer !== undefined && now >= heardAt + FORGOTTEN_MILLISECONDS;
}

/** What the service does until the outage is over. */
function untilOver({ meanwhile, code, issuer }: Trouble): string {
  const whose = issuer === undefined ? 'calls' : 'its calls';
  return meanwhile ?? `Cannot decide ${whose} until a retry succeeds (503 ${code}).`;
}

function meanwhileOf(trouble: Trouble, refused: number, milliseconds: number): string {
  if (refused === 0 && trouble.meanwhile !== undefined) return trouble.meanwhile;
  if (refused === 0) return `It affected ${noneOf(trouble)} in ${lastMinutes(milliseconds)}.`;
  if (trouble.areOfAnswers) return unsent(refused, `in ${lastMinutes(milliseconds)}`);
  return `Could not decide ${counted(refused)} in ${lastMinutes(milliseconds)} (503 ${trouble.code}).`;
}

function countsOfOutage(trouble: Trouble, refused: number, acceptedUnchecked: number): string {
  if (refused === 0 && acceptedUnchecked === 0) return `It affected ${noneOf(trouble)}.`;
  if (trouble.areOfAnswers) return unsent(refused, 'meanwhile');
  return countsOf(trouble.code, refused, acceptedUnchecked);
}

/** Keys affect what comes from their owner. What waits to be sent to it is not counted. */
function noneOf({ areOfAnswers, issuer }: Trouble): string {
  if (areOfAnswers) return 'no message to it';
  return issuer === undefined ? 'no call' : 'none of its calls';
}

function unsent(count: number, when: string): string {
  return `Did not send it ${counted(count, 'messages')} ${when} (key_unavailable).`;
}

function fieldsOf({ code, issuer, reason }: Trouble, state: string) {
  return { event: `outage_${state}`, code, issuer, detail: reason };
}

type ReplayStoreFailed = Extract<ServiceAuthEvent, { type: 'replay_store_failed' }>;
type KeysRefreshFailed = Extract<ServiceAuthEvent, { type: 'keys_refresh_failed' }>;

function troubleWithKeys(event: KeysRefreshFailed): Trouble {
  const { issuer, reason, areOfAnswers } = event;
  const whose = areOfAnswers === true ? ' for its answers' : '';
  return {
    key: keyOf(event),
    what: `fetch the keys of ${issuer}${whose}`,
    code: 'key_unavailable',
    issuer,
    areOfAnswers,
    reason,
    meanwhile: meanwhileWithout(event),
    advice: adviceForKeys(reason),
  };
}

/** Calls and answers of one service may be verified with different keys. */
function keyOf({ issuer, areOfAnswers }: Pick<KeysRefreshFailed, 'issuer' | 'areOfAnswers'>) {
  return areOfAnswers === true ? `answers ${issuer}` : `keys ${issuer}`;
}

function meanwhileWithout({ servingStale, areOfAnswers }: KeysRefreshFailed): string | undefined {
  if (areOfAnswers === true) {
    return servingStale
      ? 'Still believing its answers with the known keys, until they are too old (maxStaleSeconds).'
      : 'Not sending it what wants an answer until a retry succeeds (key_unavailable): nobody could verify the answer.';
  }
  return servingStale
    ? 'Still accepting its calls with the known keys, until they are too old (maxStaleSeconds), then 503.'
    : undefined;
}

function troubleWithFinder(reason: string): Trouble {
  return {
    key: 'finder',
    what: 'look up issuers',
    code: 'key_unavailable',
    reason,
    advice: 'Check what the finder of trustedIssuers asks.',
  };
}

/** What a store that accepts unchecked does meanwhile. It never does so for calls that come again by themselves. */
function meanwhileAccepting({ acceptsUnchecked }: ReplayStoreFailed): string | undefined {
  return acceptsUnchecked === true
    ? 'Accepting calls unchecked until a retry succeeds (onUnavailable), except jobs and events that are delivered again: these wait.'
    : undefined;
}

function troubleWithStore(reason: string, meanwhile: string | undefined): Trouble {
  return {
    key: 'store',
    what: 'ask the replay store',
    code: 'replay_store_unavailable',
    reason,
    meanwhile,
    advice: adviceForStore(reason),
  };
}
