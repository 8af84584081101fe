/** One operation in one process, for each algorithm in turn: what verifying and signing are measured with. */
import { medianCost, measure, pairedRatios } from './measure.mjs';
import { spread } from './statistics.mjs';
import { ALGORITHMS } from './tokens.mjs';

/** @typedef {import('./measure.mjs').Variant} Variant */
/** @typedef {import('./tokens.mjs').BenchAlgorithm} BenchAlgorithm */

/**
 * @typedef {{ algorithm: string, inFlight: number, variant: string, failure?: string,
 *   microseconds?: number, mainThread?: number, toRaw?: { median: number, lower: number, upper: number } }} Row
 */

const IN_FLIGHT = [1, 50];

/**
 * Measures the variants of one operation for each algorithm and prints a table for each. The first variant is what
 * the others are compared with.
 *
 * @param {string} section
 * @param {object} plan
 * @param {boolean} plan.quick
 * @param {(algorithm: BenchAlgorithm) => Promise<readonly Variant[]>} plan.variantsOf
 * @param {(algorithm: BenchAlgorithm) => number} plan.perRound operations in a round: enough for the clock of the
 *   CPU, few enough for many rounds
 */
export async function measureAlgorithms(section, { quick, variantsOf, perRound }) {
  const rounds = quick ? 7 : 31;
  // It takes V8 thousands of operations to optimise all that one of them runs through.
  const warmups = quick ? 4 : 12;
  /** @type {Row[]} */
  const rows = [];
  for (const algorithm of ALGORITHMS) {
    const variants = await variantsOf(algorithm);
    for (const inFlight of IN_FLIGHT) {
      const plan = { rounds, warmups, perRound: perRound(algorithm), inFlight };
      const { measured, unfit } = await measure(variants, plan);
      const table = toRows(measured, { algorithm, inFlight });
      console.log(
        `\n${section}, ${algorithm}, ${inFlight} in flight: microseconds of CPU for each, medians of ${rounds} rounds ` +
          `of ${plan.perRound}; ratio to node:crypto`,
      );
      console.table(table.map(toPrinted));
      for (const { name, failure } of unfit) {
        console.log(`${name}: not measured. ${failure}`);
        rows.push({ algorithm, inFlight, variant: name, failure });
      }
      rows.push(...table);
    }
  }
  return { section, rows };
}

/** @param {readonly import('./measure.mjs').Measured[]} measured @param {{ algorithm: string, inFlight: number }} common */
function toRows(measured, common) {
  const [raw] = measured;
  if (raw === undefined) throw new Error('nothing could be measured');
  return measured.map((each) => ({
    ...common,
    variant: each.name,
    microseconds: medianCost(each),
    mainThread: medianCost(each, 'main'),
    toRaw: spread(pairedRatios(each, raw)),
  }));
}

/** @param {Required<Pick<Row, 'variant' | 'microseconds' | 'mainThread' | 'toRaw'>>} row */
function toPrinted({ variant, microseconds, mainThread, toRaw }) {
  return {
    variant,
    'all threads': Number(microseconds.toFixed(1)),
    'main thread': Number(mainThread.toFixed(1)),
    'to raw': Number(toRaw.median.toFixed(2)),
    'middle half': `${toRaw.lower.toFixed(2)} to ${toRaw.upper.toFixed(2)}`,
  };
}
