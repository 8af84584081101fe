/** 128 bits of a digest. A collision would count as used, so it refuses and never lets in. */
export type Digest = readonly [number, number, number, number];

/** An entry: its digest, then the second in which it is forgotten; 0 without an entry. */
const WORDS = 5;
const SECOND = 4;
const FEWEST_SLOTS = 8;
/** If a larger part of the slots is used, a search takes long. */
const MOST_USED = 0.75;

/** The last second that an entry can have: 136 years. */
export const LAST_SECOND = 2 ** 32 - 1;

/** The place of a digest in the table, or where to put it. */
export interface Place {
  readonly digest: Digest;
  readonly isLive: boolean;
  readonly at: number;
}

/**
 * A set of digests, each with its own expiry in seconds: a hash table with open addressing in one piece of memory. An
 * entry costs its 20 bytes, one or two free slots, and no garbage collection. An expired entry counts as missing.
 * Another entry takes its slot, or the next rebuild drops it.
 */
export class DigestTable {
  private slots = new Uint32Array(FEWEST_SLOTS * WORDS);
  private used = 0;

  /** The number of taken slots, including those of expired entries. */
  get usedSlots(): number {
    return this.used;
  }

  /**
   * Finds the place of a digest, which is valid until the next `put`.
   *
   * @param due the last second whose entries are forgotten
   */
  locate(digest: Digest, due: number): Place {
    const { slots } = this;
    const mask = slots.length / WORDS - 1;
    let reusable: number | undefined;
    for (let slot = digest[0] & mask; ; slot = (slot + 1) & mask) {
      const at = slot * WORDS;
      const second = slots[at + SECOND] ?? 0;
      if (second === 0) return { digest, isLive: false, at: reusable ?? at };
      if (second <= due) reusable ??= at;
      else if (isAt(slots, at, digest)) return { digest, isLive: true, at };
    }
  }

  /**
   * Puts an entry in its place.
   *
   * @param due as for {@link locate}
   */
  put({ digest, at }: Place, second: number, due: number): void {
    const { slots } = this;
    if (slots[at + SECOND] === 0) this.used++;
    slots.set(digest, at);
    slots[at + SECOND] = second;
    if (this.used * WORDS > slots.length * MOST_USED) this.rebuild(due);
  }

  /** Drops expired entries, and memory that is not needed. */
  rebuild(due: number): void {
    const old = this.slots;
    const live: number[] = [];
    for (let at = 0; at < old.length; at += WORDS) {
      if ((old[at + SECOND] ?? 0) > due) live.push(at);
    }
    const slots = new Uint32Array(slotsFor(live.length) * WORDS);
    for (const from of live) {
      const to = findFree(slots, old[from] ?? 0);
      for (let word = 0; word < WORDS; word++) slots[to + word] = old[from + word] ?? 0;
    }
    this.slots = slots;
    this.used = live.length;
  }
}

/** A power of two, of which at most half is used. */
function slotsFor(entries: number): number {
  let slots = FEWEST_SLOTS;
  while (entries > slots / 2) slots *= 2;
  return slots;
}

function findFree(slots: Uint32Array, firstWord: number): number {
  const mask = slots.length / WORDS - 1;
  let slot = firstWord & mask;
  while (slots[slot * WORDS + SECOND] !== 0) slot = (slot + 1) & mask;
  return slot * WORDS;
}

function isAt(slots: Uint32Array, at: number, digest: Digest): boolean {
  return (
    slots[at] === digest[0] &&
    slots[at + 1] === digest[1] &&
    slots[at + 2] === digest[2] &&
    slots[at + 3] === digest[3]
  );
}
