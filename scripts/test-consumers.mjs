// Installs the package in applications as `nest new` makes them, then builds, starts and tests each:
// `node scripts/test-consumers.mjs [names of folders in test/package/consumers]`, all without a name.
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack } from './pack.mjs';
import { inTemporaryFolder, readJson, ROOT, run } from './run.mjs';

const CONSUMERS = join(ROOT, 'test/package/consumers');
const TWO_SERVICES = join(ROOT, 'scripts/consumers/two-services.mjs');

/** @type {Record<string, string>} */
const APPLICATIONS = {
  'nest-11-commonjs': 'Nest 11, CommonJS, node dist/main',
  'nest-11-jest-30': 'Nest 11, CommonJS, Jest 30',
  'nest-11-jest-29': 'Nest 11, CommonJS, Jest 29',
  'nest-12-jest': 'Nest 12, ES modules, Jest 30',
  'nest-12-vitest': 'Nest 12, ES modules, Vitest',
};

/** @typedef {{ type?: 'module', scripts: Record<string, string> }} Manifest */

/**
 * @param {string} name
 * @param {string} folder
 * @param {string} tarball
 */
function check(name, folder, tarball) {
  for (const part of ['application', name]) {
    cpSync(join(CONSUMERS, part), folder, { recursive: true });
  }
  const { type, scripts } = /** @type {Manifest} */ (readJson(join(folder, 'package.json')));
  if (type !== 'module') dropExtensions(join(folder, 'src'));
  const npm = (/** @type {string[]} */ ...args) => run('npm', args, { cwd: folder });
  npm('install', '--ignore-scripts', '--prefer-offline', '--loglevel=error', tarball);
  npm('run', '--silent', 'build');
  run('node', [TWO_SERVICES, folder], { minutes: 2 });
  if (scripts['test']) npm('run', '--silent', 'test');
}

/**
 * CommonJS applications import './x', ES modules './x.js'. The sources here are written as the latter.
 *
 * @param {string} folder
 */
function dropExtensions(folder) {
  for (const file of readdirSync(folder)) {
    const source = readFileSync(join(folder, file), 'utf8');
    writeFileSync(join(folder, file), source.replace(/(from '\.\/.+)\.js';/g, "$1';"));
  }
}

/** @returns whether it passed */
function isPassing(
  /** @type {string} */ name,
  /** @type {string} */ folder,
  /** @type {string} */ tarball,
) {
  console.log(`\n# ${name}`);
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
  try {
    check(name, folder, tarball);
    console.log(`passed ${APPLICATIONS[name]}: ${seconds()}`);
    return true;
  } catch (error) {
    console.error(`FAILED ${APPLICATIONS[name]}: ${seconds()}:`, error);
    return false;
  }
}

const named = process.argv.slice(2);
const unknown = named.filter((name) => !Object.hasOwn(APPLICATIONS, name));
if (unknown.length > 0) throw new Error(`no such application: ${unknown.join(', ')}`);
const names = named.length > 0 ? named : Object.keys(APPLICATIONS);
const results = { passed: 0, failed: 0 };
inTemporaryFolder((folder) => {
  const tarball = pack(folder);
  for (const name of names) {
    const isGood = isPassing(name, join(folder, name), tarball);
    results[isGood ? 'passed' : 'failed'] += 1;
  }
});
console.log(`\n${results.passed} passed, ${results.failed} failed`);
process.exitCode = results.failed === 0 ? 0 : 1;
