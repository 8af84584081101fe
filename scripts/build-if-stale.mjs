// Builds the package when a source is newer than the build: `node scripts/build-if-stale.mjs`. Jest calls it before `*.dist.spec.ts`.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MANIFEST } from './entry-points.mjs';
import { ROOT, run } from './run.mjs';

/** The last file that `npm run build` writes. */
const LAST_BUILT = join(ROOT, MANIFEST.bin[MANIFEST.name] ?? '');

/** What a build is made of. A folder is newer once a file in it was removed. */
function sources() {
  const settings = ['package.json', 'package-lock.json', 'tsconfig.json', 'scripts/build.mjs'];
  const library = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' });
  return [...settings, 'lib', ...library.map((name) => join('lib', name))];
}

/** @param {string} path */
function changedAt(path) {
  return statSync(path).mtimeMs;
}

/** Whether the build is missing, or older than a file it is made of. */
function isStale() {
  if (!existsSync(LAST_BUILT)) return true;
  const built = changedAt(LAST_BUILT);
  return sources().some((name) => changedAt(join(ROOT, name)) > built);
}

/** @throws when the build fails */
export default function buildIfStale() {
  if (isStale()) run('npm', ['run', '--silent', 'build']);
}

if (import.meta.filename === process.argv[1]) buildIfStale();
