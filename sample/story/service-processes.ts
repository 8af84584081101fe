import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { baseUrlAt, type Environment, PORTS, SetupError } from '../setup/environment.js';
import type { ServiceName } from '../setup/services.js';
import type { Hop, ServiceMessage } from './messages.js';

const PATIENCE_MILLISECONDS = 10_000;

/** Each one knows where the one before it listens, so they start in this order. */
const START_ORDER = ['census', 'herald', 'another'] as const satisfies ServiceName[];

export interface StartOptions {
  /** 0 means any free port. */
  readonly ports: Readonly<Record<ServiceName, number>>;
  readonly keys: string;
  readonly smtpUrl: string;
}

/** The three services, each in a process of its own. Started and stopped together. */
export class ServiceProcesses {
  private readonly children: ChildProcess[] = [];
  private readonly hops = new EventEmitter();
  private stopping = false;
  /** Rejects when a service ends that nobody has stopped. */
  readonly ended: Promise<never>;
  private reportEnd: (error: Error) => void = () => {};

  constructor() {
    this.ended = new Promise((_resolve, reject) => {
      this.reportEnd = reject;
    });
    this.ended.catch(() => {}); // Whoever waits for it hears of it.
  }

  /**
   * Starts them and waits until each one listens.
   *
   * @returns where they listen
   * @throws SetupError when one of them cannot start
   */
  async start({ ports, keys, smtpUrl }: StartOptions): Promise<Environment> {
    const actual = { ...ports };
    for (const name of START_ORDER) {
      const variables = Object.fromEntries(
        START_ORDER.map((service) => [PORTS[service].variable, String(actual[service])]),
      );
      actual[name] = await this.startOne(name, {
        ...process.env,
        ...variables,
        SAMPLE_KEYS: keys,
        SMTP_URL: smtpUrl,
      });
    }
    const baseUrls = {
      census: baseUrlAt(actual.census),
      herald: baseUrlAt(actual.herald),
      another: baseUrlAt(actual.another),
    };
    return { baseUrls, keys, smtpUrl };
  }

  /** The next request that a service answers; undefined when none comes. Call it before the request is made. */
  async nextHop(name: ServiceName): Promise<Hop | undefined> {
    const signal = AbortSignal.timeout(PATIENCE_MILLISECONDS);
    try {
      const [hop] = (await once(this.hops, name, { signal })) as [Hop];
      return hop;
    } catch {
      return undefined;
    }
  }

  /** Ends every process, and waits until it has ended. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.children.map(endProcess));
  }

  private async startOne(name: ServiceName, env: NodeJS.ProcessEnv): Promise<number> {
    if (this.stopping) throw new SetupError('Stopped while starting.');
    const main = fileURLToPath(new URL(`../${name}/main.js`, import.meta.url));
    const child = fork(main, [], { env });
    this.children.push(child);
    return await new Promise<number>((resolve, reject) => {
      child.on('message', (message: ServiceMessage) => {
        if (message.kind === 'ready') resolve(message.port);
        else if (message.kind === 'failed') reject(new SetupError(message.reason));
        else this.hops.emit(name, message);
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        const error = new SetupError(`${name} ended unexpectedly (${signal ?? code}).`);
        reject(error); // Without effect once it listens.
        if (!this.stopping) this.reportEnd(error);
      });
    });
  }
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MILLISECONDS);
  await exited;
  clearTimeout(impatience);
}
