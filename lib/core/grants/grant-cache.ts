import type { KeyObject } from 'node:crypto';
import type { Algorithm } from '../algorithms.js';
import type { GrantClaims } from './grant-claims.js';

const MAX_ENTRIES = 10_000;
const MAX_CHARACTERS = 16 * 1024 * 1024;

/** A grant whose signature was good. Whether it still counts is asked at each use. */
export interface KnownGrant {
  readonly claims: GrantClaims;
  readonly keyId: string;
  /** The key that verified it: another one under the same id does not. */
  readonly key: KeyObject;
  readonly algorithm: Algorithm;
}

interface Entry extends KnownGrant {
  readonly characters: number;
}

/**
 * Grants that were verified before, by the SHA-256 of their text: a fan-out of calls verifies its grant once. Only a good
 * signature gets one in here, so strangers cannot fill it. Holds at most 10,000 grants and 16 MiB of text; the oldest
 * goes first.
 */
export class GrantCache {
  readonly #byHash = new Map<string, Entry>();
  readonly #underWay = new Map<string, Promise<KnownGrant>>();
  #characters = 0;

  find(hash: string): KnownGrant | undefined {
    return this.#byHash.get(hash);
  }

  /** Runs `verify`, or waits for the verification of this grant that is under way. */
  async once(hash: string, verify: () => Promise<KnownGrant>): Promise<KnownGrant> {
    const underWay = this.#underWay.get(hash);
    if (underWay) return await underWay;
    const verification = verify().finally(() => this.#underWay.delete(hash));
    this.#underWay.set(hash, verification);
    return await verification;
  }

  /** @param characters the length of its text */
  keep(hash: string, grant: KnownGrant, characters: number): void {
    this.drop(hash);
    this.#byHash.set(hash, { ...grant, characters });
    this.#characters += characters;
    for (const oldest of this.#byHash.keys()) {
      if (this.#byHash.size <= MAX_ENTRIES && this.#characters <= MAX_CHARACTERS) return;
      this.drop(oldest);
    }
  }

  drop(hash: string): void {
    this.#characters -= this.#byHash.get(hash)?.characters ?? 0;
    this.#byHash.delete(hash);
  }
}
