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

/** What a step of the verifier gave, or why it refuses. */
export type Attempted<T> =
  | { readonly value: T; readonly flaw?: undefined }
  | { readonly value?: undefined; readonly flaw: TokenFlaw };

/** How far clocks may differ where a receiver configures nothing. */
export const CLOCK_TOLERANCE_SECONDS = 5;

/** Runs a step of the verifier. Whatever is no verdict of it is thrown on. */
export async function attempt<T>(step: () => T | Promise<T>): Promise<Attempted<T>> {
  try {
    return { value: await step() };
  } catch (error) {
    return { flaw: flawOf(error) };
  }
}

/** The profile a token was made for, as it says itself; a receiver goes by its configuration instead. */
export function recogniseProfile({ unverifiedHeader: { typ } }: UnverifiedToken): Profile {
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : '';
  return type === PROFILES.strict.type ? 'strict' : 'original';
}

/** Everything a receiver with default settings would refuse, besides the signature and the request. */
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
    // As if they were signed: this explains a token, and lets nothing in.
    await after(claims, (read: UnverifiedClaims) =>
      assertTimes(read as VerifiedClaims, limits, nowMilliseconds),
    ),
  ];
  return outcomes.flatMap(({ flaw }) => flaw ?? []);
}

/**
 * Checks the signature with the keys of one issuer, the way a receiver does: the key by its id, the
 * algorithm of the key, then the signature.
 *
 * @returns the key id it is good for
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

/** A step that needs what another gave, and is left out where that gave nothing. */
export async function after<T>(
  outcome: Attempted<T>,
  step: (value: T) => void,
): Promise<{ readonly flaw?: TokenFlaw | undefined }> {
  return outcome.flaw ? {} : await attempt(() => step(outcome.value));
}

function refuseWith(code: 'key_unknown' | 'algorithm_refused'): never {
  throw new ServiceTokenRefusedError(code);
}

/** What is no verdict of the verifier is thrown on: a bug must not look like a flaw. */
function flawOf(error: unknown): TokenFlaw {
  const isVerdict =
    error instanceof ServiceTokenRefusedError ||
    (error instanceof ServiceAuthUnavailableError && error.code === 'key_unavailable');
  if (!isVerdict) throw error;
  const { code, message, detail = null } = error;
  return { code, message, detail, hint: REFUSALS[code].hint };
}
