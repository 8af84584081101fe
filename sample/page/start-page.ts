import type { AddressInfo, Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { ConsoleLogger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { baseUrlAt, SetupError } from '../setup/environment.js';
import type { Stage } from '../story/story.js';
import { PageModule } from './page.module.js';
import { visitorsOnly } from '../setup/visitors-only.middleware.js';

/** Served as they are, and never from the build: they are no TypeScript. */
const FILES = fileURLToPath(new URL('../../sample/page/public', import.meta.url));
const LARGEST_BODY = '4kb';
const PORTS_TO_TRY = 20;
const LAST_PORT = 65_535;

export interface Page {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Starts the page on the loopback interface.
 *
 * @param wantedPort or, where that is taken, the next one that is free; 0: any
 * @throws SetupError when 20 ports in a row are taken
 */
export async function startPage(stage: Stage, wantedPort: number): Promise<Page> {
  const lastPort = Math.min(wantedPort + PORTS_TO_TRY - 1, LAST_PORT);
  for (let port = wantedPort; port <= lastPort; port += 1) {
    const page = await tryToListen(stage, port);
    if (page) return page;
  }
  throw new SetupError(`Ports ${wantedPort} to ${lastPort} are taken: set PAGE_PORT to another.`);
}

/** undefined: the port is taken. */
async function tryToListen(stage: Stage, wantedPort: number): Promise<Page | undefined> {
  const app = await createPage(stage);
  try {
    await app.listen(wantedPort, '127.0.0.1');
  } catch (error) {
    await app.close();
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return undefined;
    throw error;
  }
  const port = portOf(app);
  app.useLogger(new ConsoleLogger({ prefix: 'page', logLevels: ['warn', 'error', 'fatal'] }));
  return { url: baseUrlAt(port), port, close: async () => await app.close() };
}

async function createPage(stage: Stage): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(PageModule.register(stage), {
    logger: false, // Nest logs a taken port too, and one line about it is enough.
    abortOnError: false,
    bodyParser: false,
    forceCloseConnections: true,
  });
  app.disable('x-powered-by');
  app.use(visitorsOnly(() => portOf(app)));
  app.useBodyParser('json', { limit: LARGEST_BODY });
  app.useStaticAssets(FILES, { dotfiles: 'ignore', redirect: false });
  return app;
}

function portOf(app: NestExpressApplication): number {
  const server: Server = app.getHttpServer();
  return (server.address() as AddressInfo).port;
}
