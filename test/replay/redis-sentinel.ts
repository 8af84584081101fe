import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { findFreePort, RedisServer } from '../support/redis/redis-server.js';

const MASTER = 'replay';

/** A primary, a replica, and a Sentinel that makes the replica the primary half a second after that is gone. */
export class RedisSentinel {
  private constructor(
    readonly port: number,
    readonly primary: RedisServer,
    readonly replica: RedisServer,
    private readonly sentinel: ChildProcess,
    private readonly guard: ChildProcess,
    private readonly folder: string,
  ) {}

  readonly name = MASTER;

  static async start(): Promise<RedisSentinel> {
    const primary = await RedisServer.start();
    const replicaOf = ['--replicaof', '127.0.0.1', `${primary.port}`];
    const replica = await RedisServer.start(...replicaOf, '--repl-diskless-sync-delay', '0');
    await primary.command('SET', 'mark', '1', 'PX', '1');
    while ((await primary.command('WAIT', '1', '1000')) !== 1);
    const port = await findFreePort();
    const folder = mkdtempSync(join(tmpdir(), 'nestjs-service-auth-sentinel-'));
    const file = join(folder, 'sentinel.conf');
    const settings = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor ${MASTER} 127.0.0.1 ${primary.port} 1`,
      `sentinel down-after-milliseconds ${MASTER} 500`,
      `sentinel failover-timeout ${MASTER} 5000`,
    ];
    writeFileSync(file, settings.join('\n'));
    const sentinel = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
    // Its standard input ends when this process does, whatever ends it.
    const guard = spawn('sh', ['-c', `read _; kill -9 ${sentinel.pid}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
      // A signal to our own group, as that of Ctrl+C, must leave it alive.
      detached: true,
    });
    const started = new RedisSentinel(port, primary, replica, sentinel, guard, folder);
    await started.untilKnown('slaves', (replicas) => replicas.length > 0);
    return started;
  }

  /** Resolves when the Sentinel answers so. */
  private async untilKnown(
    what: 'slaves' | 'get-master-addr-by-name',
    isSo: (answer: unknown[]) => boolean,
  ): Promise<void> {
    const client = createClient({ url: `redis://127.0.0.1:${this.port}`, RESP: 2 });
    client.on('error', () => undefined);
    await client.connect();
    while (!isSo((await client.sendCommand(['SENTINEL', what, MASTER])) as unknown as unknown[]));
    client.destroy();
  }

  /** The primary crashes. Resolves when the Sentinel names the replica instead. */
  async failOver(): Promise<void> {
    await this.primary.kill();
    await this.untilKnown(
      'get-master-addr-by-name',
      ([, port]) => String(port) === `${this.replica.port}`,
    );
  }

  async close(): Promise<void> {
    this.guard.kill('SIGKILL');
    this.sentinel.kill('SIGKILL');
    if (this.sentinel.exitCode === null && this.sentinel.signalCode === null) {
      await once(this.sentinel, 'exit');
    }
    await this.replica.close();
    await this.primary.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
