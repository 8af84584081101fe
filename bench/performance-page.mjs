/**
 * Puts the figures of a run into the tables of docs/performance.md:
 * `npm run bench -- --json bench.json`, then `node bench/performance-page.mjs bench.json`. Several files may each hold some
 * of the sections. A table whose section is in none of them stays as it is.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** @typedef {{ median: number, lower: number, upper: number }} Spread */
/** Why a variant was not measured: its row has nothing else to show. @typedef {{ failure?: string }} Row */
/**
 * @typedef {Row & { variant: string, algorithm: string, inFlight: number, microseconds: number, mainThread: number,
 *   toRaw: Spread }} TokenRow
 */
/** @typedef {{ all: Spread, main: Spread }} Threads */
/**
 * @typedef {Row & { variant: string, adapter: string, algorithm: string, request: string, microseconds: number,
 *   auth: number, authMainThread: number, toPassport?: Threads, toJose?: Threads }} RequestRow
 */
/**
 * @typedef {Row & { adapter: string, request: string, without: number, with: number,
 *   all: { ratio: Spread, noise: Spread[] } }} UnguardedRow
 */
/**
 * @typedef {Row & { variant: string, method: string, algorithm: string, inFlight: number, microseconds: number,
 *   mainThread: number, toUnsigned: Spread }} OutgoingRow
 */
/** @typedef {Row & { what: string, count: string, microseconds: number, toFewest: Spread }} SendersRow */
/** @typedef {import('./growth/replay-memory.mjs').ReplayRow & Row} ReplayRow */
/** @typedef {import('./growth/bodies.mjs').BodyRow & Row} BodyRow */
/** @typedef {import('./growth/connections.mjs').ConnectionRow & Row} ConnectionRow */
/** @typedef {import('./grants.bench.mjs').Row} GrantRow */
/** @typedef {import('./messages.bench.mjs').Row} MessageRow */
/** @typedef {SendersRow | ReplayRow | BodyRow | ConnectionRow} GrowthRow */
/**
 * @typedef {{ verify?: TokenRow[], sign?: TokenRow[], requests?: RequestRow[], unguarded?: UnguardedRow[],
 *   outgoing?: OutgoingRow[], grants?: GrantRow[], messages?: MessageRow[],
 *   growth?: GrowthRow[] }} Sections
 */
/** @typedef {{ head: readonly string[], rows: readonly (readonly string[])[] }} Table */

const PAGE = fileURLToPath(new URL('../docs/performance.md', import.meta.url));
const ALGORITHMS = ['ES256', 'EdDSA', 'RS256'];
const OURS = 'this library, replay memory';

/** @param {number} value */
const fixed = (value, digits = 0) => value.toFixed(digits);

/** @param {Spread | undefined} spread */
const inWords = (spread) =>
  spread
    ? `${fixed(spread.median, 2)} (${fixed(spread.lower, 2)} to ${fixed(spread.upper, 2)})`
    : '';

/** @param {string} name */
const capitalised = (name) => `${name.charAt(0).toUpperCase()}${name.slice(1)}`;

/** A section, by algorithm. @param {readonly TokenRow[]} rows @param {number} inFlight @returns {Table} */
function byAlgorithm(rows, inFlight) {
  const names = [...new Set(rows.map(({ variant }) => variant))];
  const cellsOf = (/** @type {string} */ variant, /** @type {string} */ algorithm) => {
    const row = rows.find(
      (each) =>
        each.variant === variant && each.algorithm === algorithm && each.inFlight === inFlight,
    );
    if (!row || !isMeasured(row)) return ['', ''];
    return [`${fixed(row.microseconds)}, ${fixed(row.mainThread)}`, fixed(row.toRaw.median, 2)];
  };
  return {
    head: [
      'all threads, main thread; to node:crypto',
      ...ALGORITHMS.flatMap((name) => [name, 'ratio']),
    ],
    rows: names.map((name) => [
      name.replace('http-message-signatures,', 'RFC 9421 with'),
      ...ALGORITHMS.flatMap((each) => cellsOf(name, each)),
    ]),
  };
}

/** @param {RequestRow} row */
const requestCells = ({ microseconds, auth, authMainThread, toPassport, toJose }) => [
  fixed(microseconds),
  fixed(auth),
  fixed(authMainThread),
  inWords(toPassport?.all),
  inWords(toJose?.all),
  inWords(toJose?.main),
];
const REQUEST_HEAD = [
  'a request',
  'auth',
  'on the main thread',
  'auth to passport-jwt, PEM',
  'auth to jose',
  'main thread to jose',
];

/** Every variant of one kind of request. @param {readonly RequestRow[]} rows @param {string} adapter @returns {Table} */
function requestsOn(rows, adapter) {
  const chosen = rows.filter(
    (row) => row.adapter === adapter && row.algorithm === 'ES256' && row.request === 'POST 1 KiB',
  );
  return {
    head: ['', ...REQUEST_HEAD],
    rows: chosen.filter(isMeasured).map((row) => [row.variant, ...requestCells(row)]),
  };
}

/** One variant, every kind of request. @param {readonly RequestRow[]} rows @returns {Table} */
function requestsOfOurs(rows) {
  const chosen = rows.filter(({ variant }) => variant === OURS).filter(isMeasured);
  return {
    head: ['', ...REQUEST_HEAD],
    rows: chosen.map((row) => [
      `${row.request}, ${row.algorithm}, ${capitalised(row.adapter)}`,
      ...requestCells(row),
    ]),
  };
}

/** @param {Row} row */
const isMeasured = ({ failure }) => failure === undefined;

/** @param {readonly UnguardedRow[]} rows @returns {Table} */
function unguarded(rows) {
  return {
    head: ['', 'without', 'with', 'ratio', 'noise'],
    rows: rows.map((row) => [
      `${row.request}, ${capitalised(row.adapter)}`,
      fixed(row.without, 1),
      fixed(row.with, 1),
      inWords(row.all.ratio),
      row.all.noise.map(({ median }) => fixed(median, 2)).join(' and '),
    ]),
  };
}

/** @param {readonly OutgoingRow[]} rows @returns {Table} */
function outgoing(rows) {
  return {
    head: ['', 'in flight', 'all threads', 'main thread', 'to unsigned'],
    rows: rows
      .filter(isMeasured)
      .map((row) => [
        `${row.variant}, ${row.method}, ${row.algorithm}`,
        `${row.inFlight}`,
        fixed(row.microseconds),
        fixed(row.mainThread),
        inWords(row.toUnsigned),
      ]),
  };
}

/** @param {readonly GrowthRow[]} rows @returns {Table} */
function growthOfSenders(rows) {
  return {
    head: ['', '', 'all threads', 'to the fewest'],
    rows: rows
      .filter((row) => 'toFewest' in row)
      .map(({ what, count, microseconds, toFewest }) => [
        what,
        count,
        fixed(microseconds, 1),
        inWords(toFewest),
      ]),
  };
}

/** @param {readonly GrantRow[]} rows @returns {Table} */
function grants(rows) {
  const cellsOf = (/** @type {string} */ variant, /** @type {number} */ inFlight) => {
    const row = rows.find((each) => each.variant === variant && each.inFlight === inFlight);
    const { microseconds, mainThread, toFirst, interval = [] } = row ?? {};
    if (microseconds === undefined || mainThread === undefined || !toFirst) return ['', ''];
    const ends = interval.map((end) => fixed(end, 2)).join(' to ');
    const ratio = `${fixed(toFirst.median, 2)} (${ends})`;
    return [`${fixed(microseconds)}, ${fixed(mainThread)}`, ratio];
  };
  const names = [...new Set(rows.map(({ variant }) => variant))];
  return {
    head: ['all threads, main thread', 'one at a time', 'ratio', '50 in flight', 'ratio'],
    rows: names.map((name) => [name, ...[1, 50].flatMap((each) => cellsOf(name, each))]),
  };
}

/** @param {readonly MessageRow[]} rows @returns {Table} */
function messages(rows) {
  return {
    head: ['', 'in flight', 'all threads', 'main thread', 'ratio'],
    rows: rows
      .filter(isMeasured)
      .map(({ what, variant, inFlight, microseconds = 0, mainThread = 0, toFirst, interval }) => [
        `${what}, ${variant}`,
        `${inFlight}`,
        fixed(microseconds),
        fixed(mainThread),
        `${fixed(toFirst?.median ?? 0, 2)} (${interval?.map((end) => fixed(end, 2)).join(' to ')})`,
      ]),
  };
}

/** @param {readonly GrowthRow[]} rows @returns {Table} */
function growthOfReplay(rows) {
  return {
    head: [
      'live uses',
      'bytes each',
      'microseconds for a first use',
      'for a repeated one',
      'one in 10,000 takes longer than',
      'longest use',
      'CPU in a row of 20, at most',
      'longest collection of garbage',
      'longest and CPU without the store',
    ],
    rows: rows
      .filter((row) => 'entries' in row)
      .map(({ entries, bytesEach, first, seen, swept, idle }) => [
        entries.toLocaleString('en'),
        fixed(bytesEach),
        fixed(first, 2),
        fixed(seen, 2),
        `${fixed(swept.share, 3)} ms`,
        `${fixed(swept.longest, 1)} ms`,
        `${fixed(swept.cpu, 1)} ms`,
        `${fixed(swept.garbage, 1)} ms`,
        `${fixed(idle.longest, 1)}, ${fixed(idle.cpu, 1)} ms`,
      ]),
  };
}

/** @param {number | undefined} value */
const whole = (value) => (value === undefined ? '' : Math.round(value).toLocaleString('en'));

/** @param {import('./growth/guarded-pair.mjs').PairCosts} costs */
const pairCells = ({ unguarded, guarded, auth, authMainThread }) =>
  [unguarded, guarded, auth, authMainThread].map(whole);
const PAIR_HEAD = ['unguarded', 'guarded', 'auth', 'on the main thread'];

/** @param {readonly GrowthRow[]} rows @returns {Table} */
function growthOfBodies(rows) {
  return {
    head: ['bytes', ...PAIR_HEAD, 'the hash alone', 'peak memory, unguarded and guarded'],
    rows: rows
      .filter((row) => 'bytes' in row)
      .map((row) => [
        `${whole(row.bytes)}, ${capitalised(row.adapter)}`,
        ...pairCells(row),
        whole(row.hash),
        `${whole(row.unguardedPeak)} and ${whole(row.guardedPeak)} MiB`,
      ]),
  };
}

/** @param {readonly GrowthRow[]} rows @returns {Table} */
function growthOfConnections(rows) {
  const each = (/** @type {number | undefined} */ mebibytes, /** @type {number} */ count) =>
    whole(mebibytes && (mebibytes * 1024) / count);
  return {
    head: ['connections', ...PAIR_HEAD, 'memory for each'],
    rows: rows
      .filter((row) => 'what' in row && row.what === 'connections')
      .map((row) => /** @type {ConnectionRow} */ (row))
      .map((row) => [
        `${whole(row.count)}, ${capitalised(row.adapter)}`,
        ...pairCells(row),
        `${each(row.unguardedPeak, row.count)} and ${each(row.guardedPeak, row.count)} KiB`,
      ]),
  };
}

/**
 * Each table by the name it has in the page; undefined where the section it is from was not run.
 *
 * @type {Record<string, (sections: Sections) => Table | undefined>}
 */
const TABLES = {
  'verify, one at a time': ({ verify }) => verify && byAlgorithm(verify, 1),
  'verify, 50 in flight': ({ verify }) => verify && byAlgorithm(verify, 50),
  'sign, one at a time': ({ sign }) => sign && byAlgorithm(sign, 1),
  'sign, 50 in flight': ({ sign }) => sign && byAlgorithm(sign, 50),
  'requests, Fastify': ({ requests }) => requests && requestsOn(requests, 'fastify'),
  'requests, Express': ({ requests }) => requests && requestsOn(requests, 'express'),
  'requests, this library': ({ requests }) => requests && requestsOfOurs(requests),
  unguarded: (sections) => sections.unguarded && unguarded(sections.unguarded),
  outgoing: (sections) => sections.outgoing && outgoing(sections.outgoing),
  grants: (sections) => sections.grants && grants(sections.grants),
  messages: (sections) => sections.messages && messages(sections.messages),
  'growth, senders': ({ growth }) => growth && growthOfSenders(growth),
  'growth, replay': ({ growth }) => growth && growthOfReplay(growth),
  'growth, bodies': ({ growth }) => growth && growthOfBodies(growth),
  'growth, connections': ({ growth }) => growth && growthOfConnections(growth),
};

/** @param {Table} table */
function toMarkdown({ head, rows }) {
  const rule = head.map((_, at) => (at === 0 ? '---' : '---:'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** @param {readonly string[]} files @returns {Sections} */
function readSections(files) {
  const all = files.flatMap((file) => {
    const report = /** @type {{ sections: { section: string, rows: object[] }[] }} */ (
      JSON.parse(readFileSync(file, 'utf8'))
    );
    return report.sections;
  });
  return Object.fromEntries(all.map(({ section, rows }) => [section, rows]));
}

const TABLE = /(?<=<!-- table: ([^>]+) -->\n\n)\|.*?\n(?=\n<!-- end -->)/gs;

/** @param {string} page @param {Sections} sections */
function withTables(page, sections) {
  const missing = new Set(Object.keys(TABLES));
  const filled = page.replaceAll(TABLE, (present, /** @type {string} */ name) => {
    if (!missing.delete(name))
      throw new Error(`nothing here makes the table ${name}, or it is there twice`);
    const table = TABLES[name](sections);
    return table === undefined ? present : `${toMarkdown(table)}\n`;
  });
  if (missing.size > 0) throw new Error(`the page has no place for ${[...missing].join(', ')}`);
  return filled;
}

const files = process.argv.slice(2);
if (files.length === 0) throw new Error('name the files that `npm run bench -- --json` wrote');
writeFileSync(PAGE, withTables(readFileSync(PAGE, 'utf8'), readSections(files)));
