import {
  ANSWER_FAILURES,
  type AnswerFailureCode,
  type RefusalCode,
  REFUSALS,
  SIGNING_FAILURES,
  type SigningFailureCode,
  type UnavailableCode,
} from './codes.js';

/**
 * The base class of every error that this library throws on purpose. One `instanceof` distinguishes them from bugs.
 */
export abstract class ServiceAuthError extends Error {
  abstract readonly code: string;
}

/** Details of a refusal besides its code. */
export interface RefusalDetails extends ErrorOptions {
  /** What exactly failed, for logs. Never contains a token, and is never sent to the caller. */
  readonly detail?: string;
  /** Overrides the status of the code: `body_unverifiable` is 413 over the limit, 415 otherwise. */
  readonly status?: number;
}

/** This service refuses the request of the caller (401, 403, 413, 415, 431). The caller must change something. */
export class ServiceTokenRefusedError extends ServiceAuthError {
  override readonly name = 'ServiceTokenRefusedError';
  readonly code: RefusalCode;
  readonly status: number;
  readonly detail: string | undefined;
  /** The `issuer` of the service that refused the request, for the challenge of a 401: `ServiceAuth.verify()` sets it. */
  realm: string | undefined;

  constructor(code: Exclude<RefusalCode, UnavailableCode>, details: RefusalDetails = {}) {
    super(REFUSALS[code].message, { cause: details.cause });
    this.code = code;
    this.status = details.status ?? REFUSALS[code].status;
    this.detail = details.detail;
  }
}

/** This service cannot decide the request (503). Its operators must act; the caller may retry. */
export class ServiceAuthUnavailableError extends ServiceAuthError {
  override readonly name = 'ServiceAuthUnavailableError';
  /** `body_unverifiable` if a large body cannot be stored until it is verified, such as on a full disk. */
  readonly code: UnavailableCode | 'body_unverifiable';
  readonly status = 503;
  readonly detail: string | undefined;
  /** When the caller may retry, in seconds; sent as `Retry-After`. */
  readonly retryAfterSeconds: number;

  constructor(
    code: UnavailableCode | 'body_unverifiable',
    details: { detail?: string; retryAfterSeconds?: number } & ErrorOptions = {},
  ) {
    super(REFUSALS[code].message, { cause: details.cause });
    this.code = code;
    this.detail = details.detail;
    this.retryAfterSeconds = details.retryAfterSeconds ?? 1;
  }
}

/** This service refused its own outgoing call before it sent a byte. */
export class ServiceSigningError extends ServiceAuthError {
  override readonly name = 'ServiceSigningError';
  readonly code: SigningFailureCode;
  readonly detail: string | undefined;

  constructor(code: SigningFailureCode, details: { detail?: string } & ErrorOptions = {}) {
    const { detail, cause } = details;
    const { message } = SIGNING_FAILURES[code];
    super(detail === undefined ? message : `${message} (${detail})`, { cause });
    this.code = code;
    this.detail = detail;
  }
}

/** The answer to a message is not believed. What it said is not handed on. */
export class ServiceAnswerRefusedError extends ServiceAuthError {
  override readonly name = 'ServiceAnswerRefusedError';
  readonly code: AnswerFailureCode;
  readonly detail: string | undefined;

  constructor(
    code: AnswerFailureCode,
    details: { detail?: string | undefined } & ErrorOptions = {},
  ) {
    const { detail, cause } = details;
    const { message } = ANSWER_FAILURES[code];
    super(detail === undefined ? message : `${message} (${detail})`, { cause });
    this.code = code;
    this.detail = detail;
  }
}

/** The configuration is wrong. Lists every problem found, each as `field: what to write`. */
export class ServiceAuthConfigError extends ServiceAuthError {
  override readonly name = 'ServiceAuthConfigError';
  readonly code = 'config_error';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      `Service auth is not configured correctly:\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    );
    this.problems = problems;
    // A process that fails to start prints the list alone: no line of code is at fault.
    Object.defineProperty(this, 'stack', {
      value: `${this.name}: ${this.message}`,
      writable: true,
      configurable: true,
    });
  }
}

/** The application uses the library where it cannot work. The message says what to add. */
export class ServiceAuthUsageError extends ServiceAuthError {
  override readonly name = 'ServiceAuthUsageError';
  readonly code = 'usage_error';
}

/**
 * Throws the refusal `code` without a stack trace. A trace costs a tenth of what an accepted request costs, and
 * strangers decide how often it is written. The type is `never`, so the call may follow `??`.
 */
export function refuse(
  code: Exclude<RefusalCode, UnavailableCode>,
  detail?: string,
  cause?: unknown,
): never {
  const { stackTraceLimit } = Error;
  // An assignment fails if intrinsics are frozen; then the error has a trace.
  Reflect.set(Error, 'stackTraceLimit', 0);
  try {
    throw new ServiceTokenRefusedError(code, { detail, cause });
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  }
}

/** Whether an error is a refusal to answer the caller with, not another failure. */
export function isRefusal(
  error: unknown,
): error is ServiceTokenRefusedError | ServiceAuthUnavailableError {
  return error instanceof ServiceTokenRefusedError || error instanceof ServiceAuthUnavailableError;
}
