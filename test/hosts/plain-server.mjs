// A Nest application that listens itself: in this process, in a thread, or in a process of a cluster.
import cluster from 'node:cluster';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isMainThread, parentPort } from 'node:worker_threads';
import { NestFactory } from '@nestjs/core';

/**
 * @param {(file: string) => Promise<unknown>} load
 * @returns its port
 */
export async function listen(load) {
  const { AppModule } = /** @type {{ AppModule: object }} */ (await load('app.module.js'));
  const app = await NestFactory.create(AppModule, await createAdapter());
  await app.listen(0, '127.0.0.1');
  const server = /** @type {import('node:http').Server} */ (app.getHttpServer());
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

async function createAdapter() {
  if (process.env['ADAPTER'] === 'express') {
    const { ExpressAdapter } = await import('@nestjs/platform-express');
    return new ExpressAdapter();
  }
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return new FastifyAdapter();
}

if (!isMainThread || cluster.isWorker) {
  const folder = process.argv[2] ?? '';
  const port = await listen((file) => import(pathToFileURL(join(folder, file)).href));
  parentPort?.postMessage(port);
}
