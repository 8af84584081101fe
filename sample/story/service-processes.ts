import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, on, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { baseUrlAt, type Environment, PORTS, SetupError } from '../setup/environment.js';
import type { ServiceName } from '../setup/services.js';
import type { Ports } from './free-ports.js';
import type { Hop, KnownKeys, ServiceMessage } from './messages.js';

const PATIENCE_MILLISECONDS = 10_000;

/**
 * Each one finds the keys of the one before it as soon as it starts. In another order it would find
 * them too, a second or two after the other one listens.
 */
const START_ORDER = ['edge', 'another', 'herald', 'census'] as const satisfies ServiceName[];

export interface StartOptions {
  /** Where each is to listen. Never 0: they are to find one another. */
  readonly ports: Ports;
  readonly keys: string;
  readonly smtpUrl: string;
  /** Default: Herald's file in `keys`. */
  readonly heraldKeyFile?: string;
}

/** The four services, each in a process of its own. Started and stopped together. */
export class ServiceProcesses {
  private readonly children: ChildProcess[] = [];
  private readonly hops = new EventEmitter();
  private readonly keyNews = new EventEmitter();
  private readonly knownKeys = new Map<ServiceName, KnownKeys>();
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
   * Starts them and waits until each one listens, and knows the keys of those it trusts.
   *
   * @returns where they listen
   * @throws SetupError when one of them cannot start
   */
  async start({ ports, ...options }: StartOptions): Promise<Environment['baseUrls']> {
    const variables = {
      ...Object.fromEntries(START_ORDER.map((name) => [PORTS[name].variable, String(ports[name])])),
      SAMPLE_KEYS: options.keys,
      SMTP_URL: options.smtpUrl,
      HERALD_KEY_FILE: options.heraldKeyFile ?? '',
    };
    for (const name of START_ORDER) {
      await this.startOne(name, { ...process.env, ...variables });
      await this.untilKeys(name, hasAll, PATIENCE_MILLISECONDS);
    }
    return {
      census: baseUrlAt(ports.census),
      herald: baseUrlAt(ports.herald),
      another: baseUrlAt(ports.another),
      edge: baseUrlAt(ports.edge),
    };
  }

  /** Tells of every request that a service answers from now on. */
  onHop(name: ServiceName, listener: (hop: Hop) => void): void {
    this.hops.on(name, listener);
  }

  /** The next such request that a service answers; undefined when none comes. Call it before the request is made. */
  async nextHop(name: ServiceName, isSuch = (_hop: Hop) => true): Promise<Hop | undefined> {
    return await firstOf<Hop>(this.hops, name, isSuch, PATIENCE_MILLISECONDS);
  }

  /**
   * Waits until the keys that a service knows are as they should be.
   *
   * @throws SetupError when they do not become that in time
   */
  async untilKeys(
    name: ServiceName,
    areAsTheyShouldBe: (keys: KnownKeys) => boolean,
    patienceMilliseconds: number,
  ): Promise<void> {
    const known = this.knownKeys.get(name);
    if (known && areAsTheyShouldBe(known)) return;
    if (!(await firstOf(this.keyNews, name, areAsTheyShouldBe, patienceMilliseconds))) {
      throw new SetupError(`${name} had the time, and does not know the keys it should.`);
    }
  }

  /** Ends every process, and waits until it has ended. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.children.map(endProcess));
  }

  private async startOne(name: ServiceName, env: NodeJS.ProcessEnv): Promise<void> {
    if (this.stopping) throw new SetupError('Stopped while starting.');
    const main = fileURLToPath(new URL(`../${name}/main.js`, import.meta.url));
    const child = fork(main, [], { env });
    this.children.push(child);
    await new Promise<void>((resolve, reject) => {
      child.on('message', (message: ServiceMessage) => {
        if (message.kind === 'ready') resolve();
        else if (message.kind === 'failed') reject(new SetupError(message.reason));
        else if (message.kind === 'hop') this.hops.emit(name, message);
        else {
          this.knownKeys.set(name, message.keys);
          this.keyNews.emit(name, message.keys);
        }
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

function hasAll(keys: KnownKeys): boolean {
  return Object.values(keys).every((keyIds) => keyIds.length > 0);
}

/** The first such event from now on; undefined when none comes in time. */
async function firstOf<T>(
  events: EventEmitter,
  name: string,
  isSuch: (event: T) => boolean,
  patienceMilliseconds: number,
): Promise<T | undefined> {
  const signal = AbortSignal.timeout(patienceMilliseconds);
  try {
    for await (const [event] of on(events, name, { signal }) as AsyncIterable<[T]>) {
      if (isSuch(event)) return event;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return undefined;
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MILLISECONDS);
  await exited;
  clearTimeout(impatience);
}
