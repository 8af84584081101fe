import type { IncomingMessage } from 'node:http';
import { Inject, Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { TOKEN_HEADER } from '../../core/index.js';
import { requestStateOf } from '../request-state.js';
import { ServiceCallContext } from '../service-call.context.js';
import { captureBody } from './http-body.js';

type Next = () => void;

/** The two places of Fastify's life cycle that are hooked. */
interface FastifyHooks {
  addHook(
    name: 'onRequest' | 'preValidation',
    hook: (request: { readonly raw: IncomingMessage }, reply: unknown, done: Next) => void,
  ): void;
}

/**
 * Hooks into the HTTP server so that applications need not change their main.ts: bodies are watched
 * from before the first parser, and handlers run inside the call context. Requests without a token
 * pass both untouched.
 */
@Injectable()
export class HttpRequestHooks {
  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {
    // NestFactory sets the adapter before providers are made, Test sets it after.
    if (this.host.httpAdapter) this.installBodyCapture();
    else this.host.init$.subscribe(() => this.installBodyCapture());
  }

  /** To be called after the body parsers are registered and before the routes are. */
  installCallContext(): void {
    if (this.fastify) {
      this.fastify.addHook('preValidation', ({ raw }, _reply, done) =>
        this.runInContext(raw, done),
      );
    } else {
      this.express?.use((raw: IncomingMessage, _response: unknown, next: Next) =>
        this.runInContext(raw, next),
      );
    }
  }

  private installBodyCapture(): void {
    if (this.fastify) {
      this.fastify.addHook('onRequest', ({ raw }, _reply, done) => watchBody(raw, done));
    } else {
      this.express?.use((raw: IncomingMessage, _response: unknown, next: Next) =>
        watchBody(raw, next),
      );
    }
  }

  private runInContext(raw: IncomingMessage, next: Next): void {
    if (hasToken(raw)) this.callContext.runForRequest(requestStateOf(raw), next);
    // A request that arrives inside another one's context, by injection, must not inherit its user.
    else if (this.callContext.isInsideScope) this.callContext.runForRequest(undefined, next);
    else next();
  }

  private get fastify(): FastifyHooks | undefined {
    const { httpAdapter } = this.host;
    return httpAdapter?.getType() === 'fastify'
      ? httpAdapter.getInstance<FastifyHooks>()
      : undefined;
  }

  /** Undefined in an application without HTTP: a pure microservice, a standalone context. */
  private get express(): HttpAdapterHost['httpAdapter'] | undefined {
    return this.host.httpAdapter as HttpAdapterHost['httpAdapter'] | undefined;
  }
}

function watchBody(raw: IncomingMessage, next: Next): void {
  if (hasToken(raw)) captureBody(raw);
  next();
}

function hasToken(raw: IncomingMessage): boolean {
  return raw.headers[TOKEN_HEADER] !== undefined;
}
