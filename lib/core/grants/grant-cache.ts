import type { KeyObject } from 'node:crypto';
import type { Algorithm } from '../algorithms.js';
import type { GrantClaims } from './grant-claims.js';
import type { VerifiedGrant } from './verified-grant.js';

const MAX_ENTRIES = 10_000;
const MAX_CHARACTERS = 16 * 1024 * 1024;

/** A grant whose signature was good. Whether it still counts is asked at each use. */
export interface KnownGrant {
  readonly claims: GrantClaims;
  /** What it proves where it counts. */
  readonly proved: VerifiedGrant;
  readonly keyId: string;
  /** The key that verified it: another one under the same id does not. */
  readonly key: KeyObject;
  readonly algorithm: Algorithm;
}

/** Kept in the order of arrival: of a Map, the oldest is found only past all that was deleted before it. */
interface Entry {
  readonly hash: string;
  grant: KnownGrant;
  readonly characters: number;
  older: Entry | undefined;
  newer: Entry | undefined;
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
  #oldest: Entry | undefined;
  #newest: Entry | undefined;

  find(hash: string): KnownGrant | undefined {
    return this.#byHash.get(hash)?.grant;
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
