import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HttpException, Inject, Injectable, Logger } from '@nestjs/common';
import { isRefusal, ServiceAuthUsageError } from '../core/index.js';
import { CallContexts, runnerIn } from './call-contexts.js';
import { ReceivedRequest } from './http/received-request.js';
import { serve } from './http/route-scope.js';
import { answer, Handshake } from './http/handshake.js';
import { RequestAuthenticator } from './request-authenticator.js';
import type { Route } from './route-policy.js';

/** What callers of a mount need besides a good token. */
export interface MountOptions {
  /** The route, for events: `/legacy`. Default on Fastify: the pattern of the route; else none. */
  readonly route?: string;
  /** The services that may call, as `@AllowIssuers()` takes them. Default: each trusted issuer. */
  readonly allowIssuers?: readonly string[];
  /** `true`: callers must name a user, as `@RequireSubject()` asks. */
  readonly requireSubject?: boolean;
  /** `admit`: a request without a token is anonymous, as `@OptionalServiceAuth()` says. Default `refuse`. */
  readonly anonymous?: 'refuse' | 'admit';
  /** How large a body that no parser reads may be, in bytes, as `@MaxBodyBytes()` takes it. */
  readonly maxBodyBytes?: number;
}

/** A middleware of Express or Connect. */
export type ServiceAuthExpressMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void;

/** A reply of Fastify, as far as it is used. */
export interface FastifyReplyLike {
  readonly raw: ServerResponse;
  /** Reads a header of the answer. */
  getHeader(name: string): unknown;
  /** Sets a header of the answer. */
  header(name: string, value: string): unknown;
  /** Sets the status of the answer. */
  code(status: number): unknown;
  /** Sends the answer. */
  send(payload: unknown): unknown;
}

/** A hook of Fastify, for `preHandler` and for `preParsing`, which gets the payload too. */
export type ServiceAuthFastifyHook = (
  request: { readonly raw: IncomingMessage },
  reply: FastifyReplyLike,
  ...rest: [done: FastifyDone] | [payload: unknown, done: FastifyDone]
) => void;

/** Verifies a handshake that Node's server emits as `upgrade`, and then calls `next`. */
export type ServiceAuthUpgradeListener = (
  request: IncomingMessage,
  socket: Socket,
  next: () => void,
) => void;

/** How one request goes on. */
interface Continuations {
  readonly accept: () => void;
  readonly refuse: (exception: HttpException) => void;
  readonly fail: (error: unknown) => void;
}

type FastifyDone = (error?: Error) => void;

/**
 * Verifies requests to what is mounted beside the controllers, where no guard of Nest stands: a proxy, a dashboard, an
 * endpoint of another library. It stands where it is mounted, and compares no URL.
 *
 * A refused request is answered as by the guard, with status, code and challenge, and goes no further; exception filters
 * are not called. With `subjectPropagation: 'ambient'`, what runs after it calls for the user of the request.
 *
 * @example
 * `app.use('/legacy', app.get(ServiceAuthMiddleware).express({ route: '/legacy' }), proxy)`
 */
@Injectable()
export class ServiceAuthMiddleware {
  /** @internal */
  constructor(
    @Inject(RequestAuthenticator) private readonly authenticator: RequestAuthenticator,
    @Inject(CallContexts) private readonly contexts: CallContexts,
  ) {}

  /**
   * A middleware for Express. Mount it under the path of what it protects, in the same call or before.
   *
   * The user of the request ends with the answer, and when the caller hangs up.
   *
   * @throws ServiceAuthUsageError for options that cannot be meant
   */
  express(options: MountOptions = {}): ServiceAuthExpressMiddleware {
    const route = routeOfMount(options);
    return (request, response, next) => {
      const received = ReceivedRequest.serving(request, response, options.route);
      void this.verify(received, route, {
        accept: () => this.serve(request, response, next),
        refuse: (exception) => answer(response, exception),
        fail: next,
      });
    };
  }

  /**
   * A hook for Fastify: `preHandler` of a route, or of the scope of a plugin. As `preParsing` it verifies before anything
   * parses the body: for uploads that another hook reads as a stream.
   *
   * @throws ServiceAuthUsageError for options that cannot be meant
   */
  fastify(options: MountOptions = {}): ServiceAuthFastifyHook {
    const route = routeOfMount(options);
    return (request, reply, ...rest) => {
      const done = rest.at(-1) as FastifyDone;
      // Where an answer has begun, as that of a timeout, Fastify throws, and nobody awaits this.
      const isAnswered = (): boolean => reply.raw.headersSent;
      void this.verify(ReceivedRequest.serving(request, reply, options.route), route, {
        accept: () => void (isAnswered() || done()),
        refuse: (exception) => {
          if (isAnswered()) return;
          reply.code(exception.getStatus());
          reply.send(exception.getResponse());
        },
        fail: (error) => {
          if (isAnswered()) new Logger('ServiceAuth').error(error);
          else done(error as Error);
        },
      });
    };
  }

  /**
   * A listener for the handshakes of WebSockets, which pass neither middleware nor hooks: of a proxy, or of another library
   * that takes the socket. It verifies the handshake alone, no message on the open socket: calls from there name their user.
   *
   * @example
   * `server.on('upgrade', (request, socket, head) => verify(request, socket, () => proxy.upgrade(request, socket, head)))`
   * @throws ServiceAuthUsageError for options that cannot be meant
   */
  upgrade(options: MountOptions = {}): ServiceAuthUpgradeListener {
    const route = routeOfMount(options);
    return (request, socket, next) => {
      const handshake = Handshake.of(request, socket);
      if (!handshake) return;
      const { response } = handshake;
      void this.verify(ReceivedRequest.serving(request, response, options.route), route, {
        accept: () => {
          handshake.accept();
          this.decideNothingFor(request, socket);
          this.serve(request, response, next);
        },
        refuse: (exception) => handshake.refuse(exception),
        fail: (error) => handshake.fail(error),
      });
    };
  }

  /**
   * Makes what comes over an open socket run as what is left of its request: nobody verified it, so no user is known there,
   * and the service neither acts for itself nor vouches for a user. Node emits it outside of every request.
   */
  private decideNothingFor(request: IncomingMessage, socket: Socket): void {
    const { verification } = ReceivedRequest.of(request).state;
    const ended = { ...(verification && { verification }), endedAt: 0 };
    const run = runnerIn(this.contexts.all(), ended);
    const emit = socket.emit.bind(socket) as (...args: unknown[]) => boolean;
    socket.emit = (...args: unknown[]) => run(() => emit(...args));
  }

  /** Runs what is behind a mount in the call contexts of all services, as Nest's routes run. */
  private serve(request: IncomingMessage, response: ServerResponse, next: () => void): void {
    const inAll = this.contexts.all().reduce<() => unknown>(
      (inner, context) => () => serve(context, [request, response], inner),
      () => next(),
    );
    inAll();
  }

  private async verify(
    request: ReceivedRequest,
    route: Route,
    { accept, refuse, fail }: Continuations,
  ): Promise<void> {
    try {
      await this.authenticator.authenticate(request, route);
    } catch (error) {
      // An exception of the application's own is for its filters.
      return isAnswer(error) ? refuse(error) : fail(error);
    }
    // Not in the block above: what fails behind a mount is not refused by it.
    accept();
  }
}

/** What a mount asks for, as the decorators of a route would say it. @throws ServiceAuthUsageError */
export function routeOfMount(options: MountOptions): Route {
  assertMeant(options);
  const { allowIssuers, requireSubject = false, anonymous = 'refuse', maxBodyBytes } = options;
  const asks = allowIssuers !== undefined || requireSubject;
  return {
    mode: anonymous === 'admit' && !asks ? 'optional' : 'required',
    policy: {
      allowedIssuers: allowIssuers === undefined ? [] : [new Set(allowIssuers)],
      subjectRequired: requireSubject,
      proof: undefined,
    },
    maxBodyBytes,
    isReportOnly: false,
  };
}

/** By each option: whether its value can be meant, and what to write. */
const OPTIONS: {
  readonly [Name in keyof MountOptions]-?: readonly [(value: unknown) => boolean, string];
} = {
  route: [(value) => typeof value === 'string', "a text, such as '/legacy'"],
  allowIssuers: [isListOfTexts, 'the URI of each service, at least one'],
  requireSubject: [(value) => typeof value === 'boolean', 'true, or nothing'],
  anonymous: [(value) => value === 'refuse' || value === 'admit', "'refuse' or 'admit'"],
  maxBodyBytes: [
    (value) => Number.isSafeInteger(value) && (value as number) > 0,
    'a whole number of bytes above 0',
  ],
};

function assertMeant(options: MountOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(OPTIONS, name)) {
      const names = Object.keys(OPTIONS).join(', ');
      throw new ServiceAuthUsageError(`${name} is no option of a mount: write one of ${names}.`);
    }
    const [isMeant, whatToWrite] = OPTIONS[name as keyof MountOptions];
    if (!isMeant(value)) throw new ServiceAuthUsageError(`${name}: write ${whatToWrite}.`);
  }
}

function isListOfTexts(value: unknown): boolean {
  return (
    Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string')
  );
}

/** Whether it is the answer to a refused request. */
function isAnswer(error: unknown): error is HttpException {
  return error instanceof HttpException && isRefusal(error.cause);
}
