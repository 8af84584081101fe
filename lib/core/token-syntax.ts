import { refuse } from './errors.js';
import type { KnownHeaders } from './known-headers.js';
import { JsonFlaw, readJsonObject, type UnverifiedObject } from './unambiguous-json.js';

/** The longest token that this library reads, in characters. */
export const MAX_TOKEN_LENGTH = 8192;

/** A token with valid grammar. Nothing in it is verified. */
export interface UnverifiedToken {
  /** The three segments as received. */
  readonly encodedHeader: string;
  readonly encodedPayload: string;
  readonly encodedSignature: string;
  readonly unverifiedHeader: UnverifiedObject;
  readonly unverifiedPayload: UnverifiedObject;
}

/**
 * The most members and items that the claims may have, at all depths together. Names that an engine has not seen
 * before cost much: reading 100 of them takes as long as a signature.
 */
export const MAX_CLAIM_VALUES = 64;

/** The limits of header and claims, by the code of the refusal. */
const MAX_VALUES = { header_invalid: 16, claim_invalid: MAX_CLAIM_VALUES } as const;

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const JOINED_TOKENS = /^[A-Za-z0-9_.-]+(?:[ \t]*,[ \t]*[A-Za-z0-9_.-]+)+$/;

/**
 * Reads the one token among the values of the `JWT` header. On return its grammar holds: three segments of canonical
 * base64url, header and payload unambiguous JSON objects in UTF-8. It does not interpret the content.
 *
 * @param knownHeaders avoid parsing a known header again
 * @throws ServiceTokenRefusedError `token_missing`, `token_repeated`, `token_too_large`, `token_malformed`,
 *   `header_invalid` or `claim_invalid` (duplicate members)
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
  // Node has removed the white space. String.trim would remove more, such as a no-break space.
  const value = values[0] ?? '';
  return value === '' ? refuse('token_missing') : value;
}

/** A used token must have no second spelling, so padding and trailing bits are refused. */
function decodeCanonical(segment: string): Buffer {
  if (!hasCanonicalEnd(segment)) refuse('token_malformed', 'base64url not canonical');
  return Buffer.from(segment, 'base64url');
}

/** Only the last character may have unused bits. RFC 4648 section 3.5. */
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
