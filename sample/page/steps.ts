import type { ServiceName } from '../setup/services.js';
import type { Answer } from '../story/http-client.js';
import type { ReceivedMail } from '../story/mailbox.js';
import type { Hop, Received } from '../story/messages.js';
import { CHAIN, type Hops } from './hop-recorder.js';

/** Who takes part, from left to right. */
export type Party = 'you' | ServiceName | 'mail';

/** One arrow of the sequence diagram. */
export interface Step {
  /**
   * `lost`: a request that nobody took, because the service is stopped. `waiting`: a mail that nobody has taken yet. `mail`:
   * the mail itself, which the mail server has received.
   */
  readonly kind: 'request' | 'answer' | 'mail' | 'lost' | 'waiting';
  readonly from: Party;
  readonly to: Party;
  /** A request line, a status with its code, or the subject of a mail. */
  readonly line: string;
  /** Of an answer. */
  readonly status?: number;
  /** The stable code of a refusal. */
  readonly code?: string;
  /** Since the story began; undefined: not measured. */
  readonly atMilliseconds?: number;
  /** Of the token that a request brought; undefined: the request had none. */
  readonly token?: Pick<Hop, 'header' | 'claims' | 'grant' | 'texts'>;
  /** Of the mail, as it arrived. */
  readonly message?: string;
  /** The JSON of the last answer. */
  readonly body?: unknown;
}

/** A call from the browser through the services, as it went. */
export interface Course {
  readonly hops: Hops;
  /** undefined: Edge is stopped. */
  readonly answer: Answer | undefined;
  /** Whether Herald has queued a mail. */
  readonly hasMail: boolean;
  /** undefined when it has not arrived, or went to a mail server that is not ours. */
  readonly mail: ReceivedMail | undefined;
}

/**
 * In the order in which they happen: calls are nested, so the inner ones are answered first. The mail goes its own way
 * meanwhile, and comes last.
 */
export function toSteps({ hops, answer, hasMail, mail }: Course): Step[] {
  const startedAt = hops.edge?.arrivedAt ?? 0;
  const requests: Step[] = [];
  const answers: Step[] = [];
  for (const [at, name] of CHAIN.entries()) {
    const from = CHAIN[at - 1] ?? 'you';
    const hop = hops[name];
    if (!hop) {
      if (isLost(hops, at)) requests.push(lost(from, name));
      break;
    }
    requests.push(toRequest(from, name, hop, startedAt));
    answers.unshift(toAnswer(from, name, hop, startedAt));
  }
  const last = answers.pop();
  if (last) answers.push({ ...last, body: answer?.body });
  if (hasMail) answers.splice(1, 0, toQueuedStep(hops.mail, startedAt));
  return [...requests, ...answers, ...toDelivery({ hops, mail }, startedAt)];
}

function toQueuedStep(mail: Received | undefined, startedAt: number): Step {
  if (mail) return toRequest('herald', 'courier', mail, startedAt);
  return { kind: 'waiting', from: 'herald', to: 'courier', line: 'waits in the queue' };
}

function toDelivery({ hops, mail }: Pick<Course, 'hops' | 'mail'>, startedAt: number): Step[] {
  const { address } = hops;
  const asked = address && [
    toRequest('courier', 'census', address, startedAt),
    toAnswer('courier', 'census', address, startedAt),
  ];
  return [...(asked ?? []), ...(mail ? [toMailStep(mail)] : [])];
}

/** Whether the service before this one called it in vain: that one answers 502 then, or it is the browser. */
function isLost(hops: Hops, at: number): boolean {
  const before = CHAIN[at - 1];
  return before === undefined || hops[before]?.status === 502;
}

function lost(from: Party, to: ServiceName): Step {
  return { kind: 'lost', from, to, line: 'no answer: stopped' };
}

function toRequest(from: Party, to: ServiceName, hop: Received, startedAt: number): Step {
  const { request: line, header, claims, grant, texts, arrivedAt } = hop;
  const token = claims && { header, claims, grant, texts };
  return { kind: 'request', from, to, line, token, atMilliseconds: arrivedAt - startedAt };
}

function toAnswer(to: Party, from: ServiceName, hop: Hop, startedAt: number): Step {
  const { status, code, answeredAt } = hop;
  const line = code === undefined ? String(status) : `${status} ${code}`;
  return { kind: 'answer', from, to, line, status, code, atMilliseconds: answeredAt - startedAt };
}

function toMailStep({ message }: ReceivedMail): Step {
  const subject = /^Subject: (.*?)\r?$/m.exec(message)?.[1] ?? 'e-mail';
  return { kind: 'mail', from: 'courier', to: 'mail', line: subject, message };
}
