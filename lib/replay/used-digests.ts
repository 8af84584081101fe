import { type Digest, DigestTable, type Place } from './digest-table.js';

/** Each grows by itself, so that no request pays for the growth of all. */
const TABLES = 256;
/** More slots than this for each live use are those of a burst that is over. */
const MOST_SLOTS_FOR_EACH = 4;

/** A set of digests, each until a second of its own, in many tables. */
export class UsedDigests {
  private readonly tables = Array.from({ length: TABLES }, () => new DigestTable());
  private usedSlots = 0;
  private nextToRebuild = 0;

  /**
   * Finds the place of a digest, which holds until the next entry is put.
   *
   * @param due the last second whose entries are forgotten
   */
  locate(digest: Digest, due: number): Place {
    return this.tableOf(digest).locate(digest, due);
  }

  /** Puts an entry where it belongs. */
  put(place: Place, second: number, due: number): void {
    const table = this.tableOf(place.digest);
    const usedBefore = table.usedSlots;
    table.put(place, second, due);
    this.usedSlots += table.usedSlots - usedBefore;
  }

  /** After a burst the tables are large and hold little that lives: they are built again, one with each use. */
  shrink(live: number, due: number): void {
    if (this.usedSlots <= MOST_SLOTS_FOR_EACH * live + TABLES) return;
    const table = this.tableAt(this.nextToRebuild++);
    const usedBefore = table.usedSlots;
    table.rebuild(due);
    this.usedSlots += table.usedSlots - usedBefore;
  }

  private tableOf(digest: Digest): DigestTable {
    return this.tableAt(digest[3]); // inside of it the first word says where
  }

  private tableAt(index: number): DigestTable {
    const table = this.tables[index % TABLES];
    if (table) return table;
    throw new RangeError(`there is no table ${index}`);
  }
}
