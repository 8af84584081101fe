import { EventEmitter, on } from 'node:events';
import {
  baseUrlAt,
  type Environment,
  type PortName,
  PORTS,
  REDIS_PORT,
  SetupError,
} from '../setup/environment.js';
import type { ServiceName } from '../setup/services.js';
import type { Ports } from './free-ports.js';
import type {
  Hop,
  KnownKeys,
  LogLine,
  Received,
  RunnerMessage,
  ServiceMessage,
} from './messages.js';
import { ServiceProcess, type ServiceState, type ServiceStatus } from './service-process.js';

/** Generous: a busy machine is no failure. */
const KEYS_PATIENCE_MILLISECONDS = 60_000;
const HOP_PATIENCE_MILLISECONDS = 30_000;

/**
 * Each one finds the keys of the one before it as soon as it starts. In another order it would find
 * them too, a second or two after the other one listens.
 */
const START_ORDER = [
  'edge',
  'another',
  'herald',
  'courier',
  'census',
] as const satisfies ServiceName[];

export interface StartOptions {
  /** Where each is to listen. Never 0: they are to find one another. */
  readonly ports: Ports;
  readonly keys: string;
  readonly smtpUrl: string;
  /** Default: Herald's file in `keys`. */
  readonly heraldKeyFile?: string;
  /** Where all processes of Census record used tokens. Default: each in its own memory. */
  readonly replayMemoryUrl?: string;
  /** Of the Redis in which mails wait. Default: they wait in the memory of Herald. */
  readonly redisPort?: number;
}

/** One more process of a service: the same key, another port, a memory of its own. */
export interface Replica {
  /** 2 and more: the first process of a service is no replica. */
  readonly number: number;
  /** Where it listens, with a final slash. */
  readonly url: string;
  stop(): Promise<void>;
}

/** A process to add. */
interface Addition {
  readonly replica: number;
  readonly port: number;
  readonly variables: NodeJS.ProcessEnv;
}

/**
 * The services, each in a process of its own. A process that ends by itself is started again, on the
 * same port; after four times within 30 seconds it stays down.
 */
export class ServiceProcesses {
  private readonly processes = new Map<ServiceName, ServiceProcess[]>();
  private readonly hops = new EventEmitter();
  private readonly mails = new EventEmitter();
  private readonly keyNews = new EventEmitter();
  private readonly knownKeys = new Map<ServiceName, KnownKeys>();
  private readonly changes = new EventEmitter<{ change: [status: ServiceStatus] }>();
  private readonly logs = new EventEmitter<{ line: [name: ServiceName, line: LogLine] }>();
  private options: StartOptions | undefined;
  private isStopping = false;

  /**
   * Starts them all and waits until each one listens, and knows the keys of those it trusts.
   *
   * @returns where they listen
   * @throws SetupError when one of them cannot start
   */
  async startAll(options: StartOptions): Promise<Environment['baseUrls']> {
    this.assertRunning();
    this.options = options;
    let turn: Promise<void> = Promise.resolve();
    for (const name of START_ORDER) turn = this.startInTurn(name, turn);
    await turn;
    const { ports } = options;
    return {
      census: baseUrlAt(ports.census),
      herald: baseUrlAt(ports.herald),
      another: baseUrlAt(ports.another),
      edge: baseUrlAt(ports.edge),
      courier: baseUrlAt(ports.courier),
    };
  }

  /**
   * Starts a service that was stopped; nothing happens when it runs.
   *
   * @returns when it listens. It may not know the keys of others yet
   * @throws SetupError when it cannot start
   */
  async start(name: ServiceName): Promise<void> {
    this.assertRunning();
    await this.first(name).start();
  }

  /** Ends the first process of a service. It stays down until it is started. @returns when it has ended */
  async stop(name: ServiceName): Promise<void> {
    await this.first(name).stop();
  }

  /**
   * Stops a service and starts it again, on the same port and with an empty memory.
   *
   * @throws SetupError when it cannot start
   */
  async restart(name: ServiceName): Promise<void> {
    await this.stop(name);
    await this.start(name);
  }

  /** Kills the first process of a service, as a crash does. It is started again. @returns when it has ended */
  async kill(name: ServiceName): Promise<void> {
    await this.first(name).kill();
  }

  /**
   * Waits until the first process of a service is in this state.
   *
   * @throws SetupError when it is not in time
   */
  async untilState(name: ServiceName, wanted: ServiceState): Promise<void> {
    const { state } = this.first(name).status;
    const isSuch = (status: ServiceStatus): boolean =>
      status.name === name && status.replica === 1 && status.state === wanted;
    if (state === wanted) return;
    if (!(await firstOf(this.changes, 'change', isSuch, KEYS_PATIENCE_MILLISECONDS))) {
      throw new SetupError(`${name} had the time, and is not ${wanted}.`);
    }
  }

  /**
   * Starts one more process of a service on a free port. No other service calls it.
   *
   * @param variables of its environment that differ from those of the first process
   * @returns when it listens. It may not know the keys of others yet
   * @throws SetupError when it cannot start
   */
  async startReplica(name: ServiceName, variables: NodeJS.ProcessEnv = {}): Promise<Replica> {
    this.assertRunning();
    const number = Math.max(...this.all(name).map(({ status }) => status.replica)) + 1;
    const process = this.add(name, { replica: number, port: 0, variables });
    const stop = async (): Promise<void> => {
      await process.stop();
      this.processes.set(
        name,
        this.all(name).filter((other) => other !== process),
      );
    };
    try {
      await process.start();
    } catch (error) {
      await stop();
      throw error;
    }
    return { number, url: baseUrlAt(process.status.port), stop };
  }

  /** All processes as they are now, replicas included. */
  statuses(): ServiceStatus[] {
    return [...this.processes.values()].flat().map(({ status }) => status);
  }

  /** The keys that the first process of a service knows; undefined while it is not up. */
  keysKnownTo(name: ServiceName): KnownKeys | undefined {
    return this.knownKeys.get(name);
  }

  /** Sends a message to the first process of a service, if it runs. */
  tell(name: ServiceName, message: RunnerMessage): void {
    this.first(name).send(message);
  }

  /** Calls the listener whenever a process enters another state. */
  onChange(listener: (status: ServiceStatus) => void): void {
    this.changes.on('change', listener);
  }

  /** Calls the listener with every warning and error that a service logs from now on, replicas included. */
  onLog(listener: (name: ServiceName, line: LogLine) => void): void {
    this.logs.on('line', listener);
  }

  /** Calls the listener with every request that a service answers from now on, replicas included. */
  onHop(name: ServiceName, listener: (hop: Hop) => void): void {
    this.hops.on(name, listener);
  }

  /** The next such request that a service answers; undefined when none comes. Call it before the request is made. */
  async nextHop(name: ServiceName, isSuch = (_hop: Hop) => true): Promise<Hop | undefined> {
    return await firstOf<Hop>(this.hops, name, isSuch, HOP_PATIENCE_MILLISECONDS);
  }

  /** Calls the listener with every mail that the courier takes from now on, before its guard looks at the token. */
  onMail(listener: (mail: Received) => void): void {
    this.mails.on('mail', listener);
  }

  /** The next such mail that the courier takes; undefined when none comes. */
  async nextMail(isSuch = (_mail: Received) => true): Promise<Received | undefined> {
    return await firstOf<Received>(this.mails, 'mail', isSuch, HOP_PATIENCE_MILLISECONDS);
  }

  /**
   * Waits until the keys that the first process of a service knows are as they should be.
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

  /** Ends every process, and lets none start any more. @returns when all have ended */
  async stopAll(): Promise<void> {
    this.isStopping = true;
    await Promise.all([...this.processes.values()].flat().map((process) => process.stop()));
  }

  private async startInTurn(name: ServiceName, turn: Promise<void>): Promise<void> {
    const { ports } = this.optionsInUse();
    const process = this.add(name, { replica: 1, port: ports[name], variables: {} });
    await process.start(turn);
    await this.untilKeys(name, hasAll, KEYS_PATIENCE_MILLISECONDS);
  }

  private add(name: ServiceName, { replica, port, variables: others }: Addition): ServiceProcess {
    const variables = (ownPort: number) => ({ ...this.variables(name, ownPort), ...others });
    const process = new ServiceProcess({ name, replica, port, variables });
    process.on('change', (status) => {
      if (replica === 1 && status.state !== 'up') this.knownKeys.delete(name);
      this.changes.emit('change', status);
    });
    process.on('message', (message) => this.hear(message, name, replica));
    this.processes.set(name, [...this.all(name), process]);
    return process;
  }

  private hear(message: ServiceMessage, name: ServiceName, replica: number): void {
    if (message.kind === 'hop') this.hops.emit(name, message);
    if (message.kind === 'mail') this.mails.emit('mail', message);
    if (message.kind === 'log') this.logs.emit('line', name, message);
    if (message.kind === 'keys' && replica === 1) {
      this.knownKeys.set(name, message.keys);
      this.keyNews.emit(name, message.keys);
    }
  }

  private variables(own: ServiceName, ownPort: number): NodeJS.ProcessEnv {
    const { ports, keys, smtpUrl, heraldKeyFile, replayMemoryUrl, redisPort } = this.optionsInUse();
    const names = Object.keys(PORTS) as PortName[];
    return {
      ...process.env,
      ...Object.fromEntries(names.map((name) => [PORTS[name].variable, String(ports[name])])),
      [PORTS[own].variable]: String(ownPort),
      SAMPLE_KEYS: keys,
      SMTP_URL: smtpUrl,
      HERALD_KEY_FILE: heraldKeyFile ?? '',
      REPLAY_MEMORY_URL: replayMemoryUrl ?? '',
      [REDIS_PORT]: redisPort === undefined ? '' : String(redisPort),
    };
  }

  private all(name: ServiceName): ServiceProcess[] {
    return this.processes.get(name) ?? [];
  }

  private first(name: ServiceName): ServiceProcess {
    const [first] = this.all(name);
    if (!first) throw new SetupError(`${name} was never started.`);
    return first;
  }

  private optionsInUse(): StartOptions {
    if (!this.options) throw new SetupError('No service was started yet.');
    return this.options;
  }

  private assertRunning(): void {
    if (this.isStopping) throw new SetupError('Stopped while starting.');
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
