import {
  assertClaimsProfile,
  readClaims,
  type UnverifiedClaims,
  type VerifiedClaims,
} from '../core/claims.js';
import {
  type KeySource,
  type Profile,
  type RefusalCode,
  REFUSALS,
  ServiceAuthUnavailableError,
  ServiceTokenRefusedError,
} from '../core/index.js';
import { assertHeaderProfile, type JoseHeader, readJoseHeader } from '../core/jose-header.js';
import { PROFILES } from '../core/profiles.js';
import { assertSignature } from '../core/token-signature.js';
import { assertTimes } from '../core/token-times.js';
import type { UnverifiedToken } from '../core/token-syntax.js';

/** Why a receiver would refuse a token. */
export interface TokenFlaw {
  readonly code: RefusalCode;
  readonly message: string;
  readonly detail: string | null;
  readonly hint: string;
}

/** The result of a step of the verifier, or its refusal. */
export type Attempted<T> =
  | { readonly value: T; readonly flaw?: undefined }
  | { readonly value?: undefined; readonly flaw: TokenFlaw };

/** The default clock tolerance of a receiver, in seconds. */
export const CLOCK_TOLERANCE_SECONDS = 5;

/** Runs a step of the verifier. Errors that are not refusals are thrown on. */
export async function attempt<T>(step: () => T | Promise<T>): Promise<Attempted<T>> {
  try {
    return { value: await step() };
  } catch (error) {
    return { flaw: flawOf(error) };
  }
}

/** The profile that a token claims; a receiver uses its configuration instead. */
export function recogniseProfile({ unverifiedHeader: { typ } }: UnverifiedToken): Profile {
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : '';
  return type === PROFILES.strict.type ? 'strict' : 'original';
}

/** Every reason for a receiver with default settings to refuse the token, except the signature and the request. */
export async function findTokenFlaws(
  token: UnverifiedToken,
  profile: Profile,
  nowMilliseconds: number,
): Promise<TokenFlaw[]> {
  const rules = PROFILES[profile];
  const { maxLifetimeSeconds } = rules;
  const limits = { maxLifetimeSeconds, clockToleranceSeconds: CLOCK_TOLERANCE_SECONDS };
  const { unverifiedHeader, unverifiedPayload } = token;
  const header = await attempt(() => readJoseHeader(unverifiedHeader));
  const claims = await attempt(() => readClaims(unverifiedPayload));
  const outcomes = [
    header,
    claims,
    await after(header, (read: JoseHeader) => assertHeaderProfile(read, unverifiedHeader, rules)),
    await after(claims, (read: UnverifiedClaims) => assertClaimsProfile(read, rules)),
    // Treated as signed: this only explains a token, and accepts no request.
    await after(claims, (read: UnverifiedClaims) =>
      assertTimes(read as VerifiedClaims, limits, nowMilliseconds),
    ),
  ];
  return outcomes.flatMap(({ flaw }) => flaw ?? []);
}

/**
 * Checks the signature with the keys of one issuer, as a receiver does: the key by its id, the algorithm of the key,
 * then the signature.
 *
 * @returns the id of the key that verifies the signature
 * @throws ServiceTokenRefusedError `key_unknown`, `algorithm_refused`, `signature_invalid`
 * @throws ServiceAuthUnavailableError `key_unavailable`
 */
export async function checkSignature(token: UnverifiedToken, keys: KeySource): Promise<string> {
  const { algorithm, keyId } = readJoseHeader(token.unverifiedHeader);
  const key = (await keys.find(keyId)) ?? refuseWith('key_unknown');
  if (!key.algorithms.has(algorithm)) refuseWith('algorithm_refused');
  await assertSignature(token, { algorithm, key: key.key });
  return key.keyId;
}

/** Runs a step that needs the result of another, and skips it without that result. */
export async function after<T>(
  outcome: Attempted<T>,
  step: (value: T) => void,
): Promise<{ readonly flaw?: TokenFlaw | undefined }> {
  return outcome.flaw ? {} : await attempt(() => step(outcome.value));
}

function refuseWith(code: 'key_unknown' | 'algorithm_refused'): never {
  throw new ServiceTokenRefusedError(code);
}

/** Errors that are not refusals are thrown on: a bug must not look like a flaw. */
function flawOf(error: unknown): TokenFlaw {
  const isVerdict =
    error instanceof ServiceTokenRefusedError ||
    (error instanceof ServiceAuthUnavailableError && error.code === 'key_unavailable');
  if (!isVerdict) throw error;
  const { code, message, detail = null } = error;
  return { code, message, detail, hint: REFUSALS[code].hint };
}
