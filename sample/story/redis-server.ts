import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { SetupError } from '../setup/environment.js';

const BINARY = 'redis-server';
const READY = /Ready to accept connections/;

/** A Redis of the sample's own, which keeps nothing on disk. */
export interface RedisServer {
  readonly port: number;
  /** Ends it, and removes its folder. */
  readonly close: () => Promise<void>;
}

/** Whether the PATH has a redis-server. */
export function hasRedisServer({ PATH = '' }: NodeJS.ProcessEnv): boolean {
  return PATH.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, BINARY), constants.X_OK);
      return folder !== '';
    } catch {
      return false;
    }
  });
}

/**
 * Starts a Redis on a free port of the loopback interface.
 *
 * @throws SetupError when it does not start
 */
export async function startRedis(): Promise<RedisServer> {
  const port = await findFreePort();
  const folder = mkdtempSync(join(tmpdir(), 'sample-redis-'));
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  // In a process group of its own: at Ctrl-C, the services end before it.
  const server = spawn(BINARY, [...place, '--save', '', '--appendonly', 'no'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  const exited = once(server, 'exit');
  const guard = endWithThisProcess(server, folder);
  const close = async (): Promise<void> => {
    server.kill('SIGTERM');
    await exited.catch(() => {}); // It never started.
    guard.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  if (await hasLine(server.stdout, READY)) {
    server.stdout.resume();
    return { port, close };
  }
  await close();
  throw new SetupError(`${BINARY} did not start: set MAIL_QUEUE=memory to go without.`);
}

/** The standard input of a shell ends when this process does, whatever ends it. */
function endWithThisProcess({ pid }: ChildProcess, folder: string): ChildProcess {
  const guard = spawn('sh', ['-c', 'read _; kill -9 "$0"; rm -rf "$1"', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  return guard;
}

async function hasLine(output: Readable, pattern: RegExp): Promise<boolean> {
  for await (const line of createInterface({ input: output })) {
    if (pattern.test(line)) return true;
  }
  return false;
}

/** A port that was free a moment ago: a Redis does not choose one itself. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return port;
}
