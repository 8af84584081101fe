/** 128 bits of a digest. A second one like it would be taken for used: that refuses, and never lets in. */
export type Digest = readonly [number, number, number, number];

/** An entry: its digest, then the second in which it is forgotten; 0 where there is no entry. */
const WORDS = 5;
const SECOND = 4;
const FEWEST_SLOTS = 8;
/** Beyond this part of the slots in use, looking for one takes long. */
const MOST_USED = 0.75;

/** The last second that an entry can have: 136 years. */
export const LAST_SECOND = 2 ** 32 - 1;

/** Where a digest is, or belongs. */
export interface Place {
  readonly digest: Digest;
  readonly isLive: boolean;
  readonly at: number;
}

/**
 * A set of digests, each until a second of its own: a hash table with open addressing in one piece of memory.
 * An entry costs its 20 bytes, a free slot or two, and no garbage collection. One that is due is as good as
 * absent; another one takes its slot, or it is left behind when the table is built anew.
 */
export class DigestTable {
  private slots = new Uint32Array(FEWEST_SLOTS * WORDS);
  private used = 0;

  /** Slots that are taken, be it by an entry that is due. */
  get usedSlots(): number {
    return this.used;
  }

  /**
   * Finds the place of a digest, which holds until the next entry is put.
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
   * Puts an entry where it belongs.
   *
   * @param due as {@link locate} takes it
   */
  put({ digest, at }: Place, second: number, due: number): void {
    const { slots } = this;
    if (slots[at + SECOND] === 0) this.used++;
    slots.set(digest, at);
    slots[at + SECOND] = second;
    if (this.used * WORDS > slots.length * MOST_USED) this.rebuild(due);
  }

  /** Leaves behind what is due, and memory that is not needed. */
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
