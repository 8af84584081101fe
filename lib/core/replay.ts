import type { ServiceAuthObserver } from './events.js';

/** One use of a token. */
export interface TokenUse {
  readonly issuer: string;
  readonly tokenId: string;
  /** When the use may be forgotten, in seconds since the epoch: expiry plus clock tolerance. */
  readonly forgetAtSeconds: number;
  /** The verifier's clock at this use, in seconds since the epoch. */
  readonly nowSeconds: number;
  /** When the token says it was issued, in seconds since the epoch; undefined where it does not say. */
  readonly issuedAtSeconds?: number;
  /** How far the clock of whoever issued it may be ahead. */
  readonly clockToleranceSeconds?: number;
}

/**
 * `first`: recorded now, and never before. `seen`: recorded before, or so late, or issued so early, that
 * the store may have forgotten it.
 */
export type TokenUseVerdict = 'first' | 'seen';

/** Port: remembers which tokens were used. */
export interface ReplayStore {
  /**
   * Records a use and tells whether it is the first, in one atomic step: of any number of calls with
   * the same issuer and token id, on any number of processes that share the store, one gets `first`.
   *
   * @throws ServiceAuthUnavailableError `replay_store_unavailable` when that cannot be decided.
   *   Whatever else it throws or answers is treated the same way: refused with 503.
   */
  recordUse(use: TokenUse): TokenUseVerdict | Promise<TokenUseVerdict>;

  /**
   * A service that uses the store starts, and waits for it. `observer` hears of trouble from now on.
   *
   * @throws whatever keeps the service from starting
   */
  start?(observer: ServiceAuthObserver): void | Promise<void>;

  /** The service that was started with this observer has ended. Others may still use the store. */
  close?(observer: ServiceAuthObserver): void;
}
