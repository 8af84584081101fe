import { element } from './dom.js';

/** @import { Difference } from '../differences.js' */

const LONGEST = 600;

/**
 * Each value as it should be, beside the value that arrived. Characters that differ are marked.
 *
 * @param {readonly Difference[]} differences
 */
export function differenceView(differences) {
  return differences.map(({ what, left, right }) => {
    const [isLeftOther, isRightOther] = compare(left.text, right.text);
    const isSame = left.text === right.text;
    return element(
      'div',
      { class: 'difference' },
      element('h5', {}, what, isSame ? element('span', { class: 'same' }, 'the same') : ''),
      element(
        'dl',
        {},
        element('dt', {}, left.label),
        element('dd', {}, marked(left.text, isLeftOther)),
        element('dt', {}, right.label),
        element('dd', {}, marked(right.text, isRightOther)),
      ),
    );
  });
}

/**
 * @param {string} text
 * @param {(at: number) => boolean} isOther
 */
function marked(text, isOther) {
  const line = element('code', { class: 'compared' });
  const characters = Array.from(text);
  let run = '';
  for (const [at, character] of characters.entries()) {
    const next = isOther(at + 1);
    run += character;
    if (at + 1 < characters.length && next === isOther(at)) continue;
    line.append(isOther(at) ? element('mark', {}, run) : run);
    run = '';
  }
  return line;
}

/**
 * Texts of one length are compared character by character, as hashes and times are. Others by their longest common
 * subsequence.
 *
 * @param {string} left
 * @param {string} right
 * @returns {[(at: number) => boolean, (at: number) => boolean]} whether the character differs
 */
function compare(left, right) {
  const one = Array.from(left);
  const other = Array.from(right);
  if ([left, right].includes('(none)')) return [() => true, () => true];
  if (one.length === other.length) {
    const isOther = (/** @type {number} */ at) => one[at] !== other[at];
    return [isOther, isOther];
  }
  if (Math.max(one.length, other.length) > LONGEST) return [() => true, () => true];
  const [inOne, inOther] = commonOf(one, other);
  return [(at) => !inOne.has(at), (at) => !inOther.has(at)];
}

/**
 * Which characters of each belong to the longest common subsequence.
 *
 * @param {readonly string[]} one
 * @param {readonly string[]} other
 * @returns {[Set<number>, Set<number>]}
 */
function commonOf(one, other) {
  const width = other.length + 1;
  const lengths = new Uint16Array((one.length + 1) * width);
  const at = (/** @type {number} */ i, /** @type {number} */ j) => lengths[i * width + j] ?? 0;
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      const isSame = one[i] === other[j];
      lengths[i * width + j] = isSame ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  /** @type {[Set<number>, Set<number>]} */
  const common = [new Set(), new Set()];
  for (let i = 0, j = 0; i < one.length && j < other.length;) {
    if (one[i] === other[j]) {
      common[0].add(i++);
      common[1].add(j++);
    } else if (at(i + 1, j) >= at(i, j + 1)) i += 1;
    else j += 1;
  }
  return common;
}
