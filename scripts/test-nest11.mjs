// Runs the test suite on Nest 11: `node scripts/test-nest11.mjs [arguments of jest]`.
// The project is copied to a temporary folder, where test/package/nest-11 says what is installed.
import { cpSync } from 'node:fs';
import { join, relative } from 'node:path';
import { runSuites } from './run-suites.mjs';
import { inTemporaryFolder, readJson, ROOT, run } from './run.mjs';

const NEST_11 = join(ROOT, 'test/package/nest-11');

// Nothing is built there, and all packages are those of one folder. test/package is about this folder and its tools,
// test/cli about the build, and random input about the core: not about Nest.
const NOT_COPIED =
  /^(\.git|(test\/)?node_modules|tools|dist|dist-sample|coverage|package(-lock)?\.json|test\/(package|cli|properties|fuzz)|.*\.dist\.spec\.ts)$/;

/** @typedef {{ dependencies: Record<string, string>, devDependencies: Record<string, string> }} Manifest */

/** @param {string} folder */
function dependenciesOf(folder) {
  const manifest = /** @type {Manifest} */ (readJson(join(folder, 'package.json')));
  return { ...manifest.dependencies, ...manifest.devDependencies };
}

function assertSameDependencies() {
  const here = { ...dependenciesOf(ROOT), ...dependenciesOf(join(ROOT, 'tools/tests')) };
  const there = dependenciesOf(NEST_11);
  for (const name of Object.keys(here)) {
    const isNest = name.startsWith('@nestjs/');
    if (there[name] !== undefined && (isNest || there[name] === here[name])) continue;
    const wanted = isNest ? 'the version that fits Nest 11' : here[name];
    throw new Error(
      `test/package/nest-11 is stale: ${name} is ${there[name] ?? 'missing'}, must be ${wanted}. ` +
        'Change its package.json and run `npm install --package-lock-only` there.',
    );
  }
}

/** @param {string} folder */
function testIn(folder) {
  const isCopied = (/** @type {string} */ path) => !NOT_COPIED.test(relative(ROOT, path));
  cpSync(ROOT, folder, { recursive: true, filter: isCopied });
  cpSync(NEST_11, folder, { recursive: true, filter: (path) => !path.endsWith('node_modules') });
  run('npm', ['ci', '--ignore-scripts', '--loglevel=error'], { cwd: folder });
  const compiler = 'node_modules/typescript/bin/tsc';
  run('node', [compiler, '-p', 'lib/tsconfig.lib.json', '--noEmit'], { cwd: folder });
  process.exitCode = runSuites(process.argv.slice(2), { cwd: folder, minutes: 40 });
}

try {
  assertSameDependencies();
  inTemporaryFolder(testIn);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
