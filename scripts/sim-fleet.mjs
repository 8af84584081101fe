/**
 * What fetched keys cost a fleet, and how long it takes until everybody has a new key: the library's own
 * RemoteKeySource, on a clock that is moved, with a key server that only counts.
 *
 *   node scripts/sim-fleet.mjs [--services 500] [--instances 20] [--trusts 10] [--hours 24] [--max-age 600] [--seed 1]
 */
import { generateKeyPairSync } from 'node:crypto';
import { parseArgs } from 'node:util';
import { importSource } from './run.mjs';

/** @typedef {import('../lib/core/index.js').ServiceAuthEvent} ServiceAuthEvent */
/** @typedef {Record<string, unknown>} Jwk */
/** @typedef {() => number} Random answers 0 to 1 */
/** @typedef {(server: KeyServer, instances: Instance[]) => unknown} Step */
/**
 * @typedef {object} Scenario
 * @property {number} seconds
 * @property {(random: Random) => number} startOf when a process starts
 * @property {boolean} [jitter]
 * @property {Record<number, Step>} [steps] what happens at which second
 * @property {{ from: number, to: number, call: (instance: Instance) => Promise<void> }} [everySecond]
 * @property {(instance: Instance) => number[]} [measure]
 */
/** @typedef {{ fetchesIn: Uint32Array, measured: number[][] }} Run */

const built = await importSource('lib/keys/remote-key-source.ts');
const { RemoteKeySource } = /** @type {typeof import('../lib/keys/remote-key-source.js')} */ (
  built
);

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '500' },
    instances: { type: 'string', default: '20' },
    trusts: { type: 'string', default: '10' },
    hours: { type: 'string', default: '24' },
    'max-age': { type: 'string', default: '600' },
    seed: { type: 'string', default: '1' },
  },
});
const SERVICES = readNumber('services', 2);
const INSTANCES = readNumber('instances', 1);
const TRUSTS = Math.min(readNumber('trusts', 1), SERVICES - 1);
const HOURS = readNumber('hours', 1);
const MAX_AGE = readNumber('max-age', 60);
const SEED = readNumber('seed', 0);

const HOUR = 3600;
const OUTAGE = HOUR / 2;
/** How long a token lives, with the tolerance for clocks. */
const TOKEN_SECONDS = 65;
/** Key servers do not affect each other, so for a question about one of them some tell as much as all. */
const SAMPLE = Math.min(SERVICES, 50);

/**
 * @param {keyof typeof values} name
 * @param {number} least
 */
function readNumber(name, least) {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number >= least) return number;
  console.error(`--${name}: write a whole number from ${least}`);
  process.exit(1);
}

/**
 * Mulberry32: the same numbers for the same seed, on every machine.
 *
 * @param {number} seed
 * @returns {Random}
 */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {string} kid */
const jwk = (kid) => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }),
  kid,
  alg: 'ES256',
});
const OLD = jwk('old');
const NEW = jwk('new');
/** @param {Jwk[]} keys */
const setOf = (...keys) => Buffer.from(JSON.stringify({ keys }));

/** How many services trust each: every service picks its `TRUSTS` others at random. */
function countTrusting() {
  const random = randomFrom(SEED);
  /** @type {number[]} */
  const counts = Array.from({ length: SERVICES }, () => 0);
  for (let service = 0; service < SERVICES; service++) {
    const picked = new Set([service]);
    while (picked.size <= TRUSTS) picked.add(Math.floor(random() * SERVICES));
    picked.delete(service);
    for (const other of picked) counts[other]++;
  }
  return counts;
}

/** What a scenario may change while it runs: the server and what it lists. */
class KeyServer {
  set = setOf(OLD);
  version = 0;
  isDown = false;
  second = 0;

  /** @param {number} seconds */
  constructor(seconds) {
    this.fetchesIn = new Uint32Array(seconds);
    this.unreachable = new Error('down');
  }

  /** @param {Jwk[]} keys */
  list(...keys) {
    this.set = setOf(...keys);
    this.version++;
  }

  /** @param {string | undefined} etag */
  async answer(etag) {
    this.fetchesIn[this.second]++;
    if (this.isDown) throw this.unreachable;
    const known = String(this.version);
    const bytes = etag === known ? undefined : this.set;
    return { bytes, etag: known, maxAgeSeconds: MAX_AGE };
  }
}

/** One process that trusts the issuer, and when it learnt what. */
class Instance {
  knowsNewAt = Infinity;
  refusesOldAt = Infinity;
  reachedAt = Infinity;

  /**
   * @param {KeyServer} server
   * @param {Random} random
   */
  constructor(server, random) {
    this.server = server;
    this.keys = new RemoteKeySource({
      issuer: 'https://herald.service/',
      algorithms: undefined,
      fetchSet: async (etag) => await server.answer(etag),
      maxStaleSeconds: 24 * HOUR,
      now: () => server.second * 1000,
      random,
      observer: { observe: (event) => this.note(event) },
    });
  }

  /** @param {ServiceAuthEvent} event */
  note(event) {
    if (event.type !== 'keys_refreshed') return;
    const { keyIds } = event;
    const { second } = this.server;
    this.reachedAt = Math.min(this.reachedAt, second);
    if (keyIds.includes('new')) this.knowsNewAt = Math.min(this.knowsNewAt, second);
    if (keyIds.includes('old')) this.refusesOldAt = Infinity;
    else this.refusesOldAt = Math.min(this.refusesOldAt, second);
  }

  /** What the library does every second. Answers when it has something to do again. */
  async tick() {
    this.keys.refreshIfDue();
    await this.keys.settled();
    return this.server.second + Math.max(1, this.keys.health().nextRefreshInSeconds ?? 1);
  }
}

/**
 * Runs one key server and everybody who fetches from it.
 *
 * @param {number} processes
 * @param {number} seed
 * @param {Scenario} scenario
 * @returns {Promise<Run>}
 */
async function simulate(processes, seed, scenario) {
  const { seconds, startOf, jitter = true, steps = {}, everySecond, measure } = scenario;
  const random = randomFrom(seed);
  const server = new KeyServer(seconds);
  /** @type {(Instance[] | undefined)[]} */
  const calendar = Array.from({ length: seconds });
  /**
   * @param {number} second
   * @param {Instance} instance
   */
  const enter = (second, instance) => {
    if (second < seconds) (calendar[second] ??= []).push(instance);
  };
  const instances = Array.from({ length: processes }, () => {
    const instance = new Instance(server, jitter ? random : () => 0.5);
    enter(startOf(random), instance);
    return instance;
  });
  for (let second = 0; second < seconds; second++) {
    server.second = second;
    steps[second]?.(server, instances);
    for (const instance of calendar[second] ?? []) enter(await instance.tick(), instance);
    calendar[second] = undefined;
    if (everySecond && second >= everySecond.from && second < everySecond.to) {
      for (const instance of instances) await everySecond.call(instance);
    }
  }
  return { fetchesIn: server.fetchesIn, measured: measure ? instances.map(measure) : [] };
}

/**
 * @param {ArrayLike<number>} sorted
 * @param {number} share
 */
const quantile = (sorted, share) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
/** @param {number | undefined} number */
const round = (number) =>
  number !== undefined && Number.isFinite(number) ? Number(number.toFixed(2)) : '-';

/**
 * Mean, 99th percentile and maximum of what happened per second.
 *
 * @param {ArrayLike<number>} perSecond
 */
function ratesOf(perSecond) {
  const sorted = Uint32Array.from(perSecond).sort();
  const total = sorted.reduce((sum, count) => sum + count, 0);
  return [total / sorted.length, quantile(sorted, 0.99), sorted.at(-1) ?? 0].map(round);
}

/**
 * Median, 99th percentile and maximum.
 *
 * @param {number[]} delays
 */
function delaysOf(delays) {
  const sorted = Float64Array.from(delays).sort();
  return [quantile(sorted, 0.5), quantile(sorted, 0.99), sorted.at(-1)].map(round);
}

/**
 * @param {string} title
 * @param {string[]} head
 * @param {(string | number)[][]} rows
 */
function printTable(title, head, rows) {
  const all = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  /** @param {string[]} row */
  const line = (row) => `| ${row.map((cell, at) => cell.padEnd(widths[at])).join(' | ')} |`;
  console.log(`\n${title}\n`);
  console.log(line(all[0]));
  console.log(`| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  for (const row of all.slice(1)) console.log(line(row));
}

const trusting = countTrusting();
/**
 * @param {number} server
 * @param {number} scenario
 */
const seedOf = (server, scenario) => SEED * 1_000_003 + server * 31 + scenario;
/** @param {Random} random */
const spread = (random) => Math.floor(random() * MAX_AGE);
const atOnce = () => 0;

/**
 * The same scenario for a sample of key servers.
 *
 * @param {number} number
 * @param {Scenario} scenario
 */
async function simulateSample(number, scenario) {
  const runs = [];
  for (let server = 0; server < SAMPLE; server++) {
    runs.push(await simulate(trusting[server] * INSTANCES, seedOf(server, number), scenario));
  }
  return runs;
}

/**
 * The fetches per second of any of the servers.
 *
 * @param {Run[]} runs
 * @param {number} from
 * @param {number} to
 */
const rates = (runs, from, to) =>
  ratesOf(runs.flatMap(({ fetchesIn }) => Array.from(fetchesIn.subarray(from, to))));

/**
 * What was measured of each instance, counted from a second on.
 *
 * @param {Run[]} runs
 * @param {number} since
 * @param {number} which
 */
const delaysSince = (runs, since, which = 0) =>
  runs.flatMap(({ measured }) => measured.map((seconds) => seconds[which] - since));

async function anOrdinaryDay() {
  const seconds = (HOURS + 1) * HOUR;
  const all = new Uint32Array(seconds - HOUR);
  // How many seconds had how many fetches: every second of every server would be millions of numbers.
  const histogram = new Map();
  const rows = [];
  for (let server = 0; server < SERVICES; server++) {
    const processes = trusting[server] * INSTANCES;
    const scenario = { seconds, startOf: spread };
    const { fetchesIn } = await simulate(processes, seedOf(server, 1), scenario);
    const afterStart = fetchesIn.subarray(HOUR);
    for (const [second, fetches] of afterStart.entries()) {
      all[second] += fetches;
      histogram.set(fetches, (histogram.get(fetches) ?? 0) + 1);
    }
    rows.push([processes, ...ratesOf(afterStart)]);
  }
  rows.sort(([one], [other]) => Number(one) - Number(other));
  printTable(
    `An ordinary day: ${HOURS} h, max-age ${MAX_AGE} s. Fetches per second:`,
    ['', 'instances that fetch', 'mean', 'p99', 'max'],
    [
      ['the least trusted service', ...rows[0]],
      ['the median service', ...rows[Math.floor(rows.length / 2)]],
      ['the most trusted service', ...rows[rows.length - 1]],
      ['any service', '', ...ratesOfHistogram(histogram)],
      ['all services together', '', ...ratesOf(all)],
    ],
  );
}

/** @param {Map<number, number>} histogram */
function ratesOfHistogram(histogram) {
  const sorted = [...histogram].sort(([one], [other]) => one - other);
  const seconds = sorted.reduce((sum, [, times]) => sum + times, 0);
  const total = sorted.reduce((sum, [fetches, times]) => sum + fetches * times, 0);
  let seen = 0;
  const [p99] = sorted.find(([, times]) => (seen += times) >= seconds * 0.99) ?? [];
  return [total / seconds, p99, sorted.at(-1)?.[0]].map(round);
}

const JITTERS = /** @type {const} */ ([
  ['as built', true],
  ['without jitter', false],
]);

async function aRestartOfEverything() {
  const seconds = 4 * HOUR;
  const rows = [];
  for (const [label, jitter] of JITTERS) {
    const runs = await simulateSample(2, { seconds, startOf: atOnce, jitter });
    const [, , first] = rates(runs, 0, 1);
    const [, ...firstHour] = rates(runs, 1, HOUR);
    const [, ...fourthHour] = rates(runs, 3 * HOUR, seconds);
    rows.push([label, first, ...firstHour, ...fourthHour]);
  }
  printTable(
    'Everything starts in the same second. Fetches per second of a key server:',
    ['', 'first second, max', 'first hour, p99', 'max', 'fourth hour, p99', 'max'],
    rows,
  );
}

async function anOutage() {
  const down = HOUR;
  const back = down + OUTAGE;
  /** @type {Record<number, Step>} */
  const steps = {
    [down]: (server) => (server.isDown = true),
    [back]: (server, instances) => {
      server.isDown = false;
      for (const instance of instances) instance.reachedAt = Infinity;
    },
  };
  const rows = [];
  for (const [label, jitter] of JITTERS) {
    const runs = await simulateSample(3, {
      seconds: 3 * HOUR,
      startOf: spread,
      jitter,
      steps,
      measure: ({ reachedAt }) => [reachedAt],
    });
    const [before] = rates(runs, down - HOUR / 2, down);
    // By then every instance has tried once and failed.
    const meanwhile = rates(runs, down + MAX_AGE, back);
    const [, ...after] = rates(runs, back, back + HOUR);
    rows.push([label, before, ...meanwhile, ...after, ...delaysOf(delaysSince(runs, back))]);
  }
  printTable(
    `A key server is down for ${OUTAGE / 60} minutes, and known keys serve on. Its fetches per second, and seconds after it until instances reach it:`,
    [
      '',
      'before, mean',
      'down, mean',
      'p99',
      'max',
      'hour after, p99',
      'max',
      'reached, p50',
      'p99',
      'max',
    ],
    rows,
  );
}

async function aRestartDuringAnOutage() {
  const back = OUTAGE;
  /** @type {Record<number, Step>} */
  const steps = {
    0: (server) => (server.isDown = true),
    [back]: (server) => (server.isDown = false),
  };
  const runs = await simulateSample(4, {
    seconds: 2 * HOUR,
    startOf: atOnce,
    steps,
    measure: ({ reachedAt }) => [reachedAt],
  });
  const [, , first] = rates(runs, 0, 1);
  const [firstMinute] = rates(runs, 1, 61);
  const row = [first, firstMinute, ...rates(runs, 61, back), ...delaysOf(delaysSince(runs, back))];
  printTable(
    `Everything starts in the same second while a key server is down for ${OUTAGE / 60} minutes, so that no key of it is known. Its fetches per second, and seconds after the outage until instances have keys:`,
    [
      'first second, max',
      'first minute, mean',
      'then, mean',
      'p99',
      'max',
      'have keys, p50',
      'p99',
      'max',
    ],
    [row],
  );
}

async function aRotation() {
  const added = HOUR;
  const switched = added + MAX_AGE;
  const removed = switched + TOKEN_SECONDS + MAX_AGE;
  /** @type {Record<number, Step>} */
  const steps = {
    [added]: (server) => server.list(OLD, NEW),
    // The switch itself changes nothing of the set: next becomes current, current previous.
    [removed]: (server) => server.list(NEW),
  };
  const rows = [];
  for (const [label, jitter] of JITTERS) {
    const runs = await simulateSample(5, {
      seconds: removed + 2 * MAX_AGE,
      startOf: spread,
      jitter,
      steps,
      measure: ({ knowsNewAt, refusesOldAt }) => [knowsNewAt, refusesOldAt],
    });
    const known = delaysSince(runs, added, 0);
    const late = known.filter((delay) => delay > switched - added).length;
    rows.push([label, ...delaysOf(known), late, ...delaysOf(delaysSince(runs, removed, 1))]);
  }
  printTable(
    'A rotation by the procedure. Seconds until instances know the next key, how many do not when it begins to sign, and seconds until they refuse the old one:',
    ['', 'known, p50', 'p99', 'max', 'too late', 'refused, p50', 'p99', 'max'],
    rows,
  );
}

async function anEmergency() {
  const replaced = HOUR;
  // A request a second with a token of the new key, until it is known.
  const busy = {
    from: replaced,
    to: replaced + MAX_AGE,
    /** @param {Instance} instance */
    call: async ({ keys, knowsNewAt }) => {
      if (knowsNewAt === Infinity) await keys.find('new');
    },
  };
  const rows = [];
  for (const [label, everySecond] of /** @type {const} */ ([
    ['a request every second', busy],
    ['no request', undefined],
  ])) {
    const runs = await simulateSample(6, {
      seconds: replaced + 2 * MAX_AGE,
      startOf: spread,
      steps: { [replaced]: (server) => server.list(NEW) },
      everySecond,
      measure: ({ refusesOldAt }) => [refusesOldAt],
    });
    const delays = delaysSince(runs, replaced);
    const late = (100 * delays.filter((delay) => delay > 0).length) / delays.length;
    const [, , most] = rates(runs, replaced, replaced + 60);
    rows.push([label, `${round(late)} %`, ...delaysOf(delays), most]);
  }
  printTable(
    'A key is replaced at once, without being published ahead. Seconds until instances know the new key and refuse the old one, and the most fetches per second:',
    ['an instance gets', 'not at once', 'p50', 'p99', 'max', 'fetches, max'],
    rows,
  );
}

const begun = performance.now();
console.log(
  `${SERVICES} services of ${INSTANCES} instances, each trusts ${TRUSTS} others; all but the last table: ${SAMPLE} key servers.`,
);
const scenarios = [
  aRestartOfEverything,
  anOutage,
  aRestartDuringAnOutage,
  aRotation,
  anEmergency,
  anOrdinaryDay,
];
for (const scenario of scenarios) await scenario();
console.log(`\nTook ${Math.round((performance.now() - begun) / 1000)} s here.`);
