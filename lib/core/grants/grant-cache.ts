import type { KeyObject } from 'node:crypto';
import type { Algorithm } from '../algorithms.js';
import type { GrantClaims } from './grant-claims.js';
import type { VerifiedGrant } from './verified-grant.js';

const MAX_ENTRIES = 10_000;
const MAX_CHARACTERS = 16 * 1024 * 1024;

/** A grant with a valid signature. Each use checks whether the grant still counts. */
export interface KnownGrant {
  readonly claims: GrantClaims;
  /** What the grant proves. */
  readonly proved: VerifiedGrant;
  readonly keyId: string;
  /** The key that verified it. A different key with the same id does not count. */
  readonly key: KeyObject;
  readonly algorithm: Algorithm;
}

/** Entries are in the order of arrival. In a Map alone, the search for the oldest entry passes all deleted ones. */
interface Entry {
  readonly hash: string;
  grant: KnownGrant;
  readonly characters: number;
  older: Entry | undefined;
  newer: Entry | undefined;
}

/**
 * Remembers verified grants by the SHA-256 of their text, so that a fan-out of calls verifies its grant once. Only
 * grants with a valid signature are kept, so strangers cannot fill the cache. It holds at most 10,000 grants and 16
 * MiB of text, and drops the oldest first.
 */
export class GrantCache {
  readonly #byHash = new Map<string, Entry>();
  readonly #underWay = new Map<string, Promise<KnownGrant>>();
  #characters = 0;
  #oldest: Entry | undefined;
  #newest: Entry | undefined;

  find(hash: string): KnownGrant | undefined {
    return this.#byHash.get(hash)?.grant;
  }

  /** Runs `verify`, or waits if a verification of the same grant is already running. */
  async once(hash: string, verify: () => Promise<KnownGrant>): Promise<KnownGrant> {
    const underWay = this.#underWay.get(hash);
    if (underWay) return await underWay;
    const verification = verify().finally(() => this.#underWay.delete(hash));
    this.#underWay.set(hash, verification);
    return await verification;
  }

  /** @param characters the length of its text */
  keep(hash: string, grant: KnownGrant, characters: number): void {
    const present = this.#byHash.get(hash);
    if (present) {
      present.grant = grant;
      return;
    }
    const entry: Entry = { hash, grant, characters, older: this.#newest, newer: undefined };
    this.#byHash.set(hash, entry);
    this.#characters += characters;
    if (this.#newest) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
    while (this.#byHash.size > MAX_ENTRIES || this.#characters > MAX_CHARACTERS) {
      this.remove(this.#oldest);
    }
  }

  drop(hash: string): void {
    this.remove(this.#byHash.get(hash));
  }

  private remove(entry: Entry | undefined): void {
    if (entry === undefined) return;
    const { older, newer } = entry;
    if (older) older.newer = newer;
    else this.#oldest = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
    this.#characters -= entry.characters;
    this.#byHash.delete(entry.hash);
  }
}
