import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { type PortName, portTaken } from '../setup/environment.js';

export type Ports = Readonly<Record<PortName, number>>;

/**
 * Asks for every port before any process is started, so that a taken one is all there is to read.
 *
 * @returns the ports, with a free one in the place of each 0
 * @throws SetupError that names the port; two services on one port are found as well
 */
export async function findFreePorts(wanted: Ports): Promise<Ports> {
  const free = { ...wanted };
  const held: Server[] = [];
  try {
    for (const [name, port] of Object.entries(wanted) as [PortName, number][]) {
      const server = await hold(name, port);
      held.push(server);
      free[name] = (server.address() as AddressInfo).port;
    }
  } finally {
    for (const server of held) await once(server.close(), 'close');
  }
  return free;
}

async function hold(name: PortName, port: number): Promise<Server> {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return server;
  } catch (error) {
    throw portTaken(error, name) ?? error;
  }
}
