/**
 * How cost is measured: variants take turns in one process, and are compared within each round. Garbage is collected
 * when V8 wants it: a collection that is forced between batches makes it throw optimised code away.
 */
import { setImmediate } from 'node:timers/promises';
import { cpuTime, cpuTimeSince } from './cpu-time.mjs';
import { median } from './statistics.mjs';

/**
 * One way to do a job. `prepare` makes fresh input for one batch and is not measured; `run` does the job once and
 * throws where it fails.
 *
 * @typedef {{
 *   name: string,
 *   prepare: (count: number) => readonly any[] | Promise<readonly any[]>,
 *   run: (input: any) => unknown,
 *   accepts?: () => unknown,
 *   refuses?: (() => unknown)[],
 * }} Variant
 */

/** CPU microseconds for each operation. @typedef {import('./cpu-time.mjs').Cost} Cost */
/** @typedef {{ rounds: number, perRound: number, inFlight: number, warmups: number }} Plan */
/** Costs of every round, in the order of the rounds. @typedef {{ name: string, costs: Cost[] }} Measured */
/** @typedef {{ name: string, failure: string }} Unfit */

/**
 * Measures variants side by side. Those whose control fails (good input refused, bad input accepted) are
 * reported and not measured.
 *
 * @param {readonly Variant[]} variants
 * @param {Plan} plan
 * @returns {Promise<{ measured: Measured[], unfit: Unfit[] }>}
 */
export async function measure(variants, { rounds, perRound, inFlight, warmups }) {
  const unfit = [];
  const fit = [];
  for (const variant of variants) {
    const failure = await failureOf(variant);
    if (failure === undefined) fit.push({ variant, costs: /** @type {Cost[]} */ ([]) });
    else unfit.push({ name: variant.name, failure });
  }
  for (let round = -warmups; round < rounds; round++) {
    // Another one begins in each round, so that none always runs after the same neighbour.
    const first = (round + warmups) % Math.max(1, fit.length);
    for (const { variant, costs } of [...fit.slice(first), ...fit.slice(0, first)]) {
      const inputs = await variant.prepare(perRound);
      const cost = await costOf(variant, inputs, inFlight);
      if (round >= 0) costs.push(cost);
    }
  }
  return { measured: fit.map(({ variant, costs }) => ({ name: variant.name, costs })), unfit };
}

/** @param {Variant} variant @returns {Promise<string | undefined>} what is wrong with it */
async function failureOf({ prepare, run, accepts, refuses = [] }) {
  try {
    await (accepts ? accepts() : run((await prepare(1))[0]));
  } catch (error) {
    return `what is good was refused: ${String(error)}`;
  }
  for (const [at, refuse] of refuses.entries()) {
    try {
      await refuse();
    } catch {
      continue;
    }
    return `bad input ${at + 1} was accepted`;
  }
  return undefined;
}

/** @param {Variant} variant @param {readonly unknown[]} inputs @param {number} inFlight @returns {Promise<Cost>} */
async function costOf({ run }, inputs, inFlight) {
  const before = cpuTime();
  if (inFlight === 1) {
    for (const input of inputs) {
      const result = run(input);
      if (result instanceof Promise) await result;
      // As requests arrive that come one at a time: each in a turn of the event loop of its own.
      await setImmediate();
    }
  } else {
    let next = 0;
    const worker = async () => {
      while (next < inputs.length) await run(inputs[next++]);
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
  }
  return costForEach(cpuTimeSince(before), inputs.length);
}

/** @param {Cost} total @param {number} count @returns {Cost} */
export function costForEach({ all, main }, count) {
  return { all: all / count, main: main === undefined ? undefined : main / count };
}

/**
 * The ratio of two variants, paired: of each round, so that a slow spell of the machine counts for both.
 *
 * @param {Measured} one
 * @param {Measured} other
 * @param {'all' | 'main'} threads
 */
export function pairedRatios(one, other, threads = 'all') {
  return one.costs.map(
    (cost, round) => Number(cost[threads]) / Number(other.costs[round][threads]),
  );
}

/** What one variant costs above another, in each round. @param {Measured} one @param {Measured} base @returns {Measured} */
export function costAbove({ name, costs }, base) {
  const above = (/** @type {Cost} */ { all, main }, /** @type {Cost} */ less) => ({
    all: all - less.all,
    main: main === undefined || less.main === undefined ? undefined : main - less.main,
  });
  return { name, costs: costs.map((cost, round) => above(cost, base.costs[round])) };
}

/** What two of a kind cost, in each round. @param {Measured} one @param {Measured} other @returns {Measured} */
export function meanCost({ name, costs }, other) {
  const mean = (/** @type {Cost} */ { all, main }, /** @type {Cost} */ second) => ({
    all: (all + second.all) / 2,
    main: main === undefined || second.main === undefined ? undefined : (main + second.main) / 2,
  });
  return { name, costs: costs.map((cost, round) => mean(cost, other.costs[round])) };
}

/** @param {Measured} measured @param {'all' | 'main'} threads */
export const medianCost = ({ costs }, threads = 'all') =>
  median(costs.map((cost) => Number(cost[threads])));
