/** @param {readonly number[]} values @param {number} share from 0 to 1 */
export function quantile(values, share) {
  const sorted = values.toSorted((one, other) => one - other);
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

/** @param {readonly number[]} values */
export const median = (values) => quantile(values, 0.5);

/** The median and the middle half: what a reader needs of many rounds. @param {readonly number[]} values */
export const spread = (values) => ({
  median: median(values),
  lower: quantile(values, 0.25),
  upper: quantile(values, 0.75),
});

/**
 * Between which values the median lies with 95 % certainty, whatever the distribution: order statistics.
 *
 * @param {readonly number[]} values
 * @returns {readonly [number, number]}
 */
export function medianInterval(values) {
  const sorted = values.toSorted((one, other) => one - other);
  const half = (1.96 * Math.sqrt(sorted.length)) / 2;
  const at = (/** @type {number} */ rank) =>
    sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(rank)))];
  return [at(sorted.length / 2 - half - 0.5), at(sorted.length / 2 + half - 0.5)];
}
