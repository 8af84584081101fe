import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import type { ExecutionContext } from '@nestjs/common';
import {
  createSlot,
  type IncomingRequest,
  refusalHeaders,
  type RequestBody,
  type ServiceAuthUnavailableError,
  ServiceAuthUsageError,
  type ServiceTokenRefusedError,
} from '../../core/index.js';
import { noteGuard, rawRequestOf, type RequestState, type Verification } from '../request-state.js';
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

/** Express's and Fastify's request, as far as both are the same. */
interface HttpRequest {
  readonly originalUrl?: string;
  /** The route that Express has found. */
  readonly route?: { readonly path?: unknown };
  /** The route that Fastify has found. */
  readonly routeOptions?: { readonly url?: unknown };
  user?: unknown;
}

/**
 * A request and its answer, in the shapes that the framework gives them.
 *
 * A class, since V8 comes to allocate a literal of requests among the old objects, where it would keep the request and
 * all that belongs to it until the next full collection: a guarded GET took 6 % more CPU.
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
 * One HTTP request, and all that this library knows of it. There is one for each request, made when it is first asked
 * for. It belongs to Node's own request object, so that nothing a client sends and no property that other code sets can
 * be taken for it.
 *
 * What differs between routes and services is given to its methods: `next()` hands one request to a second route, and an
 * application may have several services.
 */
export class ReceivedRequest {
  /** Apart from this object, so that the contexts of calls do not keep the request and its body in memory. */
  readonly state: RequestState = {};
  private body: ReceivedBody | undefined;
  private served: Served | undefined;
  /** Its headers when a guard first read them: the guard of another service needs the token too. */
  private sentHeaders: readonly string[] | undefined;
  private isTokenRemoved = false;

  private constructor(readonly raw: IncomingMessage) {}

  /** The one of a request, in any shape that a framework gives it. Reads nothing of the request. */
  static of(request: object): ReceivedRequest {
    const raw = rawRequestOf(request);
    const known = REQUESTS.get(raw);
    if (known) return known;
    const received = new ReceivedRequest(raw as IncomingMessage);
    REQUESTS.set(raw, received);
    return received;
  }

  /** The one of a request that Nest is about to serve. The context must be one of HTTP. */
  static servedIn(context: ExecutionContext): ReceivedRequest {
    const http = context.switchToHttp();
    return ReceivedRequest.serving(http.getRequest<object>(), http.getResponse<object>());
  }

  /**
   * The one of a request that something else than a route of Nest is about to serve.
   *
   * @param pattern what stands for the route in events. Default: the one that the framework has found
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

  /** The pattern of the route that was found for it, as `/users/:id`; undefined where it is not known. */
  get route(): string | undefined {
    // Never the path itself: of those a caller can make up any number.
    const { request, pattern } = this.opened;
    const found = pattern ?? request.route?.path ?? request.routeOptions?.url;
    return typeof found === 'string' ? found : undefined;
  }

  /** Whether it has a token, or may have one: false only if the whole list of headers was seen, without a token. */
  get hasToken(): boolean {
    return mayHaveToken(this.raw, this.headers) || hasTokenElsewhere(this.raw);
  }

  /**
   * Watches its body from now on, which must be before anything reads the request. Reads nothing itself and keeps at
   * most 64 KiB.
   */
  watchBody(): void {
    if (!this.body && isStream(this.raw)) this.body = new ReceivedBody(this.raw);
  }

  /**
   * The request as the verifier needs it, with the token, also where a guard has removed that. What no parser has read of
   * its body is read within the limits of the route once its digest is asked for, and given back to the next reader.
   */
  toVerify(settings: BodySettings): IncomingRequest {
    const { raw } = this;
    this.watchBody();
    // A host that is no Node server may give Content-Length as a number.
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

  /** Begins the verification by one service, which stays apart from those by others. */
  beginVerification(verifier: object, isReport: boolean): Verification {
    const verification: Verification = { verifier, isReport, previous: this.state.verification };
    this.state.verification = verification;
    noteGuard(this.raw);
    return verification;
  }

  /** Sets `request.user`. */
  setUser(user: unknown): void {
    this.opened.request.user = user;
  }

  /** Takes the token out of the request, so that no logger and no handler passes it on. */
  removeToken(): void {
    this.isTokenRemoved = true;
    removeToken(this.raw);
  }

  /** Tells caches that the answer depends on the token. */
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

  /** Tells the caller, in a header of the answer, why its request would be refused. */
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
  raw.resume(); // what lies in the buffers keeps a closed stream, and with it the session
  stream.once('finish', () => {
    // Not at once: a client that gets both together may take the answer for a broken one.
    stream.once('data', () => {
      if (!stream.destroyed && stream.state.remoteClose !== 1) stream.close(); // NO_ERROR
    });
  });
}
