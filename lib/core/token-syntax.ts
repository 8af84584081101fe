import { refuse } from './errors.js';
import type { KnownHeaders } from './known-headers.js';
import { JsonFlaw, readJsonObject, type UnverifiedObject } from './unambiguous-json.js';

/** The longest token that is looked at, in characters. */
export const MAX_TOKEN_LENGTH = 8192;

/** A token whose grammar is right. Nothing in it is verified. */
export interface UnverifiedToken {
  /** The three segments as received. */
  readonly encodedHeader: string;
  readonly encodedPayload: string;
  readonly encodedSignature: string;
  readonly unverifiedHeader: UnverifiedObject;
  readonly unverifiedPayload: UnverifiedObject;
}

/**
 * How many members and items the claims may have, those at every depth counted together. Names that an engine has not
 * seen before cost much: reading 100 of them takes as long as a signature.
 */
export const MAX_CLAIM_VALUES = 64;

/** The same of header and claims, by the code that refuses more. */
const MAX_VALUES = { header_invalid: 16, claim_invalid: MAX_CLAIM_VALUES } as const;

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const JOINED_TOKENS = /^[A-Za-z0-9_.-]+(?:[ \t]*,[ \t]*[A-Za-z0-9_.-]+)+$/;

/**
 * Reads the one token among the values of the `JWT` header. On return its grammar holds: three
 * segments of canonical base64url, header and payload unambiguous JSON objects in UTF-8.
 * Looks at nothing the token says.
 *
 * @param knownHeaders spare the reading of a header that was read before
 * @throws ServiceTokenRefusedError `token_missing`, `token_repeated`, `token_too_large`,
 *   `token_malformed`, `header_invalid` or `claim_invalid` (duplicate members)
 * @see RFC 7515 sections 2, 3.1 and 5.2
 */
export function readToken(values: readonly string[], knownHeaders?: KnownHeaders): UnverifiedToken {
  const compact = readSingleValue(values);
  if (compact.length > MAX_TOKEN_LENGTH) refuse('token_too_large');
  if (!COMPACT_JWS.test(compact)) {
    if (JOINED_TOKENS.test(compact)) refuse('token_repeated', 'several tokens in one header');
    refuse('token_malformed', 'not three base64url segments');
  }

  const [encodedHeader = '', encodedPayload = '', encodedSignature = ''] = compact.split('.');
  decodeCanonical(encodedSignature);
  return {
    encodedHeader,
    encodedPayload,
    encodedSignature,
    unverifiedHeader:
      knownHeaders?.find(encodedHeader) ?? readObject(encodedHeader, 'header_invalid'),
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
  if (!hasCanonicalEnd(segment)) refuse('token_malformed', 'base64url not canonical');
  return Buffer.from(segment, 'base64url');
}

/** The last character alone may have bits that no byte uses. RFC 4648 section 3.5. */
function hasCanonicalEnd(segment: string): boolean {
  const last = segment.at(-1) ?? '';
  switch (segment.length % 4) {
    case 0:
      return true;
    case 2:
      return 'AQgw'.includes(last);
    case 3:
      return 'AEIMQUYcgkosw048'.includes(last);
    default:
      return false;
  }
}

function readObject(segment: string, code: 'header_invalid' | 'claim_invalid'): UnverifiedObject {
  try {
    return readJsonObject(decodeCanonical(segment), MAX_VALUES[code]);
  } catch (error) {
    if (!(error instanceof JsonFlaw)) throw error;
    return refuse(error.kind === 'members' ? code : 'token_malformed', error.message);
  }
}
