import { ServiceAuthUnavailableError, ServiceTokenRefusedError } from '../../../core/index.js';

/** How much of a body that no parser reads is taken in, and where it is kept until it is verified. */
export interface BodyLimits {
  /** What is kept in memory, in bytes. */
  readonly maxBufferedBytes: number;
  /** `@MaxBodyBytes()` of the route; undefined: nothing beyond what is kept in memory. */
  readonly maxBytes: number | undefined;
  /** Where the rest goes: the folder of the temporary files. */
  readonly spoolDirectory: string;
  /** Whether a body that cannot be taken in goes on to the next reader, whole: report-only mode. Else it is discarded. */
  readonly isPassedOn: boolean;
}

/** @throws ServiceTokenRefusedError `body_unverifiable` with status 413 when `size` is over the limit */
export function assertWithin(limits: BodyLimits, size: number): void {
  const { maxBytes, maxBufferedBytes } = limits;
  if (size <= (maxBytes ?? maxBufferedBytes)) return;
  const limit =
    maxBytes === undefined
      ? `maxBufferedBodyBytes (${maxBufferedBytes})`
      : `@MaxBodyBytes(${maxBytes})`;
  throw unverifiable(`larger than ${limit}`, { status: 413 });
}

/** The refusal of a request whose bytes cannot be had. */
export function unverifiable(
  detail: string,
  details: { readonly cause?: unknown; readonly status?: number } = {},
): ServiceTokenRefusedError {
  return new ServiceTokenRefusedError('body_unverifiable', {
    ...details,
    detail: `the body: ${detail}`,
  });
}

/** Throws {@link unverifiable}. An expression, so that it can stand on the right of `??`. */
export function refuseBody(detail: string): never {
  throw unverifiable(detail);
}

/** Throws the refusal of a body that somebody else has read, or is reading: no one can vouch for all of its bytes. */
export function refuseConsumed(detail: string): never {
  throw new ServiceTokenRefusedError('body_consumed', { detail: `the body: ${detail}` });
}

/** The 503 for a body that this service has no place for: the caller did nothing wrong. */
export function unspoolable(cause: unknown): ServiceAuthUnavailableError {
  const reason =
    typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : 'unknown';
  return new ServiceAuthUnavailableError('body_unverifiable', {
    detail: `the body could not be written to a temporary file: ${reason}`,
    cause,
  });
}
