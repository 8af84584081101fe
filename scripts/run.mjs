import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the project. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * Runs a program to its end, its output going where ours goes.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string; minutes?: number }} [options]
 * @throws when it exits with another code than 0, or not within `minutes`
 */
export function run(program, args, { cwd = ROOT, minutes = 10 } = {}) {
  const timeout = minutes * 60_000;
  const { status, signal, error } = spawnSync(program, args, { cwd, timeout, stdio: 'inherit' });
  if (status === 0) return;
  const why = error?.message ?? (signal ? `ended by ${signal}` : `exit code ${status}`);
  throw new Error(`${[program, ...args].join(' ')}: ${why}`);
}

/**
 * The same beside other work: it does not block, and has no time limit.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {Promise<void>} when the program has ended
 * @throws when it exits with another code than 0
 */
export async function runBeside(program, args) {
  const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit' });
  const [status, signal] = /** @type {[number | null, string | null]} */ (
    await once(child, 'exit')
  );
  if (status === 0) return;
  const why = signal ? `ended by ${signal}` : `exit code ${status}`;
  throw new Error(`${[program, ...args].join(' ')}: ${why}`);
}

/**
 * Gives `use` a folder that is removed afterwards, whatever happens.
 *
 * @template T
 * @param {(folder: string) => T} use
 * @returns {T}
 */
export function inTemporaryFolder(use) {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-'));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} path
 * @returns {unknown}
 */
export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/**
 * Imports a source of the library, with what it imports: the build has no file of its own for each.
 *
 * @param {string} path from the folder of the project
 * @returns {Promise<unknown>}
 */
export async function importSource(path) {
  const { rolldown } = await import('rolldown');
  const bundle = await rolldown({ input: join(ROOT, path), platform: 'node' });
  const { output } = await bundle.generate();
  await bundle.close();
  return /** @type {unknown} */ (
    await import(`data:text/javascript,${encodeURIComponent(output[0].code)}`)
  );
}
