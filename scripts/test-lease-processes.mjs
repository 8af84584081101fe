/**
 * Several processes take messages from a broker that delivers at least once, share one Redis, and reserve each use before
 * its handler runs. Meanwhile processes are killed (SIGKILL), and stopped (SIGSTOP) for longer than a lease. Counts the
 * effects of each message: one, except after a crash between effect and commit, or a stop.
 *
 *   node scripts/test-lease-processes.mjs [--messages 2000] [--copies 3] [--incidents 12]
 */
import { fork, spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { toJavaScript } from '../test/transform.mjs';

/** @typedef {typeof import('../lib/replay/leased-use.js')} Leases */
/** @typedef {typeof import('../lib/replay/redis-replay-store.js')} Stores */
/** @typedef {{ id: string, delivery: string }} Delivery */
/** @typedef {'ack' | 'requeue'} Settlement */
/** @typedef {{ what: 'effect' | 'owned' | 'lost', id: string, pid: number }} Line */
/** @typedef {{ child: import('node:child_process').ChildProcess, inFlight: Map<string, Delivery>, isStopped: boolean }} Worker */

const PROCESSES = 4;
const PREFETCH = 20;
const LEASE_MILLISECONDS = 1500;
const STOP_MILLISECONDS = 3 * LEASE_MILLISECONDS;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const THIS_FILE = fileURLToPath(import.meta.url);

/**
 * Compiles what the package does not export, from the sources.
 *
 * @param {string} folder
 */
function compileParts(folder) {
  for (const part of ['core', 'core/grants', 'core/messages', 'replay']) {
    mkdirSync(join(folder, part), { recursive: true });
    for (const name of readdirSync(join(ROOT, 'lib', part)).filter((file) =>
      file.endsWith('.ts'),
    )) {
      const source = join(ROOT, 'lib', part, name);
      const { code } = toJavaScript(readFileSync(source, 'utf8'), source);
      writeFileSync(join(folder, part, name.replace(/\.ts$/, '.js')), code);
    }
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
}

/** A consumer: 20 % of its handlers fail, and 3 % take longer than a lease. @param {{ folder: string, redisPort: number, log: string, startSeconds: number }} its */
async function consume({ folder, redisPort, log, startSeconds }) {
  /** @param {string} name @returns {Promise<unknown>} */
  const load = async (name) => await import(pathToFileURL(join(folder, 'replay', name)).href);
  const { LeasedUse, reserveUse } = /** @type {Leases} */ (await load('leased-use.js'));
  const { RedisReplayStore } = /** @type {Stores} */ (await load('redis-replay-store.js'));
  const client = new Redis({ port: redisPort, retryStrategy: () => 50 });
  if (client.status !== 'ready') await once(client, 'ready');
  const store = new RedisReplayStore({ client, timeoutMilliseconds: 5000 });
  const note = (/** @type {Line['what']} */ what, /** @type {string} */ id) =>
    appendFileSync(log, `${JSON.stringify({ what, id, pid: process.pid })}\n`);

  /** @param {string} id @returns {Promise<Settlement>} */
  async function handle(id) {
    const expiresAtSeconds = startSeconds + 600;
    const use = {
      issuer: 'https://herald.service/',
      tokenId: id,
      nowSeconds: Date.now() / 1000,
      issuedAtSeconds: startSeconds,
      forgetAtSeconds: expiresAtSeconds + 10,
      clockToleranceSeconds: 5,
    };
    const held = await reserveUse(store, use, {
      leaseMilliseconds: LEASE_MILLISECONDS,
      mayRenewUntilSeconds: expiresAtSeconds + 5,
      now: () => Date.now(),
      monotonicNow: () => performance.now(),
      waitMilliseconds: LEASE_MILLISECONDS,
    });
    if (!(held instanceof LeasedUse)) return held === 'seen' ? 'ack' : 'requeue';
    await sleep(randomInt(100) < 3 ? 2.5 * LEASE_MILLISECONDS : randomInt(5, 60));
    if (randomInt(100) < 20) {
      await held.release();
      return 'requeue';
    }
    note('effect', id);
    await sleep(randomInt(3));
    note(await held.commit(), id);
    return 'ack';
  }

  process.on('message', (/** @type {Delivery} */ { id, delivery }) => {
    const settle = (/** @type {Settlement} */ settlement) =>
      process.send?.({ delivery, settlement });
    handle(id).then(settle, () => settle('requeue'));
  });
  process.on('disconnect', () => process.exit());
  process.send?.('ready');
}

/** @param {number} port */
async function startRedis(port) {
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const redis = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => redis.kill('SIGKILL'));
  for await (const line of createInterface({ input: redis.stdout })) {
    if (line.includes('Ready to accept connections')) break;
  }
  redis.stdout.resume();
  return redis;
}

async function findFreePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/** Delivers at least once: what a process has not settled when it ends is delivered again. */
class Broker {
  /** @type {Set<Worker>} */
  workers = new Set();
  /** @type {Delivery[]} */
  queue = [];
  unsettled = 0;
  isClosing = false;

  /** @param {object} instructions what each process is told */
  constructor(instructions) {
    this.instructions = instructions;
  }

  /** @param {string} id */
  publish(id) {
    this.unsettled += 1;
    this.queue.push({ id, delivery: randomUUID() });
  }

  async addWorker() {
    const child = fork(THIS_FILE, ['consume', JSON.stringify(this.instructions)]);
    /** @type {Worker} */
    const worker = { child, inFlight: new Map(), isStopped: false };
    child.on('exit', () => this.lose(worker));
    await once(child, 'message');
    child.on('message', (message) => {
      const { delivery, settlement } = /** @type {{ delivery: string, settlement: Settlement }} */ (
        message
      );
      this.settle(worker, delivery, settlement);
    });
    this.workers.add(worker);
    this.deliver();
  }

  deliver() {
    for (const worker of this.workers) {
      while (!worker.isStopped && worker.inFlight.size < PREFETCH) {
        const [next] = this.queue.splice(randomInt(Math.max(1, this.queue.length)), 1);
        if (!next) return;
        worker.inFlight.set(next.delivery, next);
        worker.child.send(next, () => undefined);
      }
    }
  }

  /** @param {Worker} worker @param {string} delivery @param {Settlement} settlement */
  settle(worker, delivery, settlement) {
    const settled = worker.inFlight.get(delivery);
    if (!settled) return;
    worker.inFlight.delete(delivery);
    if (settlement === 'ack') this.unsettled -= 1;
    else this.queue.push(settled);
    this.deliver();
  }

  /** @param {Worker} worker */
  lose(worker) {
    this.workers.delete(worker);
    if (this.isClosing) return;
    this.queue.push(...worker.inFlight.values());
    worker.inFlight.clear();
    this.deliver();
    void this.addWorker();
  }

  /** One that runs. */
  anyWorker() {
    const running = [...this.workers].filter(({ isStopped }) => !isStopped);
    return running[randomInt(Math.max(1, running.length))];
  }

  close() {
    this.isClosing = true;
    for (const { child } of this.workers) child.kill('SIGKILL');
  }
}

/** @param {Broker} broker @param {number} count @param {() => boolean} isOver @returns the processes that were killed, and the messages that stopped processes held */
async function disturb(broker, count, isOver) {
  const done = {
    killed: /** @type {Set<number>} */ (new Set()),
    stopped: /** @type {Set<string>} */ (new Set()),
    kills: 0,
    stops: 0,
  };
  for (let at = 0; at < count && !isOver(); at++) {
    await sleep(randomInt(200, 900));
    const worker = broker.anyWorker();
    if (!worker) continue;
    if (at % 2 === 0) {
      done.killed.add(worker.child.pid ?? 0);
      done.kills += 1;
      worker.child.kill('SIGKILL');
      continue;
    }
    done.stops += 1;
    worker.isStopped = true;
    worker.child.kill('SIGSTOP');
    for (const { id } of worker.inFlight.values()) done.stopped.add(id);
    await sleep(STOP_MILLISECONDS);
    worker.child.kill('SIGCONT');
    worker.isStopped = false;
    broker.deliver();
  }
  return done;
}

/**
 * @param {readonly string[]} ids
 * @param {readonly Line[]} lines
 * @param {Awaited<ReturnType<typeof disturb>>} incidents
 */
function report(ids, lines, { killed, stopped, kills, stops }) {
  /** @param {Line['what']} what @param {string} id */
  const linesOf = (what, id) => lines.filter((line) => line.what === what && line.id === id);
  const effects = new Map(ids.map((id) => [id, linesOf('effect', id)]));
  const never = ids.filter((id) => effects.get(id)?.length === 0);
  const twice = ids.filter((id) => (effects.get(id)?.length ?? 0) > 1);
  /** An effect of a process that was killed, without the line that follows its commit. @param {string} id */
  const isCrash = (id) =>
    (effects.get(id) ?? []).some(
      ({ pid }) =>
        killed.has(pid) &&
        !lines.some((line) => line.what !== 'effect' && line.id === id && line.pid === pid),
    );
  const byStop = twice.filter((id) => stopped.has(id) && linesOf('lost', id).length > 0);
  const byCrash = twice.filter((id) => !byStop.includes(id) && isCrash(id));
  const unexplained = twice.length - byStop.length - byCrash.length;
  const lost = lines.filter(({ what }) => what === 'lost').length;
  console.log(`${kills} processes killed, ${stops} stopped for ${STOP_MILLISECONDS} ms`);
  console.log(`messages with one effect ${ids.length - never.length - twice.length}`);
  console.log(`  with none ${never.length}, with more than one ${twice.length}:`);
  console.log(`  after a crash between effect and commit ${byCrash.length}`);
  console.log(`  after a stop longer than the lease, reported as lost ${byStop.length}`);
  console.log(`  neither ${unexplained}`);
  console.log(`commits that reported a lost lease ${lost}`);
  return never.length === 0 && unexplained === 0;
}

/** @param {{ messages: number, copies: number, incidents: number }} plan */
async function run({ messages, copies, incidents }) {
  const folder = mkdtempSync(join(tmpdir(), 'lease-processes-'));
  const redisPort = await findFreePort();
  const redis = await startRedis(redisPort);
  const log = join(folder, 'effects.jsonl');
  const startSeconds = Date.now() / 1000;
  compileParts(folder);
  const broker = new Broker({ folder, redisPort, log, startSeconds });
  const ids = Array.from({ length: messages }, () => randomUUID());
  for (const id of ids) for (let copy = 0; copy < copies; copy++) broker.publish(id);
  await Promise.all(Array.from({ length: PROCESSES }, async () => await broker.addWorker()));
  const isOver = () => broker.unsettled === 0;
  const disturbing = disturb(broker, incidents, isOver);
  while (!isOver()) await sleep(100);
  const done = await disturbing;
  broker.close();
  redis.kill('SIGKILL');
  await once(redis, 'exit');
  const text = existsSync(log) ? readFileSync(log, 'utf8') : '';
  const lines = text
    .split('\n')
    .filter(Boolean)
    .map((line) => /** @type {Line} */ (JSON.parse(line)));
  rmSync(folder, { recursive: true, force: true });
  console.log(`${messages} messages, ${copies} copies each, ${PROCESSES} processes, one Redis:`);
  return report(ids, lines, done);
}

if (process.argv[2] === 'consume') {
  await consume(JSON.parse(process.argv[3] ?? ''));
} else {
  const { values } = parseArgs({
    options: {
      messages: { type: 'string', default: '2000' },
      copies: { type: 'string', default: '3' },
      incidents: { type: 'string', default: '12' },
    },
  });
  const { messages, copies, incidents } = values;
  const isGood = await run({
    messages: Number(messages),
    copies: Number(copies),
    incidents: Number(incidents),
  });
  console.log(isGood ? '\nAs it must be.' : '\nNOT as it must be.');
  process.exit(isGood ? 0 : 1);
}
