import type { Exchange } from '../exchange.js';
import { reasonFor } from '../checks.js';
import type { Party, Step } from '../steps.js';
import { titleOf } from '../hop-recorder.js';
import type { StoryResult } from '../story.service.js';

/** What happened to a call after a switch was turned. */
export interface Outcome {
  readonly title: string;
  /** `200`, `503 key_unavailable`, or `no answer`. */
  readonly verdict: string;
  /** `warning`: accepted, where it should not be; or not done yet. */
  readonly tone: 'good' | 'bad' | 'warning';
  readonly reason: string;
  /** Of a call that the page made itself. */
  readonly exchange?: Exchange;
  /** Of a call through all services. */
  readonly steps?: readonly Step[];
}

/** What turning a switch has led to. */
export interface SwitchResult {
  /** What was done. */
  readonly told: string;
  /** The next calls, in their order. */
  readonly outcomes: readonly Outcome[];
}

/** @param reason in place of that of the code, where the page knows more */
export function outcomeOf(title: string, exchange: Exchange, reason = exchange.reason): Outcome {
  const { answer } = exchange;
  const tone = answer !== undefined && answer.status < 400 ? 'good' : 'bad';
  return { title, verdict: verdictOf(answer?.status, answer?.code), tone, reason, exchange };
}

export function outcomeOfStory(title: string, { steps, status }: StoryResult): Outcome {
  const failing = steps.find(({ kind, status: own }) => kind === 'lost' || (own ?? 0) >= 400);
  const isWaiting = steps.some(({ kind }) => kind === 'waiting');
  const well = isWaiting ? WAITING : 'Every service accepted the token of its caller.';
  return {
    title,
    verdict: verdictOf(status, failing?.code),
    tone: failing ? 'bad' : isWaiting ? 'warning' : 'good',
    reason: failing ? reasonOf(failing, status) : well,
    steps,
  };
}

const WAITING =
  'The courier is down, so the mail waits in the queue. The courier sends it when it is up again.';

/** The first step that fails is the cause: callers pass it on. */
function reasonOf({ kind, from, to, status = 0, code }: Step, last: number | undefined): string {
  if (kind === 'lost' && from === 'you') return 'Edge is stopped: the browser gets no answer.';
  if (kind === 'lost') {
    return `${nameOf(to)} is stopped. ${nameOf(from)} gets no answer, and answers 502 itself. The browser reads ${last}.`;
  }
  const said = code === undefined ? String(status) : `${status} ${code}`;
  const passedOn = last === status ? '' : ` The browser reads ${last}.`;
  return `${nameOf(from)} answered ${said}. ${reasonFor(status, code)}${passedOn}`;
}

function nameOf(party: Party): string {
  return party === 'you' || party === 'mail' ? party : titleOf(party);
}

function verdictOf(status: number | undefined, code: string | undefined): string {
  if (status === undefined) return 'no answer';
  return code === undefined ? String(status) : `${status} ${code}`;
}
