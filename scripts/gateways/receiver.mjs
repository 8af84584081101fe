// The guarded services that scripts/test-gateways.mjs puts behind gateways. Written without decorator syntax, to run as
// it is. Arguments: the two public keys. Sends its ports.
import 'reflect-metadata';
import { createHash, randomUUID } from 'node:crypto';
import { All, Controller, HttpCode, Module, Req, Res, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { MaxBodyBytes, ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';

const [strictKey = '', originalKey = ''] = process.argv.slice(2);
const MAX_BODY = 5 * 1024 * 1024;

/**
 * What both adapters have: Node's request, the one itself and the other as `raw`.
 *
 * @typedef {import('node:http').IncomingMessage & { raw?: import('node:http').IncomingMessage, body?: unknown }} AnyRequest
 * @typedef {{ setHeader?(name: string, value: string): unknown, header(name: string, value: string): unknown,
 *   status(code: number): unknown, send(body: unknown): unknown }} AnyResponse
 */

class EchoController {
  /** @param {AnyRequest} request @param {AnyResponse} response */
  async echo(request, response) {
    const raw = request.raw ?? request;
    const digest = createHash('sha256');
    let length = 0;
    for await (const chunk of raw) {
      digest.update(/** @type {Buffer} */ (chunk));
      length += /** @type {Buffer} */ (chunk).length;
    }
    const body = isParsed(request.body) ? request.body : undefined;
    const bytes = length > 0 ? digest.digest('hex') : undefined;
    response.header('ETag', '"one"');
    if (raw.url?.includes('cached')) response.header('Cache-Control', 'public, max-age=60');
    response.status(200);
    return response.send({ method: raw.method, length, bytes, body, id: randomUUID() });
  }
}

/** Express leaves `{}` where there was nothing to parse. @param {unknown} body */
function isParsed(body) {
  return typeof body === 'object' && body !== null && Object.keys(body).length > 0;
}

const { prototype } = EchoController;
const descriptor = Object.getOwnPropertyDescriptor(prototype, 'echo');
if (!descriptor) throw new Error('no method echo');
All('*')(prototype, 'echo', descriptor);
HttpCode(200)(prototype, 'echo', descriptor);
Req()(prototype, 'echo', 0);
Res()(prototype, 'echo', 1);
Controller()(EchoController);
UseGuards(ServiceJwtGuard)(EchoController);
MaxBodyBytes(MAX_BODY)(EchoController);

/** @param {'express' | 'fastify'} adapter @param {string | undefined} publicPathPrefix */
async function start(adapter, publicPathPrefix) {
  class ReceiverModule {}
  Module({
    imports: [
      ServiceAuthModule.forRoot({
        issuer: 'https://census.service/',
        publicPathPrefix,
        trustedIssuers: [
          { issuer: 'https://herald.service/', keys: [{ publicKey: strictKey, keyId: 'herald' }] },
          {
            issuer: 'https://clerk.service/',
            profile: 'original',
            keys: [{ publicKey: originalKey, keyId: 'clerk' }],
          },
        ],
      }),
    ],
    controllers: [EchoController],
  })(ReceiverModule);
  const isExpress = adapter === 'express';
  const app = await NestFactory.create(
    ReceiverModule,
    isExpress ? new ExpressAdapter() : new FastifyAdapter(),
    { logger: ['error'] },
  );
  if (!isExpress) {
    const fastify = /** @type {import('fastify').FastifyInstance} */ (
      app.getHttpAdapter().getInstance()
    );
    fastify.addContentTypeParser('*', (_request, _stream, done) => done(null));
  }
  await app.listen(0, '127.0.0.1');
  const server = /** @type {import('node:http').Server} */ (app.getHttpServer());
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

const ports = {
  express: await start('express', undefined),
  fastify: await start('fastify', undefined),
  expressStripped: await start('express', '/census'),
  fastifyStripped: await start('fastify', '/census'),
};
process.send?.(ports);
process.on('disconnect', () => process.exit());
