// Everything that CI checks, one step after the other: `npm run check`. Stops at the first failure.
import { run } from './run.mjs';

/** @typedef {[title: string, program: string, ...args: string[]]} Step */

const APPLICATIONS = ['nest-12-vitest', 'nest-11-jest-30'];

// What Nest has a part in. Of the rest, such as the sample, `node scripts/test-nest11.mjs` runs what needs no build.
const ABOUT_NEST = [
  'nest/',
  'for-whom/',
  'clients/',
  'testing/',
  'observability/',
  'docs/snippets',
  'docs/testing-your-application',
].map((path) => `test/${path}`);

const WITH_PACKAGES = 'scripts/with-packages.mjs';
const TYPESCRIPT_7 = ['tools/typescript-7', '--', 'tsc', '-p', 'tsconfig.json', '--noEmit'];

const SOME_CHAOS = ['--kills', '10', '--messages', '80', '--stops', '1'];

/** @type {Step[]} */
const STEPS = [
  ['formatting', 'npm', 'run', '--silent', 'format:check'],
  // Each page must have its style; then the check must find slips that are planted.
  ['packages for the style of the pages', 'node', WITH_PACKAGES, 'tools/style'],
  ['style of the pages', 'node', 'tools/style/check.mjs'],
  ['the check of the style', 'node', 'tools/style/test.mjs'],
  ['addresses of the project', 'node', 'scripts/write-release.mjs', '--check'],
  // The sample imports the package by its name, so its types are those of the build.
  ['build', 'npm', 'run', '--silent', 'build'],
  ['names that users import', 'node', 'scripts/public-api.mjs'],
  ['lint', 'npm', 'run', '--silent', 'lint'],
  ['types', 'npm', 'run', '--silent', 'typecheck'],
  ['types, TypeScript 7', 'node', WITH_PACKAGES, ...TYPESCRIPT_7],
  ['build of the sample', 'npx', 'tsc', '-p', 'sample'],
  ['test vectors, as they would be made', 'node', 'scripts/make-vectors.mjs', '--check'],
  ['page of errors, as it would be written', 'node', 'scripts/make-errors-page.mjs', '--check'],
  ['reference of the exports', 'node', WITH_PACKAGES, 'tools/lint', '--', 'typedoc'],
  ['links of the pages', 'node', 'scripts/check-links.mjs'],
  // With `--ci`, a stale page of attacks fails; in CI, so does a test that was skipped.
  ['tests', 'npm', 'run', '--silent', 'test:all', '--', '--ci'],
  ['the story of the sample', 'node', 'dist-sample/main.js', '--once'],
  ['clients in another language', 'node', 'test/sample/foreign-client.mjs'],
  ['vectors in another language', 'node', 'test/vectors/python-vectors.mjs'],
  ['keys of and for other tools', 'node', 'test/keys/foreign-keys.mjs'],
  ['what users install', 'node', 'scripts/test-package.mjs'],
  // One of each module system; the others take a minute each: `node scripts/test-consumers.mjs`.
  ['applications of users', 'node', 'scripts/test-consumers.mjs', ...APPLICATIONS],
  ['hosts that are not a plain Node server', 'node', 'scripts/test-hosts.mjs'],
  ['GraphQL, with Nest 12', 'node', 'scripts/test-graphql.mjs'],
  ['GraphQL, with Nest 11', 'node', 'scripts/test-graphql.mjs', '--nest-11'],
  // A small version of each: `node scripts/test-message-chaos.mjs` kills 200. Skipped as the next one is.
  [
    'messages whose consumers are killed and stopped',
    'node',
    'scripts/test-message-chaos.mjs',
    ...SOME_CHAOS,
  ],
  ['jobs whose workers are killed', 'node', 'scripts/test-job-chaos.mjs', '--kills', '10'],
  // Skipped with a line where there is no Prometheus; in CI that fails.
  ['dashboard and alerts', 'node', 'scripts/test-dashboards.mjs'],
  ['packages for the site', 'node', WITH_PACKAGES, 'tools/site'],
  ['site', 'node', 'tools/site/build.mjs'],
  // The whole is tried by `node tools/site/test.mjs`.
  ['pages of the site', 'node', 'tools/site/test.mjs', '--quick'],
  ['the first page, with Nest 11', 'node', 'test/docs/getting-started.mjs', 'nest-11'],
  ['the first page, with Nest 12', 'node', 'test/docs/getting-started.mjs', 'nest-12'],
  ['tests, Nest 11', 'node', 'scripts/test-nest11.mjs', ...ABOUT_NEST],
];

/** @returns whether it succeeded */
function isPassing(/** @type {Step} */ [title, program, ...args]) {
  console.log(`\n=== ${title}`);
  const start = performance.now();
  try {
    run(program, args, { minutes: 45 });
    return true;
  } catch (error) {
    console.error(`\n${title} failed:`, error instanceof Error ? error.message : error);
    return false;
  } finally {
    console.log(`=== ${title}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
}

const firstFailure = STEPS.findIndex((step) => !isPassing(step));
const passed = firstFailure === -1 ? STEPS.length : firstFailure;
const failed = firstFailure === -1 ? 0 : 1;
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed;
