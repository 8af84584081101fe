// Checks what users install: packs the project, then builds and runs small consumers of the tarball.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ENTRY_POINTS } from './entry-points.mjs';
import { pack } from './pack.mjs';
import { inTemporaryFolder, readJson, ROOT, run } from './run.mjs';
import { installedProgram } from './with-packages.mjs';

const CONSUMERS = join(ROOT, 'test/package/consumers');
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const PEERS_OF_NEST = ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs'];
const NEST = [...PEERS_OF_NEST, '@nestjs/platform-express'];
const AXIOS = ['@nestjs/axios', 'axios'];
const CACHE = ['@nestjs/cache-manager', 'cache-manager', 'keyv'];

/**
 * The peers that an entry point loads. It must load where these are installed, and these alone.
 *
 * @type {Record<string, string[]>}
 */
const PEERS = {
  '.': PEERS_OF_NEST,
  './core': [],
  './axios': [...PEERS_OF_NEST, ...AXIOS],
  './bullmq': [...PEERS_OF_NEST, 'bullmq', '@nestjs/bullmq'],
  './cache': [...PEERS_OF_NEST, ...CACHE],
  './fetch': PEERS_OF_NEST,
  './graphql': PEERS_OF_NEST,
  './microservices': [...PEERS_OF_NEST, '@nestjs/microservices'],
  './openapi': [...PEERS_OF_NEST, '@nestjs/swagger'],
  './opentelemetry': ['@opentelemetry/api'],
  './redis': [],
  './testing': PEERS_OF_NEST,
  './undici': [],
};

/**
 * Direct dependencies have the versions of `lock`; `absent` must not be there after the installation.
 *
 * @type {{ title: string, folder: string, lock: string, packages: string[], absent: string[] }[]}
 */
const TABLE = [
  {
    title: 'Nest 12 with every peer of an entry point',
    folder: 'sender-and-receiver',
    lock: 'package-lock.json',
    packages: [
      ...NEST,
      ...AXIOS,
      ...CACHE,
      '@nestjs/bullmq',
      '@nestjs/microservices',
      '@nestjs/swagger',
      '@opentelemetry/api',
      'bullmq',
    ],
    absent: [],
  },
  {
    title: 'Nest 11 with axios',
    folder: 'sender-and-receiver',
    lock: 'test/package/nest-11/package-lock.json',
    packages: [...NEST, ...AXIOS],
    absent: [],
  },
  {
    title: 'Nest 12 without axios',
    folder: 'receiver-without-axios',
    lock: 'package-lock.json',
    packages: NEST,
    absent: [...AXIOS, ...CACHE, '@nestjs/microservices', '@nestjs/websockets'],
  },
  {
    title: 'no Nest',
    folder: 'core-without-nest',
    lock: 'package-lock.json',
    packages: [],
    absent: [
      '@nestjs',
      'rxjs',
      'reflect-metadata',
      'axios',
      'ioredis',
      'redis',
      '@opentelemetry',
      'commander',
    ],
  },
];

const results = { passed: 0, failed: 0 };

/** The entry points that were loaded, by `import`, by `require` or from the CommonJS build. */
const loaded = new Set();

/**
 * @param {string} title
 * @param {() => void} body
 */
function check(title, body) {
  console.log(`\n# ${title}`);
  try {
    body();
    results.passed += 1;
  } catch (error) {
    console.error(`FAILED ${title}:`, error);
    results.failed += 1;
  }
}

/** @param {string} tarball */
function checkFiles(tarball) {
  const listing = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' });
  const files = listing.split('\n').filter(Boolean);
  console.log(`${files.length} files, ${statSync(tarball).size} bytes packed`);
  const expected =
    /^package\/(dist\/.+\.(js|d\.ts)|docs\/.+|README\.md|SECURITY\.md|CHANGELOG\.md|LICENSE|package\.json)$/;
  const cjs = 'package/dist/cjs/package.json';
  assert.deepEqual(
    files.filter(
      (file) => !(expected.test(file) || file === cjs) || /\.(spec|pem)\b|\.keys/.test(file),
    ),
    [],
    'files that nobody needs',
  );
  for (const name of ['package/package.json', 'package/README.md', 'package/LICENSE', cjs]) {
    assert.ok(files.includes(name), `${name} is missing`);
  }
  checkReadmeLinks(files);
}

/**
 * Links of the README lead to files of the package, or to other sites.
 *
 * @param {readonly string[]} files of the package
 */
function checkReadmeLinks(files) {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const links = [...readme.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => link);
  const dead = links.filter((link) => !/^https?:/.test(link) && !files.includes(`package/${link}`));
  assert.deepEqual(dead, [], 'links that lead nowhere in the package');
}

/** The two builds: what is imported, and what Jest requires. */
function builds() {
  const folder = join(ROOT, 'dist');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const files = names
    .filter((name) => name.endsWith('.js'))
    .map((name) => ({ name, source: readFileSync(join(folder, name), 'utf8') }));
  const isCommonJs = (/** @type {{ name: string }} */ { name }) => name.startsWith('cjs');
  return { modules: files.filter((file) => !isCommonJs(file)), commonJs: files.filter(isCommonJs) };
}

/** A class that two files of a build declare is two classes, and two tokens of an injection. */
function checkCopies() {
  for (const files of Object.values(builds())) {
    const sources = files.flatMap(({ source }) => source.match(/^\/\/ lib\/\S+\.ts$/gm) ?? []);
    assert.ok(sources.length > 100);
    assert.deepEqual(
      sources.filter((name, index) => sources.indexOf(name) !== index),
      [],
    );
    // Nest and logs name a class as it is declared.
    for (const { name, source } of files) assert.doesNotMatch(source, /\bclass \w+\$\d/, name);
  }
}

/** What contains a package contains its licence. What is ES modules alone is required by nothing. */
function checkLicences() {
  const { modules, commonJs } = builds();
  for (const { name, source } of [...modules, ...commonJs]) {
    assert.doesNotMatch(source, /require\("jose\b|(?:from |require\()"commander\b/, name);
    const contained = source.match(/(?<=^\/\/ node_modules\/)[^/]+/gm) ?? [];
    for (const each of contained) {
      assert.ok(source.includes(`This file contains ${each}:`), `${name}: no licence of ${each}`);
    }
  }
}

/** Jest loads CommonJS alone: no import(). */
function checkCommonJs() {
  for (const { name, source } of builds().commonJs) {
    assert.doesNotMatch(source, /\bimport\(/, name);
  }
}

/** @param {string} tarball */
function checkManifest(tarball) {
  const json = execFileSync('tar', ['-xOzf', tarball, 'package/package.json'], {
    encoding: 'utf8',
  });
  const manifest = /** @type {{ dependencies: object }} */ (JSON.parse(json));
  assert.deepEqual(Object.keys(manifest.dependencies), ['jose']);
}

/**
 * @param {(typeof TABLE)[number]} consumer
 * @param {string} folder
 * @param {string} tarball
 */
function checkConsumer({ folder: sources, lock, packages, absent }, folder, tarball) {
  mkdirSync(folder);
  cpSync(join(CONSUMERS, sources), folder, { recursive: true });
  cpSync(join(CONSUMERS, 'tsconfig.consumer.json'), join(folder, 'tsconfig.json'));
  cpSync(join(CONSUMERS, 'load-entry-points.ts'), join(folder, 'load-entry-points.ts'));
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  const wanted = [...packages, '@types/node'].map((name) => `${name}@${versionIn(lock, name)}`);
  const flags = ['--ignore-scripts', '--loglevel=error'];
  run('npm', ['install', ...flags, tarball, ...wanted], { cwd: folder });
  for (const name of absent) assert.ok(!existsSync(join(folder, 'node_modules', name)), name);
  run('node', [TSC, '-p', folder], { cwd: folder });
  const programs = readdirSync(join(CONSUMERS, sources));
  for (const program of programs) {
    run('node', [program.replace(/\.ts$/, '.js')], { cwd: folder, minutes: 5 });
  }
  checkEntryPoints(folder);
  checkDemo(folder);
}

/**
 * The demo runs where Nest is installed, and says what it misses where it is not.
 *
 * @param {string} folder
 */
function checkDemo(folder) {
  const program = join(folder, 'node_modules/.bin/nestjs-service-auth');
  const options = { cwd: folder, encoding: /** @type {const} */ ('utf8'), timeout: 300_000 };
  const { status, stdout, stderr } = spawnSync(program, ['demo'], options);
  if (existsSync(join(folder, 'node_modules/@nestjs'))) {
    assert.equal(stderr, '');
    assert.match(stdout, /Every answer was the expected one\./);
    assert.equal(status, 0);
  } else {
    assert.match(stderr, /the demo needs \S+, which is not installed here/);
    assert.equal(status, 3);
  }
}

/**
 * Each entry point loads where its peers are, and says which one it misses where they are not.
 *
 * @param {string} folder
 */
function checkEntryPoints(folder) {
  const options = { cwd: folder, encoding: /** @type {const} */ ('utf8') };
  const output = execFileSync(process.execPath, ['load-entry-points.js'], options);
  const { failures, copies } =
    /** @type {{ failures: Record<string, string | null>, copies: string[] }} */ (
      JSON.parse(output)
    );
  assert.deepEqual(copies, [], 'exported twice, and not the same');
  assert.equal(Object.keys(failures).length, 3 * ENTRY_POINTS.length);
  for (const [entry, failure] of Object.entries(failures)) {
    const peers = PEERS[entry.split(' ')[0] ?? ''];
    assert.ok(peers, `PEERS must say what ${entry} loads`);
    const missing = peers.filter((name) => !existsSync(join(folder, 'node_modules', name)));
    if (missing.length === 0) loaded.add(entry);
    const isAsExpected =
      missing.length === 0
        ? failure === null
        : missing.some((name) => failure?.includes(`'${name}'`));
    assert.ok(isAsExpected, `${entry}: ${failure ?? `loaded without ${missing.join(', ')}`}`);
  }
}

/**
 * @param {string} lock
 * @param {string} name
 */
function versionIn(lock, name) {
  const { packages } = /** @type {{ packages: Record<string, { version: string }> }} */ (
    readJson(join(ROOT, lock))
  );
  return packages[`node_modules/${name}`]?.version;
}

const tool = (/** @type {string} */ name) => installedProgram('tools/package', name);
inTemporaryFolder((folder) => {
  const tarball = pack(folder);
  check('the tarball holds what users need', () => checkFiles(tarball));
  check('the CommonJS build is CommonJS alone', checkCommonJs);
  check('no source is in two files of a build', checkCopies);
  check('what is bundled has its licence', checkLicences);
  check('jose is the only runtime dependency', () => checkManifest(tarball));
  check('publint', () => run(tool('publint'), [tarball, '--strict']));
  check('attw', () => run(tool('attw'), [tarball, '--profile', 'strict']));
  for (const consumer of TABLE) {
    const place = join(folder, consumer.title.replaceAll(' ', '-'));
    check(consumer.title, () => checkConsumer(consumer, place, tarball));
  }
  check('every entry point was loaded', () => assert.equal(loaded.size, 3 * ENTRY_POINTS.length));
});

console.log(`\n${results.passed} passed, ${results.failed} failed`);
process.exitCode = results.failed === 0 ? 0 : 1;
