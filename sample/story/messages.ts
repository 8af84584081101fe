/** A request, a message or a job as a service received it, before its guard looked at the token. */
export interface Received {
  /** Method and request target; `SEND` and a pattern; `JOB`, a queue and a name. */
  readonly request: string;
  /** Milliseconds since the epoch. */
  readonly arrivedAt: number;
  /** The JOSE header of the token, unverified; undefined when there was no token. */
  readonly header: Readonly<Record<string, unknown>> | undefined;
  /** The claims of the token, likewise. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  /** The id of the key it says it was signed with. */
  readonly keyId: string | undefined;
  /** The claims of the grant that came beside the token, unverified; undefined when there was none. */
  readonly grant: Readonly<Record<string, unknown>> | undefined;
  /** The token and the grant as they arrived. Both are used by now: a token counts once. */
  readonly texts: { readonly token: string | undefined; readonly grant: string | undefined };
}

/** A request that a service has answered. */
export interface Hop extends Received {
  readonly status: number;
  /** Milliseconds since the epoch. */
  readonly answeredAt: number;
  /** The stable code of a refusal; undefined when the answer has none. */
  readonly code: string | undefined;
}

/** The ids of the keys that a service knows of each issuer it trusts. */
export type KnownKeys = Readonly<Record<string, readonly string[]>>;

/** A line of a service's log. */
export interface LogLine {
  readonly level: 'warn' | 'error' | 'fatal';
  readonly text: string;
}

/** What a service tells the runner that started it. It says `loaded` first, and starts when the runner says so. */
export type ServiceMessage =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'keys'; readonly keys: KnownKeys }
  | ({ readonly kind: 'log' } & LogLine)
  | ({ readonly kind: 'mail' } & Received)
  | ({ readonly kind: 'hop' } & Hop);

/** What the runner answers to `loaded`: start now. */
export interface StartMessage {
  readonly kind: 'start';
}

/** FOR THE DEMONSTRATION ONLY. The runner wants the keys of the service to be out of reach, or to be served again. */
export interface KeyServerMessage {
  readonly kind: 'key-server';
  readonly isOff: boolean;
}

/** What the runner tells a service. */
export type RunnerMessage = StartMessage | KeyServerMessage;
