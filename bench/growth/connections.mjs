/** How cost grows with connections, up to 2,000 with a request on each: no authentication, and this library. */
import { readFileSync } from 'node:fs';
import { KINDS } from '../http-requests.mjs';
import { measurePair, printedCosts } from './guarded-pair.mjs';

/** @typedef {import('./guarded-pair.mjs').Adapter} Adapter */
/**
 * @typedef {import('./guarded-pair.mjs').PairCosts & {
 *   what: string, adapter: Adapter, count: number,
 * }} ConnectionRow
 */

const [POST] = KINDS;
/** Besides its connections a process has a few files open. */
const OTHER_FILES = 100;

/** @param {boolean} quick */
export async function measureConnections(quick) {
  const counts = quick ? [1000] : [1, 10, 100, 1000, 2000];
  const possible = counts.filter((count) => count + OTHER_FILES <= mostOpenFiles());
  /** @type {ConnectionRow[]} */
  const rows = [];
  for (const adapter of /** @type {readonly Adapter[]} */ (
    quick ? ['fastify'] : ['fastify', 'express']
  )) {
    for (const count of possible) rows.push(await measureCount(adapter, count, quick));
  }
  console.log(
    '\ngrowth, connections: microseconds of CPU for each POST of 1 KiB, one on each connection at a time, ' +
      'medians; peak memory in KiB for each connection',
  );
  console.table(rows.map(toPrinted));
  for (const count of counts.filter((each) => !possible.includes(each))) {
    console.log(`${count} connections: not measured. A process may open ${mostOpenFiles()} files.`);
  }
  return rows;
}

/** @param {Adapter} adapter @param {number} count @param {boolean} quick @returns {Promise<ConnectionRow>} */
async function measureCount(adapter, count, quick) {
  const plan = {
    rounds: quick ? 5 : 9,
    perRound: Math.max(500, 2 * count),
    warmup: quick ? 3000 : 8000,
  };
  return {
    what: 'connections',
    adapter,
    count,
    ...(await measurePair(adapter, POST, count, plan)),
  };
}

/** How many files a process may have open; without an end where the system does not tell. */
function mostOpenFiles() {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}

/** @param {ConnectionRow} row */
function toPrinted({ adapter, count, unguardedPeak, guardedPeak, ...costs }) {
  const each = (/** @type {number | undefined} */ mebibytes) =>
    mebibytes && Math.round((mebibytes * 1024) / count);
  return {
    adapter,
    connections: count,
    ...printedCosts({ ...costs, unguardedPeak, guardedPeak }),
    'memory each, unguarded': each(unguardedPeak),
    'memory each, guarded': each(guardedPeak),
  };
}
