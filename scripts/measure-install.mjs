/**
 * What the package costs before it does anything: its size, its dependencies and the CPU time of its first import,
 * beside `@nestjs/passport` with `passport-jwt`: `node scripts/measure-install.mjs [versions of Node]`, such as `24`. Each import
 * has a process of its own, where Nest is loaded already. The packages take turns, so a busy machine slows all of them
 * down alike, and the ratios are more reliable than the milliseconds.
 */
import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installNode } from './other-nodes.mjs';
import { pack } from './pack.mjs';
import { inTemporaryFolder, readJson, ROOT, run } from './run.mjs';

const ROUNDS = 25;
const NEST = ['@nestjs/common', '@nestjs/core', '@nestjs/platform-express'];
const PEERS = [...NEST, 'reflect-metadata', 'rxjs', '@nestjs/axios', 'axios'];
const PASSPORT = { '@nestjs/passport': '12.0.0', passport: '0.7.0', 'passport-jwt': '4.0.1' };

/** What is installed for each, and counts as its dependencies. */
const INSTALLED = {
  'nestjs-service-auth': ['nestjs-service-auth'],
  '@nestjs/passport + passport-jwt': Object.keys(PASSPORT),
};
/** What is timed. The others are compared with the first. */
const IMPORTED = [
  ['@nestjs/passport', 'passport-jwt'],
  ['nestjs-service-auth'],
  ['nestjs-service-auth', 'nestjs-service-auth/axios'],
];
/** The places in 25 sorted values between which the median is with a confidence of 95 %. */
const INTERVAL = { lower: 7, upper: 17 };

/** @typedef {{ packages: Record<string, { version: string, dependencies?: object }> }} Lock */

/** @param {string} tarball */
function reportSize(tarball) {
  const listing = execFileSync('tar', ['-tvzf', tarball], { encoding: 'utf8' });
  const sizes = [...listing.matchAll(/^-\S+\s+\S+\s+(\d+)/gm)].map(([, size]) => Number(size));
  const unpacked = sizes.reduce((sum, size) => sum + size, 0);
  const kilobytes = (/** @type {number} */ bytes) => `${(bytes / 1000).toFixed(0)} kB`;
  console.log(`packed ${kilobytes(statSync(tarball).size)}, unpacked ${kilobytes(unpacked)}`);
  console.log(`${sizes.length} files\n`);
}

/**
 * @param {string} folder
 * @param {string} tarball
 */
function install(folder, tarball) {
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  const { packages } = /** @type {Lock} */ (readJson(join(ROOT, 'package-lock.json')));
  const nest = PEERS.map((name) => {
    return `${name}@${packages[`node_modules/${name}`]?.version}`;
  });
  const passport = Object.entries(PASSPORT).map(([name, version]) => `${name}@${version}`);
  const flags = ['--ignore-scripts', '--loglevel=error'];
  run('npm', ['install', ...flags, tarball, ...nest, ...passport], { cwd: folder });
}

/**
 * The packages that come along with some, besides themselves, peers not counted.
 *
 * @param {string} folder
 * @param {readonly string[]} installed
 */
function dependenciesOf(folder, installed) {
  const { packages } = /** @type {Lock} */ (readJson(join(folder, 'package-lock.json')));
  const found = /** @type {Set<string>} */ (new Set());
  const visit = (/** @type {string} */ name) => {
    for (const each of Object.keys(packages[`node_modules/${name}`]?.dependencies ?? {})) {
      if (found.has(each)) continue;
      found.add(each);
      visit(each);
    }
  };
  installed.forEach(visit);
  return [...found].filter((name) => !installed.includes(name));
}

/**
 * @param {string} folder
 * @param {string} node
 * @param {readonly string[]} imported
 * @returns milliseconds of CPU time
 */
function timeImport(folder, node, imported) {
  const program = `
    import 'reflect-metadata';
    ${NEST.map((name) => `import '${name}';`).join('\n')}
    const before = process.cpuUsage();
    for (const name of ${JSON.stringify(imported)}) await import(name);
    const { user, system } = process.cpuUsage(before);
    console.log((user + system) / 1000);
  `;
  const args = ['--input-type=module', '--eval', program];
  return Number(execFileSync(node, args, { cwd: folder, encoding: 'utf8' }));
}

/** @param {readonly number[]} values */
function spreadOf(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (/** @type {number} */ place) => (sorted[place] ?? Number.NaN).toFixed(2);
  return `${at((ROUNDS - 1) / 2)} (${at(INTERVAL.lower)} to ${at(INTERVAL.upper)})`;
}

/**
 * @param {string} folder
 * @param {string} node
 */
function reportImports(folder, node) {
  const rows = IMPORTED.map((imported) => ({ imported, cpus: /** @type {number[]} */ ([]) }));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { imported, cpus } of round % 2 === 0 ? rows : rows.toReversed()) {
      cpus.push(timeImport(folder, node, imported));
    }
  }
  const [first] = rows;
  for (const { imported, cpus } of rows) {
    const ratios = cpus.map((cpu, round) => cpu / (first?.cpus[round] ?? Number.NaN));
    console.log(`${imported.join(' + ')}: CPU ms ${spreadOf(cpus)}, ratio ${spreadOf(ratios)}`);
  }
}

inTemporaryFolder((folder) => {
  const tarball = pack(folder);
  reportSize(tarball);
  install(folder, tarball);
  for (const [title, installed] of Object.entries(INSTALLED)) {
    const names = dependenciesOf(folder, installed);
    console.log(`${title}: ${names.length} runtime dependencies: ${names.join(', ')}`);
  }
  const versions = process.argv.slice(2);
  const nodes = versions.map((version) => installNode(join(folder, 'nodes'), version));
  for (const node of [process.execPath, ...nodes]) {
    const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
    console.log(`\nFirst import on Node ${version}, medians of ${ROUNDS} with 95 % intervals:`);
    reportImports(folder, node);
  }
});
