import { relative } from 'node:path';
import {
  baseUrlAt,
  type MailQueuePlace,
  PAGE_PORT,
  readEnvironment,
  readPort,
  SetupError,
} from '../setup/environment.js';
import { startPage } from '../page/start-page.js';
import { ensureKeyFiles } from '../setup/key-files.js';
import { SERVICE_URIS, type ServiceName } from '../setup/services.js';
import { findFreePorts } from './free-ports.js';
import { openKeyRing } from './key-ring.js';
import { startMailbox } from './mailbox.js';
import type { LogLine } from './messages.js';
import { Narrator } from './narrator.js';
import { hasRedisServer, startRedis } from './redis-server.js';
import { startReplayMemory } from './replay-memory.js';
import type { ServiceStatus } from './service-process.js';
import { ServiceProcesses } from './service-processes.js';
import type { Stage } from './story.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const QUEUE_WORDS = {
  redis: 'BullMQ, in a Redis that the sample has started',
  memory: 'in the memory of Herald, handed over by TCP',
} as const;

interface Closable {
  close(): Promise<void>;
}

/** Starts everything that a story needs, and stops it again. */
export class Runner {
  readonly narrator = new Narrator();
  private readonly services = new ServiceProcesses();
  private readonly opened: Closable[] = [];
  private isStopping = false;
  /** The lines of the logs, with the services that wrote them; undefined: they are shown at once. */
  private keptLog: Map<string, Set<ServiceName>> | undefined = new Map();
  /** Resolves at the first signal that ends the sample. */
  readonly interrupted = new Promise<void>((resolve) => {
    // The reader of our output has gone, `| head` for one.
    process.stdout.once('error', () => process.exit(1));
    for (const signal of SIGNALS) {
      // Once: the second Ctrl-C ends this process at once, and the services end with it.
      process.once(signal, () => {
        void this.stop();
        resolve();
      });
    }
  });

  /** Runs `play` until it is over or a signal ends it (Ctrl-C, SIGTERM, SIGHUP); then stops everything. */
  async run(play: () => Promise<void>): Promise<void> {
    this.services.onChange((status) => this.tellState(status));
    this.services.onLog((name, line) => this.tellLog(name, line));
    try {
      await Promise.race([play(), this.interrupted]);
    } catch (error) {
      if (!this.isStopping) {
        console.error(error instanceof SetupError ? error.message : error);
        process.exitCode = 1;
      }
    } finally {
      const isInterrupted = this.isStopping;
      await this.stop();
      if (isInterrupted) this.narrator.heading('Stopped: no service and no server is left.');
    }
  }

  /** Shows what the services have logged until now, each line once. From now on, lines are shown as they come. */
  tellLogs(): void {
    const lines = [...(this.keptLog ?? [])];
    this.keptLog = undefined;
    if (lines.length > 0)
      this.narrator.heading('What the services wrote into their logs meanwhile');
    for (const [line, names] of lines) this.narrator.quote(`${[...names].join(', ')}, ${line}`);
  }

  /** Shows everything on a page of its own. @returns where that is, when it can be asked for */
  async openPage(stage: Stage, wantedPort: number): Promise<string> {
    const { port, url } = await this.keep(startPage(stage, wantedPort));
    if (wantedPort !== 0 && port !== wantedPort) {
      this.narrator.heading(
        `Port ${wantedPort} (${PAGE_PORT.variable}) is taken: the page is at ${port} instead.`,
      );
    }
    return url;
  }

  /** Starts the mail server, the queue of mails and the services, and says where they are. */
  async start(variables: NodeJS.ProcessEnv): Promise<Stage> {
    const wanted = readEnvironment(variables);
    const wantedPorts = {
      census: readPort('census', variables),
      herald: readPort('herald', variables),
      another: readPort('another', variables),
      edge: readPort('edge', variables),
      courier: readPort('courier', variables),
      courierTcp: readPort('courierTcp', variables),
    };
    const made = ensureKeyFiles(wanted.keys);
    const mailbox = wanted.smtpUrl === undefined ? await this.keep(startMailbox()) : undefined;
    const smtpUrl = wanted.smtpUrl ?? mailbox?.url ?? '';
    const keyRing = wanted.heraldKeyFile ? undefined : await this.keep(openKeyRing(wanted.keys));
    const heraldKeyFile = wanted.heraldKeyFile ?? keyRing?.file;
    const { url: replayMemoryUrl } = await this.keep(startReplayMemory());
    const redisPort = wantsRedis(variables) ? (await this.keep(startRedis())).port : undefined;
    // After the servers of this process, which take any free port: they must not take one of these.
    const ports = await findFreePorts(wantedPorts);

    this.narrator.heading('Starting five services, each in a process of its own');
    const mailServer = mailbox ? `at ${mailbox.url}, embedded` : 'that of SMTP_URL';
    this.narrator.fact('mail server', mailServer);
    const mailQueue = queueAt(redisPort, ports.courierTcp);
    this.narrator.fact('mail queue', QUEUE_WORDS[mailQueue.kind]);
    const novelty = made.length > 0 ? `made: ${made.join(', ')}` : 'kept';
    this.narrator.fact('keys', `in ${shortest(wanted.keys)}, ${novelty}`);
    const options = { ...wanted, heraldKeyFile, ports, smtpUrl, replayMemoryUrl, redisPort };
    const baseUrls = await this.services.startAll(options);
    const { services } = this;
    const environment = { ...wanted, heraldKeyFile, baseUrls, smtpUrl, mailQueue };
    return { environment, services, mailbox, keyRing: keyRing?.file };
  }

  /** What is opened after everything was stopped is closed at once. */
  private async keep<T extends Closable>(opening: Promise<T>): Promise<T> {
    const opened = await opening;
    this.opened.push(opened);
    if (!this.isStopping) return opened;
    await opened.close();
    throw new SetupError('Stopped while starting.');
  }

  private async stop(): Promise<void> {
    this.isStopping = true;
    // First: they write to the queue and to the mail server.
    await this.services.stopAll();
    await Promise.all(this.opened.splice(0).map((each) => each.close()));
  }

  private tellState({ name, replica, state, port, reason }: ServiceStatus): void {
    if (this.isStopping || (replica > 1 && reason === undefined)) return;
    const service = SERVICE_URIS[name];
    if (state === 'up') {
      const again = reason === undefined ? '' : ' again';
      this.narrator.fact(service, `listens${again} at ${baseUrlAt(port)}`);
    } else if (state === 'starting' && reason !== undefined) {
      this.narrator.fact(service, `ended by itself (${reason}) and is started again`);
    } else if (state === 'failed') {
      this.narrator.fact(service, `stays down: ${reason}`);
    }
  }

  private tellLog(name: ServiceName, { level, text }: LogLine): void {
    const line = `${level}: ${text}`;
    if (this.keptLog) this.keptLog.set(line, new Set([...(this.keptLog.get(line) ?? []), name]));
    else this.narrator.quote(`${name}, ${line}`);
  }
}

/**
 * Where a redis-server is on the PATH, unless MAIL_QUEUE says otherwise.
 *
 * @throws SetupError for a queue that there is not
 */
function wantsRedis(variables: NodeJS.ProcessEnv): boolean {
  const wanted = variables['MAIL_QUEUE'] || undefined;
  const hasRedis = hasRedisServer(variables);
  if (wanted === undefined) return hasRedis;
  if (wanted === 'memory') return false;
  if (wanted === 'redis' && hasRedis) return true;
  throw new SetupError(
    "MAIL_QUEUE: write 'memory', or 'redis' where a redis-server is on the PATH.",
  );
}

function queueAt(redisPort: number | undefined, courierTcp: number): MailQueuePlace {
  if (redisPort !== undefined) return { kind: 'redis', port: redisPort };
  return { kind: 'memory', port: courierTcp };
}

function shortest(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === '' || fromHere.startsWith('..') ? path : fromHere;
}
