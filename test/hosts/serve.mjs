// Starts one host in this process and prints its ports: `serve.mjs <host> <folder of the adapter>`.
import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HOSTS } from './hosts.mjs';

/** @param {import('node:http').Server | number} server */
async function portOf(server) {
  if (typeof server === 'number') return server;
  if (!server.listening) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

const [name = '', folder = ''] = process.argv.slice(2);
const start = HOSTS[name];
if (!start) throw new Error(`no such host: ${name}`);
process.once('SIGTERM', () => process.exit());
const load = (/** @type {string} */ file) => import(pathToFileURL(join(folder, file)).href);
const doors = await start(load, folder);
/** @type {Record<string, number>} */
const ports = {};
for (const [door, server] of Object.entries(doors)) ports[door] = await portOf(server);
console.log(`ports ${JSON.stringify(ports)}`);
