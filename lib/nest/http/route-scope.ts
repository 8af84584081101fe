import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpAdapterHost } from '@nestjs/core';
import type { ServiceCallContext } from '../../for-whom/service-call.context.js';
import { rawRequestOf } from '../request-state.js';
import { ReceivedRequest } from './received-request.js';

type HandlerArguments = [request: object, response: object, ...rest: unknown[]];
type Handler = (this: unknown, ...args: HandlerArguments) => unknown;
type Registrar = (this: unknown, ...args: unknown[]) => unknown;

/** The methods by which Nest registers routes on an adapter. */
const REGISTRARS = [
  'get',
  'post',
  'put',
  'patch',
  'delete',
  'all',
  'options',
  'head',
  'search',
  'query',
  'propfind',
  'proppatch',
  'mkcol',
  'copy',
  'move',
  'lock',
  'unlock',
] as const;

/** Fastify's hook for routes that are being registered. */
interface FastifyRoutes {
  addHook(name: 'onRoute', hook: (route: { handler: Handler }) => void): void;
}

/**
 * Runs every route that is registered from now on in the call context of its own request, including guards, pipes and
 * exception filters. An earlier start would be unsafe: a middleware may call next() in the turn of another request,
 * and the route would get that user. A global interceptor would cost much, since Nest then takes a slower path on
 * every route.
 */
export function scopeRoutes(
  adapter: HttpAdapterHost['httpAdapter'],
  callContext: ServiceCallContext,
): void {
  const scope = (handler: Handler): Handler =>
    function scoped(request, response, ...rest) {
      return serve(callContext, [request, response], () =>
        handler.call(this, request, response, ...rest),
      );
    };
  if (adapter.getType() === 'fastify') {
    adapter.getInstance<FastifyRoutes>().addHook('onRoute', (route) => {
      route.handler = scope(route.handler);
    });
  } else {
    for (const name of REGISTRARS) scopeRegistrar(adapter, name, scope);
  }
}

function scopeRegistrar(adapter: object, name: string, scope: (handler: Handler) => Handler): void {
  const register: unknown = Reflect.get(adapter, name);
  if (!isFunction<Registrar>(register)) return;
  Reflect.set(adapter, name, (...args: unknown[]) => {
    const last = args.at(-1);
    return register.apply(adapter, isFunction<Handler>(last) ? args.with(-1, scope(last)) : args);
  });
}

function isFunction<T extends (...args: never[]) => unknown>(value: unknown): value is T {
  return typeof value === 'function';
}

/** A request without a token that no guard has verified has no user, and never gets one. */
function serve(
  callContext: ServiceCallContext,
  [request, response]: HandlerArguments,
  handle: () => unknown,
): unknown {
  const raw = rawRequestOf(request) as IncomingMessage;
  if (!ReceivedRequest.mayBeVerified(raw)) return callContext.runUnproved(handle);
  const { state } = ReceivedRequest.of(raw);
  if (!callContext.notesEnd) return callContext.runForRequest(state, handle);
  const answer = new Answer(rawRequestOf(response) as ServerResponse, () => {
    state.endedAt ??= performance.now();
  });
  let outcome: unknown;
  try {
    outcome = callContext.runForRequest(state, handle);
    return outcome;
  } finally {
    answer.endAfter(outcome);
  }
}

/**
 * Ends the context of a request with its answer. A disconnecting caller does not end it: the handler may finish what
 * it has begun.
 */
class Answer {
  private isOver = false;
  private isHandled = false;

  constructor(
    private readonly response: ServerResponse,
    private readonly onOver: () => void,
  ) {
    // Not 'finish', which has a listener of Node. V8 begins to allocate the array of two listeners among the old
    // objects, where it keeps the request and its body alive until the next full garbage collection.
    response.on('close', this.closed);
  }

  /** @param outcome the result of the handler: a promise, unless the handler was synchronous */
  endAfter(outcome: unknown): void {
    if (outcome instanceof Promise) outcome.then(this.handled, this.handled);
    else this.handled();
  }

  private readonly handled = (): void => {
    this.isHandled = true;
    if (this.response.destroyed) this.end();
  };

  private readonly closed = (): void => {
    if (this.isHandled || this.response.writableEnded) this.end();
  };

  private readonly end = (): void => {
    if (this.isOver) return;
    this.isOver = true;
    this.onOver();
  };
}
