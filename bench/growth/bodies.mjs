/**
 * How cost grows with bodies, up to 100 MiB: uploads that the handler reads as they come, to the same application without
 * the guard and with it. Bodies that do not fit in memory wait in a file until they are verified.
 */
import { createHash } from 'node:crypto';
import { cpuTime, cpuTimeSince } from '../cpu-time.mjs';
import { uploadOf } from '../http-requests.mjs';
import { measurePair, printedCosts } from './guarded-pair.mjs';

/** @typedef {import('./guarded-pair.mjs').Adapter} Adapter */
/**
 * `hash`: microseconds to hash as many bytes.
 *
 * @typedef {import('./guarded-pair.mjs').PairCosts & {
 *   what: string, adapter: Adapter, bytes: number, hash: number,
 * }} BodyRow
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Fewer of those that take longer. */
const PLANS = [
  { bytes: 0, rounds: 9, perRound: 300, warmup: 3000 },
  { bytes: KIB, rounds: 9, perRound: 300, warmup: 3000 },
  { bytes: 64 * KIB, rounds: 9, perRound: 100, warmup: 1000 },
  { bytes: MIB, rounds: 9, perRound: 20, warmup: 200 },
  { bytes: 10 * MIB, rounds: 7, perRound: 4, warmup: 20 },
  { bytes: 100 * MIB, rounds: 5, perRound: 1, warmup: 2 },
];
const QUICK = PLANS.filter(({ bytes }) => bytes === MIB);

/** @param {boolean} quick */
export async function measureBodies(quick) {
  /** @type {BodyRow[]} */
  const rows = [];
  for (const adapter of /** @type {readonly Adapter[]} */ (
    quick ? ['fastify'] : ['fastify', 'express']
  )) {
    for (const plan of quick ? QUICK : PLANS) rows.push(await measureSize(adapter, plan));
  }
  console.log(
    '\ngrowth, bodies: microseconds of CPU for each upload, one at a time, medians; peak memory in MiB above the start',
  );
  console.table(rows.map(toPrinted));
  return rows;
}

/** @param {Adapter} adapter @param {typeof PLANS[number]} plan @returns {Promise<BodyRow>} */
async function measureSize(adapter, { bytes, ...plan }) {
  const costs = await measurePair(adapter, uploadOf(bytes), 1, plan);
  return { what: 'bodies', adapter, bytes, hash: costOfHash(bytes), ...costs };
}

/** Microseconds to hash so many bytes in pieces, as they arrive. @param {number} bytes */
function costOfHash(bytes) {
  const piece = Buffer.alloc(64 * KIB, 'a');
  const times = Math.max(3, Math.min(2000, Math.ceil((50 * MIB) / Math.max(1, bytes))));
  const before = cpuTime();
  for (let time = 0; time < times; time++) {
    const hash = createHash('sha256');
    for (let left = bytes; left > 0; left -= piece.length) hash.update(piece.subarray(0, left));
    hash.digest('hex');
  }
  return cpuTimeSince(before).all / times;
}

/** @param {BodyRow} row */
function toPrinted({ adapter, bytes, hash, unguardedPeak, guardedPeak, ...costs }) {
  return {
    adapter,
    bytes,
    ...printedCosts({ ...costs, unguardedPeak, guardedPeak }),
    'hash alone': Math.round(hash),
    'peak, unguarded': unguardedPeak && Math.round(unguardedPeak),
    'peak, guarded': guardedPeak && Math.round(guardedPeak),
  };
}
