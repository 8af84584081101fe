import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ServiceCallContext } from '../../for-whom/service-call.context.js';
import { mayHaveToken } from './header-list.js';
import { ReceivedRequest } from './received-request.js';
import { scopeRoutes } from './route-scope.js';

type Next = () => void;

/** The part of Fastify's life cycle that this library hooks into. */
interface FastifyHooks {
  addHook(
    name: 'onRequest',
    hook: (request: { readonly raw: IncomingMessage }, reply: unknown, done: Next) => void,
  ): void;
}

/**
 * Hooks into the HTTP server, so that applications need not change their main.ts. It watches bodies before the first
 * parser, and runs each route in the call context of its request. A request that a handler injects into this process
 * begins without a user. Requests without a token are not changed.
 */
@Injectable()
export class HttpRequestHooks implements OnModuleInit {
  constructor(
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
    @Inject(ServiceCallContext) private readonly callContext: ServiceCallContext,
  ) {
    // NestFactory sets the adapter before it creates providers, Test sets it afterwards.
    if (this.host.httpAdapter) this.install();
    else this.host.init$.subscribe(() => this.install());
  }

  /**
   * The server exists now, and has not served yet. Its events come before any hook of the framework, so a slow hook
   * does not let bytes pass unseen. For requests without the server, such as injected ones, the hooks start the
   * watch.
   */
  onModuleInit(): void {
    const { httpAdapter } = this.host;
    const server = httpAdapter?.getHttpServer() as EventEmitter | undefined;
    server?.prependListener('request', (raw: IncomingMessage) => watchBody(raw));
  }

  private install(): void {
    this.installBodyCapture();
    const { httpAdapter } = this;
    if (httpAdapter) scopeRoutes(httpAdapter, this.callContext);
  }

  private installBodyCapture(): void {
    if (this.fastify) {
      this.fastify.addHook('onRequest', ({ raw }, _reply, done) => {
        watchBody(raw);
        this.callContext.runUnproved(done);
      });
    } else {
      this.httpAdapter?.use((raw: IncomingMessage, _response: unknown, next: Next) => {
        watchBody(raw);
        this.callContext.runUnproved(next);
      });
    }
  }

  private get fastify(): FastifyHooks | undefined {
    const { httpAdapter } = this.host;
    return httpAdapter?.getType() === 'fastify'
      ? httpAdapter.getInstance<FastifyHooks>()
      : undefined;
  }

  /** Undefined in an application without HTTP: a pure microservice, a standalone context. */
  private get httpAdapter(): HttpAdapterHost['httpAdapter'] | undefined {
    return this.host.httpAdapter as HttpAdapterHost['httpAdapter'] | undefined;
  }
}

function watchBody(raw: IncomingMessage): void {
  if (mayHaveToken(raw)) ReceivedRequest.of(raw).watchBody();
}
