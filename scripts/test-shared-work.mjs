// Runs users' work through the libraries that requests share, and looks whose user each call is signed for:
//   node scripts/test-shared-work.mjs [--markdown] [--users 200] [--strangers 50] [--adapter <name>] [names of rows]
// The rows, and what is expected of each, are in test/shared-work/rows.mjs; --markdown prints the table of
// docs/for-whom.md.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { pack } from './pack.mjs';
import { inTemporaryFolder, ROOT, run } from './run.mjs';

const BATTERY = join(ROOT, 'test/shared-work');
const COMPILER = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
};

/** @param {string} folder */
function testIn(folder) {
  const tarball = pack(folder);
  const place = join(folder, 'shared-work');
  cpSync(BATTERY, place, { recursive: true });
  const npm = (/** @type {string[]} */ ...args) => run('npm', args, { cwd: place });
  npm('ci', '--ignore-scripts', '--prefer-offline', '--loglevel=error');
  npm('install', '--no-save', '--ignore-scripts', '--prefer-offline', '--loglevel=error', tarball);
  const source = readFileSync(join(place, 'application.ts'), 'utf8');
  const { outputText } = ts.transpileModule(source, { compilerOptions: COMPILER });
  writeFileSync(join(place, 'application.js'), outputText);
  run('node', ['run.mjs', ...process.argv.slice(2)], { cwd: place, minutes: 120 });
}

try {
  inTemporaryFolder(testIn);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
