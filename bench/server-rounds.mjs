/** How whole requests are measured: servers stay, and take turns with batches of requests in each round. */
import { costForEach } from './measure.mjs';
import { LoadClient } from './servers/load-client.mjs';
import { ServerProcess } from './servers/server-process.mjs';

/** @typedef {import('./measure.mjs').Measured} Measured */
/**
 * `warmup`: how many requests each server gets before. It takes V8 thousands to optimise all that a request runs through.
 *
 * @typedef {{ rounds: number, perRound: number, warmup: number }} Plan
 */

/** The requests of one round, for each server. @template T @typedef {(variant: T) => readonly Buffer[]} RequestsFor */

const CONNECTIONS = 50;

/** A server with the connections that load comes over. @template {{ name: string }} T */
export class LoadedServer {
  /** @param {T} variant @param {ServerProcess} process @param {LoadClient} client */
  constructor(variant, process, client) {
    this.variant = variant;
    this.process = process;
    this.client = client;
  }

  /**
   * @template {{ name: string }} T
   * @param {T} variant
   * @param {import('./servers/server-process.mjs').Config} config
   * @param {number} connections
   */
  static async start(variant, config, connections = CONNECTIONS) {
    const process = await ServerProcess.start(config);
    return new LoadedServer(variant, process, await LoadClient.connect(process.port, connections));
  }

  /** The status of one answer, over a connection of its own: a refusal may close it. @param {Buffer} request */
  async statusOf(request) {
    const client = await LoadClient.connect(this.process.port, 1);
    try {
      const [status] = await client.send([request]);
      return status;
    } finally {
      client.close();
    }
  }

  /** @param {readonly Buffer[]} requests */
  async costOf(requests) {
    const cost = await this.process.costOf(async () => {
      const bad = (await this.client.send(requests)).find((status) => status >= 300);
      if (bad !== undefined) throw new Error(`answered ${bad} while it was measured`);
    });
    return costForEach(cost, requests.length);
  }

  async stop() {
    this.client.close();
    await this.process.stop();
  }
}

/**
 * Measures servers side by side.
 *
 * @template {{ name: string }} T
 * @param {readonly LoadedServer<T>[]} servers
 * @param {Plan} plan
 * @param {(count: number) => RequestsFor<T> | Promise<RequestsFor<T>>} prepare makes what one round is about,
 *   and of that the requests for each server
 * @returns {Promise<Measured[]>}
 */
export async function measureServers(servers, { rounds, perRound, warmup }, prepare) {
  const measured = servers.map((server) => ({
    server,
    name: server.variant.name,
    costs: /** @type {import('./measure.mjs').Cost[]} */ ([]),
  }));
  for (let sent = 0; sent < warmup; sent += perRound) {
    const requestsFor = await prepare(perRound);
    await Promise.all(servers.map(({ client, variant }) => client.send(requestsFor(variant))));
  }
  for (let round = -1; round < rounds; round++) {
    const requestsFor = await prepare(perRound);
    // Another one begins in each round, so that none always runs after the same neighbour.
    const first = (round + 1) % Math.max(1, measured.length);
    for (const { server, costs } of [...measured.slice(first), ...measured.slice(0, first)]) {
      const cost = await server.costOf(requestsFor(server.variant));
      // The first round after all of them ran at once counts for nothing.
      if (round >= 0) costs.push(cost);
    }
  }
  return measured.map(({ name, costs }) => ({ name, costs }));
}
