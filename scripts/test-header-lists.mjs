// Sends header lists around every limit to guarded services, on several versions of Node: `node scripts/test-header-lists.mjs`.
// The versions are packages of npm, installed into a temporary folder, or into the one given (`--folder <path>`), which
// is kept for the next run. `--node <version>` tries one version alone. Linux on x64 only, as those packages are.
import { fork, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { strictKeys } from './gateways/signing.mjs';
import { inChunks, sendBytes, sendHttp2 } from './gateways/wire.mjs';
import { attemptsOf, expectedOf } from './header-lists/scenarios.mjs';
import { installNode, RUNS_OTHER_NODES } from './other-nodes.mjs';

const RECEIVER = join(import.meta.dirname, 'header-lists', 'receiver.mjs');
const VERSIONS = ['20.19.0', '22.12.0', '24.0.0', '24', '26'];
const AT_ONCE = 8;
const MINUTES = 30;

const AROUND_1000 = [
  900, 990, 997, 998, 999, 1000, 1001, 1002, 1003, 1015, 1020, 1022, 1023, 1024, 1025, 1035, 1100,
  1200,
];
const AROUND_2000 = [1990, 1999, 2000, 2001, 2002, 2015, 2016, 2017, 2035, 2100];

/** By limit: how many pairs the server keeps, and how many are sent. @type {Record<string, { limit: number, counts: number[] }>} */
const LIMITS = {
  'express default': { limit: 1000, counts: AROUND_1000 },
  'express 0': { limit: Infinity, counts: [...AROUND_1000, ...AROUND_2000] },
  'express 2000': { limit: 2000, counts: [...AROUND_1000, ...AROUND_2000] },
  'express 50': { limit: 50, counts: [20, 48, 49, 50, 51, 52, 63, 64, 65, 80, 82, 97, 1000, 1200] },
  // Node's parser hands over 32 pairs at a time: a list that is cut there has as many pairs as the limit.
  'express 64': { limit: 64, counts: [20, 62, 63, 64, 65, 66, 95, 96, 97, 128, 1000, 1200] },
  'http2 default': { limit: 128, counts: [20, 100, 120, 127, 128, 129, 130, 200, 1000, 1200] },
  'http2 4000': { limit: 4000, counts: [...AROUND_1000, 1900] },
};
for (const limit of ['default', '0', '2000', '50', '64']) {
  LIMITS[`fastify ${limit}`] = LIMITS[`express ${limit}`];
}

/** @typedef {import('./header-lists/scenarios.mjs').Attempt} Attempt */
/** @typedef {{ place: string, attempt: Attempt, pairs: number, result: string, isRight: boolean }} Outcome */

/** @param {number} port @param {Attempt['request']} request */
async function send(port, { method, target, headers, body, isChunked }) {
  const lines = [`${method} ${target} HTTP/1.1`, 'Host: census', 'Connection: close'];
  const head = [...lines, ...headers.map(([name, value]) => `${name}: ${value}`)].join('\r\n');
  const content = isChunked ? inChunks(Buffer.from(body)) : [body];
  return await sendBytes(port, [Buffer.from(`${head}\r\n\r\n${content.join('')}`)]);
}

/** @param {number} port @param {Attempt['request']} request */
async function sendOverHttp2(port, { method, target, headers, body }) {
  /** @type {Record<string, string[]>} */
  const fields = {};
  for (const [name, value] of headers) (fields[name.toLowerCase()] ??= []).push(value);
  const single = Object.entries(fields).map(([name, values]) =>
    values.length === 1 ? [name, values[0]] : [name, values],
  );
  const pseudo = { ':method': method, ':path': target, ':authority': 'census', ':scheme': 'http' };
  return await sendHttp2(port, { ...pseudo, ...Object.fromEntries(single) }, Buffer.from(body));
}

/** @param {import('./gateways/wire.mjs').Answer} answer @param {Attempt} attempt */
function judge({ status, text }, { signed }) {
  if (status === 0) return 'reset';
  const code = /"code":"([a-z_]+)"/.exec(text)?.[1];
  if (status >= 300) return code ?? `${status} by ${status === 415 ? 'Fastify' : 'Node'}`;
  const seen = /** @type {Record<string, unknown>} */ (
    JSON.parse(/\{"method".*\}/s.exec(text)?.[0] ?? '{}')
  );
  const changed = Object.entries(signed).filter(([name, value]) => seen[name] !== value);
  if (changed.length === 0) return 'accepted';
  return `WRONGLY ACCEPTED: ${changed.map(([name]) => `${name}=${String(seen[name])}`).join(', ')}`;
}

/** @param {string} place @param {number} port @returns {Promise<Outcome[]>} */
async function tryPlace(place, port) {
  const [server = ''] = place.split(' ');
  const isHttp2 = server === 'http2';
  const { limit, counts } = LIMITS[place];
  /** @type {Outcome[]} */
  const outcomes = [];
  const left = [...counts];
  const worker = async () => {
    for (let pairs = left.pop(); pairs !== undefined; pairs = left.pop()) {
      for (const attempt of attemptsOf(pairs, { isHttp2 })) {
        const answer = await (isHttp2 ? sendOverHttp2 : send)(port, attempt.request);
        const result = judge(answer, attempt);
        const expected = expectedOf(attempt, pairs, limit, server);
        outcomes.push({ place, attempt, pairs, result, isRight: expected.includes(result) });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return outcomes;
}

/** @param {string} node the program @returns {Promise<Outcome[]>} */
async function tryNode(node) {
  const pem = String(strictKeys.publicKey.export({ type: 'spki', format: 'pem' }));
  const stdio = /** @type {import('node:child_process').StdioOptions} */ ([
    'ignore',
    'inherit',
    'inherit',
    'ipc',
  ]);
  const child = fork(RECEIVER, [pem], { execPath: node, execArgv: [], stdio });
  try {
    /** @type {Record<string, number>} */
    const ports = await new Promise((resolve, reject) => {
      child.on('message', (message) => resolve(/** @type {Record<string, number>} */ (message)));
      child.on('exit', (code) => reject(new Error(`the receivers ended with ${code}`)));
    });
    /** @type {Outcome[]} */
    const outcomes = [];
    for (const [place, port] of Object.entries(ports)) {
      outcomes.push(...(await tryPlace(place, port)));
    }
    return outcomes;
  } finally {
    if (child.connected) child.disconnect();
  }
}

/** @param {readonly Outcome[]} outcomes */
function report(outcomes) {
  for (const place of new Set(outcomes.map((outcome) => outcome.place))) {
    const own = outcomes.filter((outcome) => outcome.place === place);
    /** @type {Record<string, number>} */
    const counts = {};
    for (const { result } of own) {
      const kind = result.replace(/:.*/, '');
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    const kinds = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
    console.log('%s', `  ${place}: ${kinds.toSorted().join(', ')}`);
  }
  for (const { place, pairs, attempt, result } of outcomes.filter(({ isRight }) => !isRight)) {
    const { name, padding } = attempt;
    console.log('%s', `  WRONG ${place}, ${pairs} pairs, ${name}, padding ${padding}: ${result}`);
  }
}

const { values } = parseArgs({
  options: { folder: { type: 'string' }, node: { type: 'string' } },
});
if (!RUNS_OTHER_NODES) {
  console.log('Not run: the packages of other versions of Node are for Linux on x64.');
  process.exit();
}
const late = setTimeout(() => {
  console.error(`Not done within ${MINUTES} minutes`);
  process.exit(1);
}, MINUTES * 60_000);
late.unref();

const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'header-lists-'));
let passed = 0;
let failed = 0;
try {
  for (const version of values.node === undefined ? VERSIONS : [values.node]) {
    const node = installNode(folder, version);
    const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
    console.log(`Node ${stdout.trim()}`);
    const outcomes = await tryNode(node);
    report(outcomes);
    const wrong = outcomes.filter(({ isRight }) => !isRight).length;
    failed += wrong;
    passed += outcomes.length - wrong;
  }
} finally {
  if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
