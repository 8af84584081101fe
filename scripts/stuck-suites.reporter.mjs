// A reporter of Jest: ends a run in which no suite begins or ends for ten minutes. Jest limits the time of a test, but not that
// of loading a file, nor of a process that answers nothing.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import { ROOT } from './run.mjs';

/** How long nothing moves in a run that is stuck. Under load the longest suites take five minutes. */
const STUCK_SECONDS = Number(process.env['STUCK_AFTER_SECONDS'] ?? 600);
/** How long the workers of such a run are watched before they are ended. */
const WATCHED_SECONDS = Math.min(10, STUCK_SECONDS);
/** A worker that uses more of the processor works without end. One that uses less waits. */
const MOST_IDLE = 0.1;
const TICKS_A_SECOND = 100;

/**
 * @typedef {{ path: string }} Suite
 * @typedef {{ testFilePath: string, numFailingTests: number, testExecError?: unknown }} SuiteResult
 */

/** Jest makes one for each run, of the default export. */
export default class StuckSuitesReporter {
  /** @type {Set<string>} */
  #running = new Set();
  /** @type {Set<string>} those whose process waited until it was ended */
  #waiting = new Set();
  /** @type {NodeJS.Timeout | undefined} */
  #timer;

  onTestFileStart(/** @type {Suite} */ { path }) {
    this.#running.add(path);
    this.#watch();
  }

  onTestFileResult(/** @type {Suite} */ { path }) {
    this.#running.delete(path);
    this.#watch();
  }

  /**
   * If only suites failed whose process waited, writes a filter that selects them where STUCK_SUITES_FILTER says.
   *
   * @param {unknown} _contexts @param {{ testResults: SuiteResult[] }} results
   */
  onRunComplete(_contexts, { testResults }) {
    clearTimeout(this.#timer);
    const failed = testResults.filter((each) => each.numFailingTests > 0 || each.testExecError);
    const paths = failed.map((each) => each.testFilePath);
    const filter = process.env['STUCK_SUITES_FILTER'];
    if (filter === undefined || paths.length === 0) return;
    if (paths.every((path) => this.#waiting.has(path))) writeFileSync(filter, filterOf(paths));
  }

  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#endAll(), STUCK_SECONDS * 1000);
  }

  async #endAll() {
    const suites = [...this.#running];
    const names = suites.map((path) => relative(ROOT, path)).join(', ');
    const workers = workersOf(process.pid);
    const before = secondsUsedBy(workers);
    await pass(WATCHED_SECONDS * 1000);
    const used = secondsUsedBy(workers) - before;
    console.error(`\nStuck: ${names}, ${used.toFixed(1)} s of CPU in ${WATCHED_SECONDS} s`);
    for (const pid of workers) console.error(`worker ${pid}: ${threadsOf(pid).join(', ')}`);
    if (used < WATCHED_SECONDS * MOST_IDLE) for (const path of suites) this.#waiting.add(path);
    // Jest then counts their suites as failed.
    for (const pid of workers) process.kill(pid, 'SIGKILL');
    if (workers.length === 0) process.exit(1);
  }
}

/** A module for Jest's option `--filter`, which takes CommonJS. */
function filterOf(/** @type {readonly string[]} */ paths) {
  const isWanted = `(path) => ${JSON.stringify(paths)}.includes(path)`;
  return `module.exports = (paths) => ({ filtered: paths.filter(${isWanted}) });\n`;
}

/** The processes in which Jest runs suites; none where the system has no proc(5). */
function workersOf(/** @type {number} */ parent) {
  const names = process.platform === 'linux' ? readdirSync('/proc') : [];
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((pid) => {
    const isChild = fieldsOf(pid)[1] === String(parent);
    return isChild && textOf(`/proc/${pid}/cmdline`).includes('jest-worker');
  });
}

function secondsUsedBy(/** @type {readonly number[]} */ pids) {
  const ticks = pids.flatMap((pid) => fieldsOf(pid).slice(11, 13)).map(Number);
  return ticks.reduce((sum, each) => sum + each, 0) / TICKS_A_SECOND;
}

/** What each thread waits for: `ep_poll` is an event loop without work, `futex_…` a lock of the engine. */
function threadsOf(/** @type {number} */ pid) {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`);
  return threads.map((path) => `${textOf(`${path}/comm`).trim()} ${textOf(`${path}/wchan`)}`);
}

/** The fields of /proc/<pid>/stat behind the name of the program: its state, its parent, and so on. */
function fieldsOf(/** @type {number} */ pid) {
  return (textOf(`/proc/${pid}/stat`).split(') ').at(-1) ?? '').split(' ');
}

/** Empty where the process has ended meanwhile. */
function textOf(/** @type {string} */ path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
