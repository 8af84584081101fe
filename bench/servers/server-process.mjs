/** A server in a process of its own, seen from the process that puts load on it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('server.mjs', import.meta.url));

/** @typedef {'express' | 'fastify'} Adapter */
/** @typedef {import('../cpu-time.mjs').Cost} Cost */
/**
 * @typedef {import('./authentications.mjs').Config & {
 *   adapter: Adapter, authentication: import('./authentications.mjs').AuthenticationName,
 * }} Config
 */

export class ServerProcess {
  /** @param {import('node:child_process').ChildProcess} child @param {number} port */
  constructor(child, port) {
    this.child = child;
    this.port = port;
  }

  /** @param {Config} config @param {readonly string[]} nodeOptions further options of its Node.js */
  static async start(config, nodeOptions = []) {
    const child = fork(SERVER, [JSON.stringify(config)], { execArgv: [...nodeOptions] });
    const early = once(child, 'exit').then(() => {
      throw new Error(`no server with ${config.authentication} on ${config.adapter}`);
    });
    const [port] = /** @type {[number]} */ (await Promise.race([once(child, 'message'), early]));
    return new ServerProcess(child, port);
  }

  /** The CPU time the server takes while something is done to it. @param {() => Promise<void>} load @returns {Promise<Cost>} */
  async costOf(load) {
    await this.ask('begin');
    await load();
    return /** @type {Cost} */ (await this.ask('end'));
  }

  /** @param {'begin' | 'end'} message */
  async ask(message) {
    const answer = once(this.child, 'message');
    this.child.send(message);
    const [answered] = /** @type {[unknown]} */ (await answer);
    return answered;
  }

  /** What of it is in memory, and the most there ever was, in MiB; undefined where the system does not tell. */
  memory() {
    try {
      const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
      const mebibytes = (/** @type {string} */ name) =>
        Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
      return { resident: mebibytes('VmRSS'), peak: mebibytes('VmHWM') };
    } catch {
      return undefined;
    }
  }

  async stop() {
    const exit = once(this.child, 'exit');
    this.child.disconnect();
    await exit;
  }
}
