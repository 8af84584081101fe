import type { Algorithm } from './algorithms.js';
import type { RefusalCode, SigningFailureCode } from './codes.js';
import type { CallTransport } from './messages/message.js';
import type { Profile } from './profiles.js';

/**
 * How much is proved about the issuer of a refused request. `verified`: the signature is valid. `claimed`: the token
 * names a trusted issuer, and nothing proves it yet. `unknown`: the token names no trusted issuer, or cannot be read.
 */
export type IssuerTrust = 'verified' | 'claimed' | 'unknown';

/** The service verified a request, message or job, and let it in. */
export interface RequestAccepted {
  readonly type: 'request_accepted';
  /** The way in which it came: an HTTP request, a message, a job. */
  readonly transport: CallTransport;
  readonly issuer: string;
  /** The name under which this service was called. */
  readonly audience: string;
  /** Whether the caller acts for a user. The event does not name the user. */
  readonly hasSubject: boolean;
  readonly algorithm: Algorithm;
  readonly keyId: string;
  readonly profile: Profile;
  /** The pattern of the route, such as `/users/:id`; undefined if unknown. */
  readonly route: string | undefined;
  /** Whether a grant proves that the user asked. `none`: no proof was required, or the call has no user. */
  readonly proof: 'grant' | 'none';
  /**
   * The service that vouches for the user, and the id of the transaction, which is the same on every hop. Undefined
   * without proof.
   */
  readonly originator: string | undefined;
  readonly transaction: string | undefined;
  /** The code of the refusal that `subjectProof: required` would cause, where the issuer has `report`. */
  readonly proofRefusal: RefusalCode | undefined;
  /** Time to the end of the verification, including the arrival of the body. */
  readonly durationMilliseconds: number;
}

/** The service refused a request, message or job, or could not decide it (503). */
export interface RequestRefused {
  readonly type: 'request_refused';
  /** The way in which it came: an HTTP request, a message, a job. */
  readonly transport: CallTransport;
  readonly code: RefusalCode;
  readonly status: number;
  /** What exactly failed: words of this library, and time differences. Never a text from a token. */
  readonly detail: string | undefined;
  /** The name of a trusted issuer, never one that a caller invents. Undefined if `issuerTrust` is `unknown`. */
  readonly issuer: string | undefined;
  readonly issuerTrust: IssuerTrust;
  readonly route: string | undefined;
  /** Undefined if the request was verified before, for another route that handed it on. */
  readonly durationMilliseconds: number | undefined;
}

/**
 * In report-only mode, the service let in a request that it would otherwise refuse. The request has no identity. The
 * members are the same as in {@link RequestRefused}.
 */
export interface RequestWouldBeRefused extends Omit<RequestRefused, 'type'> {
  readonly type: 'request_would_be_refused';
}

/** Why a grant does not belong to the token of its request. */
export type UnboundReason = 'claim_only' | 'header_only' | 'unequal' | 'repeated' | 'malformed';

/**
 * The service let in a request whose token and grant do not belong together, because the `subjectProof` of its issuer
 * is `off`. A gateway that drops or doubles the header `Txn-Token` has this effect. The service does not pass the
 * grant on.
 */
export interface GrantUnbound {
  readonly type: 'grant_unbound';
  /** The way in which it came: an HTTP request, a message, a job. */
  readonly transport: CallTransport;
  readonly issuer: string;
  readonly route: string | undefined;
  /**
   * The token names a grant, and the request has none; the reverse; the two differ; the request has several; the
   * header is not a grant.
   */
  readonly reason: UnboundReason;
}

/** This service issued a grant: it vouches for a user. */
export interface GrantIssued {
  readonly type: 'grant_issued';
  /** The id of the transaction, the same on every hop. */
  readonly transaction: string;
  readonly lifetimeSeconds: number;
  /** `served-grant`: the request being served came from another service, which may have had a grant of its own. */
  readonly insteadOf: 'served-grant' | undefined;
}

/**
 * A request without a token was let in by a route that admits it, `@OptionalServiceAuth()`; or a job of a scheduler, by a
 * processor with `schedulers: 'act-as-itself'`.
 */
export interface RequestAnonymous {
  readonly type: 'request_anonymous';
  /** The way in which it came: an HTTP request, a message, a job. */
  readonly transport: CallTransport;
  readonly route: string | undefined;
}

/**
 * Something else went wrong, and the request was not let in. `usage_error`: this library is used where it
 * cannot work. `admission_error`: the token is good, and the application's own code failed, such as a
 * `userResolver`. `unexpected_error`: whatever else.
 */
export interface RequestFailed {
  readonly type: 'request_failed';
  /** The way in which it came: an HTTP request, a message, a job. */
  readonly transport: CallTransport;
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
  /** The way in which it came: a message or a job. */
  readonly transport: 'messages' | 'jobs';
  readonly issuer: string;
  /** The pattern or the queue of the handler; undefined where it is not known. */
  readonly route: string | undefined;
}

/** A delivery was dropped without running its handler, since the message was handled before: brokers deliver at least once. */
export interface DuplicateDropped {
  readonly type: 'duplicate_dropped';
  /** The way in which it came: a message or a job. */
  readonly transport: 'messages' | 'jobs';
  readonly issuer: string;
  /** The pattern or the queue of the handler; undefined where it is not known. */
  readonly route: string | undefined;
}

/** A request, message or job that goes out was signed. */
export interface RequestSigned {
  readonly type: 'request_signed';
  /** The way in which it is sent: an HTTP request, a message, a job. */
  readonly transport: CallTransport;
  /** The service that is called. */
  readonly audience: string;
  readonly hasSubject: boolean;
  readonly profile: Profile;
  readonly durationMilliseconds: number;
}

/** A request, message or job was not signed. It was not sent, or it was sent unsigned to a target whose signing is `best-effort`. */
export interface SigningFailed {
  readonly type: 'signing_failed';
  /** The way in which it is sent: an HTTP request, a message, a job. */
  readonly transport: CallTransport;
  /** `key_unavailable`: nobody could verify its answer, since the keys of the called service are not known. */
  readonly code: SigningFailureCode | 'key_unavailable' | 'unexpected_error';
  /** The service that is called; undefined where the URL belongs to no target. */
  readonly audience: string | undefined;
  /** Whether the request was sent all the same, without a token: the target's signing is `best-effort`. */
  readonly isSentUnsigned: boolean;
}

/** An event for operators. It never contains a token, a subject or key material. */
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
  /** The service fetched the keys of an issuer, or found them unchanged. `areOfAnswers`: as of `keys_refresh_failed`. */
  | {
      readonly type: 'keys_refreshed';
      readonly issuer: string;
      readonly keyIds: readonly string[];
      readonly areOfAnswers?: true;
    }
  /**
   * The service could not fetch the keys of an issuer. `servingStale`: it still uses the known keys. `areOfAnswers`: they
   * verify its answers to messages, and no calls.
   */
  | {
      readonly type: 'keys_refresh_failed';
      readonly issuer: string;
      readonly reason: string;
      readonly servingStale: boolean;
      readonly areOfAnswers?: true;
    }
  /** The finder of `trustedIssuers` failed or took too long. Emitted once, until the finder answers again. */
  | { readonly type: 'issuer_look_up_failed'; readonly reason: string }
  /** The finder of `trustedIssuers` answers again. */
  | { readonly type: 'issuer_look_up_recovered' }
  /** The service ignores one key of a set, and uses the others. */
  | {
      readonly type: 'key_dropped';
      readonly issuer: string;
      readonly reason: string;
    }
  /**
   * A finder returned an issuer with the `original` profile, whose tokens bind no URL. Emitted once for each issuer.
   */
  | { readonly type: 'original_issuer_found'; readonly issuer: string }
  /** This service now signs with another key, or publishes other keys. */
  | {
      readonly type: 'signing_keys_changed';
      readonly keyId: string;
      readonly publishedKeyIds: readonly string[];
    }
  /** The source of this service's own key has no usable key. The service still signs with the previous key. */
  | { readonly type: 'signing_keys_unusable'; readonly reason: string }
  /**
   * The replay store cannot decide whether a token was used before. Emitted once, until it can again. `acceptsUnchecked`:
   * the store lets requests pass meanwhile, and no messages or jobs that a broker delivers again.
   */
  | {
      readonly type: 'replay_store_failed';
      readonly reason: string;
      readonly acceptsUnchecked?: boolean | undefined;
    }
  /** The replay store works again: how many calls were refused meanwhile, and how many accepted unchecked. */
  | {
      readonly type: 'replay_store_recovered';
      readonly refused: number;
      readonly acceptedUnchecked: number;
    }
  /**
   * The service accepted a token that may have been used before, as the store is configured to. `count` is since the
   * start.
   */
  | {
      readonly type: 'token_accepted_unchecked';
      readonly issuer: string;
      readonly reason: string;
      readonly count: number;
    }
  /** The replay store works, but may forget a token too early, or sees only some of the tokens. */
  | { readonly type: 'replay_store_unsafe'; readonly reason: string };

/** Port: is called with each event. The service ignores what it throws or rejects with, and does not wait for it. */
export interface ServiceAuthObserver {
  /** Called synchronously, once for each event. Do slow work later. */
  observe(event: ServiceAuthEvent): void | Promise<void>;
  /** Called when the service closes: write whatever you hold back now. Errors are ignored. */
  flush?(): void;
}

/** Used if no observer is configured; then no events are created. */
export const NO_OBSERVER: ServiceAuthObserver = Object.freeze({ observe: () => undefined });

/** Calls an observer with an event, which is frozen. Errors of the observer do not affect the request. */
export function tell(observer: ServiceAuthObserver, event: ServiceAuthEvent): void {
  try {
    const outcome: unknown = observer.observe(Object.freeze(event));
    if (isObject(outcome)) Promise.resolve(outcome).catch(() => undefined);
  } catch {
    // An error of an observer must not affect the service.
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Lets an observer write what it holds back. Its errors do not affect the service. */
export function flushObserver(observer: ServiceAuthObserver): void {
  try {
    observer.flush?.();
  } catch {
    // An error of an observer must not affect the service.
  }
}

/** Combines several observers. Each is called with every event, even if another one fails. */
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
