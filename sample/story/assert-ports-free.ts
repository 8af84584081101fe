import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { portTaken } from '../setup/environment.js';
import type { ServiceName } from '../setup/services.js';

/**
 * Asks for every port before any process is started, so that a taken one is all there is to read.
 *
 * @throws SetupError that names the port; two services on one port are found as well
 */
export async function assertPortsFree(ports: Readonly<Record<ServiceName, number>>): Promise<void> {
  const held: Server[] = [];
  try {
    for (const [name, port] of Object.entries(ports) as [ServiceName, number][]) {
      held.push(await hold(name, port));
    }
  } finally {
    for (const server of held) await once(server.close(), 'close');
  }
}

async function hold(name: ServiceName, port: number): Promise<Server> {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return server;
  } catch (error) {
    throw portTaken(error, name) ?? error;
  }
}
