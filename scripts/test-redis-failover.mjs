/**
 * Failovers of real Redis processes: Sentinel (planned, and `kill -9` of the primary) and Cluster (the same), under each
 * client. Tokens are used by two clients all the while, a third one connects after the failover, and each token is tried
 * again until the end: how many were accepted once, twice, never; how many answers were 503. Fails where a token was accepted
 * twice although nothing writes to the old primary any more.
 *
 *   node scripts/test-redis-failover.mjs [--only sentinel/planned/ioredis] [--seconds 16]
 */
import { randomUUID } from 'node:crypto';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as after } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import { createSentinel } from 'redis';

/** @typedef {typeof import('../lib/redis.js')} Shared */
/** @typedef {import('../lib/core/replay.js').TokenUse} TokenUse */
/** @typedef {import('../lib/redis.js').RedisReplayStore} Store */
/** @typedef {import('../lib/redis.js').RedisReplayStoreOptions['client']} Client */
/** @typedef {{ client: Client, ready: Promise<unknown>, close(): void }} Open */
/** @typedef {{ port: number, run(...words: string[]): string, kill(): Promise<void> }} Server */
/**
 * A running Redis: opens a client, and fails over.
 *
 * @typedef {{ open(name: string): Open, planned(): void, crash(): Promise<void>, close(): Promise<void> }} Topology
 */
/**
 * @typedef {{ topology: 'sentinel' | 'cluster', how: 'planned' | 'kill -9', client: string, wait?: boolean,
 *   fewest?: number }} Scenario
 */

/** @type {unknown} */
const built = await import(new URL('../dist/redis.js', import.meta.url).href);
const { RedisReplayStore } = /** @type {Shared} */ (built);

const MASTER = 'replay';
const REPLICAS = 2;
const TOLERANCE_SECONDS = 5;
const EVERY_MILLISECONDS = 10;
const TRIED_AGAIN_SECONDS = [0.02, 1, 4, 9];

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '16' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'redis-failover-'));
/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

async function findFreePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  // The bus of a cluster has the port 10,000 above.
  return port > 50_000 ? port - 20_000 : port;
}

/** @param {string[]} options @param {RegExp} until @param {(port: number) => string[]} settings @returns {Promise<Server>} */
async function start(options, until, settings) {
  const port = await findFreePort();
  const home = mkdtempSync(join(folder, `${port}-`));
  const file = join(home, 'redis.conf');
  const fixed = [`port ${port}`, 'bind 127.0.0.1', `dir ${home}`, 'protected-mode no'];
  writeFileSync(file, [...fixed, ...settings(port)].join('\n'));
  const child = spawn('redis-server', [file, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(child);
  for await (const line of createInterface({ input: child.stdout })) if (until.test(line)) break;
  child.stdout.resume();
  const kill = async () => {
    running.delete(child);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  const run = (/** @type {string[]} */ ...words) => {
    const { stdout } = spawnSync('redis-cli', ['-p', `${port}`, ...words], { encoding: 'utf8' });
    return stdout.trim();
  };
  return { port, run, kill };
}

/** @param {readonly string[]} settings */
const startRedis = async (settings) =>
  await start([], /Ready to accept connections/, () => ['save ""', ...settings]);

/** @param {() => boolean} isTrue @param {string} what */
async function until(isTrue, what) {
  for (let times = 0; times < 300; times++) {
    if (isTrue()) return;
    await after(100);
  }
  throw new Error(`never ${what}`);
}

/** One primary, two replicas, three sentinels. @param {Scenario} scenario @returns {Promise<Topology>} */
async function startSentinel({ fewest }) {
  const least = fewest ? [`min-replicas-to-write ${fewest}`, 'min-replicas-max-lag 2'] : [];
  const primary = await startRedis([...least, 'repl-diskless-sync-delay 0']);
  const replicaOf = [`replicaof 127.0.0.1 ${primary.port}`, 'repl-diskless-sync-delay 0', ...least];
  const replicas = await Promise.all([startRedis(replicaOf), startRedis(replicaOf)]);
  await until(
    () => primary.run('INFO', 'replication').split('state=online').length === 3,
    'had replicas',
  );
  /** @type {Server[]} */
  const sentinels = [];
  for (let each = 0; each < 3; each++) {
    sentinels.push(
      await start(['--sentinel'], /\+monitor/, () => [
        `sentinel monitor ${MASTER} 127.0.0.1 ${primary.port} 2`,
        `sentinel down-after-milliseconds ${MASTER} 1000`,
        `sentinel failover-timeout ${MASTER} 10000`,
      ]),
    );
  }
  const [sentinel] = sentinels;
  const knows = (/** @type {string} */ what) =>
    sentinel.run('SENTINEL', 'MASTER', MASTER).includes(what);
  await until(() => knows('num-slaves\n2') && knows('num-other-sentinels\n2'), 'knew each other');
  const nodes = sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
  return {
    open: (name) => openSentinel(name, nodes),
    planned: () => void sentinel.run('SENTINEL', 'FAILOVER', MASTER),
    crash: async () => await primary.kill(),
    close: async () => {
      for (const server of [...sentinels, ...replicas, primary]) await server.kill();
    },
  };
}

/** @param {string} name @param {{ host: string, port: number }[]} sentinels @returns {Open} */
function openSentinel(name, sentinels) {
  if (name === 'createSentinel') {
    const client = createSentinel({ name: MASTER, sentinelRootNodes: sentinels });
    client.on('error', () => undefined);
    return { client, ready: client.connect(), close: () => void client.destroy() };
  }
  const failoverDetector = name === 'ioredis failoverDetector';
  const client = new Redis({ sentinels, name: MASTER, failoverDetector });
  client.on('error', () => undefined);
  return { client, ready: once(client, 'ready'), close: () => client.disconnect() };
}

/** Three primaries with a replica each. @returns {Promise<Topology>} */
async function startCluster() {
  const settings = [
    'cluster-enabled yes',
    'cluster-node-timeout 1000',
    'repl-diskless-sync-delay 0',
  ];
  const servers = await Promise.all(
    Array.from({ length: 6 }, async () => await startRedis(settings)),
  );
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`);
  const [primary] = servers;
  primary.run('--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes');
  const isWhole = () =>
    servers.every(
      (server) =>
        server.run('CLUSTER', 'INFO').includes('cluster_state:ok') &&
        server.run('CLUSTER', 'NODES').split('slave').length === 4,
    );
  await until(isWhole, 'was whole');
  const replicaOfPrimary = () => {
    const id = primary.run('CLUSTER', 'MYID');
    return servers.find((server) => server.run('CLUSTER', 'NODES').includes(`myself,slave ${id}`));
  };
  await until(
    () => primary.run('INFO', 'replication').includes('state=online') && !!replicaOfPrimary(),
    'had a replica',
  );
  return {
    open: () => {
      const client = new Cluster([
        { host: '127.0.0.1', port: primary.port },
        { host: '127.0.0.1', port: servers[1].port },
      ]);
      client.on('error', () => undefined);
      return { client, ready: once(client, 'ready'), close: () => client.disconnect() };
    },
    planned: () => void replicaOfPrimary()?.run('CLUSTER', 'FAILOVER'),
    crash: async () => await primary.kill(),
    close: async () => {
      for (const server of servers) await server.kill();
    },
  };
}

/** @param {Scenario} scenario @param {Open} open */
function storeOver({ wait }, { client }) {
  const waitForReplicas = wait ? { count: 1, timeoutMilliseconds: 100 } : undefined;
  return new RedisReplayStore({ client, timeoutMilliseconds: 1000, waitForReplicas });
}

/** @param {Store} store @param {TokenUse} use @returns {Promise<'first' | 'seen' | '503'>} */
async function verdictOf(store, use) {
  const nowSeconds = Date.now() / 1000;
  try {
    return await store.recordUse({ ...use, nowSeconds });
  } catch {
    return '503';
  }
}

/** @param {Scenario} scenario */
async function run(scenario) {
  const topology = await (scenario.topology === 'sentinel'
    ? startSentinel(scenario)
    : startCluster());
  /** @type {Open[]} */
  const clients = [];
  /** @type {Store[]} */
  const stores = [];
  const join = async () => {
    const open = topology.open(scenario.client);
    clients.push(open);
    await open.ready;
    const store = storeOver(scenario, open);
    await store.start({ observe: () => undefined });
    stores.push(store);
  };
  await join();
  await join();

  /** @type {{ accepted: number, issued: number }[]} */
  const tokens = [];
  const answers = { first: 0, seen: 0, 503: 0 };
  /** @type {Promise<void>[]} */
  const trying = [];
  let lastFailure = 0;
  let failedOverAt = Infinity;
  const began = Date.now();
  const issue = async () => {
    const issuedAtSeconds = Date.now() / 1000;
    const use = {
      issuer: 'https://herald.service/',
      tokenId: randomUUID(),
      nowSeconds: issuedAtSeconds,
      issuedAtSeconds,
      forgetAtSeconds: issuedAtSeconds + 60 + TOLERANCE_SECONDS,
      clockToleranceSeconds: TOLERANCE_SECONDS,
    };
    const token = { accepted: 0, issued: Date.now() };
    const at = tokens.push(token);
    const attempt = async (/** @type {Store} */ store) => {
      const verdict = await verdictOf(store, use);
      answers[verdict]++;
      if (verdict === 'first') token.accepted++;
      if (verdict === '503' && Date.now() > lastFailure) lastFailure = Date.now();
    };
    await attempt(stores[at % 2]);
    for (const seconds of TRIED_AGAIN_SECONDS) {
      await after(token.issued + seconds * 1000 - Date.now());
      await Promise.all(stores.map(attempt));
    }
  };
  const seconds = Number(values.seconds);
  const failover = (async () => {
    await after(2000);
    failedOverAt = Date.now();
    if (scenario.how === 'planned') topology.planned();
    else await topology.crash();
    await after(3000);
    await join();
  })();
  while (Date.now() < began + (2 + seconds) * 1000) {
    trying.push(issue());
    await after(EVERY_MILLISECONDS);
  }
  await Promise.all([...trying, failover]);
  for (const open of clients) open.close();
  await topology.close();
  const count = (/** @type {(accepted: number) => boolean} */ test) =>
    tokens.filter(({ accepted }) => test(accepted)).length;
  return {
    tokens: tokens.length,
    once: count((accepted) => accepted === 1),
    twice: count((accepted) => accepted > 1),
    never: count((accepted) => accepted === 0),
    503: answers[503],
    until: lastFailure === 0 ? '' : `${((lastFailure - failedOverAt) / 1000).toFixed(1)} s`,
  };
}

/** @type {Scenario[]} */
const SCENARIOS = [];
for (const how of /** @type {const} */ (['planned', 'kill -9'])) {
  for (const client of ['ioredis', 'ioredis failoverDetector', 'createSentinel']) {
    for (const wait of [false, true]) SCENARIOS.push({ topology: 'sentinel', how, client, wait });
    if (how === 'kill -9') continue;
    for (const fewest of [1, REPLICAS])
      SCENARIOS.push({ topology: 'sentinel', how, client, fewest });
  }
  SCENARIOS.push({ topology: 'cluster', how, client: 'ioredis Cluster' });
}

console.log(
  '| | failover | client | set | tokens | once | twice | never | answers 503 | last 503 after |',
);
console.log('| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |');
/** Where no process writes to the old primary while another one asks the new. @param {Scenario} scenario */
const mustBeOnce = ({ topology, how, fewest }) =>
  how === 'kill -9' || topology === 'cluster' || fewest === REPLICAS;

let isGood = true;
for (const scenario of SCENARIOS) {
  const { topology, how, client, wait, fewest } = scenario;
  const set = wait ? 'waitForReplicas' : fewest ? `min-replicas-to-write ${fewest}` : '';
  if (![topology, how, client, set].join('/').includes(values.only)) continue;
  const result = await run(scenario);
  if (mustBeOnce(scenario) && result.twice > 0) isGood = false;
  const cells = [
    topology,
    how,
    client,
    set,
    result.tokens,
    result.once,
    result.twice,
    result.never,
  ];
  console.log(`| ${[...cells, result[503], result.until].join(' | ')} |`);
}
console.log(isGood ? '\nAs it must be.' : '\nNOT as it must be.');
process.exit(isGood ? 0 : 1);
