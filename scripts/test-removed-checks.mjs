// Takes each check out of a copy of the library, and expects a test of the catalogue to fail: `node scripts/test-removed-checks.mjs`.
// Arguments: `--markdown` prints the table as Markdown; any other argument chooses the checks whose file or words contain it.
import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXEMPT, REMOVALS } from './removed-checks.mjs';
import { inTemporaryFolder, readJson, ROOT } from './run.mjs';

/** @typedef {import('./removed-checks.mjs').Removal} Removal */
/** @typedef {{ testResults: { assertionResults: { fullName: string, status: string }[] }[] }} Report */
/** @typedef {{ removal: Removal, failed: number, caughtBy: string[] }} Outcome */

const JEST = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--maxWorkers=1'];
const COPIED = ['lib', 'test', 'scripts', 'package.json', 'jest.config.js', 'tsconfig.json'];

/** The specs with GraphQL, whose packages scripts/test-graphql.mjs installs. */
const GRAPHQL = 'tools/graphql';
const COPIED_OF_GRAPHQL = ['test', 'package.json', 'jest.config.js', 'tsconfig.json'];

/** The verify path, and for whom calls are made: a line of these files that refuses must be taken out by an entry, or be exempt. */
const GUARDED = [
  ...filesOf('lib/core', 'token-syntax unambiguous-json jose-header claims subject token-times'),
  ...filesOf('lib/core', 'token-signature request-binding request-shape verify-request'),
  ...filesOf('lib/core', 'verification-steps'),
  ...filesOf('lib/core/messages', 'verify-message message-text message-times answer-token'),
  ...filesOf(
    'lib/nest/messages',
    'received-message message-reception signed-client message-call-kind',
  ),
  ...filesOf('lib/nest', 'received-call resolver-context service-auth.middleware'),
  ...filesOf('lib/nest/graphql', 'guarded-driver request-context'),
  ...filesOf('lib/core/grants', 'grant-claims prove-subject verify-grant issue-grant'),
  ...filesOf('lib/nest', 'service-jwt.guard request-authenticator user-lookup'),
  ...filesOf('lib/nest', 'route-policy request-state allow-issuers.decorator route-mark'),
  ...filesOf('lib/nest', 'unsupported-context'),
  ...filesOf('lib/for-whom', 'service-subject.decorator service-caller.decorator'),
  ...filesOf('lib/for-whom', 'call-decision call-options named-subject fixed-subject stand-ins'),
  ...filesOf('lib/for-whom', 'service-call.context kept-inside'),
  ...filesOf('lib/nest/http', 'received-request private-answer header-list http-exception'),
  ...filesOf('lib/nest/http/body', 'received-body verifiable-body body-drain body-limits'),
  ...filesOf('lib/replay', 'memory-replay-store redis-replay-store redis-commands'),
];

/** A line that refuses, throws or asserts; not one that declares what does. */
const CHECK =
  /(?<![.\w])(?:refuse|fail)\(|\bthrow new \w+|\bthrow undecided\(|\bassert[A-Z]\w*\(|\breturn '/;
const DECLARATION =
  /^\s*(?:export |private |async )*(?:function|import|assert\w+\(|(?:refuse|fail)\(\w+:)/;

/** @param {string} folder @param {string} names */
function filesOf(folder, names) {
  return names.split(' ').map((name) => `${folder}/${name}.ts`);
}

/** @param {string} path */
const readSource = (path) => readFileSync(join(ROOT, path), 'utf8');

/**
 * The lines of a file that an entry must take out, each as the range of its characters.
 *
 * @param {string} source
 */
function findChecks(source) {
  let start = 0;
  return source.split('\n').flatMap((line) => {
    const range = { line: line.trim(), start, end: start + line.length };
    start += line.length + 1;
    return CHECK.test(line) && !DECLARATION.test(line) && !/^\s*(?:\/\/|\*|\/\*)/.test(line)
      ? [range]
      : [];
  });
}

/** What is wrong with the table itself. */
function findProblems() {
  const stale = REMOVALS.filter(({ file, text }) => readSource(file).split(text).length !== 2);
  const exempt = (/** @type {string} */ file, /** @type {string} */ line) =>
    EXEMPT.some(([where, text]) => where === file && line.includes(text));
  const unnamed = GUARDED.flatMap((file) => {
    const source = readSource(file);
    const taken = REMOVALS.filter((removal) => removal.file === file).map(({ text }) => ({
      from: source.indexOf(text),
      to: source.indexOf(text) + text.length,
    }));
    return findChecks(source)
      .filter(({ start, end }) => !taken.some(({ from, to }) => from < end && start < to))
      .filter(({ line }) => !exempt(file, line))
      .map(({ line }) => `${file}: no entry takes out: ${line}`);
  });
  return [
    ...stale.map(({ file, check }) => `${file}: the text of "${check}" is not there once`),
    ...unnamed,
  ];
}

/**
 * Runs tests in the copy.
 *
 * @param {string} folder
 * @param {string} spec
 * @param {string} [tests]
 * @returns {{ failed: number, caughtBy: string[] }}
 */
function runTests(folder, spec, tests) {
  const report = join(folder, 'report.json');
  rmSync(report, { force: true });
  const choice = tests === undefined ? [] : ['-t', tests];
  const config = spec.startsWith(GRAPHQL) ? ['-c', join(GRAPHQL, 'jest.config.js')] : [];
  const args = [...JEST, ...config, '--json', '--outputFile', report, ...choice, spec];
  const { stderr } = spawnSync('node', args, { cwd: folder, timeout: 600_000, encoding: 'utf8' });
  let results;
  try {
    results = /** @type {Report} */ (readJson(report)).testResults;
  } catch {
    throw new Error(`${spec} gave no report:\n${stderr}`);
  }
  const all = results.flatMap(({ assertionResults }) => assertionResults);
  const failed = all.filter(({ status }) => status === 'failed');
  if (all.every(({ status }) => status !== 'passed' && status !== 'failed')) {
    throw new Error(`${spec}: no test was run\n${stderr}`);
  }
  const ids = failed.flatMap(({ fullName }) => fullName.match(/\b[A-Z]{2}-\d{2}\b/g) ?? []);
  return { failed: failed.length, caughtBy: [...new Set(ids)].sort() };
}

/** @param {string} folder @param {Removal} removal @returns {Outcome} */
function tryWithout(folder, removal) {
  const path = join(folder, removal.file);
  const source = readSource(removal.file);
  writeFileSync(
    path,
    source.replace(removal.text, () => removal.instead ?? ''),
  );
  try {
    return { removal, ...runTests(folder, removal.spec ?? '', removal.tests) };
  } finally {
    writeFileSync(path, source);
  }
}

/** @param {string} folder @param {readonly Removal[]} removals */
function assertPassesUnchanged(folder, removals) {
  const specs = [...new Set(removals.map(({ spec }) => spec ?? ''))];
  for (const spec of specs) {
    const own = removals.filter((removal) => removal.spec === spec).map(({ tests }) => tests);
    const tests = own.includes(undefined) ? undefined : [...new Set(own)].join('|');
    const { failed } = runTests(folder, spec, tests);
    if (failed > 0) throw new Error(`${spec} fails with every check in its place`);
  }
}

const markdown = process.argv.includes('--markdown');
const words = process.argv.slice(2).filter((argument) => argument !== '--markdown');
const chosen = REMOVALS.filter(({ file, check }) =>
  words.every((word) => `${file} ${check}`.includes(word)),
);

const problems = findProblems();
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}

/** @param {Outcome} outcome */
function describe({ removal: { file, check }, caughtBy, failed }) {
  const caught = caughtBy.slice(0, 6).join(', ') + (caughtBy.length > 6 ? ' ...' : '');
  const verdict = caughtBy.length > 0 ? caught : 'NOTHING';
  return markdown
    ? `| ${check} | \`${file.replace('lib/', '')}\` | ${verdict} | ${failed} |`
    : `${caughtBy.length > 0 ? 'caught ' : 'MISSED '} ${file}: ${check}: ${verdict} (${failed} tests failed)`;
}

const outcomes = inTemporaryFolder((folder) => {
  for (const name of COPIED) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  for (const name of COPIED_OF_GRAPHQL.map((each) => join(GRAPHQL, each))) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  for (const name of ['node_modules', join(GRAPHQL, 'node_modules')]) {
    symlinkSync(join(ROOT, name), join(folder, name));
  }
  assertPassesUnchanged(folder, chosen);
  if (markdown) console.log('| check | file | caught by | tests |\n| --- | --- | --- | ---: |');
  return chosen.map((removal) => {
    const outcome = tryWithout(folder, removal);
    console.log(describe(outcome));
    return outcome;
  });
});

const missed = outcomes.filter(({ caughtBy }) => caughtBy.length === 0);
console.error(`${outcomes.length} checks removed in turn, ${missed.length} missed`);
process.exitCode = missed.length > 0 ? 1 : 0;
