// Runs every test of the attack catalogue and writes what came of it to docs/attacks.md: `node scripts/test-attacks.mjs`.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  FOLDERS,
  findProblems,
  PAGE,
  readCatalogue,
  readInputs,
  writePage,
} from './attack-report.mjs';
import { inTemporaryFolder, readJson, run } from './run.mjs';

/** @typedef {import('./attack-report.mjs').JestReport & { numPendingTests: number }} Report */

const JEST = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js'];

const report = inTemporaryFolder((folder) => {
  const file = join(folder, 'report.json');
  try {
    run('node', [...JEST, '--json', '--outputFile', file, ...FOLDERS], { minutes: 20 });
  } catch {
    // What failed is in the report.
  }
  return /** @type {Report} */ (readJson(file));
});

const sections = readCatalogue();
const inputs = readInputs(report);
const problems = findProblems(sections, inputs);
if (report.numPendingTests > 0) {
  problems.push(`${report.numPendingTests} tests were skipped: is a redis-server on the PATH?`);
} else {
  writeFileSync(PAGE, writePage(sections, inputs));
}
for (const problem of problems) console.error(problem);
const failed = new Set(inputs.filter(({ failure }) => failure)).size;
console.log(`${inputs.length - failed} passed, ${failed} failed; ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
