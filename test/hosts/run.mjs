// Runs the rows, each host in a process of its own: `run.mjs [--runtime <name>=<program>]... [names of rows]`.
// A runtime runs the rows that are marked for everywhere; one of Node 24 or later also those that need it.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { parseArgs, isDeepStrictEqual } from 'node:util';
import { createServiceAuth, ServiceTokenRefusedError } from 'nestjs-service-auth/core';
import { CHECKS, GROUPS } from './checks.mjs';
import { Client, createKeys, Signer } from './requests.mjs';
import { ROWS } from './rows.mjs';

/**
 * @typedef {import('./rows.mjs').Row} Row
 * @typedef {import('./rows.mjs').Adapter} Adapter
 * @typedef {import('./checks.mjs').Check} Check
 * @typedef {import('./checks.mjs').Expected} Expected
 * @typedef {import('./requests.mjs').Answer} Answer
 * @typedef {{ name: string, program: string, version: string }} Runtime
 * @typedef {{ check: Check, isExcepted: boolean, problem?: string }} Outcome
 */

const MILLISECONDS_TO_START = 60_000;
const MILLISECONDS_TO_KEYS = 500;
const FOLDER = import.meta.dirname;

/**
 * The service that the application calls: answers with whom it has verified. It has the caller's keys too, and takes
 * its time with them, so that the first request to each host comes before they are there.
 *
 * @param {string} publicKey the application's
 * @param {object} keySet the caller's
 */
async function startPeer(publicKey, keySet) {
  const issuer = 'https://peer.service/';
  const trustedIssuers = [{ issuer: 'https://census.service/', publicKey }];
  const auth = await createServiceAuth({ issuer, trustedIssuers });
  const server = createServer((request, response) => {
    const { method = '', url: target = '', rawHeaders } = request;
    if (target === '/keys') {
      response.setHeader('Content-Type', 'application/jwk-set+json');
      setTimeout(() => response.end(JSON.stringify(keySet)), MILLISECONDS_TO_KEYS);
      return;
    }
    auth.verify({ method, target, rawHeaders, body: new Uint8Array() }).then(
      ({ issuer: caller, subject }) => response.end(JSON.stringify({ caller, subject })),
      (/** @type {unknown} */ error) => {
        const code = error instanceof ServiceTokenRefusedError ? error.code : String(error);
        response.writeHead(401).end(JSON.stringify({ code }));
      },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}

/** How each runtime is told to run a file. */
function argumentsOf(/** @type {string} */ runtime) {
  return runtime === 'deno' ? ['run', '--allow-all', '--quiet'] : [];
}

/**
 * @param {Runtime} runtime
 * @param {Row} row
 * @param {Adapter} adapter
 * @param {Record<string, string>} settings
 */
async function startHost(runtime, row, adapter, settings) {
  const folder = join(FOLDER, row.folder ?? adapter);
  const args = [...argumentsOf(runtime.name), join(FOLDER, 'serve.mjs'), row.host, folder];
  const env = {
    ...process.env,
    ...settings,
    ADAPTER: adapter,
    FORMS: row.readsAll ? 'kept' : adapter,
    RAW_BODY: row.keepsBytes ? '1' : '',
  };
  const child = spawn(runtime.program, args, {
    cwd: FOLDER,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  /** @type {string[]} */
  const log = [];
  createInterface(child.stderr).on('line', (line) => log.push(line));
  /** @type {Promise<Record<string, number>>} */
  const ports = new Promise((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      log.push(line);
      if (line.startsWith('ports ')) resolve(JSON.parse(line.slice('ports '.length)));
    });
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`ended with ${code}\n${log.join('\n')}`)));
    AbortSignal.timeout(MILLISECONDS_TO_START).onabort = () =>
      reject(new Error(`did not start\n${log.join('\n')}`));
  });
  const stop = async () => {
    const ended = once(child, 'exit');
    if (child.kill()) await ended;
  };
  try {
    return { ports: await ports, log, stop };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/**
 * @param {Check} check
 * @param {Client} client
 * @param {Expected} expected
 * @param {boolean} isExcepted
 * @returns {Promise<string | undefined>} what is wrong
 */
async function problemOf(check, client, expected, isExcepted) {
  try {
    const { status, code, json, text } = await check.send(client);
    const [wantedStatus, wantedCode] = expected;
    if (status !== wantedStatus || code !== wantedCode) {
      return `${status} ${code ?? text.slice(0, 200)}, expected ${expected.join(' ')}`;
    }
    const sees = isExcepted ? undefined : check.sees;
    return sees && !isDeepStrictEqual(json, sees)
      ? `the handler saw ${text.slice(0, 200)}`
      : undefined;
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

/**
 * @param {Row} row
 * @param {Adapter} adapter
 * @param {string} door
 * @param {Client} client
 */
async function runChecks(row, adapter, door, client) {
  /** @type {Outcome[]} */
  const outcomes = [];
  for (const check of CHECKS) {
    const exception = exceptionOf(row, adapter, door)[check.name];
    const usual = (adapter === 'fastify' ? check.onFastify : undefined) ?? check.expected;
    const isExcepted = exception !== undefined;
    const problem = await problemOf(check, client, exception ?? usual, isExcepted);
    outcomes.push({ check, isExcepted, problem });
  }
  return outcomes;
}

/** @param {Row} row @param {Adapter} adapter @param {string} door */
function exceptionOf({ exceptions, onExpress, doors, doorsOnFastify }, adapter, door) {
  const ofAdapter = adapter === 'express' ? onExpress : doorsOnFastify?.[door];
  return { ...exceptions, ...doors?.[door], ...ofAdapter };
}

/** One word for the checks of a group. @param {Outcome[]} outcomes */
function cellOf(outcomes) {
  if (outcomes.some(({ problem }) => problem !== undefined)) return 'FAIL';
  return outcomes.some(({ isExcepted }) => isExcepted) ? 'differs' : 'yes';
}

/** @param {string | undefined} name */
function versionOf(name) {
  if (name === undefined) return '';
  const path = join(FOLDER, 'node_modules', name, 'package.json');
  return /** @type {{ version: string }} */ (JSON.parse(readFileSync(path, 'utf8'))).version;
}

/** @returns {Promise<Runtime>} */
async function toRuntime(/** @type {string} */ given) {
  const [name = '', program = ''] = given.split('=');
  const child = spawn(program, ['--version'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let version = '';
  for await (const line of createInterface(child.stdout))
    version ||= /\d+\.\d+\.\d+/.exec(line)?.[0] ?? '';
  return { name, program, version };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runtime: { type: 'string', multiple: true, default: [] } },
});
const unknown = positionals.filter((name) => !ROWS.some((row) => row.name === name));
if (unknown.length > 0) throw new Error(`no such host: ${unknown.join(', ')}`);
/** @type {Runtime} */
const here = { name: 'node', program: process.execPath, version: process.versions.node };
const others = await Promise.all(values.runtime.map(toRuntime));

for (const { name, since = 0 } of ROWS) {
  const isOld = since > Number.parseInt(here.version);
  if (isOld && others.length === 0) console.log(`not run: ${name} needs Node ${since}: --runtimes`);
}

/** @param {Row} row @param {Runtime} runtime */
function isRunOn(row, { name, version }) {
  const isOldEnough = name.startsWith('node') && Number.parseInt(version) >= (row.since ?? 0);
  if (name === here.name) return isOldEnough;
  return row.isEverywhere || (row.since !== undefined && isOldEnough);
}

const caller = createKeys();
const service = createKeys();
const signer = await Signer.create(caller.privateKey);
const peer = await startPeer(service.publicKey, signer.keySet);
const settings = {
  CENSUS_KEY: service.privateKey,
  PEER_URL: peer.url,
};
/** @type {Record<string, string>[]} */
const table = [];
const counts = { passed: 0, failed: 0 };

for (const runtime of [here, ...others]) {
  for (const row of ROWS.filter((each) => isRunOn(each, runtime))) {
    if (positionals.length > 0 && !positionals.includes(row.name)) continue;
    for (const adapter of row.adapters) await runRow(runtime, row, adapter);
  }
}
peer.close();
console.log(toMarkdown(table));
console.log(`\n${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed === 0 ? 0 : 1;

/**
 * @param {Runtime} runtime
 * @param {Row} row
 * @param {Adapter} adapter
 */
async function runRow(runtime, row, adapter) {
  const title = `${row.name} ${versionOf(row.package)}`.trim();
  const where = `${runtime.name} ${runtime.version}, ${adapter}`;
  try {
    const host = await startHost(runtime, row, adapter, settings);
    for (const [door, port] of Object.entries(host.ports)) {
      const outcomes = await runChecks(row, adapter, door, new Client(signer, port));
      report(door ? `${title}, ${door}` : title, where, outcomes);
    }
    await host.stop();
    if (process.env['VERBOSE']) console.log(host.log.join('\n'));
  } catch (error) {
    counts.failed += 1;
    console.error(`FAILED ${title} (${where}):`, error);
  }
}

/** @param {string} title @param {string} where @param {Outcome[]} outcomes */
function report(title, where, outcomes) {
  const failed = outcomes.filter(({ problem }) => problem !== undefined);
  counts.failed += failed.length;
  counts.passed += outcomes.length - failed.length;
  console.log(
    `${title} (${where}): ${outcomes.length - failed.length} passed, ${failed.length} failed`,
  );
  for (const { check, problem } of failed) console.log(`  FAILED ${check.name}: ${problem}`);
  const cells = Object.entries(GROUPS).map(([group, names]) => [
    group,
    cellOf(outcomes.filter(({ check }) => names.includes(check.name))),
  ]);
  table.push({ host: title, where, ...Object.fromEntries(cells) });
}

/** @param {Record<string, string>[]} rows */
function toMarkdown(rows) {
  const [first] = rows;
  if (!first) return '';
  const names = Object.keys(first);
  const lines = rows.map((row) => names.map((name) => row[name] ?? '').join(' | '));
  return [names.join(' | '), names.map(() => '---').join(' | '), ...lines]
    .map((line) => `| ${line} |`)
    .join('\n');
}
