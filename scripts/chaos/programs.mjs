import { spawnSync } from 'node:child_process';

/**
 * Whether programs are installed. Where one is missing, a line says so: with `CI` set, that is a failure.
 *
 * @param {readonly string[]} programs
 */
export function areInstalled(...programs) {
  const missing = programs.filter(
    (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
  );
  if (missing.length === 0) return true;
  console.log(`skipped: there is no ${missing.join(', ')}`);
  if (process.env['CI']) process.exitCode = 1;
  return false;
}
