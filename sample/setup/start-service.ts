import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { ConsoleLogger, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { KeyHealth, ServiceAuthConfigError } from 'nestjs-service-auth';
import type { ServiceMessage } from '../story/messages.js';
import { reportHops } from '../story/report-hops.middleware.js';
import { reportKeys } from '../story/report-keys.js';
import { ReportingLogger } from '../story/report-log.js';
import {
  type Environment,
  portTaken,
  readEnvironment,
  readPort,
  SetupError,
} from './environment.js';
import { keyServerSwitch } from './key-server-switch.js';
import type { ServiceName } from './services.js';

/** What an application needs besides its module, before it listens. */
type Configure = (app: NestExpressApplication, environment: Environment) => void | Promise<void>;

/** The main function of each service: starts it, and tells the runner, where there is one. */
export async function startService(
  name: ServiceName,
  createModule: (environment: Environment) => DynamicModule | Promise<DynamicModule>,
  configure?: Configure,
): Promise<void> {
  stopWithTheRunner();
  try {
    await untilTurn();
    const port = readPort(name, process.env);
    const environment = readEnvironment(process.env);
    const module = await createModule(environment);
    const listening = listen(name, module, async (app) => {
      await configure?.(app, environment);
      await app.listen(port, '127.0.0.1');
    });
    await report({ kind: 'ready', port: await listening });
  } catch (error) {
    await report({ kind: 'failed', reason: describe(portTaken(error, name) ?? error, name) });
    process.exit(1);
  }
}

/** @returns where it listens */
async function listen(
  name: ServiceName,
  module: DynamicModule,
  open: (app: NestExpressApplication) => Promise<void>,
): Promise<number> {
  const logger = process.send
    ? new ReportingLogger((line) => void report({ kind: 'log', ...line }))
    : new ConsoleLogger({ prefix: name, logLevels: ['warn', 'error', 'fatal'] });
  const app = await NestFactory.create<NestExpressApplication>(module, {
    logger,
    abortOnError: false,
    forceCloseConnections: true,
  });
  app.enableShutdownHooks(['SIGINT', 'SIGTERM']);
  // For the demonstration only, here and below: shows the runner what arrives and which keys are known.
  if (process.send) app.use(keyServerSwitch());
  if (process.send) app.use(reportHops((hop) => void report({ kind: 'hop', ...hop })));

  app.useLogger(false); // Nest logs a taken port too, and one line about it is enough.
  await open(app);
  app.useLogger(logger);
  if (process.send) reportKeys(app.get(KeyHealth), (keys) => void report({ kind: 'keys', keys }));
  const server: Server = app.getHttpServer();
  return (server.address() as AddressInfo).port;
}

/** Under a runner, services load their files together and start one after another: it says when. */
async function untilTurn(): Promise<void> {
  if (!process.send) return;
  const turn = once(process, 'message');
  await report({ kind: 'loaded' });
  await turn;
}

/** One line or a few, and no stack, for what the user of the sample can put right. */
function describe(error: unknown, name: ServiceName): string {
  if (error instanceof SetupError) return error.message;
  if (error instanceof ServiceAuthConfigError) return `${name}: ${error.message}`;
  return `${name} did not start: ${error instanceof Error ? error.message : String(error)}`;
}

/** Resolves when the message is on its way, so that the process may end after it. */
async function report(message: ServiceMessage): Promise<void> {
  if (process.connected) {
    await new Promise<void>((resolve) => {
      process.send?.(message, undefined, undefined, () => resolve());
    });
  } else if (message.kind === 'failed') console.error(message.reason);
}

/** However the runner ends, nothing of it stays behind. */
function stopWithTheRunner(): void {
  process.once('disconnect', () => process.exit());
  if (process.connected === false) process.exit();
}
