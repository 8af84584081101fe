/** A Redis in a process of its own, where one is installed. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';

const BINARY = 'redis-server';

/** Starts one that keeps nothing on disk and ends with this process; undefined where none is installed. */
export async function startRedis() {
  if (spawnSync(BINARY, ['--version']).status !== 0) return undefined;
  const port = await findFreePort();
  const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', tmpdir(), '--save', ''];
  const server = spawn(BINARY, settings, { stdio: ['ignore', 'pipe', 'inherit'] });
  // Its standard input ends when this process does, whatever ends it.
  const guard = spawn('sh', ['-c', `read _; kill -9 ${server.pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  for await (const line of createInterface({ input: server.stdout })) {
    if (line.includes('Ready to accept connections')) break;
  }
  server.stdout.resume();
  const stop = async () => {
    const exit = once(server, 'exit');
    guard.kill('SIGKILL');
    server.kill('SIGKILL');
    await exit;
  };
  return { port, stop };
}

/** A port that was free a moment ago. */
export async function findFreePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return address.port;
}
