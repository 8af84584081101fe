// Census of the sample, on Fastify, in a process of its own. Tells where it listens.
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { KeyHealth } from 'nestjs-service-auth';
import { setTimeout as sleep } from 'node:timers/promises';

const CENSUS = new URL('../../dist-sample/census/app.module.js', import.meta.url).href;
const { AppModule } = /** @type {typeof import('../../sample/census/app.module.js')} */ (
  await import(CENSUS)
);
const environment = /** @type {Parameters<typeof AppModule.register>[0]} */ (
  JSON.parse(process.argv[2] ?? '')
);
const app = await NestFactory.create(AppModule.register(environment), new FastifyAdapter(), {
  logger: false,
});
await app.listen(0, '127.0.0.1');
while (app.get(KeyHealth).unavailable().length > 0) await sleep(50);
process.send?.({ url: `${await app.getUrl()}/` });
process.once('disconnect', () => process.exit());
