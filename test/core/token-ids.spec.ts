import { TokenIds } from '../../lib/core/token-ids.js';

/** What a snapshot is to a maker: the same members, the bytes copied. */
function structuredCloneOf(maker: TokenIds, now: () => number): TokenIds {
  const clone = new TokenIds(now);
  for (const [name, value] of Object.entries(maker)) {
    if (name !== 'now')
      Reflect.set(clone, name, Buffer.isBuffer(value) ? Buffer.from(value) : value);
  }
  return clone;
}

describe('token ids', () => {
  it('are 32 characters of base64url, and none comes twice, from one draw to the next', () => {
    const ids = new TokenIds();
    const given = Array.from({ length: 500 }, () => ids.next());
    expect(new Set(given).size).toBe(500);
    expect(given.filter((id) => !/^[A-Za-z0-9_-]{32}$/.test(id))).toEqual([]);
  });

  /** How many of the ids that were drawn ahead a clone gives out too: its maker with the same draw, and a later clock. */
  const sharedWithClone = (cloneNow: number): number => {
    let now = 1_000_000;
    const original = new TokenIds(() => now);
    original.next();
    const clone = structuredCloneOf(original, () => cloneNow);
    const ids = (maker: TokenIds) => Array.from({ length: 200 }, () => maker.next());
    const given = new Set(ids(original));
    now = cloneNow;
    return ids(clone).filter((id) => given.has(id)).length;
  };

  it.each([
    ['100 milliseconds later, what was drawn ahead', 100, 127],
    ['later than that, nothing', 101, 0],
    ['at a clock that was put back, nothing', -1, 0],
    ['at a clock that says nothing, nothing', Number.NaN, 0],
  ])('OS-63 a clone of a snapshot gives out again, %s', (_title, later, shared) => {
    expect(sharedWithClone(1_000_000 + later)).toBe(shared);
  });

  it('are those of one maker alone', () => {
    const [one, other] = [new TokenIds(), new TokenIds()];
    expect(one.next()).not.toBe(other.next());
  });
});
