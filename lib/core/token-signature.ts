import type { webcrypto } from 'node:crypto';
import { CompactSign, compactVerify, errors } from 'jose';
import type { Algorithm } from './algorithms.js';
import { refuse } from './errors.js';
import type { SigningKey } from './keys.js';
import type { UnverifiedToken } from './token-syntax.js';

const utf8 = new TextEncoder();

/**
 * Asserts that the token was signed with the private half of `key`.
 *
 * @throws ServiceTokenRefusedError `signature_invalid`. What is no verdict of the signature check
 *   (a failure of the crypto library, say) is thrown as it is.
 * @see RFC 7515 section 5.2
 */
export async function assertSignature(
  token: UnverifiedToken,
  algorithm: Algorithm,
  key: webcrypto.CryptoKey,
): Promise<void> {
  const compact = `${token.encodedHeader}.${token.encodedPayload}.${token.encodedSignature}`;
  try {
    await compactVerify(compact, key, { algorithms: [algorithm] });
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) refuse('signature_invalid');
    throw error;
  }
}

/**
 * Signs claims into a compact JWT.
 *
 * @see RFC 7515 section 5.1
 */
export async function signClaims(
  claims: Readonly<Record<string, unknown>>,
  header: { readonly typ: string; readonly kid?: string },
  signingKey: SigningKey,
): Promise<string> {
  return await new CompactSign(utf8.encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: signingKey.algorithm, ...header })
    .sign(signingKey.key);
}
