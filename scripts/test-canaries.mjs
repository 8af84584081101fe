// Prints what a service can reach while it serves a user, on each supported version of Node: `node scripts/test-canaries.mjs`.
// The versions are packages of npm, installed into a temporary folder, or into the one given (`--folder <path>`), which
// is kept for the next run. `--node <version>` tries one version alone. Linux on x64 only, as those packages are.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installNode, RUNS_OTHER_NODES } from './other-nodes.mjs';
import { run } from './run.mjs';
import { installPackages } from './with-packages.mjs';

const VERSIONS = ['20', '22', '24', '26'];
const SPEC = 'test/for-whom/printed-identities.spec.ts';
const JEST = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', SPEC];

const { values } = parseArgs({
  options: { folder: { type: 'string' }, node: { type: 'string' } },
});
if (!RUNS_OTHER_NODES) {
  console.log('Not run: the packages of other versions of Node are for Linux on x64.');
  process.exit();
}

installPackages('tools/tests');
const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'canaries-'));
try {
  for (const version of values.node === undefined ? VERSIONS : [values.node]) {
    const node = installNode(folder, version);
    const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
    console.log(`Node ${stdout.trim()}`);
    run(node, JEST, { minutes: 15 });
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
}
