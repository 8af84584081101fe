/**
 * How long many signatures at once keep the event loop from other work: `node bench/signing-turns.mjs [--library URL]`.
 * 5,000 calls of `sign()` in one turn. Prints how long the turn of the event loop is in which they are called, and the
 * longest one after it. `--library` measures another build: the URL of its entry point for the subpath `core`.
 */
import { parseArgs } from 'node:util';
import { machine } from './machine.mjs';
import { median } from './statistics.mjs';
import { CENSUS, createKeyPair, HERALD, KEY_ID, outgoing } from './tokens.mjs';

/** @typedef {import('./tokens.mjs').BenchAlgorithm} BenchAlgorithm */
/** @typedef {import('nestjs-service-auth/core').ServiceAuth} ServiceAuth */
/** @typedef {import('nestjs-service-auth/core').OutgoingRequest} OutgoingRequest */
/** In CPU milliseconds. @typedef {{ calls: number, longest: number, turns: number, all: number }} Burst */

const { values: options } = parseArgs({
  options: {
    library: { type: 'string', default: 'nestjs-service-auth/core' },
    calls: { type: 'string', default: '5000' },
    rounds: { type: 'string', default: '11' },
  },
});
const calls = Number(options.calls);
const rounds = Number(options.rounds);
const WARM_UPS = 3;
const { createServiceAuth } = /** @type {typeof import('nestjs-service-auth/core')} */ (
  await import(options.library)
);

/** CPU milliseconds of this process: on a busy machine, time alone says more of the others. */
function cpuMilliseconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Measures turns of the event loop in CPU milliseconds, from one round of `setImmediate` to the next, until it is stopped. */
class Turns {
  longest = 0;
  count = 0;
  #last = cpuMilliseconds();
  #isStopped = false;

  constructor() {
    setImmediate(() => this.#tick());
  }

  /** From now on others are counted. */
  reset() {
    this.longest = this.count = 0;
  }

  stop() {
    this.#isStopped = true;
  }

  #tick() {
    const now = cpuMilliseconds();
    this.longest = Math.max(this.longest, now - this.#last);
    this.count++;
    this.#last = now;
    if (!this.#isStopped) setImmediate(() => this.#tick());
  }
}

/** Resolves after so many turns of the event loop. @param {number} turns */
async function pass(turns) {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** @param {ServiceAuth} herald @param {readonly OutgoingRequest[]} requests @returns {Promise<Burst>} */
async function burst(herald, requests) {
  const turns = new Turns();
  await pass(5);
  turns.reset();
  const start = cpuMilliseconds();
  const tokens = requests.map((request) => herald.sign(request));
  await pass(1);
  const calls = turns.longest;
  turns.reset();
  await Promise.all(tokens);
  const all = cpuMilliseconds() - start;
  const { count } = turns;
  await pass(2);
  turns.stop();
  return { calls, longest: turns.longest, turns: count, all };
}

/** @type {Record<string, () => OutgoingRequest>} */
const REQUESTS = {
  'GET without a body': () => ({
    method: 'GET',
    url: `${CENSUS}user/42/`,
    headers: {},
    body: new Uint8Array(),
  }),
  'POST of 1 KiB': outgoing,
};

/** @param {BenchAlgorithm} algorithm @param {() => OutgoingRequest} toRequest */
async function measureBursts(algorithm, toRequest) {
  const { privateKey } = createKeyPair(algorithm);
  const herald = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey, keyId: KEY_ID, algorithm },
    targets: [{ baseUrl: CENSUS }],
  });
  /** @type {Burst[]} */
  const bursts = [];
  for (let round = -WARM_UPS; round < rounds; round++) {
    const measured = await burst(herald, Array.from({ length: calls }, toRequest));
    if (round >= 0) bursts.push(measured);
  }
  herald.close();
  const show = (/** @type {keyof Burst} */ part) => {
    const all = bursts.map((each) => each[part]);
    const [least, middle, most] = [Math.min(...all), median(all), Math.max(...all)];
    return `${middle.toFixed(1)} (${least.toFixed(1)} to ${most.toFixed(1)})`;
  };
  return {
    'turn of the calls, ms': show('calls'),
    'longest turn after it, ms': show('longest'),
    'all tokens after, turns': show('turns'),
    'all tokens after, ms': show('all'),
  };
}

console.log({ ...machine(), calls, rounds });
console.log('Each figure: the median of the rounds, and the least and the most.');
/** @type {Record<string, object>} */
const table = {};
// Those that sign on the main thread.
for (const algorithm of /** @type {BenchAlgorithm[]} */ (['ES256', 'EdDSA'])) {
  for (const [title, toRequest] of Object.entries(REQUESTS)) {
    table[`${algorithm}, ${title}`] = await measureBursts(algorithm, toRequest);
  }
}
console.table(table);
