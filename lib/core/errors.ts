/** One refusal: the HTTP status that answers it, and the only sentence a caller ever reads about it. */
interface Refusal {
  readonly status: number;
  readonly message: string;
}

/**
 * Every way in which a request can be refused: code, status, public sentence.
 * This table feeds the answers, the documentation and the test that provokes each code.
 */
export const REFUSALS = {
  headers_unverifiable: {
    status: 431,
    message: 'The request has more headers than this service can verify.',
  },
  token_missing: { status: 401, message: 'A service token is required in the JWT header.' },
  token_repeated: { status: 401, message: 'More than one service token was sent.' },
  token_malformed: { status: 401, message: 'The service token is not a well-formed compact JWT.' },
  token_too_large: { status: 401, message: 'The service token is too large.' },
  header_invalid: { status: 401, message: 'The header of the service token is not acceptable.' },
  algorithm_refused: { status: 401, message: 'The algorithm of the service token is refused.' },
  issuer_unknown: { status: 401, message: 'The issuer of the service token is not trusted here.' },
  key_unknown: {
    status: 401,
    message: 'The key of the service token is not known for its issuer.',
  },
  key_unavailable: { status: 503, message: 'The keys of the issuer cannot be had at the moment.' },
  signature_invalid: { status: 401, message: 'The signature of the service token is invalid.' },
  claim_missing: { status: 401, message: 'The service token lacks a required claim.' },
  claim_invalid: { status: 401, message: 'A claim of the service token is not acceptable.' },
  token_expired: { status: 401, message: 'The service token has expired.' },
  token_not_yet_valid: { status: 401, message: 'The service token is not valid yet.' },
  lifetime_too_long: { status: 401, message: 'The lifetime of the service token is too long.' },
  audience_mismatch: { status: 401, message: 'The service token is meant for another service.' },
  request_mismatch: { status: 401, message: 'The service token was made for another request.' },
  header_mismatch: { status: 401, message: 'The service token was made for other headers.' },
  body_mismatch: { status: 401, message: 'The service token was made for another body.' },
  body_unverifiable: { status: 415, message: 'The body of the request cannot be verified.' },
  body_consumed: {
    status: 415,
    message: 'The body of the request was read before it could be verified.',
  },
  token_replayed: { status: 401, message: 'The service token was used before.' },
  replay_store_unavailable: {
    status: 503,
    message: 'It cannot be decided at the moment whether the service token was used before.',
  },
  issuer_not_allowed: { status: 403, message: 'This service may not call this route.' },
  subject_missing: { status: 403, message: 'This route needs a user to act for.' },
  subject_not_allowed: { status: 403, message: 'This service may not speak for this user.' },
  subject_unknown: { status: 403, message: 'The user is not known here.' },
  context_unsupported: { status: 403, message: 'Service tokens are not supported here.' },
} as const satisfies Record<string, Refusal>;

/** A stable code of protocol section 5. */
export type RefusalCode = keyof typeof REFUSALS;

/** The codes that always answer 503: nothing is wrong with the request, it just cannot be decided now. */
export type UnavailableCode = 'key_unavailable' | 'replay_store_unavailable';

/** What this library throws on purpose, so that one `instanceof` tells it from a bug. */
export abstract class ServiceAuthError extends Error {
  abstract readonly code: string;
}

/** What is known of a refusal besides its code. */
export interface RefusalDetails extends ErrorOptions {
  /** What exactly failed, for logs. Never a token, never sent to the caller. */
  readonly detail?: string;
  /** Overrides the status of the code: `body_unverifiable` is 413 over the limit, 415 otherwise. */
  readonly status?: number;
}

/** The caller's request is refused (401, 403, 413, 415, 431): the caller must change something. */
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

/** The request cannot be decided (503): the operators of this service must act, the caller may retry. */
export class ServiceAuthUnavailableError extends ServiceAuthError {
  override readonly name = 'ServiceAuthUnavailableError';
  /** `body_unverifiable` where a large body cannot be kept until it is verified: the disk is full, say. */
  readonly code: UnavailableCode | 'body_unverifiable';
  readonly status = 503;
  readonly detail: string | undefined;
  /** When a retry makes sense, in seconds; sent as `Retry-After`. */
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

/** Why an outgoing request was not signed, and so not sent: code and what to do. */
export const SIGNING_FAILURES = {
  target_unknown:
    'The URL belongs to no configured target. Add it to `targets`, or set `unknownTargets: "send-unsigned"`.',
  target_invalid:
    'The URL is not an absolute http: or https: URL without credentials, so no audience can be told from it.',
  sending_disabled: 'This service has no `signingKey`, so it cannot sign requests.',
  subject_undecided:
    'Nobody is named for this call. Name the user: onBehalfOf(user) in the call, runOnBehalfOf(user, fn) around it, or actingAsItself().',
  service_closed: 'This service has shut down, so it signs no more requests.',
  subject_invalid: 'The subject is not an absolute URI that a service token can carry.',
  subject_required: 'The target uses the `original` profile, in which every token names a subject.',
  header_unsignable:
    'A header that is to be signed has several values, or characters that no header carries.',
  request_too_long: 'Method and request target together are longer than 4096 characters.',
  token_too_large: 'The service token would be larger than 8192 characters.',
  body_unsupported:
    'The bytes of this body cannot be told before it is sent, so it cannot be signed.',
  body_too_large:
    'The streamed body is larger than `maxBufferedBodyBytes`, so it cannot be signed.',
} as const satisfies Record<string, string>;

/** A stable code of {@link SIGNING_FAILURES}. */
export type SigningFailureCode = keyof typeof SIGNING_FAILURES;

/** This service's own call was refused before a byte left. */
export class ServiceSigningError extends ServiceAuthError {
  override readonly name = 'ServiceSigningError';
  readonly code: SigningFailureCode;
  readonly detail: string | undefined;

  constructor(code: SigningFailureCode, details: { detail?: string } & ErrorOptions = {}) {
    const { detail, cause } = details;
    super(detail === undefined ? SIGNING_FAILURES[code] : `${SIGNING_FAILURES[code]} (${detail})`, {
      cause,
    });
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
    // What a process prints that does not start: the list and nothing after it, since no line of code is at fault.
    Object.defineProperty(this, 'stack', {
      value: `${this.name}: ${this.message}`,
      writable: true,
      configurable: true,
    });
  }
}

/** The library is used where it cannot work: the message tells the developer what to add. */
export class ServiceAuthUsageError extends ServiceAuthError {
  override readonly name = 'ServiceAuthUsageError';
  readonly code = 'usage_error';
}

/**
 * Throws the refusal `code`, without a stack trace: writing one takes a tenth of what an accepted request costs, and a
 * stranger decides how often. An expression, so that it can stand on the right of `??`.
 */
export function refuse(
  code: Exclude<RefusalCode, UnavailableCode>,
  detail?: string,
  cause?: unknown,
): never {
  const { stackTraceLimit } = Error;
  // Not by assignment: where intrinsics are frozen, there is a trace.
  Reflect.set(Error, 'stackTraceLimit', 0);
  try {
    throw new ServiceTokenRefusedError(code, { detail, cause });
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  }
}
