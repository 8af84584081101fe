import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { createClient, type RedisClientType } from 'redis';
import { whereThereIs } from '../processes/where-there-is.js';

const BINARY = 'redis-server';
const isInstalled = spawnSync(BINARY, ['--version']).status === 0;

/** Tests that need a real Redis. */
export const describeRedis = whereThereIs(isInstalled, `a ${BINARY}`, describe);

const READY = /Ready to accept connections/;

interface RestartOptions {
  /** Further settings, for this time. */
  readonly more?: readonly string[];
  /** The line of its log that is waited for. */
  readonly until?: RegExp;
}

/** A real Redis in a process of its own, which ends with the process that started it. */
export class RedisServer {
  private server: ChildProcess | undefined;
  private guard: ChildProcess | undefined;
  private admin: RedisClientType | undefined;
  private readonly folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-redis-'));

  private constructor(
    readonly port: number,
    private readonly settings: readonly string[],
  ) {}

  /** @param settings as on the command line, such as `--appendonly`, `yes`. Default: keeps nothing on disk. */
  static async start(...settings: string[]): Promise<RedisServer> {
    return await RedisServer.startOn(await findFreePort(), ...settings);
  }

  static async startOn(port: number, ...settings: string[]): Promise<RedisServer> {
    const redis = new RedisServer(port, settings);
    await redis.restart();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts again on the same port, with what is on disk. Resolves when it logs that it is ready. */
  async restart({ more = [], until = READY }: RestartOptions = {}): Promise<void> {
    await this.kill();
    const fixed = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.folder];
    const args = [...fixed, '--save', '', ...this.settings, ...more];
    const server = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.server = server;
    // Its standard input ends when this process does, whatever ends it.
    this.guard = spawn('sh', ['-c', `read _; kill -9 ${server.pid}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
      // A signal to our own group, as that of Ctrl+C, must leave it alive.
      detached: true,
    });
    if (!(await hasLine(server.stdout, until))) throw new Error('Redis did not start');
    server.stdout.resume();
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    this.admin?.destroy();
    this.admin = undefined;
    this.guard?.kill('SIGKILL');
    const { server } = this;
    this.server = undefined;
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  }

  /** The process stands still: connections stay, nothing is answered. */
  freeze(): void {
    this.server?.kill('SIGSTOP');
  }

  thaw(): void {
    this.server?.kill('SIGCONT');
  }

  /** Runs a command on a connection of its own. */
  async command(...words: string[]): Promise<unknown> {
    this.admin ??= await connect(this.url);
    return await this.admin.sendCommand(words);
  }

  async keys(pattern = '*'): Promise<string[]> {
    return (await this.command('KEYS', pattern)) as string[];
  }

  /** A section of INFO, by name. */
  async info(section: string): Promise<Map<string, string>> {
    const text = (await this.command('INFO', section)) as string;
    return new Map(text.split('\r\n').map((line) => line.split(':') as [string, string]));
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Whether a line like this comes before the end. */
async function hasLine(output: Readable, pattern: RegExp): Promise<boolean> {
  for await (const line of createInterface({ input: output })) {
    if (pattern.test(line)) return true;
  }
  return false;
}

async function connect(url: string): Promise<RedisClientType> {
  const client = createClient({ url, RESP: 2 });
  client.on('error', () => undefined);
  await client.connect();
  return client as unknown as RedisClientType;
}

/** A port that was free a moment ago. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
