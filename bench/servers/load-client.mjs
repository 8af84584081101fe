/**
 * Puts load on a server: requests that are bytes already, over connections that stay. A client of its own, since
 * every general one builds requests, which takes CPU time away from the server that is measured.
 */
import { once } from 'node:events';
import { connect } from 'node:net';

/** A server that is asked for more at a time leaves some to come back a second later. */
const MOST_AT_ONCE = 100;

const END_OF_HEAD = Buffer.from('\r\n\r\n');

export class LoadClient {
  /** @param {readonly Connection[]} connections */
  constructor(connections) {
    this.connections = connections;
  }

  /** @param {number} port @param {number} count */
  static async connect(port, count) {
    /** @type {Connection[]} */
    const connections = [];
    while (connections.length < count) {
      const length = Math.min(count - connections.length, MOST_AT_ONCE);
      const connecting = Array.from({ length }, async () => await Connection.open(port));
      connections.push(...(await Promise.all(connecting)));
    }
    return new LoadClient(connections);
  }

  /** Sends each request once. @param {readonly Buffer[]} requests @returns {Promise<number[]>} the status of each answer */
  async send(requests) {
    /** @type {number[]} */
    const statuses = [];
    let next = 0;
    const worker = async (/** @type {Connection} */ connection) => {
      while (next < requests.length) {
        const at = next++;
        statuses[at] = await connection.exchange(requests[at]);
      }
    };
    await Promise.all(this.connections.map(worker));
    return statuses;
  }

  close() {
    for (const { socket } of this.connections) socket.destroy();
  }
}

/** One request at a time. */
class Connection {
  /** @param {import('node:net').Socket} socket */
  constructor(socket) {
    this.socket = socket;
    /** @type {Buffer | undefined} */
    this.received = undefined;
    /** @type {{ resolve(status: number): void, reject(error: Error): void } | undefined} */
    this.pending = undefined;
    socket.on('data', (/** @type {Buffer} */ bytes) => this.read(bytes));
    socket.on('close', () => this.pending?.reject(new Error('the server closed the connection')));
    socket.on('error', (error) => this.pending?.reject(error));
  }

  /** @param {number} port */
  static async open(port) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new Connection(socket);
  }

  /** @param {Buffer} request @returns {Promise<number>} the status of the answer */
  async exchange(request) {
    return await new Promise((resolve, reject) => {
      this.pending = { resolve, reject };
      this.socket.write(request);
    });
  }

  /** @param {Buffer} bytes */
  read(bytes) {
    const received = this.received ? Buffer.concat([this.received, bytes]) : bytes;
    this.received = received;
    const end = received.indexOf(END_OF_HEAD);
    if (end < 0) return;
    const head = received.toString('latin1', 0, end);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1]);
    if (Number.isNaN(length)) this.socket.destroy(new Error('an answer without Content-Length'));
    if (received.length < end + END_OF_HEAD.length + length) return;
    this.received = undefined;
    this.pending?.resolve(Number(head.slice(9, 12)));
  }
}
