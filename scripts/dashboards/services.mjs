// The services whose metrics are scraped, all of them real: Herald calls, Census receives, and Archive receives in
// report-only mode. Written without decorator syntax, to run as it is.
import 'reflect-metadata';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { Controller, Get, HttpCode, Inject, Module, Param, Post, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import {
  onBehalfOf,
  ServiceAuthModule,
  ServiceCallContext,
  ServiceJwtGuard,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { createServiceAuth } from 'nestjs-service-auth/core';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { RedisReplayStore } from 'nestjs-service-auth/redis';

/**
 * @typedef {import('nestjs-service-auth').ServiceAuthModuleOptions} Options
 * @typedef {import('./exporters.mjs').Exporter} Exporter
 */

export const CENSUS = 'https://census.service/';
export const HERALD = 'https://herald.service/';
export const SCRIBE = 'https://scribe.service/';
export const MAILER = 'https://mailer.service/';
const ARCHIVE = 'https://archive.service/';
const TRUST_DOMAIN = 'https://prod.example.org/';
const SUBJECTS = [`${CENSUS}user/`];

export function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** @param {import('node:http').Server} server */
function portOf(server) {
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

/** @param {import('node:http').Server} server */
async function listen(server) {
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** @param {import('node:http').Server} server */
async function closeServer(server) {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

/** @param {new (...parameters: never[]) => object} controller @param {string} name @param {MethodDecorator[]} decorators */
function decorate(controller, name, ...decorators) {
  const descriptor = Object.getOwnPropertyDescriptor(controller.prototype, name);
  if (!descriptor) throw new Error(`no method ${name}`);
  for (const each of decorators) each(controller.prototype, name, descriptor);
}

class UserController {
  find() {
    return 'a user';
  }

  upload() {
    return 'taken';
  }
}
decorate(UserController, 'find', Get('user/:id'));
decorate(UserController, 'upload', Post('file'), HttpCode(200));
UseGuards(ServiceJwtGuard)(UserController);
Controller()(UserController);

/** @param {{ census: string, gateway: string, archive: string }} urls */
function heraldController({ census, gateway, archive }) {
  class HeraldController {
    /** @param {ServiceFetch} fetch @param {ServiceCallContext} calls */
    constructor(fetch, calls) {
      this.fetch = fetch;
      this.calls = calls;
    }

    /** @param {string} id */
    async proved(id) {
      return await this.#withGrant(id, census);
    }

    /** Through a gateway that drops the grant, to a service that asks for no proof. @param {string} id */
    async unbound(id) {
      return await this.#withGrant(id, gateway);
    }

    /** @param {string} id */
    async unproved(id) {
      const response = await this.fetch(`${census}user/${id}`, onBehalfOf(SUBJECTS[0] + id + '/'));
      return await response.text();
    }

    /** Nobody is named, so the call leaves without a token. */
    async unsigned() {
      const response = await this.fetch(`${archive}user/1`);
      return await response.text();
    }

    /** @param {string} id @param {string} base */
    async #withGrant(id, base) {
      const send = async () => await this.fetch(`${base}user/${id}`);
      const user = `${SUBJECTS[0]}${id}/`;
      const response = await this.calls.runOnBehalfOf(user, send, { originate: true });
      return await response.text();
    }
  }
  Controller()(HeraldController);
  SkipServiceAuth()(HeraldController);
  Inject(ServiceFetch)(HeraldController, undefined, 0);
  Inject(ServiceCallContext)(HeraldController, undefined, 1);
  for (const name of /** @type {const} */ (['proved', 'unbound', 'unproved'])) {
    decorate(HeraldController, name, Get(`${name}/:id`));
    Param('id')(HeraldController.prototype, name, 0);
  }
  decorate(HeraldController, 'unsigned', Get('unsigned'));
  return HeraldController;
}

/**
 * @typedef {object} Setup
 * @property {Options} options
 * @property {'express' | 'fastify'} adapter
 * @property {(new (...parameters: never[]) => object)} [controller]
 * @property {NonNullable<import('@nestjs/common').ModuleMetadata['imports']>} [imports]
 * @property {import('@nestjs/common').Provider[]} [providers]
 */

/** @param {Exporter} exporter @param {Setup} setup */
export async function startService(exporter, setup) {
  const { options, adapter, controller, imports = [], providers = [] } = setup;
  const metrics = await exporter.metrics();
  class ServiceModule {}
  Module({
    imports: [
      ServiceAuthModule.forRoot({ ...options, observer: metrics.observer }),
      ...(options.targets?.length ? [ServiceFetchModule] : []),
      ...(metrics.module ? [metrics.module] : []),
      ...imports,
    ],
    controllers: controller ? [controller] : [],
    providers,
  })(ServiceModule);
  const http = adapter === 'express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = await NestFactory.create(ServiceModule, http, { logger: false, abortOnError: false });
  if (http instanceof FastifyAdapter) {
    http.getInstance().addContentTypeParser('*', (_request, _payload, done) => done(null));
  }
  const server = /** @type {import('node:http').Server} */ (app.getHttpServer());
  // Otherwise a machine that is busy for five seconds resets the next request on a kept connection.
  server.keepAliveTimeout = 0;
  let requests = 0;
  server.prependListener('request', ({ url = '' }) => {
    if (/^\/(?:user|file)/.test(url)) requests++;
  });
  await app.listen(0, '127.0.0.1');
  const port = portOf(server);
  const close = async () => {
    server.closeAllConnections();
    await app.close();
    await metrics.close();
  };
  return { app, port, metricsPort: metrics.port ?? port, requests: () => requests, close };
}

/** Hands requests on to a service, without their grants. @param {number} port */
async function startGateway(port) {
  const server = createServer((incoming, answer) => {
    const { 'txn-token': _dropped, ...headers } = incoming.headers;
    const { method, url: path } = incoming;
    const onward = httpRequest({ host: '127.0.0.1', port, method, path, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
  return await listen(server);
}

/** The server of Mailer's keys, which is down until it is repaired. @param {string} privateKey */
async function startKeyServer(privateKey) {
  const mailer = await createServiceAuth({
    issuer: MAILER,
    signingKey: { privateKey },
    targets: [{ baseUrl: 'http://127.0.0.1:9/' }],
  });
  let isUp = false;
  const server = createServer((_request, response) => {
    if (!isUp) return response.writeHead(503).end();
    response.setHeader('content-type', 'application/jwk-set+json');
    return response.end(JSON.stringify(mailer.publishedKeys()));
  });
  return { server: await listen(server), repair: () => void (isUp = true) };
}

/**
 * Starts all of them: Census and Archive on Fastify and Express, with the replay store in Redis.
 *
 * @param {Exporter} exporter
 * @param {import('ioredis').Redis} redis
 */
export async function startServices(exporter, redis) {
  const keys = { herald: newKey(), scribe: newKey(), mailer: newKey() };
  const keyServer = await startKeyServer(keys.mailer.privateKey);
  const herald = { issuer: HERALD, publicKey: keys.herald.publicKey };
  const off = { subjectProof: /** @type {const} */ ({ mode: 'off' }) };
  const census = await startService(exporter, {
    options: {
      issuer: CENSUS,
      trustDomain: TRUST_DOMAIN,
      originators: [{ issuer: HERALD, subjects: SUBJECTS }],
      trustedIssuers: [
        { ...herald, subjects: SUBJECTS, subjectProof: { mode: 'report' } },
        { issuer: SCRIBE, publicKey: keys.scribe.publicKey, ...off },
        { issuer: MAILER, jwksUri: `http://127.0.0.1:${portOf(keyServer.server)}/`, ...off },
      ],
      // Long: a busy machine is no outage.
      replayStore: new RedisReplayStore({ client: redis, timeoutMilliseconds: 2000 }),
    },
    controller: UserController,
    adapter: 'fastify',
  });
  const archive = await startService(exporter, {
    options: {
      issuer: ARCHIVE,
      trustedIssuers: [herald],
      enforcement: 'report',
      reportUntil: '2100-01-01',
    },
    controller: UserController,
    adapter: 'express',
  });
  const gateway = await startGateway(archive.port);
  const urls = {
    census: `http://127.0.0.1:${census.port}/`,
    gateway: `http://127.0.0.1:${portOf(gateway)}/`,
    archive: `http://127.0.0.1:${archive.port}/`,
  };
  const caller = await startService(exporter, {
    options: {
      issuer: HERALD,
      signingKey: { privateKey: keys.herald.privateKey },
      trustDomain: TRUST_DOMAIN,
      originate: { subjects: SUBJECTS },
      targets: [
        { baseUrl: urls.census, audience: CENSUS },
        { baseUrl: urls.gateway, audience: ARCHIVE },
        { baseUrl: urls.archive, audience: ARCHIVE, signing: 'best-effort' },
      ],
    },
    controller: heraldController(urls),
    adapter: 'express',
  });
  const close = async () => {
    await caller.close();
    await closeServer(gateway);
    await census.close();
    await archive.close();
    await closeServer(keyServer.server);
  };
  return { herald: caller, census, archive, keys, repairKeys: keyServer.repair, close };
}
