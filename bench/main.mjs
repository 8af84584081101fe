/**
 * What this library costs beside its peers, in CPU time:
 * `npm run bench [-- --quick] [--only verify,sign] [--json FILE] [--base FOLDER]`; the base is another build, for grants.
 * Every variant is checked first: good input must be accepted, bad input refused. Variants take turns within each
 * round, and ratios are paired within rounds, so a busy machine slows all of them down alike.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { machine } from './machine.mjs';

/**
 * What one section is asked, and what it answers: rows of plain JSON, besides the tables it prints.
 *
 * @typedef {{ quick: boolean, base: string | undefined }} SectionOptions
 * @typedef {{ section: string, rows: readonly object[] }} SectionResult
 */

/**
 * The sections in their order. Each module is loaded when its turn comes, so that none weighs on another.
 *
 * @type {Record<string, (options: SectionOptions) => Promise<SectionResult>>}
 */
const SECTIONS = {
  verify: async (options) => await (await import('./verify.bench.mjs')).runVerify(options),
  sign: async (options) => await (await import('./sign.bench.mjs')).runSign(options),
  outgoing: async (options) => await (await import('./outgoing.bench.mjs')).runOutgoing(options),
  requests: async (options) => await (await import('./requests.bench.mjs')).runRequests(options),
  unguarded: async (options) => await (await import('./unguarded.bench.mjs')).runUnguarded(options),
  grants: async (options) => await (await import('./grants.bench.mjs')).runGrants(options),
  messages: async (options) => await (await import('./messages.bench.mjs')).runMessages(options),
  growth: async (options) => await (await import('./growth.bench.mjs')).runGrowth(options),
};

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: Object.keys(SECTIONS).join() },
    json: { type: 'string' },
    base: { type: 'string' },
  },
});
const { quick, base } = options;
const only = new Set(options.only.split(','));
const unknown = [...only].filter((name) => !Object.hasOwn(SECTIONS, name));
if (unknown.length > 0) {
  throw new Error(`no section ${unknown.join()}: there are ${Object.keys(SECTIONS).join()}`);
}

console.log({ ...machine(), quick });
const results = [];
for (const [name, run] of Object.entries(SECTIONS)) {
  if (!only.has(name)) continue;
  const start = performance.now();
  results.push(await run({ quick, base }));
  console.log(`\n${name}: ${Math.round((performance.now() - start) / 1000)} s`);
}
if (options.json !== undefined) {
  const report = { machine: machine(), quick, sections: results };
  writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
}
