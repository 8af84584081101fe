import { relative } from 'node:path';
import { PAGE_PORT, readEnvironment, readPort, SetupError } from '../setup/environment.js';
import { startPage } from '../page/start-page.js';
import { ensureKeyFiles } from '../setup/key-files.js';
import { SERVICE_URIS } from '../setup/services.js';
import { findFreePorts } from './free-ports.js';
import { openKeyRing } from './key-ring.js';
import { startMailbox } from './mailbox.js';
import { Narrator } from './narrator.js';
import { startReplayMemory } from './replay-memory.js';
import type { ServiceStatus } from './service-process.js';
import { ServiceProcesses } from './service-processes.js';
import type { Stage } from './story.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface Closable {
  close(): Promise<void>;
}

/** Starts everything that a story needs, and stops it again. */
export class Runner {
  readonly narrator = new Narrator();
  private readonly services = new ServiceProcesses();
  private readonly opened: Closable[] = [];
  private isStopping = false;
  /** Resolves at the first signal that ends the sample. */
  readonly interrupted = new Promise<void>((resolve) => {
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
    this.services.onChange((status) => this.tellEnding(status));
    try {
      await Promise.race([play(), this.interrupted]);
    } catch (error) {
      if (!this.isStopping) {
        console.error(error instanceof SetupError ? error.message : error);
        process.exitCode = 1;
      }
    } finally {
      await this.stop();
    }
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

  /** Starts the mail server and the four services, and says where they are. */
  async start(variables: NodeJS.ProcessEnv): Promise<Stage> {
    const wanted = readEnvironment(variables);
    const ports = await findFreePorts({
      census: readPort('census', variables),
      herald: readPort('herald', variables),
      another: readPort('another', variables),
      edge: readPort('edge', variables),
    });
    const made = ensureKeyFiles(wanted.keys);
    const mailbox = wanted.smtpUrl === undefined ? await this.keep(startMailbox()) : undefined;
    const smtpUrl = wanted.smtpUrl ?? mailbox?.url ?? '';
    const keyRing = wanted.heraldKeyFile ? undefined : await this.keep(openKeyRing(wanted.keys));
    const heraldKeyFile = wanted.heraldKeyFile ?? keyRing?.file;
    const { url: replayMemoryUrl } = await this.keep(startReplayMemory());
    const options = { ...wanted, heraldKeyFile, ports, smtpUrl, replayMemoryUrl };
    const baseUrls = await this.services.startAll(options);

    this.narrator.heading('Four services, each in a process of its own');
    for (const name of ['census', 'herald', 'another', 'edge'] as const) {
      this.narrator.fact(SERVICE_URIS[name], `at ${baseUrls[name]}`);
    }
    const mailServer = mailbox ? `at ${mailbox.url}, embedded` : 'that of SMTP_URL';
    this.narrator.fact('mail server', mailServer);
    const novelty = made.length > 0 ? `made: ${made.join(', ')}` : 'kept';
    this.narrator.fact('keys', `in ${shortest(wanted.keys)}, ${novelty}`);
    const { services } = this;
    const environment = { ...wanted, heraldKeyFile, baseUrls, smtpUrl };
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
    const services = this.services.stopAll();
    await Promise.all([services, ...this.opened.splice(0).map((each) => each.close())]);
    await services;
  }

  private tellEnding({ name, state, reason, pid }: ServiceStatus): void {
    if (this.isStopping || reason === undefined) return;
    const service = SERVICE_URIS[name];
    if (state === 'starting') {
      this.narrator.fact(service, `ended by itself (${reason}); it is started again`);
    } else if (state === 'up') {
      this.narrator.fact(service, `listens again, as process ${pid}`);
    } else if (state === 'failed') {
      this.narrator.fact(service, `stays down: ${reason}`);
    }
  }
}

function shortest(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === '' || fromHere.startsWith('..') ? path : fromHere;
}
