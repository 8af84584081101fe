/** Whether the resident memory of a process stays what it is. */
import { median } from './statistics.mjs';

/** It wavers with the collection of garbage. */
const MOST_GROWTH = 1.02;

/**
 * Compares the middle third of a run with the last, and has this process end with 1 where memory grew.
 *
 * @param {string} what was done
 * @param {readonly number[]} resident MiB, sampled evenly
 */
export function judgeGrowth(what, resident) {
  const third = Math.floor(resident.length / 3);
  const middle = median(resident.slice(third, 2 * third));
  const last = median(resident.slice(2 * third));
  console.log(
    `${what}. Resident memory, medians: ${middle.toFixed(1)} MiB in the middle third, ` +
      `${last.toFixed(1)} in the last; at most ${Math.max(...resident).toFixed(1)}`,
  );
  if (last <= middle * MOST_GROWTH) return;
  console.log('it grows');
  process.exitCode = 1;
}
