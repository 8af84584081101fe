import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { kill } from './workers.mjs';

/** @typedef {import('./workers.mjs').Child} Child */
/** @typedef {import('./workers.mjs').Workers} Workers */
/** @typedef {import('../../test/support/chaos/run-lines.js').Line} Line */

/** Kills and stops processes while their handlers run, and remembers which and when. */
export class Incidents {
  /** @type {Map<number, number>} */
  killedAt = new Map();
  /** @type {{ pid: number, from: number, to: number }[]} */
  stops = [];

  /** @param {Workers} workers @param {import('./line-reader.mjs').LineReader} reader @param {() => number} now */
  constructor(workers, reader, now) {
    this.workers = workers;
    this.reader = reader;
    this.now = now;
  }

  /** @param {() => Promise<void>} feed gives the workers something to do @param {number} mostMilliseconds after a handler has begun */
  async killOne(feed, mostMilliseconds) {
    const child = await this.oneWithHandler(feed);
    await sleep(randomInt(mostMilliseconds));
    const runs = openRuns(this.reader.read(), (pid) => pid === child.pid);
    if (runs.length === 0 || !this.workers.working.has(child)) return;
    await kill(child);
    this.killedAt.set(child.pid, this.now());
  }

  /** @param {() => Promise<void>} feed @param {number} milliseconds how long */
  async stopOne(feed, milliseconds) {
    const child = await this.oneWithHandler(feed);
    child.kill('SIGSTOP');
    const from = this.now();
    await sleep(milliseconds);
    this.stops.push({ pid: child.pid, from, to: this.now() });
    child.kill('SIGCONT');
  }

  /** @param {() => Promise<void>} feed @returns {Promise<Child>} a process some handlers of which have just begun */
  async oneWithHandler(feed) {
    const begun = this.handlerBegins(randomInt(1, 12));
    await feed();
    return await begun;
  }

  /** @param {number} count of those that begin from now on @returns {Promise<Child>} the process of the last */
  async handlerBegins(count) {
    return await new Promise((resolve) => {
      let left = count;
      /** @param {Child} child */
      const listen = (child) => {
        left -= 1;
        if (left > 0) return;
        this.workers.off('begun', listen);
        resolve(child);
      };
      this.workers.on('begun', listen);
    });
  }
}

/** Runs that have not ended. @param {readonly Line[]} lines @param {(pid: number) => boolean} isMeant */
export function openRuns(lines, isMeant) {
  /** @type {Set<string>} */
  const open = new Set();
  for (const line of lines) {
    if (!('use' in line) || !isMeant(line.pid) || line.step === 'effect') continue;
    if (line.step === 'reserved') open.add(line.owner);
    else open.delete(line.owner);
  }
  return [...open];
}
