import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type INestApplication,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  type Type,
} from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import type { Adapter } from './service.js';

/** A request as both frameworks have it: Express's own, or Fastify's around Node's. */
export type FrameworkRequest = object & { user?: unknown };
type FrameworkResponse = object;
export type Middleware = (
  request: FrameworkRequest,
  response: ServerResponse,
  next: () => void,
) => void;

interface FastifyHooks {
  addHook(
    name: 'onRequest' | 'preHandler',
    hook: (request: FrameworkRequest, reply: FrameworkResponse, done: () => void) => void,
  ): void;
}

/** What an application registers in its main.ts, before Nest registers anything. */
export function useFirst(adapter: Adapter, app: INestApplication, middleware: Middleware): void {
  if (adapter === 'fastify') addFastifyHook(app, 'onRequest', middleware);
  else app.use(middleware);
}

/** What runs last before the routes: on Express from a module, on Fastify as a hook of the handler. */
export function createLast(
  adapter: Adapter,
  middleware: Middleware,
): { imports: Type<unknown>[]; configure: (app: INestApplication) => void } {
  @Module({})
  class LastMiddlewareModule implements NestModule {
    configure(consumer: MiddlewareConsumer): void {
      consumer.apply(middleware).forRoutes('{*every}');
    }
  }
  if (adapter === 'express') return { imports: [LastMiddlewareModule], configure: () => undefined };
  return { imports: [], configure: (app) => addFastifyHook(app, 'preHandler', middleware) };
}

function addFastifyHook(
  app: INestApplication,
  name: 'onRequest' | 'preHandler',
  middleware: Middleware,
): void {
  const fastify = app.getHttpAdapter().getInstance() as FastifyHooks;
  fastify.addHook(name, (request, reply, done) =>
    middleware(request, ('raw' in reply ? reply.raw : reply) as ServerResponse, done),
  );
}

/** Fastify answers 415 to types it has no parser for; this one hands the stream on unread. */
export function acceptEverything(app: INestApplication): void {
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  fastify.addContentTypeParser('*', (_request, _stream, done) => done(null));
}

/** Node's own request, whichever framework wraps it. */
export function rawRequest(request: FrameworkRequest): IncomingMessage {
  return ('raw' in request ? request.raw : request) as IncomingMessage;
}
