import type { Lease } from '../core/index.js';

/**
 * How long a lease lasts, in whole milliseconds.
 *
 * @throws RangeError if it lasts less than one, or is no number: it would protect nothing
 */
export function lengthOf({ milliseconds }: Lease): number {
  if (!(milliseconds >= 1)) throw new RangeError('a lease lasts 1 ms or more');
  return Math.ceil(milliseconds);
}
