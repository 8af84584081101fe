import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type DynamicModule,
  type INestApplication,
  type LoggerService,
  Module,
  type ModuleMetadata,
  type NestApplicationOptions,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type NestExpressApplication, ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';

export type Adapter = 'express' | 'fastify';

/** Everything that touches HTTP runs on both: `describe.each(ADAPTERS)('on %s', (adapter) => ...)`. */
export const ADAPTERS: readonly Adapter[] = ['express', 'fastify'];

export interface TestService {
  readonly app: INestApplication;
  /** `http://127.0.0.1:port`, without a final slash. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface TestServiceOptions extends ModuleMetadata {
  readonly adapter: Adapter;
  readonly nest?: NestApplicationOptions;
  /** What Fastify itself is made with. */
  readonly fastify?: {
    readonly bodyLimit?: number;
    readonly forceCloseConnections?: true;
    readonly http2?: true;
    readonly rewriteUrl?: (request: { readonly url?: string }) => string;
  };
  /** Runs between creation and listening: what an application does in its main.ts. */
  readonly configure?: (app: NestExpressApplication & NestFastifyApplication) => unknown;
  /** Default: nothing is logged. */
  readonly logger?: LoggerService | false;
}

@Module({})
class TestServiceModule {}

/** Starts a real application on a free port of the loopback interface. */
export async function startService(options: TestServiceOptions): Promise<TestService> {
  const {
    adapter,
    nest,
    fastify,
    configure,
    logger = process.env['TEST_LOGS'] ? undefined : false,
    ...metadata
  } = options;
  const module: DynamicModule = { module: TestServiceModule, ...metadata };
  const httpAdapter = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter(fastify);
  const app = await NestFactory.create(module as never, httpAdapter, {
    abortOnError: false,
    forceCloseConnections: true,
    ...nest,
    logger,
  });
  await configure?.(app as unknown as NestExpressApplication & NestFastifyApplication);
  const server = app.getHttpServer() as Server;
  // Otherwise a machine that is busy for five seconds resets the next request on a kept connection.
  server.keepAliveTimeout = 0;
  await app.listen(0, '127.0.0.1');
  const { port } = server.address() as AddressInfo;
  return { app, port, url: `http://127.0.0.1:${port}`, close: async () => await app.close() };
}
