// Runs suites of tests: `npm test -- [arguments of jest]`. Suites whose process was stuck without using the processor run once more
// by themselves, and the output names them. No other failure is tried again.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inTemporaryFolder, ROOT } from './run.mjs';

const JEST = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js'];

/**
 * @param {readonly string[]} args of jest
 * @param {{ cwd?: string; minutes?: number }} [options]
 * @returns {number} an exit code
 */
export function runSuites(args, { cwd = ROOT, minutes } = {}) {
  return inTemporaryFolder((folder) => {
    const filter = join(folder, 'stuck-suites.cjs');
    const runJest = (/** @type {readonly string[]} */ more) => {
      const { status } = spawnSync(process.execPath, [...JEST, ...args, ...more], {
        cwd,
        env: { ...process.env, STUCK_SUITES_FILTER: filter },
        stdio: 'inherit',
        timeout: minutes === undefined ? undefined : minutes * 60_000,
      });
      return status ?? 1;
    };
    const status = runJest([]);
    if (status === 0 || !existsSync(filter)) return status;
    console.error('\nThe suites that were stuck run once more:');
    return runJest([`--filter=${filter}`]);
  });
}

if (import.meta.filename === process.argv[1]) {
  process.exitCode = runSuites(process.argv.slice(2));
}
