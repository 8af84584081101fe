/** What CPU time this process takes, in microseconds. */
import { readFileSync } from 'node:fs';

const SCHEDSTAT = `/proc/self/task/${process.pid}/schedstat`;

/** CPU microseconds: of all threads, and of the main thread. @typedef {{ all: number, main: number | undefined }} Cost */

/** What this process has taken until now. @returns {Cost} */
export function cpuTime() {
  const { user, system } = process.cpuUsage();
  return { all: user + system, main: mainThreadMicroseconds() };
}

/** What this process has taken since then. @param {Cost} before @returns {Cost} */
export function cpuTimeSince(before) {
  const { all, main } = cpuTime();
  return {
    all: all - before.all,
    main: main === undefined || before.main === undefined ? undefined : main - before.main,
  };
}

/** Undefined where the system does not tell. */
function mainThreadMicroseconds() {
  try {
    return Number(readFileSync(SCHEDSTAT, 'utf8').split(' ')[0]) / 1000;
  } catch {
    return undefined;
  }
}
