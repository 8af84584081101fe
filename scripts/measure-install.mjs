/**
 * What the package costs before it does anything: its size, its dependencies and the time its first import
 * takes, beside `@nestjs/passport` with `passport-jwt`: `node scripts/measure-install.mjs`. Every import has a process
 * of its own, in which Nest is loaded already; the packages take turns, so that a busy machine slows all of
 * them down alike. Firm is the ratio of the CPU time, and not the milliseconds that pass.
 */
import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack } from './pack.mjs';
import { inTemporaryFolder, readJson, ROOT, run } from './run.mjs';

const ROUNDS = 25;
const NEST = ['@nestjs/common', '@nestjs/core', '@nestjs/platform-express'];
const OF_EVERY_APPLICATION = [...NEST, 'reflect-metadata', 'rxjs'];
const PASSPORT = { '@nestjs/passport': '12.0.0', passport: '0.7.0', 'passport-jwt': '4.0.1' };

/** What is compared: `installed` counts as dependencies, `imported` is what is timed. */
const SUBJECTS = {
  'nestjs-service-auth': {
    installed: ['nestjs-service-auth'],
    imported: ['nestjs-service-auth'],
  },
  '@nestjs/passport + passport-jwt': {
    installed: Object.keys(PASSPORT),
    imported: ['@nestjs/passport', 'passport-jwt'],
  },
};

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
  const nest = OF_EVERY_APPLICATION.map((name) => {
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
 * @param {readonly string[]} imported
 * @returns milliseconds that passed, and of CPU time
 */
function timeImport(folder, imported) {
  const program = `
    import 'reflect-metadata';
    ${NEST.map((name) => `import '${name}';`).join('\n')}
    const [start, before] = [performance.now(), process.cpuUsage()];
    for (const name of ${JSON.stringify(imported)}) await import(name);
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify([performance.now() - start, (user + system) / 1000]));
  `;
  const args = ['--input-type=module', '--eval', program];
  const output = execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  return /** @type {[wall: number, cpu: number]} */ (JSON.parse(output));
}

/** @param {readonly number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** @param {string} folder */
function reportImports(folder) {
  const rows = Object.values(SUBJECTS).map(({ imported }) => ({
    imported,
    walls: /** @type {number[]} */ ([]),
    cpus: /** @type {number[]} */ ([]),
  }));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { imported, walls, cpus } of round % 2 === 0 ? rows : rows.toReversed()) {
      const [wall, cpu] = timeImport(folder, imported);
      walls.push(wall);
      cpus.push(cpu);
    }
  }
  for (const { imported, walls, cpus } of rows) {
    const [wall, cpu] = [median(walls).toFixed(1), median(cpus).toFixed(1)];
    console.log(`first import of ${imported.join(' + ')}: ${wall} ms, CPU ${cpu} ms`);
  }
  const [ours, theirs] = rows.map(({ cpus }) => cpus);
  const ratios = ours?.map((cpu, round) => cpu / (theirs?.[round] ?? Number.NaN)) ?? [];
  console.log(`CPU, ratio, median of ${ROUNDS} pairs: ${median(ratios).toFixed(2)}`);
}

inTemporaryFolder((folder) => {
  const tarball = pack(folder);
  reportSize(tarball);
  install(folder, tarball);
  for (const [title, { installed }] of Object.entries(SUBJECTS)) {
    const names = dependenciesOf(folder, installed);
    console.log(`${title}: ${names.length} runtime dependencies: ${names.join(', ')}`);
  }
  reportImports(folder);
});
