import { type RefusalCode, REFUSALS, STATUSES } from './codes.js';
import { isRefusal, type ServiceAuthUnavailableError, ServiceTokenRefusedError } from './errors.js';

/** The body of the answer to a refused request: the error shape of Nest, and a stable code. */
export interface RefusalBody {
  readonly statusCode: number;
  readonly message: string;
  /** The name of the status, such as `Unauthorized`. */
  readonly error: string;
  readonly code: RefusalCode;
}

/** The whole answer to a refused request. */
export interface RefusalAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON: `statusCode`, `message`, `error` (the name of the status) and `code`, the stable code of the refusal. */
  readonly body: string;
}

/** What an answer depends on besides the error. */
export interface AnswerOptions {
  /** The name of the service in the challenge of a 401. Default: that of the service that refused the request. */
  readonly realm?: string | undefined;
  /** As `IncomingMessage.httpVersionMajor`. An answer over HTTP/2 or later has no `Connection` header. Default: 1 */
  readonly httpVersionMajor?: number | undefined;
}

/** A status that the application chooses may have none of these names. */
const STATUS_NAMES: Readonly<Record<number, { readonly name: string }>> = STATUSES;

/**
 * Computes the answer to a request that `verify()` has refused: the same answer that the guard sends. It contains
 * only the code of the refusal; the log has the detail.
 *
 * @returns undefined for any error but a `ServiceTokenRefusedError` or a `ServiceAuthUnavailableError`. Answer 500 to
 *   other errors: they are faults of this service
 * @example
 *   const answer = answerOf(error);
 *   if (answer) response.writeHead(answer.status, answer.headers).end(answer.body);
 *   else response.writeHead(500).end();
 */
export function answerOf(error: unknown, options: AnswerOptions = {}): RefusalAnswer | undefined {
  if (!isRefusal(error)) return undefined;
  const body = refusalBody(error);
  const headers = {
    'Content-Type': 'application/json; charset=utf-8',
    Vary: 'JWT',
    'Cache-Control': 'private',
    ...refusalHeaders(error, options),
  };
  return { status: body.statusCode, headers, body: JSON.stringify(body) };
}

/** The headers of an answer that depend on why the request was refused. */
export function refusalHeaders(
  error: ServiceTokenRefusedError | ServiceAuthUnavailableError,
  options: AnswerOptions,
): Record<string, string> {
  const headers: Record<string, string> = {};
  if (error.status === 401) headers['WWW-Authenticate'] = challengeOf(error, options);
  if (mayLeaveBytes(error) && !((options.httpVersionMajor ?? 1) >= 2)) {
    // The server must not take the unread rest of the body for the next request.
    headers['Connection'] = 'close';
  }
  if (!(error instanceof ServiceTokenRefusedError)) {
    headers['Retry-After'] = String(Math.ceil(error.retryAfterSeconds));
  }
  return headers;
}

/** The body of an answer. */
export function refusalBody({
  status,
  code,
  message,
}: ServiceTokenRefusedError | ServiceAuthUnavailableError): RefusalBody {
  // A status that the application chooses must not turn a refusal into a success.
  const statusCode = status >= 400 && status <= 599 ? status : REFUSALS[code].status;
  return { statusCode, message, error: STATUS_NAMES[statusCode]?.name ?? 'Error', code };
}

function mayLeaveBytes({
  code,
  status,
}: ServiceTokenRefusedError | ServiceAuthUnavailableError): boolean {
  return code === 'body_unverifiable' && status !== 415;
}

/** @see RFC 9110 section 11.6.1 */
function challengeOf(
  error: ServiceTokenRefusedError | ServiceAuthUnavailableError,
  { realm = 'realm' in error ? error.realm : undefined }: AnswerOptions,
): string {
  const parameters = [
    ...(realm === undefined ? [] : [`realm="${realm.replace(/["\\]/g, '\\$&')}"`]),
    ...(error.code === 'token_missing' ? [] : [`error="${error.code}"`]),
  ];
  return `JWT ${parameters.join(', ')}`.trimEnd();
}
