import { webcrypto } from 'node:crypto';
import { CompactSign } from 'jose/jws/compact/sign';
import type { Algorithm } from './algorithms.js';
import { refuse } from './errors.js';
import type { SigningKey } from './keys.js';
import type { UnverifiedToken } from './token-syntax.js';

type Parameters = { readonly name: string } | webcrypto.EcdsaParams | webcrypto.RsaPssParams;

/**
 * What WebCrypto must be told besides the key. A salt is as long as the hash, and the hash of RSA belongs
 * to the imported key.
 *
 * @see RFC 7518 sections 3.3 to 3.5, RFC 8037 section 3.1
 */
const PARAMETERS: Readonly<Record<Algorithm, Parameters>> = {
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  ES384: { name: 'ECDSA', hash: 'SHA-384' },
  ES512: { name: 'ECDSA', hash: 'SHA-512' },
  EdDSA: { name: 'Ed25519' },
  Ed25519: { name: 'Ed25519' },
  PS256: { name: 'RSA-PSS', saltLength: 32 },
  PS384: { name: 'RSA-PSS', saltLength: 48 },
  PS512: { name: 'RSA-PSS', saltLength: 64 },
  RS256: { name: 'RSASSA-PKCS1-v1_5' },
  RS384: { name: 'RSASSA-PKCS1-v1_5' },
  RS512: { name: 'RSASSA-PKCS1-v1_5' },
};

const utf8 = new TextEncoder();

/**
 * Asserts that the token was signed with the private half of `key`, which was imported for `algorithm`.
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
  const signed = Buffer.from(`${token.encodedHeader}.${token.encodedPayload}`, 'latin1');
  const signature = Buffer.from(token.encodedSignature, 'base64url');
  // Not by jose: it parses the token once more, and an error of its own makes refusals dear.
  const isGood = await webcrypto.subtle.verify(PARAMETERS[algorithm], key, signature, signed);
  if (isGood !== true) refuse('signature_invalid');
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
