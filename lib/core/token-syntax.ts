import { refuse } from './errors.js';
import { assertUnambiguousJson } from './unambiguous-json.js';

/** The longest token that is looked at, in characters. */
export const MAX_TOKEN_LENGTH = 8192;

/** A JSON object whose members nobody has vouched for. */
export type UnverifiedObject = Readonly<Record<string, unknown>>;

/** A token whose grammar is right. Nothing in it is verified. */
export interface UnverifiedToken {
  /** The three segments as received. */
  readonly encodedHeader: string;
  readonly encodedPayload: string;
  readonly encodedSignature: string;
  readonly unverifiedHeader: UnverifiedObject;
  readonly unverifiedPayload: UnverifiedObject;
}

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const JOINED_TOKENS = /^[A-Za-z0-9_.-]+(?:[ \t]*,[ \t]*[A-Za-z0-9_.-]+)+$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads the one token among the values of the `JWT` header. On return its grammar holds: three
 * segments of canonical base64url, header and payload unambiguous JSON objects in UTF-8.
 * Looks at nothing the token says.
 *
 * @throws ServiceTokenRefusedError `token_missing`, `token_repeated`, `token_too_large`,
 *   `token_malformed`, `header_invalid` or `claim_invalid` (duplicate members)
 * @see RFC 7515 sections 2, 3.1 and 5.2
 */
export function readToken(values: readonly string[]): UnverifiedToken {
  const compact = readSingleValue(values);
  if (compact.length > MAX_TOKEN_LENGTH) refuse('token_too_large');
  if (JOINED_TOKENS.test(compact)) refuse('token_repeated', 'several tokens in one header');
  if (!COMPACT_JWS.test(compact)) refuse('token_malformed', 'not three base64url segments');

  const [encodedHeader = '', encodedPayload = '', encodedSignature = ''] = compact.split('.');
  decodeCanonical(encodedSignature);
  return {
    encodedHeader,
    encodedPayload,
    encodedSignature,
    unverifiedHeader: readObject(encodedHeader, 'header_invalid'),
    unverifiedPayload: readObject(encodedPayload, 'claim_invalid'),
  };
}

function readSingleValue(values: readonly string[]): string {
  if (values.length > 1) refuse('token_repeated', 'several JWT headers');
  // Node has taken the white space off; String.trim would take more, a no-break space for one.
  const value = values[0] ?? '';
  return value === '' ? refuse('token_missing') : value;
}

/** A used token must have no second spelling, so padding and stray trailing bits are refused. */
function decodeCanonical(segment: string): Buffer {
  const bytes = Buffer.from(segment, 'base64url');
  if (bytes.toString('base64url') !== segment) refuse('token_malformed', 'base64url not canonical');
  return bytes;
}

function readObject(segment: string, code: 'header_invalid' | 'claim_invalid'): UnverifiedObject {
  const { json, value } = parseJson(decodeCanonical(segment));
  if (!isObject(value)) refuse('token_malformed', 'not a JSON object');
  assertUnambiguousJson(json, code);
  // Without a prototype: a polluted Object.prototype must not supply what the token lacks.
  return Object.assign(Object.create(null) as UnverifiedObject, value);
}

function parseJson(bytes: Buffer): { json: string; value: unknown } {
  try {
    const json = utf8.decode(bytes);
    return { json, value: JSON.parse(json) as unknown };
  } catch {
    // The cause is left out: a SyntaxError quotes the text it could not read.
    return refuse('token_malformed', 'not JSON in UTF-8');
  }
}

/** Whether a parsed JSON value is an object, not an array and not null. */
export function isObject(value: unknown): value is UnverifiedObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
