/**
 * What this library costs beside its peers, in CPU time: `npm run bench [-- --quick] [--json FILE]`.
 * Every variant is checked first: good input must be accepted, bad input refused. Variants take turns within each
 * round, and ratios are paired within rounds, so a busy machine slows all of them down alike.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { medianCost, measure, pairedRatios } from './measure.mjs';
import { signVariants } from './sign.bench.mjs';
import { spread } from './statistics.mjs';
import { ALGORITHMS } from './tokens.mjs';
import { verifyVariants } from './verify.bench.mjs';

/** @typedef {import('./measure.mjs').Variant} Variant */

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'string' } },
});
const ROUNDS = options.quick ? 7 : 31;
const IN_FLIGHT = [1, 50];

/** How many operations a round has: enough for the clock of the CPU, few enough for many rounds. */
const PER_ROUND = { verify: 400, sign: 400, 'sign RS256': 60 };

/**
 * @typedef {{ what: string, algorithm: string, inFlight: number, variant: string, failure?: string,
 *   microseconds?: number, mainThread?: number, toRaw?: { median: number, lower: number, upper: number } }} Row
 */

/** @type {Row[]} */
const rows = [];

const machine = {
  node: process.version,
  openssl: process.versions.openssl,
  cpu: `${cpus()[0]?.model ?? 'unknown'} x ${cpus().length}`,
  system: `${process.platform} ${release()}`,
  memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
};
console.log(machine);
console.log(
  `${ROUNDS} rounds of ${PER_ROUND.verify} operations; microseconds of CPU for each, medians; ratios to node:crypto`,
);
for (const algorithm of ALGORITHMS) {
  await measureAndPrint('verify', algorithm, await verifyVariants(algorithm));
  await measureAndPrint('sign', algorithm, await signVariants(algorithm));
}
if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify({ machine, rounds: ROUNDS, rows }, null, 2)}\n`);
}

/** @param {'verify' | 'sign'} what @param {string} algorithm @param {readonly Variant[]} variants */
async function measureAndPrint(what, algorithm, variants) {
  const perRound =
    what === 'sign' && algorithm === 'RS256' ? PER_ROUND['sign RS256'] : PER_ROUND[what];
  for (const inFlight of IN_FLIGHT) {
    const plan = { rounds: ROUNDS, perRound, inFlight };
    const { measured, unfit } = await measure(variants, plan);
    const [raw] = measured;
    if (raw === undefined) throw new Error('nothing could be measured');
    const common = { what, algorithm, inFlight };
    const table = measured.map((each) => ({
      ...common,
      variant: each.name,
      microseconds: medianCost(each),
      mainThread: medianCost(each, 'main'),
      toRaw: spread(pairedRatios(each, raw)),
    }));
    rows.push(
      ...table,
      ...unfit.map(({ name, failure }) => ({ ...common, variant: name, failure })),
    );
    console.log(`\n${what}, ${algorithm}, ${inFlight} in flight`);
    console.table(table.map(toPrinted));
    for (const { name, failure } of unfit) console.log(`${name}: not measured. ${failure}`);
  }
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
