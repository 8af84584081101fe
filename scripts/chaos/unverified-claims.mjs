import { decodeJwt } from 'jose';

/** The claims of a token, whoever signed it. @param {string} token @returns {import('jose').JWTPayload} */
export function unverifiedClaims(token) {
  return /** @type {import('jose').JWTPayload} */ (decodeJwt(token));
}
