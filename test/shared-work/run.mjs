// Runs every cell of the battery and compares it with the verdict in rows.mjs:
//   run.mjs [--users 200] [--strangers 50] [--adapter express|fastify] [--markdown] [names of rows]
// Each adapter runs in a process of its own: the application, the service it calls, and the caller.
import { fork } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { CENSUS, HERALD, startApplication, startCalled } from './application.js';
import { answerQueries } from './batches.mjs';
import { Caller } from './caller.mjs';
import { Cell } from './cell.mjs';
import { ROWS } from './rows.mjs';
import { createClient, MADE_BEFORE } from './work.mjs';

/**
 * @typedef {import('./application.js').Adapter} Adapter
 * @typedef {import('./application.js').Mode} Mode
 * @typedef {import('./rows.mjs').Row} Row
 * @typedef {import('./rows.mjs').Verdict} Verdict
 * @typedef {import('./work.mjs').Way} Way
 * @typedef {import('./cell.mjs').Counts} Counts
 * @typedef {{ row: number, adapter: Adapter, mode: Mode, client: string, way: Way, expected: Verdict,
 *   counts: Counts, problem?: string }} Result
 */

const { values, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    users: { type: 'string', default: '200' },
    strangers: { type: 'string', default: '50' },
    adapter: { type: 'string', multiple: true, default: ['express', 'fastify'] },
    markdown: { type: 'boolean', default: false },
  },
});
/** How often it says that it goes on. */
const CELLS_A_LINE = 200;
const USERS = Number(values.users);
const STRANGERS = Number(values.strangers);
const ADAPTERS = /** @type {Adapter[]} */ (values.adapter);
const unknown = names.filter((name) => !ROWS.some((row) => row.name === name));
if (unknown.length > 0) throw new Error(`no such row: ${unknown.join(', ')}`);

/**
 * The cells of a row in one mode, each with the verdict that it must have.
 *
 * @param {Row} row
 * @param {Mode} mode
 * @param {string} client
 */
function* waysOf(row, mode, client) {
  /** @type {(naming: Way['naming'], isCured: boolean, expected: Verdict) => { way: Way, expected: Verdict }} */
  const cell = (naming, isCured, expected) => ({ way: { naming, isCured }, expected });
  yield cell('nothing', false, mode === 'ambient' ? row.ambient : 'refused');
  // What is decided before the work is shared does not change with the kind of work: two cells are enough.
  if (client === MADE_BEFORE && mode === 'ambient') return;
  yield cell('around', false, client === MADE_BEFORE ? 'right' : row.around);
  if (client === MADE_BEFORE) return;
  if (mode === 'explicit') yield cell('words', false, row.words);
  if (row.cure === undefined) return;
  yield cell(mode === 'ambient' ? 'nothing' : 'around', true, 'right');
}

/**
 * An Observable is for the user of the request that makes it: refused where another one subscribes to it, right where
 * nobody is served.
 *
 * @param {Verdict} expected
 * @param {string} client
 * @param {Mode} mode
 */
function verdictFor(expected, client, mode) {
  if (client !== MADE_BEFORE || mode === 'explicit') return expected;
  return expected === 'wrong subject' ? 'refused' : 'right';
}

/** What is wrong with a cell. @param {Row} row @param {Way} way @param {Mode} mode */
function problemOf(row, mode, way, /** @type {Verdict} */ expected, /** @type {Counts} */ counts) {
  if (counts.failed > 0) return `${counts.failed} failed: ${counts.failure}`;
  if (counts.verdict !== expected) return `is ${counts.verdict}, expected ${expected}`;
  const mustBeAll = mode === 'explicit' && way.naming === 'nothing';
  if (mustBeAll && counts.right > 0) return `${counts.right} calls without a user were sent`;
  if (counts.letIn > 0) return `${counts.letIn} strangers passed the guard`;
  const isWrong = expected === 'wrong subject' || expected === 'wrong answer';
  if (isWrong && (row.why === undefined || row.cure === undefined)) return 'no reason, or no cure';
  if (!isWrong && counts.strangersServed > 0) return `${counts.strangersServed} strangers served`;
  return undefined;
}

/** Runs all cells on one adapter. @param {Adapter} adapter @param {(result: Result) => void} report */
async function runAdapter(adapter, report) {
  const [census, herald] = [createKeys(), createKeys()];
  const called = await startCalled(
    census.publicKey,
    async (request, sub) => await answerQueries(request, (id) => called.echo(id, sub)),
  );
  for (const mode of /** @type {const} */ (['ambient', 'explicit'])) {
    const cell = new Cell();
    const application = await startApplication({
      adapter,
      mode,
      privateKey: census.privateKey,
      callerKey: herald.publicKey,
      calledUrl: called.url,
      desk: cell,
    });
    const baseUrl = `http://127.0.0.1:${application.port}/`;
    const auth = await createServiceAuth({
      issuer: HERALD,
      signingKey: { privateKey: herald.privateKey },
      targets: [{ baseUrl, audience: CENSUS }],
    });
    const caller = new Caller(auth, baseUrl);
    for (const [at, row] of ROWS.entries()) {
      if (names.length > 0 && !names.includes(row.name)) continue;
      for (const client of row.clients) {
        for (const { way, expected: usual } of waysOf(row, mode, client)) {
          const expected = verdictFor(usual, client, mode);
          const tools = {
            ...application,
            calledUrl: called.url,
            client: createClient(client, application, called.url),
            way,
          };
          const counts = await cell.run(row, tools, caller, called.records, USERS, STRANGERS);
          const problem = problemOf(row, mode, way, expected, counts);
          report({ row: at, adapter, mode, client, way, expected, counts, problem });
        }
      }
    }
    caller.close();
    auth.close();
    await application.close();
  }
  called.close();
}

function createKeys() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** @param {Adapter} adapter @param {Result[]} results */
async function runInProcess(adapter, results) {
  const args = process.argv.slice(2).filter((each) => each !== '--markdown');
  const child = fork(import.meta.filename, [...args, '--adapter', adapter], {
    env: { ...process.env, BATTERY: adapter },
  });
  child.on('message', (/** @type {Result} */ result) => {
    results.push(result);
    if (results.length % CELLS_A_LINE === 0) console.log(`${results.length} cells`);
    if (result.problem !== undefined) console.log(`FAILED ${titleOf(result)}: ${result.problem}`);
  });
  const [code] = /** @type {[number | null]} */ (await once(child, 'exit'));
  if (code !== 0) throw new Error(`${adapter} ended with ${code}`);
}

/** @param {Result} result */
function titleOf({ row, adapter, mode, client, way }) {
  const cured = way.isCured ? ', cured' : '';
  const { name } = ROWS[row] ?? {};
  return `${name} ${versionOf(ROWS[row]?.package)} (${adapter}, ${mode}, ${client}, ${way.naming}${cured})`;
}

/** @param {string | undefined} name */
function versionOf(name) {
  if (name === undefined) return '';
  const path = join(import.meta.dirname, 'node_modules', name, 'package.json');
  return /** @type {{ version: string }} */ (JSON.parse(readFileSync(path, 'utf8'))).version;
}

/** @param {Result[]} results */
function countsOf(results) {
  const sum = (/** @type {(counts: Counts) => number} */ of) =>
    results.reduce((total, { counts }) => total + of(counts), 0);
  return [
    `${results.length} cells`,
    `${sum(({ requests }) => requests)} requests`,
    `${sum(({ right }) => right)} right`,
    `${sum(({ refused }) => refused)} refused`,
    `${sum(({ wrongSubjects }) => wrongSubjects)} wrong subjects`,
    `${sum(({ wrongAnswers }) => wrongAnswers)} wrong answers`,
    `${sum(({ strangersServed }) => strangersServed)} strangers served`,
  ].join(', ');
}

/** The table of docs/for-whom.md, from what was seen. @param {Result[]} results */
function toMarkdown(results) {
  const lines = ROWS.map((row, at) => {
    const own = results.filter((result) => result.row === at && result.client !== MADE_BEFORE);
    if (own.length === 0) return undefined;
    const seen = (/** @type {(result: Result) => boolean} */ is) =>
      [...new Set(own.filter(is).map(({ counts }) => counts.verdict))].join(', ') || '';
    const cells = [
      row.name,
      versionOf(row.package),
      seen(({ mode, way }) => mode === 'ambient' && way.naming === 'nothing' && !way.isCured),
      seen(({ way }) => way.naming === 'around' && !way.isCured),
      seen(({ mode, way }) => mode === 'explicit' && way.naming === 'words'),
      row.cure ?? '',
      seen(({ way }) => way.isCured),
      row.why ?? '',
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return [
    '| work | version | `ambient` | `runOnBehalfOf` around | `onBehalfOf` in the call | cure | cured | why |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...lines.filter((line) => line !== undefined),
  ].join('\n');
}

if (process.env['BATTERY']) {
  const adapter = ADAPTERS.at(-1) ?? 'express';
  await runAdapter(adapter, (result) => process.send?.(result));
  process.disconnect?.();
} else {
  /** @type {Result[]} */
  const results = [];
  const start = performance.now();
  await Promise.all(ADAPTERS.map((adapter) => runInProcess(adapter, results)));
  const failed = results.filter(({ problem }) => problem !== undefined).length;
  const isListed = (/** @type {Result} */ { expected }) =>
    expected === 'wrong subject' || expected === 'wrong answer';
  if (values.markdown) console.log(toMarkdown(results));
  console.log(`\nnot on the list: ${countsOf(results.filter((result) => !isListed(result)))}`);
  console.log(`on the list: ${countsOf(results.filter(isListed))}`);
  const named = results.filter(({ mode, way }) => mode === 'explicit' && way.naming === 'words');
  console.log(`explicit, onBehalfOf in the call: ${countsOf(named)}`);
  const unnamed = results.filter(
    ({ mode, way }) => mode === 'explicit' && way.naming === 'nothing',
  );
  console.log(`explicit, nobody named: ${countsOf(unnamed)}`);
  console.log(`cured: ${countsOf(results.filter(({ way }) => way.isCured))}`);
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(
    `\n${results.length - failed} cells as expected, ${failed} not; ${seconds} s, Node ${process.versions.node}`,
  );
  process.exitCode = failed === 0 && results.length > 0 ? 0 : 1;
}
