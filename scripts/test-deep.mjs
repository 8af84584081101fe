/**
 * Tries every property with 100,000 random inputs, and says how often each was tried:
 * `node scripts/test-deep.mjs [--runs 100000] [arguments of jest]`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inTemporaryFolder, run } from './run.mjs';

/** @typedef {{ title: string, runs: number, seconds: number }} Property */

const JEST = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', 'test/properties'];
const MINUTES = 120;

const [flag, number, ...others] = process.argv.slice(2);
const hasRuns = flag === '--runs';
const runs = hasRuns ? Number(number) : 100_000;
const passedOn = hasRuns ? others : process.argv.slice(2);
if (!(Number.isSafeInteger(runs) && runs > 0)) {
  console.error('--runs: write a whole number from 1');
  process.exit(1);
}

/** @param {string} file */
function print(file) {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const properties = lines.map((line) => /** @type {Property} */ (JSON.parse(line)));
  for (const { title, runs: tried, seconds } of properties) {
    console.log(`${String(tried).padStart(9)} runs ${seconds.toFixed(0).padStart(5)} s  ${title}`);
  }
  const total = properties.reduce((sum, { runs: tried }) => sum + tried, 0);
  console.log(`${properties.length} properties, ${total} runs`);
}

inTemporaryFolder((folder) => {
  const report = join(folder, 'properties.jsonl');
  process.env['PROPERTY_RUNS'] = String(runs);
  process.env['PROPERTY_REPORT'] = report;
  try {
    run('node', [...JEST, ...passedOn], { minutes: MINUTES });
    print(report);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
});
