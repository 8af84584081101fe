import type { BodyHashAlgorithm } from './body-hash.js';
import { readClaims } from './claims.js';
import { ServiceTokenRefusedError } from './errors.js';
import { headerValues, TOKEN_HEADER } from './request.js';
import { readToken } from './token-syntax.js';

/**
 * The digest algorithm that a token claims for the body, so that a large body can be hashed while it arrives. Nothing
 * is verified: a wrong answer causes a refusal later, never a pass.
 */
export function readUnverifiedBodyHash(
  rawHeaders: readonly string[],
): BodyHashAlgorithm | undefined {
  try {
    const token = readToken(headerValues(rawHeaders, TOKEN_HEADER));
    return readClaims(token.unverifiedPayload).body?.algorithm;
  } catch (error) {
    if (error instanceof ServiceTokenRefusedError) return undefined;
    throw error;
  }
}
