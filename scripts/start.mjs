/**
 * Runs the sample: `npm start`, and `npm run sample:rotate`. Builds first what is older than its sources, the package or
 * the sample, and says so; when nothing changed, the sample starts at once.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { isSampleStale, isStale, SAMPLE_STAMP } from './build-if-stale.mjs';
import { ROOT } from './run.mjs';

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
const CAN_END_GROUPS = process.platform !== 'win32';

/**
 * Runs a step of the build in a process group of its own. A signal for this process ends the group, and then this process.
 *
 * @param {string} what
 * @param {readonly string[]} args of Node
 */
async function build(what, args) {
  const start = performance.now();
  process.stdout.write(`${what} ...`);
  const dots = setInterval(() => process.stdout.write('.'), 1000);
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: CAN_END_GROUPS,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => (output += text));
  }
  /** @type {NodeJS.Signals | undefined} */
  let received;
  const end = (/** @type {NodeJS.Signals} */ signal) => {
    received = signal;
    if (child.pid === undefined || child.exitCode !== null) return;
    process.kill(CAN_END_GROUPS ? -child.pid : child.pid, 'SIGKILL');
  };
  for (const signal of SIGNALS) process.on(signal, end);
  // The reader of our output has gone, `| head` for one.
  const endUnread = () => end('SIGPIPE');
  process.stdout.on('error', endUnread);
  const [code] = /** @type {[number | null]} */ (await once(child, 'close'));
  clearInterval(dots);
  for (const signal of SIGNALS) process.off(signal, end);
  process.stdout.off('error', endUnread);
  if (received !== undefined) process.exit(128 + constants.signals[received]);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(code === 0 ? ` ${seconds} s` : ` failed\n\n${output}`);
  if (code !== 0) process.exit(1);
}

const isRotation = process.argv[2] === 'rotate';
console.log(
  isRotation
    ? 'Five services on this machine, and one of them gets another key.'
    : 'Five services on this machine call each other with signed requests.',
);
if (isStale()) await build('Building the package', ['scripts/build.mjs']);
if (isSampleStale()) {
  await build('Compiling the sample', ['node_modules/typescript/bin/tsc', '-p', 'sample']);
  writeFileSync(SAMPLE_STAMP, '');
}
await import(join(ROOT, 'dist-sample', isRotation ? 'rotate.js' : 'main.js'));
