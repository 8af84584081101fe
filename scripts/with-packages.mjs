// Installs the packages of folders whose lock file has changed since, then runs a program of the first folder:
// `node scripts/with-packages.mjs <folder ...> [-- <program> [arguments]]`. A second run installs nothing.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ROOT, run } from './run.mjs';

/** A copy of the lock file that was installed. The time of npm's own copy changes without an installation. */
const INSTALLED = join('node_modules', '.installed-lock.json');

/** @param {string} folder */
function lockOf(folder) {
  return readFileSync(join(ROOT, folder, 'package-lock.json'), 'utf8');
}

/** @param {string} folder */
function isInstalled(folder) {
  const installed = join(ROOT, folder, INSTALLED);
  return existsSync(installed) && readFileSync(installed, 'utf8') === lockOf(folder);
}

/**
 * @param {readonly string[]} folders from the folder of the project, each with a lock file of its own
 * @throws when an installation fails, or a folder has no lock file
 */
export function installPackages(...folders) {
  for (const folder of folders.filter((each) => !isInstalled(each))) {
    console.error(`Installing the packages of ${folder}`);
    run('npm', ['ci', '--loglevel=error'], { cwd: join(ROOT, folder) });
    writeFileSync(join(ROOT, folder, INSTALLED), lockOf(folder));
  }
}

/**
 * Where a program of a folder's packages is, which are installed first.
 *
 * @param {string} folder @param {string} program
 * @throws when the installation fails
 */
export function installedProgram(folder, program) {
  installPackages(folder);
  return join(ROOT, folder, 'node_modules', '.bin', program);
}

/**
 * Runs a program of a folder's packages in the folder of the project.
 *
 * @param {string} folder
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {number} its exit code
 */
function runProgram(folder, program, args) {
  const programs = join(ROOT, folder, 'node_modules', '.bin');
  // oxlint looks for tsgolint on the PATH.
  const env = { ...process.env, PATH: `${programs}${delimiter}${process.env['PATH'] ?? ''}` };
  const { status, error } = spawnSync(program, args, { cwd: ROOT, env, stdio: 'inherit' });
  if (error) throw error;
  return status ?? 1;
}

if (import.meta.filename === process.argv[1]) {
  const args = process.argv.slice(2);
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const folders = args.slice(0, end);
  const [program, ...others] = args.slice(end + 1);
  installPackages(...folders);
  const [first] = folders;
  if (first !== undefined && program !== undefined) {
    process.exitCode = runProgram(first, program, others);
  }
}
