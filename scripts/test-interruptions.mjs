/**
 * Interrupts the sample at ten moments with SIGTERM and with SIGINT, and kills its services:
 * `node scripts/test-interruptions.mjs [part of a title]`, after `npm start`. No process and no open port may be left. Linux only, for /proc.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from './run.mjs';

const MAIN = join(ROOT, 'dist-sample/main.js');
const PORTS = [
  'CENSUS_PORT',
  'HERALD_PORT',
  'ANOTHER_PORT',
  'EDGE_PORT',
  'COURIER_PORT',
  'COURIER_TCP_PORT',
  'PAGE_PORT',
];
const MOST_MILLISECONDS = 120_000;

/** What the sample prints at the moment, from its first line to its last; null: at once after its start. */
const MOMENTS = [
  ['before the first line', null],
  ['when the services start', /^Starting five services/],
  ['when the first service listens', /edge\.service.*listens at/],
  ['when the third service listens', /herald\.service.*listens at/],
  ['when the story begins', /^The operator/],
  ['in the middle of the story', /^The e-mail/],
  ['among the refusals', /^ {2}replayed token/],
  ['between the story and the page', /^Everything went as it should/],
  ['when the page opens', /^What to do next/],
  ['when everything is up', /Ctrl-C stops them/],
];

/** @returns {Promise<number>} a port that nobody listens on */
async function freePort() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await once(server.close(), 'close');
  return port;
}

/** @param {number} port */
async function isOpen(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The processes that have a text in their environment: those of one run, whoever their parent is. */
function processesWith(/** @type {string} */ marker) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(marker);
      } catch {
        return false; // It has ended meanwhile, or is somebody else's.
      }
    })
    .map(Number);
}

/** Starts the sample, on ports and with keys of its own. */
async function startSample() {
  const keys = mkdtempSync(join(tmpdir(), 'sample-interruptions-'));
  const ports = await Promise.all(PORTS.map(freePort));
  const child = spawn(process.execPath, [MAIN], {
    cwd: ROOT,
    detached: true, // A process group of its own, as a terminal makes.
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      FORCE_COLOR: '0',
      SMTP_URL: '',
      SAMPLE_KEYS: keys,
      ...Object.fromEntries(PORTS.map((name, index) => [name, String(ports[index])])),
    },
  });
  /** @type {string[]} */
  const lines = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(line));
  const exited = once(child, 'exit');
  const whenSaid = async (/** @type {RegExp} */ wanted) => {
    if (lines.some((line) => wanted.test(line))) return;
    const isOver = exited.then(() => assert.fail(`ended before ${wanted}: ${lines.join('\n')}`));
    await Promise.race([
      isOver,
      new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
        reader.on('line', (line) => {
          if (wanted.test(line)) resolve();
        });
      }),
    ]);
  };
  return { child, keys, ports, lines, exited, whenSaid };
}

/** @param {Awaited<ReturnType<typeof startSample>>} sample */
async function assertNothingIsLeft({ keys, ports }) {
  const deadline = performance.now() + MOST_MILLISECONDS;
  // The services notice on their own that the runner has gone; these are no children of ours, so we look.
  while (processesWith(keys).length > 0 && performance.now() < deadline) await sleep(20);
  const left = processesWith(keys);
  for (const pid of left) process.kill(pid, 'SIGKILL');
  assert.deepEqual(left, [], 'processes are left');
  const open = await Promise.all(ports.map(isOpen));
  assert.ok(!open.includes(true), 'a port is open');
  rmSync(keys, { recursive: true, force: true });
}

/**
 * @param {RegExp | null} moment
 * @param {NodeJS.Signals} signal
 * @param {'process' | 'group'} target a terminal sends Ctrl-C to the group
 * @returns {Promise<string>} how long it took to end
 */
async function interruptAt(moment, signal, target) {
  const sample = await startSample();
  const pid = sample.child.pid ?? assert.fail('it did not start');
  if (moment) await sample.whenSaid(moment);
  const interruptedAt = performance.now();
  process.kill(target === 'group' ? -pid : pid, signal);
  await sample.exited;
  await assertNothingIsLeft(sample);
  return `ended ${((performance.now() - interruptedAt) / 1000).toFixed(1)} s after the signal`;
}

/** A service that dies is started again, on its port, and the sample goes on. */
async function killServices() {
  const sample = await startSample();
  await sample.whenSaid(/Ctrl-C stops them/);
  for (const [index, name] of ['census', 'herald', 'another', 'edge', 'courier'].entries()) {
    const pids = processesWith(sample.keys);
    const pid = pids.find((each) =>
      readFileSync(`/proc/${each}/cmdline`, 'utf8').includes(`/${name}/main.js`),
    );
    process.kill(pid ?? assert.fail(`${name} does not run`), 'SIGKILL');
    await sample.whenSaid(new RegExp(`${name}\\.service.*ended by itself \\(SIGKILL\\)`));
    await sample.whenSaid(new RegExp(`${name}\\.service.*listens again`));
    assert.ok(await isOpen(sample.ports[index] ?? 0), `${name} listens`);
  }
  assert.equal(sample.child.exitCode, null);
  sample.child.kill('SIGTERM');
  assert.deepEqual(await sample.exited, [0, null]);
  await assertNothingIsLeft(sample);
  return 'each came back';
}

/** @type {[title: string, check: () => Promise<string>][]} */
const CHECKS = [
  ...MOMENTS.flatMap(([when, moment]) =>
    /** @type {const} */ ([
      ['SIGTERM', 'process'],
      ['SIGINT', 'group'],
    ]).map(([signal, target]) => {
      const pattern = moment instanceof RegExp ? moment : null;
      const check = () => interruptAt(pattern, signal, target);
      return /** @type {[string, () => Promise<string>]} */ ([`${signal} ${String(when)}`, check]);
    }),
  ),
  ['SIGKILL for each service', killServices],
];

const wanted = process.argv[2] ?? '';
const chosen = CHECKS.filter(([title]) => title.includes(wanted));
let failed = 0;
for (const [title, check] of chosen) {
  const start = performance.now();
  try {
    const outcome = await check();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`passed ${title}: ${outcome}, ${seconds} s in all`);
  } catch (error) {
    failed += 1;
    console.error(`FAILED ${title}:`, error);
  }
}
console.log(`\n${chosen.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
