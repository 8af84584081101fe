import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';

/**
 * Builds the project and packs what npm would publish.
 *
 * @param {string} folder an empty one
 * @returns the path of the tarball in it
 */
export function pack(folder) {
  run('npm', ['run', '--silent', 'build']);
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder]);
  const [tarball] = readdirSync(folder);
  assert.ok(tarball);
  return join(folder, tarball);
}
