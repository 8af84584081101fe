import type { ReplayStore, TokenUse, TokenUseVerdict } from 'nestjs-service-auth/core';

const TIMEOUT_MILLISECONDS = 2000;

/**
 * FOR THE DEMONSTRATION ONLY. Asks the runner whether a token was used, so that all processes of Census share one memory.
 * In production use `RedisReplayStore`. The library answers 503
 * (`replay_store_unavailable`) when this store throws.
 */
export class SharedReplayStore implements ReplayStore {
  constructor(private readonly url: string) {}

  async recordUse({ issuer, tokenId, forgetAtSeconds }: TokenUse): Promise<TokenUseVerdict> {
    const { status } = await fetch(this.url, {
      method: 'POST',
      body: JSON.stringify({ issuer, tokenId, forgetAtSeconds }),
      signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
    });
    if (status === 200) return 'first';
    if (status === 409) return 'seen';
    throw new Error(`The shared memory of used tokens answered ${status}.`);
  }
}
