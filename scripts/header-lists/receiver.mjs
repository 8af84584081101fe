// The guarded services that scripts/test-header-lists.mjs calls, one for each limit of headers. Written without decorator
// syntax, to run as it is. Argument: the caller's public key. Sends the ports, and answers what a handler sees.
import 'reflect-metadata';
import { generateKeyPairSync } from 'node:crypto';
import { createServer as createHttp2Server } from 'node:http2';
import { All, Controller, HttpCode, Inject, Module, Req, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { OptionalServiceAuth, ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';

const [publicKey = ''] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/**
 * @typedef {import('node:http').IncomingMessage} Raw
 * @typedef {Raw & { raw?: Raw, body?: unknown }} AnyRequest
 */

class EchoController {
  /** @param {import('nestjs-service-auth/fetch').ServiceFetch} fetch */
  constructor(fetch) {
    this.fetch = fetch;
  }

  /** @param {AnyRequest} request */
  async required(request) {
    return await this.describe(request);
  }

  /** @param {AnyRequest} request */
  async optional(request) {
    return await this.describe(request);
  }

  /** All that a handler can see of a request. @param {AnyRequest} request */
  async describe(request) {
    const raw = request.raw ?? request;
    let unparsed = '';
    for await (const chunk of raw) unparsed += String(chunk);
    const isParsed = typeof request.body === 'object' && Object.keys(request.body ?? {}).length > 0;
    const response = await this.fetch('https://scribe.service/');
    return {
      method: raw.method,
      body: isParsed ? JSON.stringify(request.body) : unparsed,
      type: raw.headers['content-type'],
      order: raw.headers['x-order'],
      calledFor: await response.text(),
    };
  }
}

const { prototype } = EchoController;
for (const name of /** @type {const} */ (['required', 'optional'])) {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
  if (!descriptor) throw new Error(`no method ${name}`);
  All(name)(prototype, name, descriptor);
  HttpCode(200)(prototype, name, descriptor);
  if (name === 'optional') OptionalServiceAuth()(prototype, name, descriptor);
  Req()(prototype, name, 0);
}
Controller()(EchoController);
UseGuards(ServiceJwtGuard)(EchoController);
Inject(ServiceFetch)(EchoController, undefined, 0);

/** Answers for whom a call was signed, instead of sending it. @param {unknown} _input @param {RequestInit} init */
async function answerSubject(_input, init) {
  const [, claims = ''] = (new Headers(init.headers).get('jwt') ?? '').split('.');
  const { sub } = /** @type {{ sub?: string }} */ (
    JSON.parse(Buffer.from(claims, 'base64url').toString())
  );
  return Promise.resolve(new Response(sub ?? 'itself'));
}

/**
 * @param {ExpressAdapter | FastifyAdapter} adapter
 * @param {number | undefined} maxHeadersCount undefined: Node's own limit
 */
async function start(adapter, maxHeadersCount) {
  class ReceiverModule {}
  Module({
    imports: [
      ServiceAuthModule.forRoot({
        issuer: 'https://census.service/',
        signingKey: { privateKey },
        targets: [{ baseUrl: 'https://scribe.service/' }],
        subjectOutsideRequest: 'act-as-itself',
        subjectPropagation: 'ambient',
        requiredHeaders: ['x-order'],
        trustedIssuers: [
          { issuer: 'https://herald.service/', keys: [{ publicKey, keyId: 'herald' }] },
        ],
      }),
      ServiceFetchModule.register({ fetch: answerSubject }),
    ],
    controllers: [EchoController],
  })(ReceiverModule);
  const app = await NestFactory.create(ReceiverModule, adapter, { logger: ['error'] });
  const server = /** @type {import('node:http').Server} */ (app.getHttpServer());
  if (maxHeadersCount !== undefined) server.maxHeadersCount = maxHeadersCount;
  await app.listen(0, '127.0.0.1');
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

/** @param {number | undefined} maxHeaderListPairs */
function overHttp2(maxHeaderListPairs) {
  const options =
    maxHeaderListPairs === undefined
      ? {}
      : { maxHeaderListPairs, settings: { maxHeaderListSize: 1_000_000 } };
  const factory = {
    serverFactory: (/** @type {never} */ handler) => createHttp2Server(options, handler),
  };
  return new FastifyAdapter(/** @type {never} */ ({ http2: true, ...factory }));
}

/** @type {Record<string, number>} */
const ports = {};
for (const limit of [undefined, 0, 2000, 50, 64]) {
  ports[`express ${limit ?? 'default'}`] = await start(new ExpressAdapter(), limit);
  ports[`fastify ${limit ?? 'default'}`] = await start(new FastifyAdapter(), limit);
}
ports['http2 default'] = await start(overHttp2(undefined), undefined);
ports['http2 4000'] = await start(overHttp2(4000), undefined);
process.send?.(ports);
process.on('disconnect', () => process.exit());
