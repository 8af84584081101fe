import type { TokenUse } from 'nestjs-service-auth/core';
import { ClockHistory } from '../../lib/replay/clock-history.js';
import { HERALD } from '../support/services/peers.js';

const use = (nowSeconds: number, forgetAtSeconds: number): TokenUse => ({
  issuer: HERALD,
  tokenId: 'an-id',
  nowSeconds,
  forgetAtSeconds,
});

/** A use that ended long before the clock that is asked. */
const endingAt = (forgetAtSeconds: number): TokenUse => use(0, forgetAtSeconds);
const LATE = 1_000_000;

/** What a history cannot tell, at a time when all of its clocks are past everything. */
const isDoubtful = (history: ClockHistory, end: number): boolean =>
  history.putBackSeconds(endingAt(end), LATE) !== undefined;

type Note = [nowSeconds: number, forgetAtSeconds: number, steadySeconds: number];

function historyOf(...notes: Note[]): ClockHistory {
  const history = new ClockHistory(0);
  for (const [now, end, steady] of notes) history.note(use(now, end), steady);
  return history;
}

describe('ClockHistory', () => {
  it('doubts the uses of an era: from its beginning to the latest end that it recorded', () => {
    const history = historyOf([1000, 1100, 0], [1001, 1080, 1]);
    const ends = [999, 1000, 1050, 1090, 1100, 1101];
    expect(ends.filter((end) => isDoubtful(history, end))).toEqual([1000, 1050, 1090, 1100]);
  });

  it('begins an era with the first end where that came before', () => {
    const history = historyOf([1000, 990, 0]);
    expect([989, 990, 991].filter((end) => isDoubtful(history, end))).toEqual([990]);
  });

  it('says by how much the clock was put back, from the end and the margin on', () => {
    const history = new ClockHistory(5);
    history.note(use(1000, 1100), 0);
    expect(history.putBackSeconds(use(1040, 1050), 54.9)).toBeUndefined();
    expect(history.putBackSeconds(use(1040, 1050), 55)).toBe(15);
  });

  it('says by how much the clock that was furthest ahead was put back', () => {
    const history = historyOf([1000, 1100, 0], [1050, 1200, 0]);
    expect(history.putBackSeconds(use(1010, 1080), 100)).toBe(140);
  });

  it('knows when any of its clocks is past a use, whatever was recorded', () => {
    const history = new ClockHistory(5);
    expect(history.wasPast(endingAt(0), LATE)).toBe(false);
    history.note(use(9000, 9100), 0);
    history.note(use(1000, 1100), 0);
    expect(history.wasPast(endingAt(9010), 14.9)).toBe(false);
    expect(history.wasPast(endingAt(9010), 15)).toBe(true);
  });

  it.each([
    [1, true],
    [1.5, false],
    [-1, true],
    [-1.5, false],
  ])('takes clocks that differ by %d s for one: %p', (apart, isOne) => {
    const history = historyOf([1000, 1100, 0], [1200 + apart, 1300, 200]);
    expect(isDoubtful(history, 1150)).toBe(isOne);
  });

  it.each([
    ['while it goes on', []],
    ['once it is back', [[5000, 5100, 0]]],
  ] satisfies [string, Note[]][])(
    'goes by the fastest reading of a clock, %s',
    (_when, between) => {
      const readings: Note[] = [[1000, 1100, 0], ...between, [1000.5, 1100, 0], ...between];
      const history = historyOf(...readings, [1000.2, 1100, 0]);
      expect(history.putBackSeconds(endingAt(1050), 49.4)).toBeUndefined();
      expect(history.putBackSeconds(endingAt(1050), 49.5)).toBe(1050);
    },
  );

  it('goes on with an era to which the clock is set again', () => {
    const history = historyOf([1000, 1100, 0], [5000, 5100, 0], [1200, 1300, 200]);
    expect(isDoubtful(history, 1150)).toBe(true);
    expect(isDoubtful(history, 3000)).toBe(false);
  });

  it('goes on with the current era where an earlier one is as near', () => {
    const history = historyOf([1000, 1100, 0], [5000, 5100, 0], [1301.5, 1400, 300]);
    history.note(use(1500.8, 1600), 500);
    expect([1050, 1200, 1450].filter((end) => isDoubtful(history, end))).toEqual([1050, 1450]);
  });

  describe('of more than eight eras', () => {
    const ERAS = [1000, 2000, 3000, 4000, 4500, 6000, 7000, 8000];
    const history = (offsets: readonly number[]): ClockHistory =>
      historyOf(...offsets.map((offset): Note => [offset, offset + 10, 0]));
    const GAPS = [1500, 2500, 3500, 4250, 5250, 6500, 7500, 8500];
    const joined = (offsets: readonly number[]): number[] =>
      GAPS.filter((gap) => isDoubtful(history(offsets), gap));

    it.each([
      ['none of eight', ERAS, []],
      ['two of nine', [...ERAS, 9900], [4250]],
      ['three of ten', [...ERAS, 9900, 11_900], [1500, 4250]],
    ])('joins those that are closest: %s', (_which, offsets, gaps) => {
      expect(joined(offsets)).toEqual(gaps);
      expect(offsets.filter((offset) => !isDoubtful(history(offsets), offset + 5))).toEqual([]);
    });

    it('joins none where the clock is set to one that it knows', () => {
      expect(joined([...ERAS, 1000])).toEqual([]);
    });

    it('doubts what either of the two had, by the clock that was ahead', () => {
      const nine = history([...ERAS, 9900]);
      expect([4000, 4510].filter((end) => isDoubtful(nine, end))).toEqual([4000, 4510]);
      expect(nine.putBackSeconds(use(100, 4001), 0)).toBe(4400);
    });
  });
});
