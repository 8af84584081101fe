import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import {
  type ReplayStore,
  ServiceAuthUnavailableError,
  type TokenUse,
} from 'nestjs-service-auth/core';

export const NOW_SECONDS = 1_800_000_000;

/** The use of a fresh token that lives for another minute, and its tolerance. */
export const tokenUse = (parts: Partial<TokenUse> = {}): TokenUse => ({
  issuer: 'https://herald.service/',
  tokenId: randomUUID(),
  nowSeconds: NOW_SECONDS,
  forgetAtSeconds: NOW_SECONDS + 65,
  ...parts,
});

export const tokenUses = (count: number): TokenUse[] =>
  Array.from({ length: count }, () => tokenUse());

/** What a store says: `first`, `seen`, or why it cannot tell. Anything else that it throws is thrown. */
export async function verdictOf(store: ReplayStore, use: TokenUse): Promise<string> {
  try {
    return await store.recordUse(use);
  } catch (error) {
    const isUnavailable = error instanceof ServiceAuthUnavailableError;
    if (!isUnavailable || error.code !== 'replay_store_unavailable') throw error;
    return `unavailable: ${error.detail}`;
  }
}

/** The verdicts of all at once. */
export async function verdictsOf(store: ReplayStore, uses: readonly TokenUse[]): Promise<string[]> {
  return await Promise.all(uses.map(async (use) => await verdictOf(store, use)));
}

export const UNAVAILABLE = expect.stringMatching(/^unavailable: ./) as unknown as string;

/** Asks with fresh tokens until there is an answer: a machine may be too busy for 100 ms, which is no failure. */
export async function untilDecided(store: ReplayStore): Promise<string> {
  for (;;) {
    const verdict = await verdictOf(store, tokenUse());
    if (!verdict.startsWith('unavailable')) return verdict;
    await setImmediate();
  }
}
