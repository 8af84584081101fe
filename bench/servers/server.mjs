// One application in a process of its own, which tells over IPC what CPU time it takes. Ends with its parent.
// Written without decorator syntax, to run as it is.
import 'reflect-metadata';
import { Body, Controller, Get, Module, Param, Post, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { cpuTime, cpuTimeSince } from '../cpu-time.mjs';
import { AUTHENTICATIONS } from './authentications.mjs';

/** Above the 100 kB of Express, below the 1 MiB of Fastify. */
const MAX_JSON_BYTES = 200_000;
/** Idle connections outlive the turns of the other servers. */
const KEEP_ALIVE_MILLISECONDS = 600_000;

const { adapter, authentication, ...config } =
  /** @type {import('./server-process.mjs').Config} */ (JSON.parse(process.argv[2] ?? ''));

class UserController {
  /** @param {string} id */
  find(id) {
    return { id };
  }

  /** @param {{ id: string }} user */
  create({ id }) {
    return { id };
  }
}

/** @param {'find' | 'create'} name @param {MethodDecorator} route @param {ParameterDecorator} parameter */
function decorate(name, route, parameter) {
  const descriptor = Object.getOwnPropertyDescriptor(UserController.prototype, name);
  if (!descriptor) throw new Error(`no method ${name}`);
  route(UserController.prototype, name, descriptor);
  parameter(UserController.prototype, name, 0);
}

/** @type {import('./authentications.mjs').Way} */
const way = AUTHENTICATIONS[authentication];
const { guard, rawBody = false, ...metadata } = await way(config);
Controller('user')(UserController);
decorate('find', Get(':id'), Param('id'));
decorate('create', Post(), Body());
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
