import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import type { ExecutionContext } from '@nestjs/common';
import {
  type IncomingRequest,
  isWholeHeaderList,
  refusalHeaders,
  type ServiceAuthUnavailableError,
  type ServiceTokenRefusedError,
  TOKEN_HEADER,
} from '../../core/index.js';
import { rawRequestOf, requestStateOf } from '../request-state.js';
import { bodyOf, type BodySettings } from './body/http-body.js';
import { removeDistinctToken } from './distinct-headers.js';
import { hasToken, headerListOf, maxHeadersCountOf } from './header-list.js';
import { toHttpException } from './http-exception.js';

/** What an exchange needs to know of the settings, and of the route. */
export interface ExchangeSettings {
  /** The name of the service in a challenge. */
  readonly realm: string;
  readonly body: BodySettings;
}

/** Express's and Fastify's request, as far as both are the same. */
interface HttpRequest {
  readonly originalUrl?: string;
  /** The route that Express has found. */
  readonly route?: { readonly path?: unknown };
  /** The route that Fastify has found. */
  readonly routeOptions?: { readonly url?: unknown };
  user?: unknown;
}

/** Express's and Fastify's response: the one sets headers with `setHeader`, the other with `header`. */
interface HttpResponse {
  readonly raw?: object;
  getHeader(name: string): unknown;
  setHeader?(name: string, value: string): unknown;
  header(name: string, value: string): unknown;
}

/** One request and the answer to it, as the guard needs them. */
export class HttpExchange {
  /** The object that stands for this request while it is served. */
  readonly key: IncomingMessage;
  readonly request: IncomingRequest;
  /** The pattern of the route that was found for it, as `/users/:id`; undefined where it is not known. */
  readonly route: string | undefined;
  private readonly frameworkRequest: HttpRequest;
  private readonly response: HttpResponse;

  constructor(
    context: ExecutionContext,
    private readonly settings: ExchangeSettings,
  ) {
    const http = context.switchToHttp();
    this.frameworkRequest = http.getRequest<HttpRequest>();
    this.response = http.getResponse<HttpResponse>();
    const raw = rawRequestOf(this.frameworkRequest) as IncomingMessage;
    this.key = raw;
    this.route = routeOf(this.frameworkRequest);
    this.request = {
      method: raw.method ?? '',
      target: this.frameworkRequest.originalUrl ?? raw.url ?? '',
      // A host that is no Node server may give Content-Length as a number.
      rawHeaders: sentHeadersOf(raw).map(String),
      maxHeadersCount: maxHeadersCountOf(raw),
      body: bodyOf(raw, rawRequestOf(this.response) as ServerResponse, settings.body),
    };
  }

  /** False only if the whole list of headers was seen, without a token. */
  get mayHaveToken(): boolean {
    const { headers } = this.key as Partial<IncomingMessage>;
    // Where a host's two lists differ, neither shows that there is no token.
    const isNamedElsewhere = Boolean(headers?.[TOKEN_HEADER]);
    return (
      hasToken(this.request.rawHeaders) || isNamedElsewhere || !isWholeHeaderList(this.request)
    );
  }

  setUser(user: unknown): void {
    this.frameworkRequest.user = user;
  }

  /** Takes the token out of the request, so that no logger and no handler passes it on. */
  removeToken(): void {
    requestStateOf(this.key).sentHeaders ??= this.request.rawHeaders;
    const { headers, rawHeaders = [] } = this.key as Partial<IncomingMessage>;
    // Blanked, not spliced out: Node remembers how many raw headers there were.
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      if (isNamed(rawHeaders[at], TOKEN_HEADER)) rawHeaders[at + 1] = '';
    }
    if (headers) delete headers[nameOfToken(headers)];
    removeDistinctToken(this.key);
  }

  /** Tells caches that the answer depends on the token. */
  markPrivate(): void {
    this.setHeader('Vary', appendToken(this.response.getHeader('Vary')));
    this.keepInVary();
    const cacheControl = this.response.getHeader('Cache-Control');
    const isPrivate =
      typeof cacheControl === 'string' && /\b(?:private|no-store)\b/i.test(cacheControl);
    if (!isPrivate) this.setHeader('Cache-Control', 'private');
  }

  /** The exception that answers a refusal, whose headers are set. */
  refuse(error: ServiceTokenRefusedError | ServiceAuthUnavailableError): Error {
    const { httpVersionMajor } = this.key;
    const headers = refusalHeaders(error, { realm: this.settings.realm, httpVersionMajor });
    for (const [name, value] of Object.entries(headers)) this.setHeader(name, value);
    if (isHttp2Request(this.key)) endAfterAnswer(this.key);
    return toHttpException(error);
  }

  /** A handler's own `@Header('Vary', ...)` comes later, and replaces instead of adding. */
  private keepInVary(): void {
    const { response } = this;
    const method = response.setHeader ? 'setHeader' : 'header';
    const set = response[method];
    response[method] = (name: string, value: string) =>
      set?.call(response, name, isNamed(name, 'vary') ? appendToken(value) : value);
  }

  private setHeader(name: string, value: string): void {
    if (this.response.setHeader) this.response.setHeader(name, value);
    else this.response.header(name, value);
  }
}

/** The header list that a guard verifies: with the token, if the guard of another service has removed it. */
function sentHeadersOf(raw: IncomingMessage): readonly string[] {
  const present = headerListOf(raw);
  const { sentHeaders = present } = requestStateOf(raw);
  return sentHeaders === present || hasToken(present) ? present : sentHeaders;
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

/** Never the path itself: of those a caller can make up any number. */
function routeOf({ route, routeOptions }: HttpRequest): string | undefined {
  const pattern = route?.path ?? routeOptions?.url;
  return typeof pattern === 'string' ? pattern : undefined;
}

/** Node writes names in lower case; another host may write them as they came. */
function nameOfToken(headers: IncomingMessage['headers']): string {
  if (TOKEN_HEADER in headers) return TOKEN_HEADER;
  return Object.keys(headers).find((name) => isNamed(name, TOKEN_HEADER)) ?? TOKEN_HEADER;
}

/** `expected` is in lower case. Lengths first: most names differ in that. */
function isNamed(name: string | undefined, expected: string): boolean {
  return name?.length === expected.length && name.toLowerCase() === expected;
}

function appendToken(vary: unknown): string {
  const listed = vary === undefined ? '' : listNames(vary);
  if (/(?:^|,)\s*(?:\*|jwt)\s*(?:,|$)/i.test(listed)) return listed;
  return listed === '' ? 'JWT' : `${listed}, JWT`;
}

function listNames(vary: unknown): string {
  const names: unknown[] = Array.isArray(vary) ? vary : [vary];
  return names.filter((name) => typeof name === 'string' && name !== '').join(', ');
}
