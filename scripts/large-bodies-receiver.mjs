// The receiver that scripts/test-large-bodies.mjs uploads to. Written without decorator syntax, to run as it is.
import 'reflect-metadata';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import multipart from '@fastify/multipart';
import {
  Controller,
  HttpCode,
  Module,
  Post,
  Req,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter, FileInterceptor } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { MaxBodyBytes, ServiceAuthModule, ServiceJwtGuard } from 'nestjs-service-auth';

const [adapter, publicKey = ''] = process.argv.slice(2);
const isExpress = adapter === 'express';
const MAX_BODY = 101 * 1024 * 1024;
const folder = await mkdtemp(join(tmpdir(), 'large-bodies-'));
process.on('SIGTERM', () => void rm(folder, { recursive: true }).finally(() => process.exit()));

/**
 * Express's request with what multer adds to it, or Fastify's with what its plugin does.
 *
 * @typedef {AsyncIterable<Buffer> & {
 *   raw?: AsyncIterable<Buffer>,
 *   file: { size: number } & (() => Promise<{ file: import('node:stream').Readable }>),
 * }} UploadRequest
 */

class UploadController {
  /** @param {UploadRequest} request */
  async bytes(request) {
    let size = 0;
    for await (const chunk of request.raw ?? request) size += chunk.length;
    return { size };
  }

  /** @param {UploadRequest} request */
  async form(request) {
    if (isExpress) return { size: request.file.size };
    const part = await request.file();
    const path = join(folder, 'upload');
    await pipeline(part.file, createWriteStream(path));
    return { size: (await stat(path)).size };
  }
}

/** @param {'bytes' | 'form'} name @param {MethodDecorator[]} decorators */
function decorate(name, ...decorators) {
  const { prototype } = UploadController;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
  if (!descriptor) throw new Error(`no method ${name}`);
  for (const decorator of decorators) decorator(prototype, name, descriptor);
  Req()(prototype, name, 0);
}

Controller()(UploadController);
UseGuards(ServiceJwtGuard)(UploadController);
MaxBodyBytes(MAX_BODY)(UploadController);
decorate('bytes', Post('bytes'), HttpCode(200));
const toDisk = isExpress ? [UseInterceptors(FileInterceptor('file', { dest: folder }))] : [];
decorate('form', Post('form'), HttpCode(200), ...toDisk);

class ReceiverModule {}
Module({
  imports: [
    ServiceAuthModule.forRoot({
      issuer: 'https://census.service/',
      trustedIssuers: [
        { issuer: 'https://herald.service/', keys: [{ publicKey, keyId: 'herald' }] },
      ],
    }),
  ],
  controllers: [UploadController],
})(ReceiverModule);

const app = await NestFactory.create(
  ReceiverModule,
  isExpress ? new ExpressAdapter() : new FastifyAdapter(),
  { logger: ['error'] },
);
if (!isExpress) {
  const fastify = /** @type {import('fastify').FastifyInstance} */ (
    app.getHttpAdapter().getInstance()
  );
  await fastify.register(multipart, { limits: { fileSize: MAX_BODY } });
  fastify.addContentTypeParser('application/octet-stream', (_request, _stream, done) => done(null));
}
await app.listen(0, '127.0.0.1');
const server = /** @type {{ address(): import('node:net').AddressInfo | null }} */ (
  app.getHttpServer()
);
process.send?.(server.address()?.port);
