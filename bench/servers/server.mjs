// One application in a process of its own, which tells over IPC what CPU time it takes. Ends with its parent.
// Written without decorator syntax, to run as it is.
import 'reflect-metadata';
import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Module,
  Param,
  Post,
  Req,
  UseGuards,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { MaxBodyBytes } from 'nestjs-service-auth';
import { cpuTime, cpuTimeSince } from '../cpu-time.mjs';
import { AUTHENTICATIONS } from './authentications.mjs';

/** Above the 100 kB of Express, below the 1 MiB of Fastify. */
const MAX_JSON_BYTES = 200_000;
/** Uploads are read by the handler, piece by piece. */
const MAX_UPLOAD_BYTES = 101 * 2 ** 20;
/** Idle connections outlive the turns of the other servers. */
const KEEP_ALIVE_MILLISECONDS = 600_000;

const { adapter, authentication, ...config } =
  /** @type {import('./server-process.mjs').Config} */ (JSON.parse(process.argv[2] ?? ''));

/** @typedef {AsyncIterable<Buffer> & { headers: import('node:http').IncomingHttpHeaders }} Upload */

class UserController {
  /** @param {string} id */
  find(id) {
    return { id };
  }

  /** @param {{ id: string }} user */
  create({ id }) {
    return { id };
  }

  /** @param {Upload & { raw?: Upload }} request Express's, or Fastify's around Node's */
  async upload(request) {
    let size = 0;
    for await (const chunk of request.raw ?? request) size += chunk.length;
    if (size !== Number(request.headers['content-length'] ?? 0)) throw new BadRequestException();
    return { size };
  }
}

/**
 * Names a method of the controller what Nest is to do with it.
 *
 * @param {'find' | 'create' | 'upload'} name
 * @param {ParameterDecorator} parameter
 * @param {readonly MethodDecorator[]} decorators
 */
function decorate(name, parameter, ...decorators) {
  const descriptor = Object.getOwnPropertyDescriptor(UserController.prototype, name);
  if (!descriptor) throw new Error(`no method ${name}`);
  for (const decorator of decorators) decorator(UserController.prototype, name, descriptor);
  parameter(UserController.prototype, name, 0);
}

/** @type {import('./authentications.mjs').Way} */
const way = AUTHENTICATIONS[authentication];
const { guard, rawBody = false, ...metadata } = await way(config);
Controller('user')(UserController);
decorate('find', Param('id'), Get(':id'));
decorate('create', Body(), Post());
decorate('upload', Req(), Post('upload'), MaxBodyBytes(MAX_UPLOAD_BYTES));
if (guard) UseGuards(guard)(UserController);

class CensusModule {}
Module({ ...metadata, controllers: [UserController] })(CensusModule);

const isExpress = adapter === 'express';
const app = await NestFactory.create(
  CensusModule,
  isExpress ? new ExpressAdapter() : new FastifyAdapter(),
  { logger: ['error'], rawBody },
);
if (isExpress) {
  /** @type {import('@nestjs/platform-express').NestExpressApplication} */ (app).useBodyParser(
    'json',
    { limit: MAX_JSON_BYTES },
  );
}
if (!isExpress) {
  const fastify = /** @type {import('fastify').FastifyInstance} */ (
    app.getHttpAdapter().getInstance()
  );
  fastify.addContentTypeParser('application/octet-stream', (_request, _body, done) => done(null));
}
await app.listen(0, '127.0.0.1');
const server = /** @type {import('node:http').Server} */ (app.getHttpServer());
server.keepAliveTimeout = KEEP_ALIVE_MILLISECONDS;

let before = cpuTime();
process.on('message', (message) => {
  if (message === 'begin') {
    before = cpuTime();
    process.send?.('begun');
  } else {
    process.send?.(cpuTimeSince(before));
  }
});
process.on('disconnect', () => process.exit());
const address = server.address();
process.send?.(typeof address === 'object' ? address?.port : undefined);
