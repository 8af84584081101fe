import { readJsonObject, ServiceAuthUsageError } from '../core/index.js';
import { type SentRequest, toRawHeaders } from './test-request.js';

/** What a token says, as plain objects for `toEqual` and `toMatchObject`. Nothing of it is verified. */
export interface DecodedToken {
  /** The JOSE header. */
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
}

/** Where a token can be: the token itself, headers, or a request that has them. */
export type TokenCarrier =
  string | SentRequest['headers'] | { readonly headers: SentRequest['headers'] };

/**
 * Decodes the token in `carrier` without verifying it, for assertions about what was signed.
 *
 * @example
 * `expect(decodeToken(request).claims).toMatchObject({ aud: 'https://census.service/' })`
 * @throws ServiceAuthUsageError where there is not exactly one token
 * @throws JsonFlaw for a token whose header or claims are no JSON objects
 */
export function decodeToken(carrier: TokenCarrier): DecodedToken {
  const [header, claims, ...others] = tokenIn(carrier).split('.');
  if (header === undefined || claims === undefined || others.length !== 1) {
    throw new ServiceAuthUsageError('This is no compact JWT: it has not three segments.');
  }
  return { header: decodeSegment(header), claims: decodeSegment(claims) };
}

function decodeSegment(segment: string): Record<string, unknown> {
  return { ...readJsonObject(Buffer.from(segment, 'base64url')) };
}

function tokenIn(carrier: TokenCarrier): string {
  if (typeof carrier === 'string') return carrier;
  const tokens = tokensOf(hasHeaders(carrier) ? carrier.headers : carrier);
  const [token, ...others] = tokens;
  if (token !== undefined && others.length === 0) return token;
  throw new ServiceAuthUsageError(`There are ${tokens.length} \`JWT\` headers, not one.`);
}

function tokensOf(headers: SentRequest['headers']): string[] {
  const raw = toRawHeaders(headers);
  return raw.filter((_value, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === 'jwt');
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
