/**
 * A fuzzer for where Jazzer.js cannot be loaded: it mutates the corpus, and keeps what reaches code that
 * nothing reached before, by V8's own block coverage. `node scripts/fuzz-loop.mjs module seconds dictionary
 * findings corpus`, called by scripts/fuzz.mjs.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** @typedef {(data: Uint8Array) => Promise<void> | void} Fuzz */

const BATCH = 200;
const LONGEST_INPUT = 16_384;
const SLOW_MILLISECONDS = 5000;

const [module = '', seconds = '0', dictionary = '', findings = '', corpus = ''] =
  process.argv.slice(2);
const { fuzz } = /** @type {{ fuzz: Fuzz }} */ (await import(pathToFileURL(module).href));
const inputs = readdirSync(corpus).map((name) => readFileSync(join(corpus, name)));
const words = readFileSync(dictionary, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('"'))
  .map((line) => Buffer.from(line.slice(1, -1).replaceAll('\\"', '"').replaceAll('\\\\', '\\')));

const below = (/** @type {number} */ limit) => Math.floor(Math.random() * limit);
/**
 * @template T
 * @param {readonly T[]} list
 */
const pick = (list) => list[below(list.length)];

/** One small change: a bit, a word, a piece gone, doubled, or taken from another input. */
function mutate(/** @type {Buffer} */ input) {
  const at = below(input.length + 1);
  const length = below(16);
  const [before, after] = [input.subarray(0, at), input.subarray(at)];
  const other = pick(inputs) ?? input;
  const from = below(other.length + 1);
  const pieces = [
    [before, Buffer.from([below(256)]), after.subarray(1)],
    [before, Buffer.from([(after[0] ?? 0) ^ (1 << below(8))]), after.subarray(1)],
    [before, pick(words) ?? '', after],
    [before, pick(words) ?? '', after.subarray(length)],
    [before, after.subarray(length)],
    [before, after.subarray(0, length), after],
    [before, other.subarray(from, from + 4 * length), after],
    [before, other.subarray(from)],
  ];
  const chosen = (pick(pieces) ?? []).map((piece) => Buffer.from(piece));
  return Buffer.concat(chosen).subarray(0, LONGEST_INPUT);
}

const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
/** @type {Set<string>} */
const reached = new Set();

/** How many blocks of the library were reached for the first time since it was last asked. */
async function countNewBlocks() {
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const size = reached.size;
  for (const { url, functions } of result.filter(({ url: each }) => each.includes('/build/lib/'))) {
    for (const { startOffset, endOffset, count } of functions.flatMap(({ ranges }) => ranges)) {
      if (count > 0) reached.add(`${url}:${startOffset}:${endOffset}`);
    }
  }
  return reached.size - size;
}

/** @param {Buffer} input */
async function attempt(input) {
  const start = performance.now();
  try {
    await fuzz(input);
    if (performance.now() - start > SLOW_MILLISECONDS) throw new Error('it takes too long');
  } catch (error) {
    const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
    writeFileSync(join(findings, name), input);
    console.error(`${join(findings, name)}:`, error);
    process.exit(1);
  }
}

let executions = 0;
for (const input of inputs) await attempt(input);
await countNewBlocks();
const end = performance.now() + Number(seconds) * 1000;
while (performance.now() < end) {
  const batch = Array.from({ length: BATCH }, () => {
    let input = pick(inputs) ?? Buffer.alloc(0);
    for (let times = 1 + below(4); times > 0; times--) input = mutate(input);
    return input;
  });
  const before = new Set(reached);
  for (const input of batch) await attempt(input);
  executions += batch.length;
  if ((await countNewBlocks()) === 0) continue;
  // Which of them was it? Each alone, from what was known before.
  reached.clear();
  for (const block of before) reached.add(block);
  for (const input of batch) {
    await attempt(input);
    if ((await countNewBlocks()) > 0) inputs.push(input);
  }
}
console.log(
  `${executions} executions, ${reached.size} blocks, ${inputs.length} inputs, no finding`,
);
process.exit(0);
