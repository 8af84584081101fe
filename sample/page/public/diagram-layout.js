import { PARTIES } from './parties.js';

/** @import { Party } from '../steps.js' */

const NARROW = 560;
const GUTTER = 196;

/**
 * Where the parts of the diagram are. Wide: labels have a column of their own. Narrow: they have a band above their arrow,
 * and lifelines leave it out.
 *
 * @param {number} width in pixels
 */
export function layoutOf(width) {
  const isNarrow = width < NARROW;
  const gutter = isNarrow ? 0 : GUTTER;
  const row = isNarrow ? 34 : 43;
  const top = isNarrow ? 42 : 62;
  const slot = Math.max(0, width - gutter) / PARTIES.length;
  return {
    isNarrow,
    row,
    top,
    gutter,
    width,
    boxHeight: isNarrow ? 30 : 46,
    boxWidth: Math.max(0, Math.min(94, slot - (isNarrow ? 3 : 6))),
    /** @param {Party} party */
    xOf: (party) => gutter + slot * (PARTIES.findIndex(([id]) => id === party) + 0.5),
    /** The height of the arrow of a step. @param {number} at */
    yOf: (at) => top + row * at + (isNarrow ? 26 : row / 2),
    /** @param {number} steps */
    heightOf: (steps) => top + row * steps + 6,
  };
}

/** @typedef {ReturnType<typeof layoutOf>} Layout */
