/** What a message asks of its receiver: an answer, nothing, or work that is done later. */
export type MessageVerb = 'SEND' | 'EMIT' | 'JOB';

export const MESSAGE_VERBS: ReadonlySet<string> = new Set<MessageVerb>(['SEND', 'EMIT', 'JOB']);

/** A way in which a service may be called. */
export type CallTransport = 'http' | 'messages' | 'jobs';

/** A way in which a service may be called through a broker. */
export type MessageTransport = Exclude<CallTransport, 'http'>;

export const TRANSPORTS: readonly CallTransport[] = ['http', 'messages', 'jobs'];

/** A message that was received, as data. */
export interface IncomingMessage {
  /** That of the handler which serves it, never of the packet: that part of the packet is unsigned. */
  readonly verb: MessageVerb;
  /** The concrete pattern, topic, subject or channel; of a job the JSON text of prefix, queue and name. */
  readonly route: string;
  /** Every value of a header, by its lower-case name: `jwt`, `txn-token`. */
  readonly headerValues: (name: string) => readonly string[];
  /** What the handler will get, as the broker's client parsed it. */
  readonly data: unknown;
  /** The bytes as they came; undefined where the transport does not show them. */
  readonly bytes?: Uint8Array | undefined;
}

/** A message that is about to be sent, as data. */
export interface OutgoingMessage {
  readonly verb: MessageVerb;
  readonly route: string;
  /** The JSON text of its data, as `writeMessageText()` makes it. */
  readonly text: string;
  /** The user on whose behalf it is sent, as an absolute URI; undefined: the service acts for itself. */
  readonly subject?: string | undefined;
  /** The grant of that user. */
  readonly grant?: string | undefined;
  /** Whether the answer must be signed. Only for `SEND`. */
  readonly wantsAnswer?: boolean | undefined;
  /** In how many seconds the message becomes valid. Default 0. Only for `JOB`. */
  readonly delaySeconds?: number | undefined;
  /** Overrides the lifetime that the settings give messages of this verb. */
  readonly lifetimeSeconds?: number | undefined;
}

/** The longest time between `iat` and `nbf` of a message, in seconds: for so long its key must stay published. */
export const MAX_DELAY_SECONDS = 7 * 24 * 60 * 60;

/** The longest lifetime of an event or job that a receiver accepts, unless its options say otherwise. */
export const DEFAULT_MAX_MESSAGE_SECONDS = 3600;

/** The way in which a message is sent. */
export function transportOf(verb: MessageVerb): MessageTransport {
  return verb === 'JOB' ? 'jobs' : 'messages';
}

/** The form of the claim `req` of a message. */
export const MESSAGE_LINE = /^(?:SEND|EMIT|JOB) [^\p{Cc}]+$/u;

/** The claim `req` of a message. */
export function messageLine(verb: MessageVerb, route: string): string {
  return `${verb} ${route}`;
}

/** The route of a job: prefix, queue and name may each hold any character. */
export function jobRoute(prefix: string, queue: string, name: string): string {
  return JSON.stringify([prefix, queue, name]);
}
