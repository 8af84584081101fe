// Runs the specs of tools/graphql: Apollo on Express and Fastify, Mercurius, subgraphs.
//   node scripts/test-graphql.mjs [arguments of jest]            on Nest 12, the project's own
//   node scripts/test-graphql.mjs --nest-11 [arguments of jest]  on Nest 11, in a temporary copy of the project
// The packages of GraphQL are installed in tools/graphql, where Nest is found two folders up: there is one copy of it.
import { cpSync, existsSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { runSuites } from './run-suites.mjs';
import { inTemporaryFolder, ROOT, run } from './run.mjs';

const FOLDER = join('tools', 'graphql');
const NEST_11 = join(ROOT, 'test/package/nest-11');

const NOT_COPIED = /^(\.git|dist|dist-sample|coverage|api|package(-lock)?\.json|.*node_modules)$/;

/**
 * Installs the packages of GraphQL, unless they are there as the lock says.
 *
 * @param {string} project
 */
function install(project) {
  const cwd = join(project, FOLDER);
  const lock = join(cwd, 'package-lock.json');
  const installed = join(cwd, 'node_modules/.package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  run('npm', ['ci', '--ignore-scripts', '--loglevel=error'], { cwd });
}

/**
 * @param {string} project
 * @param {readonly string[]} args
 */
function test(project, args) {
  const config = join(FOLDER, 'jest.config.js');
  process.exitCode = runSuites(['-c', config, ...args], { cwd: project, minutes: 30 });
}

/** @param {string} folder @param {readonly string[]} args */
function testOnNest11(folder, args) {
  const isCopied = (/** @type {string} */ path) => !NOT_COPIED.test(relative(ROOT, path));
  cpSync(ROOT, folder, { recursive: true, filter: isCopied });
  const withoutModules = (/** @type {string} */ path) => !path.endsWith('node_modules');
  cpSync(NEST_11, folder, { recursive: true, filter: withoutModules });
  cpSync(join(ROOT, FOLDER, 'nest-11'), join(folder, FOLDER), { recursive: true });
  run('npm', ['ci', '--ignore-scripts', '--loglevel=error'], { cwd: folder });
  install(folder);
  test(folder, args);
}

const args = process.argv.slice(2);
const others = args.filter((each) => each !== '--nest-11');
if (args.includes('--nest-11')) inTemporaryFolder((folder) => testOnNest11(folder, others));
else {
  install(ROOT);
  run('node', ['node_modules/typescript/bin/tsc', '-p', FOLDER]);
  test(ROOT, others);
}
