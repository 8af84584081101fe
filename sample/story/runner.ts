import { once } from 'node:events';
import { relative } from 'node:path';
import { PAGE_PORT, readEnvironment, readPort, SetupError } from '../setup/environment.js';
import { type Page, startPage } from '../page/start-page.js';
import { ensureKeyFiles } from '../setup/key-files.js';
import { SERVICE_URIS } from '../setup/services.js';
import { findFreePorts } from './free-ports.js';
import { type Mailbox, startMailbox } from './mailbox.js';
import { Narrator } from './narrator.js';
import { ServiceProcesses } from './service-processes.js';
import type { Stage } from './story.js';

/** Starts everything that a story needs, and stops it again. */
export class Runner {
  readonly narrator = new Narrator();
  private readonly services = new ServiceProcesses();
  private mailbox: Mailbox | undefined;
  private page: Page | undefined;

  /** Runs `play` until it is over, a service ends by itself, or Ctrl-C; then stops everything. */
  async run(play: () => Promise<void>): Promise<void> {
    try {
      const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
      await Promise.race([play(), this.services.ended, interrupted]);
    } catch (error) {
      console.error(error instanceof SetupError ? error.message : error);
      process.exitCode = 1;
    } finally {
      await this.page?.close();
      await this.services.stop();
      await this.mailbox?.close();
    }
  }

  /** Shows everything on a page of its own, and says where that is. @returns when it can be asked for */
  async openPage(stage: Stage, wantedPort: number): Promise<void> {
    this.page = await startPage(stage, wantedPort);
    const { port, url } = this.page;
    if (wantedPort !== 0 && port !== wantedPort) {
      this.narrator.heading(
        `Port ${wantedPort} (${PAGE_PORT.variable}) is taken: the page is at ${port} instead.`,
      );
    }
    this.narrator.heading(`See it: ${url}`);
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
    this.mailbox = wanted.smtpUrl === undefined ? await startMailbox() : undefined;
    const smtpUrl = wanted.smtpUrl ?? this.mailbox?.url ?? '';
    const baseUrls = await this.services.start({ ...wanted, ports, smtpUrl });

    this.narrator.heading('Four services, each in a process of its own');
    for (const name of ['census', 'herald', 'another', 'edge'] as const) {
      this.narrator.fact(SERVICE_URIS[name], `at ${baseUrls[name]}`);
    }
    const mailServer = this.mailbox ? `at ${this.mailbox.url}, embedded` : 'that of SMTP_URL';
    this.narrator.fact('mail server', mailServer);
    const novelty = made.length > 0 ? `made: ${made.join(', ')}` : 'kept';
    this.narrator.fact('keys', `in ${shortest(wanted.keys)}, ${novelty}`);
    return {
      environment: { ...wanted, baseUrls, smtpUrl },
      services: this.services,
      mailbox: this.mailbox,
    };
  }
}

function shortest(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === '' || fromHere.startsWith('..') ? path : fromHere;
}
