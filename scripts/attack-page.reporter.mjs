// A reporter of Jest: what the tests say about every id of the attack catalogue, as a page, docs/attacks.md. A run of all tests
// writes it; with `--ci` it compares instead, as Jest does with snapshots. Other runs leave it alone.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { readJson, ROOT } from './run.mjs';

const CATALOGUE = join(ROOT, 'test/catalogue');
const PAGE = join(ROOT, 'docs/attacks.md');

/** Where tests of the catalogue are; the rest of the suite is about other things. */
const FOLDERS = [
  'test/core',
  'test/keys',
  'test/replay',
  'test/clients',
  'test/for-whom',
  'test/nest',
  'test/properties',
];

const ADAPTERS = /** @type {const} */ (['express', 'fastify']);

/** In the order of the page. A new file must be named here. */
const SECTIONS = [
  'token-syntax',
  'jose-header',
  'signatures',
  'claims',
  'times',
  'grants',
  'issuer-and-audience',
  'keys',
  'bodies',
  'content-headers',
  'request-binding',
  'replay',
  'framework',
  'header-lists',
  'printed-identities',
  'outgoing',
  'for-whom',
  'caches',
  'configuration',
  'key-server-faults',
  'replay-store-faults',
  'process-faults',
  'jobs',
  'report-only',
  'graphql',
  'messages',
];

/**
 * @typedef {{ id: string, input: string, expected: string, good?: boolean, surface?: 'process',
 *   only?: 'express' | 'fastify', note?: string }} Row
 * @typedef {{ title: string, rows: Row[] }} Section
 * @typedef {'express' | 'fastify' | 'process'} Place
 * @typedef {{ fullName: string, status: string, failureMessages: string[] }} TestResult
 * @typedef {{ numPendingTests: number, numTodoTests: number,
 *   testResults: { testFilePath: string, testResults: TestResult[] }[] }} AggregatedResult what Jest gives a reporter
 * @typedef {{ ids: string[], place: Place, failure: string | undefined }} Input
 */

/** How a test can fail, told from what test/support/http/verdict.ts throws. */
const FAILURES = /** @type {const} */ ([
  ['accepted that should not be', /Wrongly accepted/],
  ['refused that should not be', /Wrongly refused/],
  ['wrong code', /Wrong code/],
  ['other failures', /(?:)/],
]);

/** @returns {Section[]} */
function readCatalogue() {
  const files = readdirSync(CATALOGUE).map((file) => file.replace('.json', ''));
  const unnamed = files.filter((file) => !SECTIONS.includes(file));
  if (unnamed.length > 0) throw new Error(`No place in the page for ${unnamed.join(', ')}`);
  const sections = SECTIONS.map(
    (name) => /** @type {Section} */ (readJson(join(CATALOGUE, `${name}.json`))),
  );
  const ids = sections.flatMap(({ rows }) => rows.map(({ id }) => id));
  const repeated = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (repeated.length > 0) throw new Error(`Twice in the catalogue: ${repeated.join(', ')}`);
  return sections;
}

/** @param {string} file */
function isOfTheCatalogue(file) {
  const path = relative(ROOT, file).split(sep).join('/');
  return FOLDERS.some((folder) => path.startsWith(`${folder}/`));
}

/**
 * Whether every test of the catalogue was run: a page is written of all of them, or not at all.
 *
 * @param {AggregatedResult} results
 */
function isComplete({ testResults }) {
  const run = new Set(testResults.map(({ testFilePath }) => testFilePath));
  return FOLDERS.map((folder) => join(ROOT, folder)).every(
    (folder) =>
      existsSync(folder) &&
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.spec.ts'))
        .every((name) => run.has(join(folder, name))),
  );
}

/**
 * The tests that carry an id of the catalogue.
 *
 * @param {AggregatedResult} results
 * @returns {Input[]}
 */
function readInputs(results) {
  return results.testResults
    .filter(({ testFilePath }) => isOfTheCatalogue(testFilePath))
    .flatMap(({ testResults }) => testResults)
    .map((test) => ({
      ids: [...new Set(test.fullName.match(/\b[A-Z]{2}-\d{2}\b/g))],
      place: placeOf(test.fullName),
      failure: failureOf(test),
    }))
    .filter(({ ids }) => ids.length > 0);
}

/**
 * @param {string} fullName
 * @returns {Place}
 */
function placeOf(fullName) {
  return ADAPTERS.find((adapter) => new RegExp(`\\bon ${adapter}\\b`).test(fullName)) ?? 'process';
}

/** @param {TestResult} test */
function failureOf({ status, failureMessages }) {
  if (status === 'passed') return undefined;
  const text = failureMessages.join('\n');
  return FAILURES.find(([, pattern]) => pattern.test(text))?.[0];
}

/**
 * What is wrong with the tests as a whole: ids without a test, tests of ids that do not exist, failures.
 *
 * @param {readonly Section[]} sections
 * @param {readonly Input[]} inputs
 * @returns {string[]}
 */
function findProblems(sections, inputs) {
  const rows = sections.flatMap((section) => section.rows);
  const known = new Set(rows.map(({ id }) => id));
  const unknown = new Set(inputs.flatMap(({ ids }) => ids.filter((id) => !known.has(id))));
  return [
    ...rows.flatMap((row) => missingTests(row, inputs)),
    ...[...unknown].map((id) => `${id} is in no catalogue, and tests carry it`),
    ...inputs.flatMap(({ ids, place, failure }) =>
      failure ? [`${ids.join(', ')} (${place}): ${failure}`] : [],
    ),
  ];
}

/**
 * @param {Row} row
 * @param {readonly Input[]} inputs
 * @returns {string[]}
 */
function missingTests(row, inputs) {
  const tested = inputs.filter(({ ids }) => ids.includes(row.id)).map(({ place }) => place);
  if (row.surface === 'process') return tested.length > 0 ? [] : [`${row.id} has no test`];
  return (row.only ? [row.only] : ADAPTERS)
    .filter((adapter) => !tested.includes(adapter))
    .map((adapter) => `${row.id} has no test on ${adapter}`);
}

/**
 * The page, without anything that differs from run to run.
 *
 * @param {readonly Section[]} sections
 * @param {readonly Input[]} inputs
 */
function pageOf(sections, inputs) {
  return `# What is refused, and what is survived

<!-- Written by \`npm test\`. Do not edit: change test/catalogue or the tests. -->

Each row is an input or a fault that a service must stand, with the answer it gives, and the number of tests that send it:
to a real application over HTTP on Express and on Fastify, or, in the last column, at the level that the row is about (outgoing calls,
configuration, key servers, replay stores, clocks). Behind every attack stands its good twin, which differs in one property
and is accepted. Rows marked **+** are good requests that must be accepted.

"fw" is an answer of the framework or of Node itself, before the guard.

${totals(sections, inputs)}

${sections.map((section) => sectionOf(section, inputs)).join('\n\n')}
`;
}

/**
 * @param {readonly Section[]} sections
 * @param {readonly Input[]} inputs
 */
function totals(sections, inputs) {
  const places = /** @type {const} */ ([...ADAPTERS, 'process']);
  const count = (/** @type {Place} */ place, /** @type {string | undefined} */ failure) =>
    inputs.filter((input) => input.place === place && (!failure || input.failure === failure));
  const row = (/** @type {string} */ title, /** @type {string | undefined} */ failure) =>
    `| ${title} | ${places.map((place) => count(place, failure).length).join(' | ')} |`;
  const ids = places.map(
    (place) => new Set(count(place, undefined).flatMap((input) => input.ids)).size,
  );
  return [
    `${sections.flatMap(({ rows }) => rows).length} ids, ${inputs.length} tests.`,
    '',
    '| | Express | Fastify | elsewhere |',
    '| --- | ---: | ---: | ---: |',
    `| ids | ${ids.join(' | ')} |`,
    row('tests', undefined),
    ...FAILURES.map(([failure]) => row(failure, failure)),
  ].join('\n');
}

/**
 * @param {Section} section
 * @param {readonly Input[]} inputs
 */
function sectionOf({ title, rows }, inputs) {
  return [
    `## ${title}`,
    '',
    '| id | input | answer | Express | Fastify | elsewhere |',
    '| --- | --- | --- | ---: | ---: | ---: |',
    ...rows.map((row) => rowOf(row, inputs)),
  ].join('\n');
}

/**
 * @param {Row} row
 * @param {readonly Input[]} inputs
 */
function rowOf(row, inputs) {
  const cells = [...ADAPTERS, 'process'].map((place) => {
    const tests = inputs.filter((input) => input.place === place && input.ids.includes(row.id));
    return tests.length > 0 ? String(tests.length) : '';
  });
  const id = row.good ? `${row.id} **+**` : row.id;
  const expected = row.note ? `${row.expected}. ${row.note}` : row.expected;
  return `| ${[id, row.input, expected].map(asCell).join(' | ')} | ${cells.join(' | ')} |`;
}

/** A bar would end the cell, even within a code span. @param {string} text */
function asCell(text) {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/**
 * What is wrong with a run; a page that is not what the run gives is written, where nothing else is wrong.
 *
 * @param {AggregatedResult} results
 * @param {{ ci: boolean }} config
 * @returns {string[]}
 */
function judge(results, { ci }) {
  const skipped = results.numPendingTests + results.numTodoTests;
  if (skipped > 0 && process.env['CI']) return [`${skipped} tests were skipped`];
  if (!isComplete(results)) return [];
  if (skipped > 0) {
    console.log(`docs/attacks.md was not compared: ${skipped} tests were skipped`);
    return [];
  }
  const sections = readCatalogue();
  const inputs = readInputs(results);
  const problems = findProblems(sections, inputs);
  const page = pageOf(sections, inputs);
  if (problems.length > 0 || readFileSync(PAGE, 'utf8') === page) return problems;
  if (ci) return ['docs/attacks.md is stale: run `npm run test:all` and commit it'];
  writeFileSync(PAGE, page);
  console.log('docs/attacks.md was written');
  return [];
}

/** Jest makes one for each run, of the default export. */
export default class AttackPageReporter {
  /** @param {{ ci: boolean, testNamePattern?: string }} config */
  constructor(config) {
    this.config = config;
    /** @type {string[]} */
    this.problems = [];
  }

  /** @param {unknown} _contexts @param {AggregatedResult} results */
  onRunComplete(_contexts, results) {
    // With `-t`, the tests that are not wanted count as skipped.
    if (this.config.testNamePattern) return;
    this.problems = judge(results, this.config);
    for (const problem of this.problems) console.error(`The attack catalogue: ${problem}`);
  }

  /** What makes the run fail. */
  getLastError() {
    return this.problems.length > 0 ? new Error(this.problems.join('\n')) : undefined;
  }
}
