/** A request as a service received it, before its guard looked at the token. */
export interface Hop {
  /** Method and request target. */
  readonly request: string;
  /** What the service answered. */
  readonly status: number;
  /** The claims of the token, unverified; undefined when there was no token. */
  readonly claims: Readonly<Record<string, unknown>> | undefined;
}

/** What a service tells the runner that started it. */
export type ServiceMessage =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'failed'; readonly reason: string }
  | ({ readonly kind: 'hop' } & Hop);
