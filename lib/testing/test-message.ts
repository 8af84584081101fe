import {
  headerValues,
  type IncomingMessage,
  jobRoute,
  type MessageVerb,
  parseMessageText,
  ServiceAuthUsageError,
  writeMessageText,
} from '../core/index.js';
import { type Flaw, MESSAGE_FLAWS } from './flaws.js';
import { type GrantFlaw, isGrantFlaw } from './grant-flaws.js';
import { toRawHeaders } from './test-request.js';

/** A job of BullMQ that a test queues. */
export interface TestJob {
  readonly queue: string;
  readonly name: string;
  /** Default: none, which BullMQ stores as `{}`. */
  readonly data?: unknown;
  /** That of the queue. Default: BullMQ's, `bull`. */
  readonly prefix?: string;
  /** In milliseconds, as in the options of BullMQ. */
  readonly delay?: number;
}

/** What a test gives BullMQ as the options of a job. */
export interface TestJobOptions {
  readonly delay?: number;
  /** The token, and a grant. A job without a token has none. */
  readonly serviceAuth?: Readonly<Record<string, string>>;
}

/** A message of a test, as its receiver gets it. */
export interface TestMessage {
  readonly verb: MessageVerb;
  readonly route: string;
  readonly data: unknown;
  readonly text: string;
  readonly delaySeconds: number;
}

/** @throws ServiceSigningError `message_unsignable` for data that JSON does not hold */
export function toTestMessage(verb: MessageVerb, route: string, given: unknown): TestMessage {
  const text = writeMessageText(given);
  return { verb, route, delaySeconds: 0, text, data: parseMessageText(text) };
}

/** @throws ServiceSigningError `message_unsignable` for data that JSON does not hold */
export function toTestJob({ queue, name, data, prefix = 'bull', delay = 0 }: TestJob): TestMessage {
  const job = toTestMessage('JOB', jobRoute(prefix, queue, name), data === undefined ? {} : data);
  return { ...job, delaySeconds: Math.floor(delay / 1000) };
}

/** A message with its headers, as the verifier gets it. */
export function toIncomingMessage(
  { verb, route, data }: TestMessage,
  headers: Readonly<Record<string, string>>,
): IncomingMessage {
  const rawHeaders = toRawHeaders(headers);
  return { verb, route, data, headerValues: (name) => headerValues(rawHeaders, name) };
}

/** @throws ServiceAuthUsageError for a flaw that only requests have */
export function assertFlawOfMessages(flaw: Flaw | GrantFlaw | undefined): void {
  if (flaw === undefined || isGrantFlaw(flaw) || Object.hasOwn(MESSAGE_FLAWS, flaw)) return;
  const flaws = Object.keys(MESSAGE_FLAWS).join(', ');
  throw new ServiceAuthUsageError(`'${flaw}' is no flaw of a message: write one of ${flaws}.`);
}
