/** Something an operator may want to know. Never holds a token, a claim or key material. */
export type ServiceAuthEvent =
  /** The keys of an issuer were fetched, or found unchanged. */
  | { readonly type: 'keys_refreshed'; readonly issuer: string; readonly keyIds: readonly string[] }
  /** They could not be fetched; `servingStale` tells whether known keys serve on. */
  | {
      readonly type: 'keys_refresh_failed';
      readonly issuer: string;
      readonly reason: string;
      readonly servingStale: boolean;
    }
  /** One key of a set is not used; the others are. */
  | {
      readonly type: 'key_dropped';
      readonly issuer: string;
      readonly reason: string;
    }
  /** This service signs with another key, or publishes others, from now on. */
  | {
      readonly type: 'signing_keys_changed';
      readonly keyId: string;
      readonly publishedKeyIds: readonly string[];
    }
  /** Where this service's own key comes from has no usable one: the key before it signs on. */
  | { readonly type: 'signing_keys_unusable'; readonly reason: string }
  /** The replay store cannot tell whether a token was used before. Said once, until it can again. */
  | { readonly type: 'replay_store_failed'; readonly reason: string }
  /** It can again: how many requests were refused meanwhile, and how many accepted unchecked. */
  | {
      readonly type: 'replay_store_recovered';
      readonly refused: number;
      readonly acceptedUnchecked: number;
    }
  /** A token was accepted that may have been used before, as the store was told to; so many since the start. */
  | {
      readonly type: 'token_accepted_unchecked';
      readonly issuer: string;
      readonly reason: string;
      readonly count: number;
    }
  /** The replay store works, and may forget a token too early, or see too few of them. */
  | { readonly type: 'replay_store_unsafe'; readonly reason: string };

/** Port: hears what happens. What it throws is ignored. */
export interface ServiceAuthObserver {
  observe(event: ServiceAuthEvent): void;
}

/** Tells an observer, whose trouble must not become the request's. */
export function tell(observer: ServiceAuthObserver, event: ServiceAuthEvent): void {
  try {
    observer.observe(event);
  } catch {
    // An observer only watches.
  }
}
