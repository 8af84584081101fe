// Ten slips give ten reports, and the same page without them none: `node tools/style/test.mjs`.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CHECK = join(import.meta.dirname, 'check.mjs');
const SLIPS = 'tools/style/test/docs/slips.md';
const CLEAN = 'tools/style/test/docs/clean.md';

const { stderr, status } = spawnSync('node', [CHECK, SLIPS], { encoding: 'utf8' });
assert.equal(stderr.trim().split('\n').length, 10, stderr);
assert.equal(status, 1);

const root = join(import.meta.dirname, '..', '..');
const [title = ''] = readFileSync(join(root, SLIPS), 'utf8').split('\n');
writeFileSync(
  join(root, CLEAN),
  `${title}\n\nAfter this page you can write one that is clean. It has short sentences.\n`,
);
try {
  execFileSync('node', [CHECK, CLEAN]);
} finally {
  rmSync(join(root, CLEAN));
}
console.log('2 passed, 0 failed');
