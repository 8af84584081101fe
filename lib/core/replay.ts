import type { ServiceAuthObserver } from './events.js';

/** One use of a token. */
export interface TokenUse {
  readonly issuer: string;
  readonly tokenId: string;
  /** When the use may be forgotten, in seconds since the epoch: expiry plus clock tolerance. */
  readonly forgetAtSeconds: number;
  /** The verifier's clock at this use, in seconds since the epoch. */
  readonly nowSeconds: number;
  /** The `iat` of the token, in seconds since the epoch; undefined if missing. */
  readonly issuedAtSeconds?: number;
  /** How far the clock of the issuer may be ahead, in seconds. */
  readonly clockToleranceSeconds?: number;
}

/**
 * `first`: recorded now, and never before. `seen`: recorded before, or so old that the store may have forgotten it.
 */
export type TokenUseVerdict = 'first' | 'seen';

/** Port: remembers which tokens were used. */
export interface ReplayStore {
  /**
   * Records a use and returns whether it is the first, in one atomic step. Of all calls with the same issuer and
   * token id, in all processes that share the store, exactly one gets `first`.
   *
   * @throws ServiceAuthUnavailableError `replay_store_unavailable` if the store cannot decide. Any other error or
   *   answer has the same effect: the service refuses with 503.
   */
  recordUse(use: TokenUse): TokenUseVerdict | Promise<TokenUseVerdict>;

  /**
   * Called when a service that uses the store starts; the service waits for it. From now on the store calls
   * `observer` with its failures.
   *
   * @throws whatever keeps the service from starting
   */
  start?(observer: ServiceAuthObserver): void | Promise<void>;

  /** Called when the service with this observer closes. Others may still use the store. */
  close?(observer: ServiceAuthObserver): void;
}

/** A reservation of one use: who holds it, and for how long. */
export interface Lease {
  /** Names the holder: random and unguessable, made again for each reservation. */
  readonly owner: string;
  /** How long the reservation lasts from now on, 1 or more. */
  readonly milliseconds: number;
}

/**
 * `first`: reserved now. `busy`: another delivery holds a reservation. `seen`: the use is done, or the store may have
 * forgotten it, as for {@link TokenUseVerdict}.
 */
export type ReservationVerdict = 'first' | 'busy' | 'seen';

/**
 * Port: a replay store for deliveries that may come again. A use is reserved while its handler runs, and then done or
 * released. A reservation that is not renewed ends by itself.
 *
 * `reserve` and `recordUse` share one space of uses. A recorded use is `seen` by `reserve`; a reserved or done use is
 * `seen` by `recordUse`.
 */
export interface LeasingReplayStore extends ReplayStore {
  /**
   * Reserves a use that is neither done nor reserved, in one atomic step: of any number of calls at once, one gets `first`.
   *
   * @throws ServiceAuthUnavailableError `replay_store_unavailable` when the store cannot decide. The reservation may have
   *   been made; release it, or it lasts until its lease ends.
   */
  reserve(use: TokenUse, lease: Lease): ReservationVerdict | Promise<ReservationVerdict>;

  /**
   * Extends a lease that is still its owner's, from now on.
   *
   * @returns false if the lease is over, or another owner holds one
   * @throws ServiceAuthUnavailableError `replay_store_unavailable`
   */
  renew(use: TokenUse, lease: Lease): boolean | Promise<boolean>;

  /**
   * Writes that the use is done, also if the reservation is over or another owner's. The store keeps this until
   * `forgetAtSeconds`.
   *
   * @returns false if this owner no longer held the reservation
   * @throws ServiceAuthUnavailableError `replay_store_unavailable`: call it again
   */
  commit(use: TokenUse, owner: string): boolean | Promise<boolean>;

  /**
   * Deletes the reservation of this owner alone, and never what is done.
   *
   * @throws ServiceAuthUnavailableError `replay_store_unavailable`: the reservation ends with its lease
   */
  release(use: TokenUse, owner: string): void | Promise<void>;
}

const LEASING_METHODS = ['reserve', 'renew', 'commit', 'release'] as const;

/** Whether a store can reserve uses. One that has only some of the four methods cannot. */
export function isLeasing(store: ReplayStore): store is LeasingReplayStore {
  return LEASING_METHODS.every((name) => typeof Reflect.get(store, name) === 'function');
}
