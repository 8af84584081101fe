import { type KeyObject, sign, verify } from 'node:crypto';
import { type Algorithm, ALGORITHMS } from './algorithms.js';
import type { UnverifiedClaims, VerifiedClaims } from './claims.js';
import { refuse } from './errors.js';
import type { SigningKey } from './keys.js';
import { describeNamedKey } from './refusal-details.js';
import type { UnverifiedToken } from './token-syntax.js';
import type { VerificationTurns } from './scheduling.js';

/** Up to this size, verifying an RSA signature takes less time than using another thread. */
const LARGEST_QUICK_RSA_BITS = 3072;

/** The input of a signature check. */
export interface SignatureCheck {
  readonly algorithm: Algorithm;
  /** The public key, which fits the algorithm. */
  readonly key: KeyObject;
  /** The id of the key as it is known here, for the detail of a refusal. */
  readonly keyId?: string;
  /** The current load; without it, another thread verifies slow signatures. */
  readonly load?: VerificationTurns | undefined;
}

/**
 * Verifies that the issuer has signed the claims of a token. Does not check whether they are true, or match this
 * request.
 *
 * @param claims those of `token`
 * @throws ServiceTokenRefusedError `signature_invalid`
 */
export async function verifyClaims(
  claims: UnverifiedClaims,
  token: UnverifiedToken,
  check: SignatureCheck,
): Promise<VerifiedClaims> {
  await assertSignature(token, check);
  return claims as VerifiedClaims;
}

/**
 * Asserts that the token was signed with the private half of the key, by the algorithm of the check. Returns
 * undefined if it verified synchronously, otherwise a promise.
 *
 * @throws ServiceTokenRefusedError `signature_invalid`. Other errors, such as a failure of the crypto library, are
 *   thrown unchanged.
 * @see RFC 7515 section 5.2
 */
export function assertSignature(
  token: UnverifiedToken,
  { algorithm, key, keyId, load }: SignatureCheck,
): void | Promise<void> {
  const { digest, parameters } = ALGORITHMS[algorithm];
  const signed = Buffer.from(`${token.encodedHeader}.${token.encodedPayload}`, 'latin1');
  const signature = Buffer.from(token.encodedSignature, 'base64url');
  const options = { key, ...parameters };
  if (isQuickToVerify(key) || (isOnQuickCurve(key) && load?.takeTurn())) {
    return assertGood(verify(digest, signed, options, signature), keyId);
  }
  return new Promise((resolve, reject) => {
    verify(digest, signed, options, signature, (error, isGood) => {
      load?.end();
      try {
        if (error) throw error;
        resolve(assertGood(isGood, keyId));
      } catch (reason) {
        reject(reason);
      }
    });
    load?.begin();
  });
}

function assertGood(isGood: unknown, keyId: string | undefined): void {
  if (isGood !== true) refuse('signature_invalid', keyId && describeNamedKey(keyId));
}

function isQuickToVerify({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  const { modulusLength = Infinity } = asymmetricKeyDetails ?? {};
  return asymmetricKeyType === 'rsa' && modulusLength <= LARGEST_QUICK_RSA_BITS;
}

/** P-256 and Ed25519 take much less than a tenth of a millisecond. */
function isOnQuickCurve({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  return asymmetricKeyType === 'ed25519' || asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/**
 * Signs claims into a compact JWT. Quick keys sign synchronously, since using another thread takes as long. Other
 * keys sign on another thread, since the main thread has requests to serve.
 *
 * @see RFC 7515 section 5.1
 */
export function signClaims(
  claims: Readonly<Record<string, unknown>>,
  header: { readonly typ: string; readonly kid?: string },
  { algorithm, key }: SigningKey,
): string | Promise<string> {
  const { digest, parameters } = ALGORITHMS[algorithm];
  const signed = `${encode({ alg: algorithm, ...header })}.${encode(claims)}`;
  const bytes = Buffer.from(signed, 'latin1');
  const options = { key, ...parameters };
  const complete = (signature: Buffer) => `${signed}.${signature.toString('base64url')}`;
  if (isOnQuickCurve(key)) return complete(sign(digest, bytes, options));
  return new Promise((resolve, reject) => {
    sign(digest, bytes, options, (error, signature) => {
      if (error) reject(error);
      else resolve(complete(signature));
    });
  });
}

function encode(value: Readonly<Record<string, unknown>>): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
