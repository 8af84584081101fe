// Each slip gives one report at its line, and the same file without slips none: `node tools/style/test.mjs`.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CHECK = join(import.meta.dirname, 'check.mjs');
const ROOT = join(import.meta.dirname, '..', '..');
const TEST = 'tools/style/test';

assert.equal(reportedLines(`${TEST}/docs/slips.md`).length, 10);
assert.deepEqual(reportedLines(`${TEST}/lib/slips.ts`), [1, 4, 6, 7, 10, 12, 13, 16]);
assert.equal(reportedLines(`${TEST}/lib/wordy.ts`).length, 1);

const [title = ''] = readFileSync(join(ROOT, TEST, 'docs/slips.md'), 'utf8').split('\n');
passes(
  `${TEST}/docs/clean.md`,
  `${title}\n\nAfter this page you can write one that is clean. It has short sentences.\n`,
);
const wordy = readFileSync(join(ROOT, TEST, 'lib/wordy.ts'), 'utf8');
passes(`${TEST}/lib/clean.ts`, wordy.replace(/^.*\n.*TEN.*\n/m, '')); // too few for an average
console.log('5 passed, 0 failed');

/** The lines with a report, in order. */
function reportedLines(file) {
  const { stderr, status } = spawnSync('node', [CHECK, file], { encoding: 'utf8' });
  assert.equal(status, 1, stderr);
  return stderr
    .trim()
    .split('\n')
    .map((report) => Number(report.slice(file.length + 1).split(':')[0]))
    .toSorted((one, other) => one - other);
}

function passes(file, text) {
  writeFileSync(join(ROOT, file), text);
  try {
    execFileSync('node', [CHECK, file]);
  } finally {
    rmSync(join(ROOT, file));
  }
}
