import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import type { ExecutionContext } from '@nestjs/common';
import {
  createSlot,
  type IncomingRequest,
  refusalHeaders,
  type RequestBody,
  type RequestVerification,
  type RoutePolicy,
  type ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  type ServiceIdentity,
  type ServiceTokenRefusedError,
} from '../../core/index.js';
import {
  noteGuard,
  noteVerification,
  rawRequestOf,
  type RequestState,
  type Verification,
} from '../request-state.js';
import { ReceivedBody } from './body/received-body.js';
import { isStream } from './body/unread-stream.js';
import { type BodySettings, KeptBody, WatchedBody } from './body/verifiable-body.js';
import {
  hasToken,
  hasTokenElsewhere,
  headerListOf,
  maxHeadersCountOf,
  mayHaveToken,
  removeToken,
} from './header-list.js';
import { toHttpException } from './http-exception.js';
import { type HttpResponse, markPrivate, setHeader } from './private-answer.js';

/** The common members of Express's and Fastify's requests. */
interface HttpRequest {
  readonly originalUrl?: string;
  /** The route that Express has found. */
  readonly route?: { readonly path?: unknown };
  /** The route that Fastify has found. */
  readonly routeOptions?: { readonly url?: unknown };
  user?: unknown;
}

/**
 * A request and its answer, as objects of the framework.
 *
 * A class, not a literal: V8 begins to allocate such literals among the old objects. There they keep the request
 * alive until the next full garbage collection, which took a guarded GET 6 % more CPU.
 */
class Served {
  constructor(
    readonly request: HttpRequest,
    readonly response: HttpResponse,
    readonly pattern: string | undefined,
  ) {}
}

const REQUESTS = createSlot<ReceivedRequest>();

/**
 * One HTTP request, and all that this library knows about it. Each request has one, created on first use. It is
 * attached to Node's own request object. So neither a client nor other code can forge it.
 *
 * Its methods take what differs between routes and services: `next()` hands one request to a second route, and an
 * application may have several services.
 */
export class ReceivedRequest {
  readonly transport = 'http';
  /** A separate object, so that call contexts do not keep the request and its body in memory. */
  readonly state: RequestState = {};
  private body: ReceivedBody | undefined;
  private served: Served | undefined;
  /** The headers when a guard first read them: the guard of another service needs the token too. */
  private sentHeaders: readonly string[] | undefined;
  private isTokenRemoved = false;

  private constructor(readonly raw: IncomingMessage) {}

  /** The instance of a request, given as an object of any framework. Reads nothing of the request. */
  static of(request: object): ReceivedRequest {
    const raw = rawRequestOf(request);
    const known = REQUESTS.get(raw);
    if (known) return known;
    const received = new ReceivedRequest(raw as IncomingMessage);
    REQUESTS.set(raw, received);
    return received;
  }

  /** The instance of a request that Nest is about to serve. The context must be an HTTP context. */
  static servedIn(context: ExecutionContext): ReceivedRequest {
    const http = context.switchToHttp();
    return ReceivedRequest.serving(http.getRequest<object>(), http.getResponse<object>());
  }

  /**
   * The one of a request that something else than a route of Nest is about to serve.
   *
   * @param pattern the route, for events. Default: the one that the framework has found
   */
  static serving(request: object, response: object, pattern?: string): ReceivedRequest {
    const received = ReceivedRequest.of(request);
    received.served = new Served(request, response as HttpResponse, pattern);
    return received;
  }

  /** The one of a request that a guard has begun to verify; undefined for any other object. */
  static verified(request: object): ReceivedRequest | undefined {
    const received = REQUESTS.get(rawRequestOf(request));
    return received?.state.verification && received;
  }

  /** Whether a guard may verify the request, or has verified it. False only if it surely has no token. */
  static mayBeVerified(raw: IncomingMessage): boolean {
    return REQUESTS.get(raw) !== undefined || mayHaveToken(raw);
  }

  /** The pattern of the matched route, such as `/users/:id`; undefined if unknown. */
  get route(): string | undefined {
    // Never the path itself: a caller can invent any number of paths.
    const { request, pattern } = this.opened;
    const found = pattern ?? request.route?.path ?? request.routeOptions?.url;
    return typeof found === 'string' ? found : undefined;
  }

  /**
   * Whether the request has a token, or may have one. False only if the list of headers is complete and has no token.
   */
  get hasToken(): boolean {
    return mayHaveToken(this.raw, this.headers) || hasTokenElsewhere(this.raw);
  }

  /**
   * Begins to watch the body. Call it before any code reads the request. It reads nothing itself and keeps at most 64
   * KiB.
   */
  watchBody(): void {
    if (!this.body && isStream(this.raw)) this.body = new ReceivedBody(this.raw);
  }

  /**
   * The request as the verifier needs it, with the token even if a guard has removed it. The digest reads the unread
   * rest of the body within the limits of the route, and puts it back for the next reader.
   */
  toVerify(settings: BodySettings): IncomingRequest {
    const { raw } = this;
    this.watchBody();
    // A host other than a Node server may give Content-Length as a number.
    const rawHeaders = this.headers.map(String);
    this.sentHeaders ??= rawHeaders;
    return {
      method: raw.method ?? '',
      target: this.opened.request.originalUrl ?? raw.url ?? '',
      rawHeaders,
      maxHeadersCount: maxHeadersCountOf(raw),
      body: this.bodyToVerify(settings),
    };
  }

  /** Verifies the request. Emits nothing. */
  prove(
    incoming: IncomingRequest,
    policy: RoutePolicy,
    verification: RequestVerification,
  ): Promise<ServiceIdentity> {
    return verification.prove(incoming, policy);
  }

  /** Begins the verification by one service, which stays apart from those by others. */
  beginVerification(verifier: object, isReport: boolean): Verification {
    noteGuard(this.raw);
    return noteVerification(this.state, verifier, isReport);
  }

  /** Sets `request.user`. */
  setUser(user: unknown): void {
    this.opened.request.user = user;
  }

  /** Removes the token from the request, so that no logger and no handler passes it on. */
  removeToken(): void {
    this.isTokenRemoved = true;
    removeToken(this.raw);
  }

  /** Sets headers for caches: the answer depends on the token. */
  markPrivate(): void {
    markPrivate(this.opened.response);
  }

  /**
   * The exception that answers a refusal. Sets the headers of the answer.
   *
   * @param realm the name of the service in a challenge
   */
  refuse(error: ServiceTokenRefusedError | ServiceAuthUnavailableError, realm: string): Error {
    const { httpVersionMajor } = this.raw;
    const headers = refusalHeaders(error, { realm, httpVersionMajor });
    for (const [name, value] of Object.entries(headers)) {
      setHeader(this.opened.response, name, value);
    }
    if (isHttp2Request(this.raw)) endAfterAnswer(this.raw);
    return toHttpException(error);
  }

  /** Adds a header to the answer, with the code of the refusal that enforcement would cause. */
  reportRefusal({ code }: ServiceTokenRefusedError | ServiceAuthUnavailableError): void {
    const { response } = this.opened;
    // An answer in parts may have begun.
    const { headersSent } = rawRequestOf(response) as ServerResponse;
    if (!headersSent) setHeader(response, 'JWT-Report', code);
  }

  private get opened(): Served {
    if (this.served) return this.served;
    throw new ServiceAuthUsageError('The request is served by no route of Nest.');
  }

  /** The header list that a guard verifies. */
  private get headers(): readonly string[] {
    const present = headerListOf(this.raw);
    const isGone = this.isTokenRemoved && !hasToken(present);
    return isGone ? (this.sentHeaders ?? present) : present;
  }

  private bodyToVerify({ limits, rawBody }: BodySettings): RequestBody {
    const { raw, body } = this;
    if (!body || body.isMissed) return new KeptBody(raw, rawBody);
    const response = rawRequestOf(this.opened.response) as ServerResponse;
    return new WatchedBody(body, limits, response);
  }
}

function isHttp2Request(raw: IncomingMessage | Http2ServerRequest): raw is Http2ServerRequest {
  return raw.httpVersionMajor >= 2;
}

/**
 * Ends the stream of a refused upload once its answer is out. Otherwise Node reads the rest of it.
 *
 * @see RFC 9113 section 8.1
 */
function endAfterAnswer(raw: Http2ServerRequest): void {
  const { stream } = raw;
  raw.resume(); // bytes in the buffers keep a closed stream alive, and with it the session
  stream.once('finish', () => {
    // Not immediately: a client that gets both together may treat the answer as broken.
    stream.once('data', () => {
      if (!stream.destroyed && stream.state.remoteClose !== 1) stream.close(); // NO_ERROR
    });
  });
}
