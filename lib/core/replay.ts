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
