import {
  GRANT_HEADER,
  readJsonObject,
  ServiceAuthUsageError,
  TOKEN_HEADER,
} from '../core/index.js';
import { type SentRequest, toRawHeaders } from './test-request.js';

/** The content of a token, as plain objects for `toEqual` and `toMatchObject`. Nothing is verified. */
export interface DecodedToken {
  /** The JOSE header. */
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
}

/** A value with a token: the token itself, headers, or a request with headers. */
export type TokenCarrier =
  string | SentRequest['headers'] | { readonly headers: SentRequest['headers'] };

/**
 * Decodes the token in `carrier` without verifying it, for assertions about signed claims.
 *
 * @example
 * `expect(decodeToken(request).claims).toMatchObject({ aud: 'https://census.service/' })`
 * @throws ServiceAuthUsageError unless there is exactly one token
 * @throws JsonFlaw for a token whose header or claims are not JSON objects
 */
export function decodeToken(carrier: TokenCarrier): DecodedToken {
  return decode(tokenIn(carrier, TOKEN_HEADER));
}

/**
 * Decodes the grant in `carrier` without verifying it, for assertions about sent grants.
 *
 * @param carrier the grant itself, headers, or a request with headers
 * @example
 * `expect(decodeGrant(request).claims).toMatchObject({ sub: USER, scope: 'user-present' })`
 * @throws ServiceAuthUsageError unless there is exactly one grant
 * @throws JsonFlaw for a grant whose header or claims are not JSON objects
 */
export function decodeGrant(carrier: TokenCarrier): DecodedToken {
  return decode(tokenIn(carrier, GRANT_HEADER));
}

/** Whether headers contain a grant. */
export function hasGrant(headers: SentRequest['headers']): boolean {
  return valuesOf(headers, GRANT_HEADER).length > 0;
}

function decode(token: string): DecodedToken {
  const [header, claims, ...others] = token.split('.');
  if (header === undefined || claims === undefined || others.length !== 1) {
    throw new ServiceAuthUsageError('This is no compact JWT: it has not three segments.');
  }
  return { header: decodeSegment(header), claims: decodeSegment(claims) };
}

function decodeSegment(segment: string): Record<string, unknown> {
  return { ...readJsonObject(Buffer.from(segment, 'base64url')) };
}

const HEADER_NAMES = { [TOKEN_HEADER]: 'JWT', [GRANT_HEADER]: 'Txn-Token' } as const;

function tokenIn(carrier: TokenCarrier, name: keyof typeof HEADER_NAMES): string {
  if (typeof carrier === 'string') return carrier;
  const tokens = valuesOf(hasHeaders(carrier) ? carrier.headers : carrier, name);
  const [token, ...others] = tokens;
  if (token !== undefined && others.length === 0) return token;
  throw new ServiceAuthUsageError(
    `There are ${tokens.length} \`${HEADER_NAMES[name]}\` headers, not one.`,
  );
}

function valuesOf(headers: SentRequest['headers'], name: string): string[] {
  const raw = toRawHeaders(headers);
  return raw.filter((_value, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === name);
}

function hasHeaders(
  carrier: Exclude<TokenCarrier, string>,
): carrier is { readonly headers: SentRequest['headers'] } {
  return (
    !(carrier instanceof Headers) &&
    'headers' in carrier &&
    typeof carrier.headers === 'object' &&
    !Array.isArray(carrier.headers)
  );
}
