// Fills a memory replay store with so many live uses, and tells over IPC what they take: memory, time, and the longest
// that one use took while others came and were forgotten, beside a loop that remembers nothing.
import { createHistogram, performance } from 'node:perf_hooks';
import { GCProfiler } from 'node:v8';
import { MemoryReplayStore } from 'nestjs-service-auth/core';

/**
 * Bytes for each entry (heap and outside of it), microseconds for a first use and for a repeated one, and how long
 * single uses took; the same of the loop without a store.
 *
 * @typedef {{ entries: number, bytesEach: number, residentEach: number, first: number, seen: number,
 *   swept: Longest, idle: Longest }} ReplayRow
 */
/**
 * Milliseconds: the share of one call in 10,000, the longest call, the most CPU that a few calls in a row took (what
 * stopped the process meanwhile is not in it), and the longest collection of garbage.
 *
 * @typedef {{ share: number, longest: number, cpu: number, garbage: number }} Longest
 */

const LIFETIME_SECONDS = 65;
const SEEN_SAMPLES = 200_000;
/** The CPU time of the process is read once for so many calls. */
const CALLS_IN_A_ROW = 20;

const rounded = (/** @type {number} */ value, digits = 2) => Number(value.toFixed(digits));

const entries = Number(process.argv[2]);
let milliseconds = 0;
const store = new MemoryReplayStore({
  monotonicNow: () => milliseconds,
  maxEntries: 6 * entries + 1000,
});

/** @param {string} group @param {number} at */
const use = (group, at) => ({
  issuer: 'https://herald.service/',
  tokenId: `${group}-XVNGyEU4wq0yVvVhNvJT741A-${at}`,
  nowSeconds: milliseconds / 1000,
  forgetAtSeconds: milliseconds / 1000 + LIFETIME_SECONDS,
});

/** @param {string} group @param {number} count @param {'first' | 'seen'} verdict */
function record(group, count, verdict) {
  for (let at = 0; at < count; at++) {
    const answer = store.recordUse(use(group, at % entries));
    if (answer !== verdict) throw new Error(`the store said ${answer} of what is ${verdict}`);
  }
}

/** Microseconds for each. @param {number} count @param {() => void} work */
function timed(count, work) {
  const start = performance.now();
  work();
  return ((performance.now() - start) * 1000) / count;
}

function memory() {
  globalThis.gc?.();
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, used: heapUsed + external };
}

/** @param {(at: number) => void} call @param {number} count @returns {Longest} */
function longestOf(call, count) {
  const nanoseconds = createHistogram();
  const collections = new GCProfiler();
  collections.start();
  let cpu = 0;
  let before = process.cpuUsage();
  for (let at = 0; at < count; at++) {
    milliseconds += (LIFETIME_SECONDS * 1000) / entries;
    const start = performance.now();
    call(at);
    nanoseconds.record(Math.max(1, Math.round((performance.now() - start) * 1e6)));
    if (at % CALLS_IN_A_ROW !== 0) continue;
    const { user, system } = process.cpuUsage(before);
    cpu = Math.max(cpu, user + system);
    before = process.cpuUsage();
  }
  const costs = collections.stop().statistics.map(({ cost }) => cost);
  return {
    share: rounded(nanoseconds.percentile(99.99) / 1e6, 3),
    longest: rounded(nanoseconds.max / 1e6),
    cpu: rounded(cpu / 1000),
    garbage: rounded(Math.max(0, ...costs) / 1000),
  };
}

// The code is compiled before anything counts.
for (let at = 0; at < 20_000; at++) {
  if (at % 500 === 0) milliseconds += 1000 * LIFETIME_SECONDS * 2;
  store.recordUse(use('warm', at));
}
milliseconds += 1000 * LIFETIME_SECONDS * 2;

const before = memory();
const first = timed(entries, () => record('live', entries, 'first'));
const after = memory();
const seen = timed(SEEN_SAMPLES, () => record('live', SEEN_SAMPLES, 'seen'));
const turns = Math.max(100_000, 2 * entries);
const swept = longestOf((at) => void store.recordUse(use('next', at)), turns);
const idle = longestOf((at) => void use('idle', at), turns);

/** @type {ReplayRow} */
const row = {
  entries,
  bytesEach: rounded((after.used - before.used) / entries, 1),
  residentEach: rounded((after.rss - before.rss) / entries, 1),
  first: rounded(first),
  seen: rounded(seen),
  swept,
  idle,
};
process.send?.(row);
