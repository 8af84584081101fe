import { ServiceAuthUnavailableError, ServiceTokenRefusedError } from '../../../core/index.js';

/** The limits of a body that no parser reads, and where it is stored until it is verified. */
export interface BodyLimits {
  /** The most bytes kept in memory. */
  readonly maxBufferedBytes: number;
  /** `@MaxBodyBytes()` of the route; undefined: only what fits in memory. */
  readonly maxBytes: number | undefined;
  /** The folder of the temporary files, for larger bodies. */
  readonly spoolDirectory: string;
  /**
   * Whether a body that exceeds the limits is passed on complete to the next reader (report-only mode), or discarded.
   */
  readonly isPassedOn: boolean;
}

/** @throws ServiceTokenRefusedError `body_unverifiable` with status 413 if `size` is over the limit */
export function assertWithin(limits: BodyLimits, size: number): void {
  const { maxBytes, maxBufferedBytes } = limits;
  if (size <= (maxBytes ?? maxBufferedBytes)) return;
  const limit =
    maxBytes === undefined
      ? `maxBufferedBodyBytes (${maxBufferedBytes})`
      : `@MaxBodyBytes(${maxBytes})`;
  throw unverifiable(`larger than ${limit}`, { status: 413 });
}

/** The refusal of a request whose bytes are not available. */
export function unverifiable(
  detail: string,
  details: { readonly cause?: unknown; readonly status?: number } = {},
): ServiceTokenRefusedError {
  return new ServiceTokenRefusedError('body_unverifiable', {
    ...details,
    detail: `the body: ${detail}`,
  });
}

/** Throws {@link unverifiable}. An expression, so that it may follow `??`. */
export function refuseBody(detail: string): never {
  throw unverifiable(detail);
}

/** Throws the refusal of a body that other code has read, or is reading: its bytes cannot be verified completely. */
export function refuseConsumed(detail: string): never {
  throw new ServiceTokenRefusedError('body_consumed', { detail: `the body: ${detail}` });
}

/** The 503 for a body that this service cannot store. The caller did nothing wrong. */
export function unspoolable(cause: unknown): ServiceAuthUnavailableError {
  const reason =
    typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : 'unknown';
  return new ServiceAuthUnavailableError('body_unverifiable', {
    detail: `the body could not be written to a temporary file: ${reason}`,
    cause,
  });
}
