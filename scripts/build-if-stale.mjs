// Builds the package when a source is newer than the build: `node scripts/build-if-stale.mjs`. Jest calls it before `*.dist.spec.ts`.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { MANIFEST } from './entry-points.mjs';
import { ROOT, run } from './run.mjs';

/** The last file that `npm run build` writes. */
const LAST_BUILT = join(ROOT, MANIFEST.bin[MANIFEST.name] ?? '');

/** Written by `npm start` when it has compiled the sample. */
export const SAMPLE_STAMP = join(ROOT, 'dist-sample/.built');

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
export function isStale() {
  return isOlder(LAST_BUILT, sources());
}

/** The same of the compiled sample, which imports the package: a build of that makes this one stale. */
export function isSampleStale() {
  const names = readdirSync(join(ROOT, 'sample'), { recursive: true, encoding: 'utf8' });
  const sample = names.filter((name) => name.endsWith('.ts') || name.endsWith('tsconfig.json'));
  const settings = ['tsconfig.json', relative(ROOT, LAST_BUILT)];
  return isOlder(SAMPLE_STAMP, [...settings, ...sample.map((name) => join('sample', name))]);
}

/**
 * @param {string} built
 * @param {readonly string[]} names of files and folders, from the folder of the project
 */
function isOlder(built, names) {
  if (!existsSync(built)) return true;
  const builtAt = changedAt(built);
  return names.some((name) => changedAt(join(ROOT, name)) > builtAt);
}

/** @throws when the build fails */
export default function buildIfStale() {
  if (isStale()) run('npm', ['run', '--silent', 'build']);
}

if (import.meta.filename === process.argv[1]) buildIfStale();
