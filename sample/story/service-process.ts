import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { SetupError } from '../setup/environment.js';
import type { ServiceName } from '../setup/services.js';
import type { RunnerMessage, ServiceMessage } from './messages.js';

const STOP_MILLISECONDS = 10_000;
/** A service that ends more often than this, within this time, stays down. */
const MOST_RESTARTS = 3;
const RESTART_WINDOW_MILLISECONDS = 30_000;

/** `failed`: it ended by itself and is not started again. */
export type ServiceState = 'stopped' | 'starting' | 'up' | 'failed';

/** One process of a service, as it is now. */
export interface ServiceStatus {
  readonly name: ServiceName;
  /** 1, or the number of a replica: 2 and more. */
  readonly replica: number;
  readonly state: ServiceState;
  /** Where it listens; 0 before a replica has started for the first time. */
  readonly port: number;
  /** Undefined while there is no process. */
  readonly pid: number | undefined;
  /** Why the last process ended that nobody stopped, such as `SIGKILL` or `exit code 1`. */
  readonly reason: string | undefined;
}

interface Origin {
  readonly name: ServiceName;
  readonly replica: number;
  /** 0: any free one. The process keeps it when it is started again. */
  readonly port: number;
  /** The environment of a process that listens on this port. */
  readonly variables: (port: number) => NodeJS.ProcessEnv;
}

interface Events {
  readonly change: [status: ServiceStatus];
  readonly message: [message: ServiceMessage];
}

/**
 * A service in a process of its own. It is started again when the process ends and nobody has stopped it.
 *
 * Emits `change` with each state, and `message` with what the process reports.
 */
export class ServiceProcess extends EventEmitter<Events> {
  private child: ChildProcess | undefined;
  private exited: Promise<unknown> = Promise.resolve();
  private started: Promise<void> | undefined;
  /** The last call of start or stop. */
  private last: Promise<void> = Promise.resolve();
  private isWanted = false;
  private endings: number[] = [];
  /** Whether the process was killed on purpose, and has not ended yet. */
  private isKilled = false;
  private state: ServiceState = 'stopped';
  private reason: string | undefined;
  private port: number;

  constructor(private readonly origin: Origin) {
    super();
    this.port = origin.port;
  }

  get status(): ServiceStatus {
    const { name, replica } = this.origin;
    const { state, port, reason } = this;
    return { name, replica, state, port, pid: this.child?.pid, reason };
  }

  /**
   * Starts the process, unless it runs. It loads its files at once.
   *
   * @param turn the service connects and listens when this resolves. Default: at once
   * @returns when it listens
   * @throws SetupError when it cannot start, or is stopped first
   */
  async start(turn: Promise<unknown> = Promise.resolve()): Promise<void> {
    await this.oneAfterAnother(async () => {
      this.isWanted = true;
      this.started ??= this.launchAnew(turn);
      await this.started;
    });
  }

  /** Ends the process, also while it starts. @returns when it has ended */
  async stop(): Promise<void> {
    this.isWanted = false;
    if (this.child) void end(this.child);
    await this.oneAfterAnother(async () => {
      this.isWanted = false;
      if (this.child) await end(this.child);
      await this.exited;
      await this.started?.catch(() => {}); // Told to the one who started it.
      this.started = undefined;
      this.enter('stopped');
    });
  }

  /** Kills the process, as a crash does. It is started again, and this does not count as an ending. @returns when it has ended */
  async kill(): Promise<void> {
    const { child, exited } = this;
    if (!child) return;
    this.isKilled = true;
    child.kill('SIGKILL');
    await exited;
  }

  /** Nothing happens while there is no process. */
  send(message: RunnerMessage): void {
    if (this.child) sendTo(this.child, message);
  }

  private async oneAfterAnother(task: () => Promise<void>): Promise<void> {
    const done = this.last.then(task);
    this.last = done.catch(() => {});
    await done;
  }

  private async launchAnew(turn: Promise<unknown>): Promise<void> {
    this.endings = [];
    this.reason = undefined;
    await this.launch(turn);
  }

  private async launch(turn: Promise<unknown>): Promise<void> {
    try {
      while (!(await this.attempt(turn)));
      this.enter('up');
    } catch (error) {
      this.started = undefined;
      if (this.isWanted) this.giveUp(error instanceof Error ? error.message : String(error));
      const { child } = this;
      if (child) await end(child);
      throw error;
    }
  }

  /** @returns false when the process ended by itself, before it listened, and is to be started again */
  private async attempt(turn: Promise<unknown>): Promise<boolean> {
    await this.exited;
    this.assertWanted();
    const child = this.fork();
    this.enter('starting');
    const isUp = await outcomeOf(child, turn);
    if (!isUp) await this.exited;
    this.assertWanted();
    if (isUp) this.port = isUp.port;
    else this.countEnding();
    return isUp !== undefined;
  }

  private fork(): ChildProcess {
    const main = fileURLToPath(new URL(`../${this.origin.name}/main.js`, import.meta.url));
    const child = fork(main, [], { env: this.origin.variables(this.port) });
    this.child = child;
    child.on('message', (message: ServiceMessage) => this.emit('message', message));
    this.exited = once(child, 'exit').then(
      ([code, signal]: (number | string | null)[]) => this.ended(signal ?? `exit code ${code}`),
      (error: unknown) => this.ended(String(error)),
    );
    return child;
  }

  /** Starts the service again when it listened and nobody stopped it. */
  private ended(reason: number | string): void {
    this.child = undefined;
    if (!this.isWanted) return;
    this.reason = String(reason);
    if (this.state !== 'up') return; // `attempt` decides.
    try {
      this.countEnding();
    } catch (error) {
      this.started = undefined;
      this.giveUp(error instanceof Error ? error.message : String(error));
      return;
    }
    this.started = this.launch(Promise.resolve());
    this.started.catch(() => {}); // `change` tells it.
  }

  /** @throws SetupError when the service has ended too often */
  private countEnding(): void {
    const { isKilled } = this;
    this.isKilled = false;
    if (isKilled) return;
    const now = performance.now();
    this.endings = this.endings.filter((time) => now - time < RESTART_WINDOW_MILLISECONDS);
    this.endings.push(now);
    if (this.endings.length > MOST_RESTARTS) {
      const { name } = this.origin;
      throw new SetupError(
        `${name} ended unexpectedly ${this.endings.length} times (${this.reason}).`,
      );
    }
  }

  private assertWanted(): void {
    if (!this.isWanted) throw new SetupError('Stopped while starting.');
  }

  private giveUp(reason: string): void {
    this.isWanted = false;
    this.reason = reason;
    this.enter('failed');
  }

  private enter(state: ServiceState): void {
    if (this.state === state && state !== 'starting') return;
    this.state = state;
    this.emit('change', this.status);
  }
}

/**
 * Waits for the service to listen.
 *
 * @returns where it listens; undefined: the process ended
 * @throws SetupError with the reason that the service gives
 */
async function outcomeOf(
  child: ChildProcess,
  turn: Promise<unknown>,
): Promise<{ readonly port: number } | undefined> {
  return await new Promise((resolve, reject) => {
    turn.catch(reject);
    child.on('message', (message: ServiceMessage) => {
      if (message.kind === 'ready') resolve(message);
      else if (message.kind === 'failed') reject(new SetupError(message.reason));
      else if (message.kind === 'loaded') {
        turn.then(
          () => sendTo(child, { kind: 'start' }),
          () => {}, // Rejected above.
        );
      }
    });
    child.once('error', reject);
    child.once('exit', () => resolve(undefined));
  });
}

function sendTo(child: ChildProcess, message: RunnerMessage): void {
  if (child.connected) child.send(message, () => {}); // A process that just ended does not read it.
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_MILLISECONDS);
  await exited;
  clearTimeout(impatience);
}
