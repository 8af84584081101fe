/** A request as a service received it, before its guard looked at the token. */
export interface Hop {
  /** Method and request target. */
  readonly request: string;
  /** What the service answered. */
  readonly status: number;
  /** When it arrived, and when it was answered: milliseconds since the epoch. */
  readonly arrivedAt: number;
  readonly answeredAt: number;
  /** The JOSE header of the token, unverified; undefined when there was no token. */
  readonly header: Readonly<Record<string, unknown>> | undefined;
  /** The claims of the token, likewise. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  /** The id of the key it says it was signed with. */
  readonly keyId: string | undefined;
  /** The claims of the grant that came beside the token, unverified; undefined when there was none. */
  readonly grant: Readonly<Record<string, unknown>> | undefined;
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
  | ({ readonly kind: 'hop' } & Hop);

/** What the runner answers to `loaded`: start now. */
export interface StartMessage {
  readonly kind: 'start';
}
