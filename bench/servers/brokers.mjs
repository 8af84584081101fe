/** Brokers of messages, each in a process of its own on loopback, where they are installed. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Transport } from '@nestjs/microservices';
import { findFreePort, startRedis } from './redis.mjs';

/** @typedef {import('@nestjs/microservices').MicroserviceOptions & import('@nestjs/microservices').ClientOptions} Options */
/** The options of server and client of one queue. @typedef {{ options: (queue: string) => Options, stop: () => Promise<void> }} Broker */

/** Debian's own `rabbitmq-server` changes to a user of its system first. */
const RABBITMQ = ['/usr/lib/rabbitmq/bin/rabbitmq-server', 'rabbitmq-server'].find(isInstalled);
/** What a broker may take to start. */
const MOST_MILLISECONDS = 240_000;

/** @type {Record<string, () => Promise<Broker | undefined>>} undefined where it is not installed */
export const TRANSPORTS = { TCP: startTcp, Redis: redis, NATS: nats, RabbitMQ: rabbitMq };

/** @param {string} binary */
function isInstalled(binary) {
  return spawnSync('sh', ['-c', `command -v ${binary}`]).status === 0;
}

/** Each queue has a port of its own. @returns {Promise<Broker>} */
async function startTcp() {
  /** @type {Map<string, number>} */
  const ports = new Map();
  for (const queue of ['plain', 'guarded']) ports.set(queue, await findFreePort());
  return {
    options: (queue) => ({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: ports.get(queue) },
    }),
    stop: async () => await Promise.resolve(),
  };
}

/** @returns {Promise<Broker | undefined>} */
async function redis() {
  const server = await startRedis();
  if (!server) return undefined;
  const options = { host: '127.0.0.1', port: server.port };
  return { options: () => ({ transport: Transport.REDIS, options }), stop: server.stop };
}

/** @returns {Promise<Broker | undefined>} */
async function nats() {
  if (!isInstalled('nats-server')) return undefined;
  const port = await findFreePort();
  const stop = await startServer('nats-server', port, {
    args: ['--addr', '127.0.0.1', '--port', `${port}`],
  });
  const options = { servers: [`nats://127.0.0.1:${port}`] };
  return { options: () => ({ transport: Transport.NATS, options }), stop };
}

/** @returns {Promise<Broker | undefined>} */
async function rabbitMq() {
  if (RABBITMQ === undefined) return undefined;
  const port = await findFreePort();
  const names = { ERL_EPMD_ADDRESS: '127.0.0.1', ERL_EPMD_PORT: `${await findFreePort()}` };
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-bench-'));
  const file = (/** @type {string} */ name, /** @type {string} */ text) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const stop = await startServer(RABBITMQ, port, {
    env: {
      ...names,
      HOME: folder,
      RABBITMQ_NODENAME: `service-auth-${port}@localhost`,
      RABBITMQ_DIST_PORT: `${await findFreePort()}`,
      RABBITMQ_CONFIG_FILE: file(
        'rabbitmq.conf',
        `listeners.tcp.1 = 127.0.0.1:${port}\nlog.console = false\nlog.file = false\n`,
      ),
      RABBITMQ_ADVANCED_CONFIG_FILE: file(
        'advanced.config',
        '[{kernel, [{inet_dist_use_interface, {127,0,0,1}}]}].\n',
      ),
      RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins', '[].\n'),
      RABBITMQ_MNESIA_BASE: folder,
      RABBITMQ_LOG_BASE: folder,
      RABBITMQ_PID_FILE: join(folder, 'pid'),
    },
  });
  const urls = [`amqp://guest:guest@127.0.0.1:${port}`];
  return {
    options: (queue) => ({
      transport: Transport.RMQ,
      options: { urls, queue, queueOptions: { durable: false }, prefetchCount: 100 },
    }),
    stop: async () => {
      await stop();
      spawnSync('epmd', ['-kill'], { env: { ...process.env, ...names } });
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * Starts one that ends with this process, and waits until its port takes connections.
 *
 * @param {string} binary @param {number} port
 * @param {{ args?: readonly string[], env?: Record<string, string> }} settings
 */
async function startServer(binary, port, { args = [], env = {} }) {
  // A group of its own, so that what it starts ends with it.
  const server = spawn(binary, args, {
    stdio: 'ignore',
    env: { ...process.env, ...env },
    detached: true,
  });
  // Its standard input ends when this process does, whatever ends it.
  const guard = spawn('sh', ['-c', `read _; kill -9 -${server.pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const end = performance.now() + MOST_MILLISECONDS;
  while (!(await takesConnections(port))) {
    if (performance.now() > end) throw new Error(`${binary} does not start`);
    await setTimeout(50);
  }
  return async () => {
    const exit = once(server, 'exit');
    guard.stdin.end();
    await exit;
  };
}

/** @param {number} port @returns {Promise<boolean>} */
async function takesConnections(port) {
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
