import fc from 'fast-check';
import { type Digest, DigestTable } from '../../lib/replay/digest-table.js';
import { itHolds } from '../support/properties/property.js';

/** Few first words, so that most digests want a slot that another one has. */
const digests = fc.tuple(
  fc.constantFrom(0, 1, 7, 8, 2 ** 32 - 1),
  fc.constantFrom(0, 1),
  fc.constantFrom(0, 5),
  fc.integer({ min: 0, max: 9 }),
);
const keyOf = (digest: Digest): string => digest.join();

describe('a table of digests', () => {
  itHolds(
    'answers as a Map from digest to second',
    [
      fc.array(
        fc.oneof(
          fc.record({ digest: digests, lives: fc.integer({ min: 1, max: 20 }) }),
          fc.integer({ min: 1, max: 9 }).map((pass) => ({ pass })),
          fc.constant({ rebuild: true }),
        ),
        { maxLength: 200 },
      ),
    ],
    (events) => {
      const table = new DigestTable();
      const model = new Map<string, number>();
      let due = 0;
      for (const event of events) {
        if ('pass' in event) due += event.pass;
        else if ('rebuild' in event) table.rebuild(due);
        else {
          const place = table.locate(event.digest, due);
          expect(place.isLive).toBe((model.get(keyOf(event.digest)) ?? 0) > due);
          if (place.isLive) continue;
          table.put(place, due + event.lives, due);
          model.set(keyOf(event.digest), due + event.lives);
        }
      }
    },
  );

  const digest = (at: number): Digest => [Math.imul(at, 2_654_435_761) >>> 0, 0, 0, at];
  function fill(table: DigestTable, from: number, until: number, second: number, due = 0): void {
    for (let at = from; at < until; at++) table.put(table.locate(digest(at), due), second, due);
  }

  it('finds what it was given, through every growth', () => {
    const table = new DigestTable();
    for (let size = 1; size <= 3000; size++) {
      fill(table, size - 1, size, 10);
      expect(table.locate(digest(size - 1), 0).isLive).toBe(true);
      expect(table.locate(digest(size), 0).isLive).toBe(false);
    }
    const found = Array.from({ length: 3000 }, (_, at) => table.locate(digest(at), 0).isLive);
    expect(found).not.toContain(false);
    expect(table.usedSlots).toBe(3000);
  });

  it('tells digests apart by each of their words', () => {
    const table = new DigestTable();
    const whole: Digest = [1, 2, 3, 4];
    table.put(table.locate(whole, 0), 10, 0);
    expect(table.locate(whole, 0).isLive).toBe(true);
    for (const at of whole.keys()) {
      const other = whole.with(at, 9) as unknown as Digest;
      expect(table.locate(other, 0).isLive).toBe(false);
    }
  });

  it('has an entry until its second, and not in it', () => {
    const table = new DigestTable();
    fill(table, 0, 1, 10);
    expect(table.locate(digest(0), 9).isLive).toBe(true);
    expect(table.locate(digest(0), 10).isLive).toBe(false);
  });

  it('takes the slots of what is due, and lets go of the memory of a burst', () => {
    const table = new DigestTable();
    fill(table, 0, 1000, 10);
    fill(table, 1000, 1001, 20, 10);
    expect(table.usedSlots).toBeLessThanOrEqual(1001);
    table.rebuild(10);
    expect(table.usedSlots).toBe(1);
    expect(table.locate(digest(1000), 10).isLive).toBe(true);
    expect(table.locate(digest(999), 10).isLive).toBe(false);
  });
});
