import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type ExecutionContext,
  ForbiddenException,
  HttpException,
  PayloadTooLargeException,
  ServiceUnavailableException,
  UnauthorizedException,
  UnsupportedMediaTypeException,
} from '@nestjs/common';
import {
  headerValues,
  type IncomingRequest,
  ServiceAuthUnavailableError,
  type ServiceTokenRefusedError,
  TOKEN_HEADER,
} from '../../core/index.js';
import { rawRequestOf } from '../request-state.js';
import { removeDistinctToken } from './distinct-headers.js';
import { bodyOf } from './http-body.js';
import type { Exchange, ExchangeSettings, Transport } from './transport.js';

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

export const httpTransport: Transport = {
  open: (context, settings) => new HttpExchange(context, settings),
};

class HttpExchange implements Exchange {
  readonly key: IncomingMessage;
  readonly request: IncomingRequest;
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
      rawHeaders: [...raw.rawHeaders],
      body: bodyOf(raw, rawRequestOf(this.response) as ServerResponse, settings.bodyLimits),
    };
  }

  get hasToken(): boolean {
    const tokens = headerValues(this.request.rawHeaders, TOKEN_HEADER);
    return tokens.some((token) => token !== '') || tokens.length > 1;
  }

  setUser(user: unknown): void {
    this.frameworkRequest.user = user;
  }

  removeToken(): void {
    const { headers, rawHeaders } = this.key;
    // Blanked, not spliced out: Node remembers how many raw headers there were.
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      if (isNamed(rawHeaders[at], TOKEN_HEADER)) rawHeaders[at + 1] = '';
    }
    delete headers[TOKEN_HEADER];
    removeDistinctToken(this.key);
  }

  describeResponse(): void {
    this.setHeader('Vary', appendToken(this.response.getHeader('Vary')));
    this.keepInVary();
    const cacheControl = this.response.getHeader('Cache-Control');
    const isPrivate =
      typeof cacheControl === 'string' && /\b(?:private|no-store)\b/i.test(cacheControl);
    if (!isPrivate) this.setHeader('Cache-Control', 'private');
  }

  refuse(error: ServiceTokenRefusedError | ServiceAuthUnavailableError): Error {
    if (error.status === 401) {
      const reason = error.code === 'token_missing' ? '' : `, error="${error.code}"`;
      this.setHeader('WWW-Authenticate', `JWT realm="${this.settings.realm}"${reason}`);
    }
    if (this.key.httpVersionMajor >= 2) {
      // Nobody will read what is left, and a stream that is not read to its end never closes.
      this.key.resume();
    } else if (error.code === 'body_unverifiable' && error.status !== 415) {
      // What is left of a body nobody will read must not be taken for the next request.
      this.setHeader('Connection', 'close');
    }
    if (error instanceof ServiceAuthUnavailableError) {
      this.setHeader('Retry-After', String(Math.ceil(error.retryAfterSeconds)));
    }
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

/** Never the path itself: of those a caller can make up any number. */
function routeOf({ route, routeOptions }: HttpRequest): string | undefined {
  const pattern = route?.path ?? routeOptions?.url;
  return typeof pattern === 'string' ? pattern : undefined;
}

/** The exception Nest answers with: its usual error shape plus the code. The cause stays inside. */
export function toHttpException(
  error: ServiceTokenRefusedError | ServiceAuthUnavailableError,
): HttpException {
  const { status, code, message } = error;
  const describe = (name: string) => ({ statusCode: status, message, error: name, code });
  const options = { cause: error };
  switch (status) {
    case 401:
      return new UnauthorizedException(describe('Unauthorized'), options);
    case 403:
      return new ForbiddenException(describe('Forbidden'), options);
    case 413:
      return new PayloadTooLargeException(describe('Payload Too Large'), options);
    case 415:
      return new UnsupportedMediaTypeException(describe('Unsupported Media Type'), options);
    case 503:
      return new ServiceUnavailableException(describe('Service Unavailable'), options);
    default:
      return new HttpException(describe('Error'), status, options);
  }
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
