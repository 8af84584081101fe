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
import {
  ANSWER_FAILURES,
  REFUSALS,
  ServiceAuthUsageError,
  SIGNING_FAILURES,
} from '../core/index.js';

/** Facts about a failed call to another service. It contains no text of the other service. */
interface FailedCall {
  /** The called origin; undefined if unknown. */
  readonly origin: string | undefined;
  /** The status of the answer; undefined without an answer. */
  readonly status: number | undefined;
  /** A code of this library, of axios or of Node. */
  readonly code: string | undefined;
}

/** Matches errors of calls when Nest looks for a filter. Other errors go to other filters. */
class CallError {
  static [Symbol.hasInstance](error: unknown): boolean {
    return readFailedCall(error) !== undefined;
  }
}

/**
 * Answers a request whose handler failed to call another service. It passes on 403 and 404 of that service, and
 * answers 502 to every other failure. It handles errors of axios, of `fetch` without an answer, `ServiceSigningError`, and
 * those of a message: `ServiceAnswerRefusedError`, and `ServiceAuthUnavailableError` with `key_unavailable`. Other errors
 * go to your other filters and to Nest.
 *
 * Writes one line to Nest's log, under the name `ServiceCall`: 502 as a warning, 403 and 404 as debug. Neither the
 * line nor the answer contains a token, a user, a path or a text of the other service.
 *
 * Nest gives it the HTTP adapter under `APP_FILTER`; with `useGlobalFilters()`, give it `app.getHttpAdapter()`.
 *
 * @example
 * `providers: [{ provide: APP_FILTER, useClass: ServiceCallExceptionFilter }]`
 */
@Catch(CallError)
export class ServiceCallExceptionFilter extends BaseExceptionFilter {
  private readonly logger = new Logger('ServiceCall');

  private get canAnswer(): boolean {
    const { applicationRef, httpAdapterHost } = this;
    return (applicationRef ?? httpAdapterHost?.httpAdapter) !== undefined;
  }

  /** Answers the request. Outside HTTP it rethrows the error. */
  override catch(error: unknown, host: ArgumentsHost): void {
    const call = readFailedCall(error);
    if (call === undefined || host.getType() !== 'http') throw error;
    if (!this.canAnswer) throw new ServiceAuthUsageError(NO_ADAPTER);
    const answer = answerTo(call);
    const status = answer.getStatus();
    this.logger[status === 502 ? 'warn' : 'debug'](`${describe(call)} Answered ${status}.`);
    // oxlint-disable-next-line promise/valid-params -- the rule takes the `catch` of an exception filter for that of a promise
    super.catch(answer, host);
  }
}

const NO_ADAPTER =
  'ServiceCallExceptionFilter has no HTTP adapter. Write { provide: APP_FILTER, useClass: ServiceCallExceptionFilter } among the providers, or app.useGlobalFilters(new ServiceCallExceptionFilter(app.getHttpAdapter())).';

/** A guard answers a request itself for which it has no keys: this error comes from a message that was to be sent. */
const KEYS_UNKNOWN = 'key_unavailable';

/** The errors of this library that say why a call failed, by their names: it may have several copies. */
const CODES_OF = new Map<string, readonly string[]>([
  ['ServiceSigningError', Object.keys(SIGNING_FAILURES)],
  ['ServiceAnswerRefusedError', Object.keys(ANSWER_FAILURES)],
  ['ServiceAuthUnavailableError', [KEYS_UNKNOWN]],
]);

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
  if (code !== undefined && Object.hasOwn(ANSWER_FAILURES, code)) {
    return `The answer to a message is not believed (${code}).`;
  }
  if (code === KEYS_UNKNOWN) return `The keys of another service are not known (${code}).`;
  const why = code === undefined ? '' : ` (${code})`;
  if (status === undefined) return `${origin} did not answer a call${why}.`;
  const where = code === undefined ? '' : ': its log says why';
  return `${origin} answered a call with ${status}${why}${where}.`;
}

/** Recognises errors by their shape: axios may be missing, and it and this library may have several copies. */
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
  const own = CODES_OF.get(String(name))?.find((each) => each === code);
  if (own !== undefined) return { ...nothing, code: own };
  // Without an answer, `fetch` throws a TypeError with this message in every version of Node.
  if (name !== 'TypeError' || message !== 'fetch failed') return undefined;
  return { ...nothing, code: systemCode((Object(cause) as { code?: unknown }).code) };
}

/** The path may name a user, so only the origin is used. */
function originOf(config: unknown): string | undefined {
  const { url = '', baseURL } = Object(config) as { url?: unknown; baseURL?: unknown };
  const base = typeof baseURL === 'string' ? baseURL : undefined;
  return typeof url === 'string' && URL.canParse(url, base) ? new URL(url, base).origin : undefined;
}

/** A refusal by this library at the called service: one of its codes, and no other text. */
function refusalIn(data: unknown): string | undefined {
  const { code } = Object(data) as { code?: unknown };
  return typeof code === 'string' && Object.hasOwn(REFUSALS, code) ? code : undefined;
}

function systemCode(code: unknown): string | undefined {
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,40}$/.test(code) ? code : undefined;
}
