// One receiver of scripts/chaos.mjs: a guarded application on the built library, told by messages what to
// do. Arguments: the adapter, the port of Redis, the trusted issuers as JSON.
import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { Body, Controller, Get, HttpCode, Module, Post, Req, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Redis } from 'ioredis';

/** @typedef {import('../../lib/core/index.js').ReplayStore} ReplayStore */
/** @typedef {import('../../lib/core/index.js').TokenUse} TokenUse */
/** @typedef {import('../../lib/core/index.js').TrustedIssuerOptions} TrustedIssuerOptions */
/** @typedef {{ id: number, task: 'tell' | 'step', milliseconds?: number }} Message */

const DIST = new URL('../../dist/', import.meta.url);
/** @type {unknown} */
const built = await import(new URL('index.js', DIST).href);
const { ServiceAuth, ServiceAuthModule, ServiceJwtGuard } =
  /** @type {typeof import('../../lib/index.js')} */ (built);

const [adapter, redisPort, issuers] = process.argv.slice(2);

/** @type {string[]} */
const uncaught = [];
process.on('unhandledRejection', (reason) => uncaught.push(String(reason)));
process.on('uncaughtException', (error) => uncaught.push(String(error)));

/** The wall clock steps, the monotonic one and the timers do not: so do clocks under NTP. */
let stepped = 0;
const wallClock = Date.now.bind(Date);
Date.now = () => wallClock() + stepped;

/**
 * The library's own store where it is built, or else as much of one as this needs.
 *
 * @returns {Promise<ReplayStore>}
 */
async function openStore() {
  const client = new Redis({
    host: '127.0.0.1',
    port: Number(redisPort),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Long: every write waits for a disk, and a busy machine is no fault.
    commandTimeout: 2000,
    retryStrategy: () => 200,
  });
  // Whether the client has a connection is its own word, and no verdict of the store.
  client.on('ready', () => process.send?.({ isRedisReady: true }));
  client.on('close', () => process.send?.({ isRedisReady: false }));
  client.on('error', () => undefined);
  const own = new URL('redis.js', DIST);
  if (existsSync(own)) {
    /** @type {unknown} */
    const redis = await import(own.href);
    const { RedisReplayStore } =
      /** @type {{ RedisReplayStore: new (options: { client: Redis, timeoutMilliseconds: number }) => ReplayStore }} */ (
        redis
      );
    return new RedisReplayStore({ client, timeoutMilliseconds: 2000 });
  }
  return {
    /** @param {TokenUse} use */
    async recordUse({ issuer, tokenId, forgetAtSeconds, nowSeconds }) {
      // Two minutes more than this clock asks for: another clock, or this one later, may be behind.
      const milliseconds = Math.ceil(Math.max(1, forgetAtSeconds - nowSeconds) * 1000) + 120_000;
      const key = JSON.stringify([issuer, tokenId]);
      const answer = await client.set(key, '1', 'PX', milliseconds, 'NX');
      return answer === 'OK' ? 'first' : 'seen';
    },
  };
}

class ThingController {
  find() {
    return 'found';
  }

  /** @param {unknown} body */
  create(body) {
    return { kind: typeof body };
  }

  /** Reads a body that no parser has taken. @param {{ raw?: unknown }} request */
  async upload(request) {
    let bytes = 0;
    const stream = /** @type {AsyncIterable<Buffer>} */ (request.raw ?? request);
    for await (const chunk of stream) bytes += chunk.length;
    return { bytes };
  }
}
/** @param {'find' | 'create' | 'upload'} name @param {MethodDecorator[]} decorators */
const decorate = (name, ...decorators) => {
  const descriptor = Object.getOwnPropertyDescriptor(ThingController.prototype, name);
  if (!descriptor) throw new Error(name);
  for (const each of decorators) each(ThingController.prototype, name, descriptor);
};
decorate('find', Get('thing/:id'));
decorate('create', Post('thing'), HttpCode(201));
Body()(ThingController.prototype, 'create', 0);
decorate('upload', Post('upload'), HttpCode(201));
Req()(ThingController.prototype, 'upload', 0);
UseGuards(ServiceJwtGuard)(ThingController);
Controller()(ThingController);

class AppModule {}
Module({
  imports: [
    ServiceAuthModule.forRoot({
      issuer: 'https://census.service/',
      trustedIssuers: /** @type {TrustedIssuerOptions[]} */ (JSON.parse(issuers)),
      replayStore: await openStore(),
      requireKeysAtStart: true,
    }),
  ],
  controllers: [ThingController],
})(AppModule);

const http = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
const app = await NestFactory.create(AppModule, http, { logger: false });
if (http instanceof FastifyAdapter) {
  http.getInstance().addContentTypeParser('*', (_request, _payload, done) => done(null));
}
await app.listen(0, '127.0.0.1');
const address = /** @type {import('node:http').Server} */ (app.getHttpServer()).address();
const serviceAuth = app.get(ServiceAuth);

process.on('message', (/** @type {Message} */ { id, task, milliseconds = 0 }) => {
  if (task === 'step') stepped = milliseconds;
  const keyIds = [...serviceAuth.keyHealth().values()].flatMap((health) => health.keyIds);
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  process.send?.({ id, result: { rss, heapUsed, keyIds, uncaught } });
});
process.on('disconnect', () => process.exit());
process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
