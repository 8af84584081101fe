/** One use of a token. */
export interface TokenUse {
  readonly issuer: string;
  readonly tokenId: string;
  /** When the use may be forgotten, in seconds since the epoch: expiry plus clock tolerance. */
  readonly forgetAtSeconds: number;
  /** The verifier's clock at this use, in seconds since the epoch. */
  readonly nowSeconds: number;
}

/**
 * `first`: recorded now, and never before. `seen`: recorded before, or so late that the store
 * may have forgotten it.
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
}
