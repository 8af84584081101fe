import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { findFreePort } from '../redis/redis-server.js';

/** What a broker is started with, once its folder and its port are known. */
export interface BrokerRecipe {
  readonly binary: string;
  readonly args: (place: { port: number; folder: string }) => readonly string[];
  /** Files of its folder, by name. */
  readonly files?: (place: { port: number; folder: string }) => Readonly<Record<string, string>>;
  readonly env?: (place: { port: number; folder: string }) => Readonly<Record<string, string>>;
  /** Waits until the process that was started serves. Default: until its port takes connections. */
  readonly isReady?: (place: { port: number; folder: string }) => Promise<boolean>;
  /** Default: less than the hooks of specs wait. What they have given up is ended, since nobody is there to close it. */
  readonly mostStartMilliseconds?: number;
}

/** Whether the program of a broker is installed. */
export function isInstalled(binary: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${binary}`]).status === 0;
}

/** A real broker in a process of its own, on loopback, which ends with the process that started it. */
export class Broker {
  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly server: ChildProcess,
    private readonly guard: ChildProcess,
  ) {}

  static async start(recipe: BrokerRecipe): Promise<Broker> {
    const place = {
      port: await findFreePort(),
      folder: mkdtempSync(join(tmpdir(), 'nestjs-service-auth-broker-')),
    };
    for (const [name, text] of Object.entries(recipe.files?.(place) ?? {})) {
      writeFileSync(join(place.folder, name), text);
    }
    const env = { ...process.env, ...recipe.env?.(place) };
    // A group of its own, so that what it starts ends with it.
    const server = spawn(recipe.binary, recipe.args(place), {
      stdio: 'ignore',
      env,
      detached: true,
    });
    const guard = spawn('sh', ['-c', `read _; kill -9 -${server.pid}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
      // A signal to our own group, as that of Ctrl+C, must leave it alive.
      detached: true,
    });
    const broker = new Broker(place.port, place.folder, server, guard);
    try {
      await broker.becomesReady(recipe);
    } catch (error) {
      await broker.close();
      throw error;
    }
    return broker;
  }

  async close(): Promise<void> {
    this.guard.kill('SIGKILL');
    const { pid } = this.server;
    if (pid !== undefined && !this.hasEnded) {
      process.kill(-pid, 'SIGKILL');
      await once(this.server, 'exit');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  private get hasEnded(): boolean {
    return this.server.exitCode !== null || this.server.signalCode !== null;
  }

  /** @throws where it ends instead, or takes too long */
  private async becomesReady(recipe: BrokerRecipe): Promise<void> {
    const { port, folder } = this;
    const isReady = recipe.isReady ?? (async () => await takesConnections(port));
    const end = performance.now() + (recipe.mostStartMilliseconds ?? 200_000);
    while (!(await isReady({ port, folder }))) {
      if (this.hasEnded) throw new Error(`${recipe.binary} did not start`);
      if (performance.now() > end) throw new Error(`${recipe.binary} did not start in time`);
      await setTimeout(50);
    }
  }
}

async function takesConnections(port: number): Promise<boolean> {
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
