import { fork } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { EventEmitter, once } from 'node:events';

/** @typedef {import('node:child_process').ChildProcess & { readonly pid: number }} Child */

/** How many processes have loaded everything, and wait for one that ends. */
const SPARES = 2;

/**
 * Processes of one program that work. A spare one replaces each that ends, at once: it is loaded already. The program
 * sends `loaded`, works when it gets a message, and then sends `ready`, and `begun` whenever a handler begins.
 */
export class Workers extends EventEmitter {
  /** @type {Set<Child>} */
  working = new Set();
  /** @type {Promise<Child>[]} */
  spares = [];
  /** @type {Set<Child>} */
  all = new Set();
  isClosing = false;

  /** @param {string} program @param {object} instructions what each process is told */
  constructor(program, instructions) {
    super();
    this.program = program;
    this.instructions = JSON.stringify(instructions);
    // Whatever ends this process: one that is stopped would not notice.
    process.once('exit', () => this.all.forEach((child) => child.kill('SIGKILL')));
  }

  /** @param {number} count how many work at a time */
  async start(count) {
    this.isClosing = false;
    await Promise.all(Array.from({ length: count }, () => this.add()));
  }

  async add() {
    while (this.spares.length <= SPARES) this.spares.push(this.load());
    const child = await /** @type {Promise<Child>} */ (this.spares.shift());
    if (this.isClosing) return;
    child.on('exit', () => {
      this.working.delete(child);
      if (!this.isClosing) void this.add();
    });
    child.on('message', (message) => message === 'begun' && this.emit('begun', child));
    child.send('work');
    if (!(await isTold(child, 'ready'))) return;
    this.working.add(child);
    this.emit('ready');
  }

  /** A process that waits until it is told to work. */
  async load() {
    const child = /** @type {Child} */ (fork(this.program, [this.instructions]));
    this.all.add(child);
    child.once('exit', () => this.all.delete(child));
    if (!(await isTold(child, 'loaded'))) throw new Error(`${this.program} did not start`);
    return child;
  }

  /** One that works. */
  async any() {
    while (this.working.size === 0) await once(this, 'ready');
    return /** @type {Child} */ ([...this.working][randomInt(this.working.size)]);
  }

  /** Ends those that work, at once. */
  async stop() {
    this.isClosing = true;
    await Promise.all([...this.working].map(kill));
  }

  async close() {
    await this.stop();
    const spares = this.spares.splice(0);
    await Promise.all(spares.map(async (spare) => await kill(await spare)));
  }
}

/** @param {Child} child */
export async function kill(child) {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** @param {Child} child @param {string} word @returns {Promise<boolean>} false where it ends before that */
export async function isTold(child, word) {
  return await new Promise((resolve) => {
    /** @param {unknown} message */
    const listen = (message) => message === word && finish(true);
    const end = () => finish(false);
    /** @param {boolean} isSaid */
    const finish = (isSaid) => {
      child.off('message', listen);
      child.off('exit', end);
      resolve(isSaid);
    };
    child.on('message', listen);
    child.once('exit', end);
  });
}
