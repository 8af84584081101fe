import type { Algorithm } from './algorithms.js';
import type { RefusalCode, SigningFailureCode } from './codes.js';
import type { Profile } from './profiles.js';

/**
 * How far the issuer of a refused request can be believed. `verified`: the signature is its own.
 * `claimed`: the token names a trusted issuer, and nothing proves it yet. `unknown`: the token names
 * nobody who is trusted here, or there is none that could be read.
 */
export type IssuerTrust = 'verified' | 'claimed' | 'unknown';

/** A request was verified and let in. */
export interface RequestAccepted {
  readonly type: 'request_accepted';
  readonly issuer: string;
  /** The name under which this service was called. */
  readonly audience: string;
  /** Whether the caller acts for a user. Who that is, is not told. */
  readonly hasSubject: boolean;
  readonly algorithm: Algorithm;
  readonly keyId: string;
  readonly profile: Profile;
  /** The pattern of the route, as `/users/:id`; undefined where it is not known. */
  readonly route: string | undefined;
  /** Whether a grant proves that the user asked. `none`: no proof was required, or there is no user. */
  readonly proof: 'grant' | 'none';
  /** The service that vouches for the user, and the id of the transaction, the same on every hop; undefined without proof. */
  readonly originator: string | undefined;
  readonly transaction: string | undefined;
  /** The code with which the request would be refused if the `subjectProof` of its issuer was `required`, not `report`. */
  readonly proofRefusal: RefusalCode | undefined;
  /** Until the token was verified, the arrival of the body included. */
  readonly durationMilliseconds: number;
}

/** A request was refused, or could not be decided (503). */
export interface RequestRefused {
  readonly type: 'request_refused';
  readonly code: RefusalCode;
  readonly status: number;
  /** What exactly failed. Our own words, and how far a time is from this clock; never a text of a token. */
  readonly detail: string | undefined;
  /** The name of a trusted issuer, never one that a caller made up; undefined where `issuerTrust` is `unknown`. */
  readonly issuer: string | undefined;
  readonly issuerTrust: IssuerTrust;
  readonly route: string | undefined;
  /** Undefined where nothing had to be verified: a route that a verified request was handed on to refused it. */
  readonly durationMilliseconds: number | undefined;
}

/**
 * A request that enforcement would refuse was let in without an identity: report-only mode. The members are those of
 * {@link RequestRefused}.
 */
export interface RequestWouldBeRefused extends Omit<RequestRefused, 'type'> {
  readonly type: 'request_would_be_refused';
}

/** Why the grant that came with a request is not its own. */
export type UnboundReason = 'claim_only' | 'header_only' | 'unequal' | 'repeated' | 'malformed';

/**
 * A request was let in whose token and grant do not belong together, where the `subjectProof` of its issuer is `off`: as
 * through a gateway that drops or doubles the header `Txn-Token`. The grant is not sent on.
 */
export interface GrantUnbound {
  readonly type: 'grant_unbound';
  readonly issuer: string;
  readonly route: string | undefined;
  /** The token names a grant, and none came; the reverse; they differ; several came; the header is none of a grant. */
  readonly reason: UnboundReason;
}

/** This service made a grant: it vouches for a user. */
export interface GrantIssued {
  readonly type: 'grant_issued';
  /** The id of the transaction, the same on every hop. */
  readonly transaction: string;
  readonly lifetimeSeconds: number;
  /** `served-grant`: the request being served came from another service, which may have had a grant of its own. */
  readonly insteadOf: 'served-grant' | undefined;
}

/** A request without a token was let in by a route that admits it: `@OptionalServiceAuth()`. */
export interface RequestAnonymous {
  readonly type: 'request_anonymous';
  readonly route: string | undefined;
}

/**
 * Something else went wrong, and the request was not let in. `usage_error`: this library is used where it
 * cannot work. `admission_error`: the token is good, and the application's own code failed, such as a
 * `userResolver`. `unexpected_error`: whatever else.
 */
export interface RequestFailed {
  readonly type: 'request_failed';
  readonly reason: 'usage_error' | 'admission_error' | 'unexpected_error';
  readonly route: string | undefined;
  readonly durationMilliseconds: number;
}

/**
 * A handler ended, and the reservation of its delivery was no longer its own: it ran without renewing for longer than the
 * lease, or the replay store lost the reservation. Another delivery of the same message may have run meanwhile.
 */
export interface LeaseLost {
  readonly type: 'lease_lost';
  readonly issuer: string;
  /** The pattern or the queue of the handler; undefined where it is not known. */
  readonly route: string | undefined;
}

/** A delivery was dropped without running its handler, since the message was handled before: brokers deliver at least once. */
export interface DuplicateDropped {
  readonly type: 'duplicate_dropped';
  readonly issuer: string;
  /** The pattern or the queue of the handler; undefined where it is not known. */
  readonly route: string | undefined;
}

/** A request that goes out was signed. */
export interface RequestSigned {
  readonly type: 'request_signed';
  /** The service that is called. */
  readonly audience: string;
  readonly hasSubject: boolean;
  readonly profile: Profile;
  readonly durationMilliseconds: number;
}

/** A request was not signed. It was not sent, or it was sent unsigned to a target whose signing is `best-effort`. */
export interface SigningFailed {
  readonly type: 'signing_failed';
  readonly code: SigningFailureCode | 'unexpected_error';
  /** The service that is called; undefined where the URL belongs to no target. */
  readonly audience: string | undefined;
  /** Whether the request was sent all the same, without a token: the target's signing is `best-effort`. */
  readonly isSentUnsigned: boolean;
}

/** Something an operator may want to know. Never holds a token, a subject or key material. */
export type ServiceAuthEvent =
  | RequestAccepted
  | RequestRefused
  | RequestWouldBeRefused
  | RequestAnonymous
  | GrantUnbound
  | GrantIssued
  | RequestFailed
  | LeaseLost
  | DuplicateDropped
  | RequestSigned
  | SigningFailed
  /** The keys of an issuer were fetched, or found unchanged. */
  | { readonly type: 'keys_refreshed'; readonly issuer: string; readonly keyIds: readonly string[] }
  /** They could not be fetched; `servingStale` tells whether known keys serve on. */
  | {
      readonly type: 'keys_refresh_failed';
      readonly issuer: string;
      readonly reason: string;
      readonly servingStale: boolean;
    }
  /** The finder of `trustedIssuers` failed or was late. Emitted once, until it answers again. */
  | { readonly type: 'issuer_look_up_failed'; readonly reason: string }
  /** It answers again. */
  | { readonly type: 'issuer_look_up_recovered' }
  /** One key of a set is not used; the others are. */
  | {
      readonly type: 'key_dropped';
      readonly issuer: string;
      readonly reason: string;
    }
  /** A finder has answered with an issuer in the `original` profile: its tokens bind no URL. Emitted once for each issuer. */
  | { readonly type: 'original_issuer_found'; readonly issuer: string }
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

/** Port: hears what happens. What it throws or rejects with is ignored, and nobody waits for it. */
export interface ServiceAuthObserver {
  /** Told once for each event, at once: what takes time is for later. */
  observe(event: ServiceAuthEvent): void | Promise<void>;
  /** Called when the service closes: whatever is held back is written now. What it throws is ignored. */
  flush?(): void;
}

/** Stands where nobody listens, and lets events go unmade. */
export const NO_OBSERVER: ServiceAuthObserver = Object.freeze({ observe: () => undefined });

/** Tells an observer, whose trouble must not become the request's. The event is frozen. */
export function tell(observer: ServiceAuthObserver, event: ServiceAuthEvent): void {
  try {
    const outcome: unknown = observer.observe(Object.freeze(event));
    if (isObject(outcome)) Promise.resolve(outcome).catch(() => undefined);
  } catch {
    // An observer only watches.
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Lets an observer write what it holds back, whose trouble must not become the service's. */
export function flushObserver(observer: ServiceAuthObserver): void {
  try {
    observer.flush?.();
  } catch {
    // An observer only watches.
  }
}

/** One observer for several: each hears everything, whatever becomes of the others. */
export function tellAll(observers: readonly ServiceAuthObserver[]): ServiceAuthObserver {
  const [first = NO_OBSERVER, ...others] = observers;
  if (others.length === 0) return first;
  return Object.freeze({
    observe: (event: ServiceAuthEvent) => {
      for (const observer of observers) tell(observer, event);
    },
    flush: () => {
      for (const observer of observers) flushObserver(observer);
    },
  });
}
