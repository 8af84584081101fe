// What the tests say about every id of the attack catalogue, as a page: docs/attacks.md.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { readJson, ROOT } from './run.mjs';

const CATALOGUE = join(ROOT, 'test/catalogue');
export const PAGE = join(ROOT, 'docs/attacks.md');

/** Where tests of the catalogue are; the rest of the suite is about other things. */
export const FOLDERS = [
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
];

/**
 * @typedef {{ id: string, input: string, expected: string, good?: boolean, surface?: 'process',
 *   only?: 'express' | 'fastify', note?: string }} Row
 * @typedef {{ title: string, rows: Row[] }} Section
 * @typedef {'express' | 'fastify' | 'process'} Place
 * @typedef {{ fullName: string, status: string, failureMessages: string[] }} TestResult
 * @typedef {{ testResults: { name: string, assertionResults: TestResult[] }[] }} JestReport
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
export function readCatalogue() {
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

/**
 * The tests that carry an id of the catalogue.
 *
 * @param {JestReport} report
 * @returns {Input[]}
 */
export function readInputs(report) {
  return report.testResults
    .filter(({ name }) => isOfTheCatalogue(name))
    .flatMap(({ assertionResults }) => assertionResults)
    .map((test) => ({
      ids: [...new Set(test.fullName.match(/\b[A-Z]{2}-\d{2}\b/g))],
      place: placeOf(test.fullName),
      failure: failureOf(test),
    }))
    .filter(({ ids }) => ids.length > 0);
}

/** @param {string} file */
function isOfTheCatalogue(file) {
  const path = relative(ROOT, file).split(sep).join('/');
  return FOLDERS.some((folder) => path.startsWith(`${folder}/`));
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
export function findProblems(sections, inputs) {
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
export function writePage(sections, inputs) {
  return `# What is refused, and what is survived

<!-- Written by \`node scripts/test-attacks.mjs\`. Do not edit: change test/catalogue or the tests. -->

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
    const failed = tests.filter(({ failure }) => failure !== undefined).length;
    if (failed > 0) return `${failed} of ${tests.length} FAILED`;
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
 * Asserts that the page in docs is what this run of the tests gives.
 *
 * @param {JestReport} report
 * @throws when the page is stale, an id has no test, or a test of the catalogue failed
 */
export function assertPageIsFresh(report) {
  const sections = readCatalogue();
  const inputs = readInputs(report);
  const problems = findProblems(sections, inputs);
  if (problems.length > 0) throw new Error(`The attack catalogue:\n  ${problems.join('\n  ')}`);
  if (readFileSync(PAGE, 'utf8') === writePage(sections, inputs)) return;
  throw new Error('docs/attacks.md is stale: run `node scripts/test-attacks.mjs` and commit it');
}
