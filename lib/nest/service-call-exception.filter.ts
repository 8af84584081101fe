import {
  type ArgumentsHost,
  BadGatewayException,
  Catch,
  ForbiddenException,
  type HttpException,
  Logger,
  NotFoundException,
} from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { REFUSALS, SIGNING_FAILURES } from '../core/index.js';

/** What is known of a call to another service that failed. Nothing that the other side wrote is in it. */
interface FailedCall {
  /** The origin that was called; undefined where it is not known. */
  readonly origin: string | undefined;
  /** The status that was answered; undefined where there was no answer. */
  readonly status: number | undefined;
  /** A code of this library, of axios or of Node. */
  readonly code: string | undefined;
}

/** Stands for errors of calls where Nest asks which filter is for an error: other errors go to other filters. */
class CallError {
  static [Symbol.hasInstance](error: unknown): boolean {
    return readFailedCall(error) !== undefined;
  }
}

/**
 * Answers a request whose handler called another service in vain: 403 and 404 of that service are passed on, and every
 * other failure is 502. Takes errors of axios, of `fetch` without an answer, and `ServiceSigningError`; other errors go to
 * your other filters and to Nest.
 *
 * Writes one line to Nest's log, under the name `ServiceCall`: 502 as a warning, 403 and 404 as debug. Neither the line nor
 * the answer holds a token, a user, a path or anything that the other service wrote.
 *
 * @example
 * `providers: [{ provide: APP_FILTER, useClass: ServiceCallExceptionFilter }]`
 */
@Catch(CallError)
export class ServiceCallExceptionFilter extends BaseExceptionFilter {
  private readonly logger = new Logger('ServiceCall');

  /** Answers. Where nothing of HTTP is served, throws the error that came in. */
  override catch(error: unknown, host: ArgumentsHost): void {
    const call = readFailedCall(error);
    if (call === undefined || host.getType() !== 'http') throw error;
    const answer = answerTo(call);
    const status = answer.getStatus();
    this.logger[status === 502 ? 'warn' : 'debug'](`${describe(call)} Answered ${status}.`);
    // oxlint-disable-next-line promise/valid-params -- the rule takes the `catch` of an exception filter for that of a promise
    super.catch(answer, host);
  }
}

function answerTo({ status }: FailedCall): HttpException {
  switch (status) {
    case 403:
      return new ForbiddenException('A service that was called does not allow this.');
    case 404:
      return new NotFoundException('A service that was called does not know this.');
    default:
      return new BadGatewayException('A service that was called did not answer as it should.');
  }
}

function describe({ origin = 'A service', status, code }: FailedCall): string {
  if (code !== undefined && Object.hasOwn(SIGNING_FAILURES, code)) {
    return `A call to another service was not sent (${code}).`;
  }
  const why = code === undefined ? '' : ` (${code})`;
  if (status === undefined) return `${origin} did not answer a call${why}.`;
  return `${origin} answered a call with ${status}${why}.`;
}

/** By their shape: axios may be missing, and there may be several copies of it and of this library. */
function readFailedCall(error: unknown): FailedCall | undefined {
  const { name, message, code, cause, isAxiosError, response, config } = Object(error) as Record<
    string,
    unknown
  >;
  if (isAxiosError === true) {
    const { status, data } = Object(response) as Record<string, unknown>;
    const isAnswered = typeof status === 'number';
    return {
      origin: originOf(config),
      status: isAnswered ? status : undefined,
      code: isAnswered ? refusalIn(data) : systemCode(code),
    };
  }
  const nothing = { origin: undefined, status: undefined };
  if (name === 'ServiceSigningError' && Object.hasOwn(SIGNING_FAILURES, String(code))) {
    return { ...nothing, code: String(code) };
  }
  // What `fetch` throws where nothing answers: a TypeError of this one message, in every version of Node.
  if (name !== 'TypeError' || message !== 'fetch failed') return undefined;
  return { ...nothing, code: systemCode((Object(cause) as { code?: unknown }).code) };
}

/** The path may name a user, so that only the origin is said. */
function originOf(config: unknown): string | undefined {
  const { url = '', baseURL } = Object(config) as { url?: unknown; baseURL?: unknown };
  const base = typeof baseURL === 'string' ? baseURL : undefined;
  return typeof url === 'string' && URL.canParse(url, base) ? new URL(url, base).origin : undefined;
}

/** A refusal of this library at the service that was called: one of its codes, and no other text. */
function refusalIn(data: unknown): string | undefined {
  const { code } = Object(data) as { code?: unknown };
  return typeof code === 'string' && Object.hasOwn(REFUSALS, code) ? code : undefined;
}

function systemCode(code: unknown): string | undefined {
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,40}$/.test(code) ? code : undefined;
}
