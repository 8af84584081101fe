import { readGrantClaims } from '../core/grants/grant-claims.js';
import { DEFAULT_MAX_AGE_SECONDS } from '../core/grants/grant-settings.js';
import { assertGrantTimes } from '../core/grants/prove-subject.js';
import {
  asGrant,
  assertGrantText,
  GRANT_TYPE,
  readGrantHeader,
} from '../core/grants/verify-grant.js';
import { readToken, type UnverifiedToken } from '../core/token-syntax.js';
import { describeSeconds } from './durations.js';
import {
  after,
  attempt,
  type Attempted,
  CLOCK_TOLERANCE_SECONDS,
  type TokenFlaw,
} from './token-flaws.js';

/** The longest lifetime that a receiver accepts by default. */
const DAY_SECONDS = 86_400;

/** Whether a text claims to be a grant, by its `typ`. */
export function isGrant({ unverifiedHeader: { typ } }: UnverifiedToken): boolean {
  return typeof typ === 'string' && typ.toLowerCase().replace(/^application\//, '') === GRANT_TYPE;
}

/** Reads a grant as a receiver does before it searches the key. */
export async function readGrant(text: string): Promise<Attempted<UnverifiedToken>> {
  return await attempt(async () => {
    assertGrantText(text);
    return await asGrant(() => readToken([text]));
  });
}

/**
 * Every reason for a receiver with default settings to refuse a grant, except its signature, its user and its age.
 */
export async function findGrantFlaws(
  token: UnverifiedToken,
  nowMilliseconds: number,
): Promise<TokenFlaw[]> {
  const clock = { clockToleranceSeconds: CLOCK_TOLERANCE_SECONDS, now: () => nowMilliseconds };
  const header = await attempt(() => readGrantHeader(token));
  const claims = await attempt(() => readGrantClaims(token.unverifiedPayload, DAY_SECONDS));
  // Treated as signed: this only explains a grant, and accepts no request.
  const times = await after(claims, (read) => assertGrantTimes(read, clock));
  return [header, claims, times].flatMap(({ flaw }) => flaw ?? []);
}

/** What a receiver may still require of a grant without flaws. */
export function grantNotes(
  { unverifiedPayload: { iat, acr } }: UnverifiedToken,
  nowSeconds: number,
): string[] {
  const isOld = typeof iat === 'number' && nowSeconds - iat > DEFAULT_MAX_AGE_SECONDS;
  const age = isOld ? describeSeconds(nowSeconds - iat) : '';
  const old = `${age} old: it counts only where the subjectProof of the caller and the route allow its age`;
  return [
    ...(isOld ? [old] : []),
    ...(acr === undefined ? ['no acr: it does not say how the user authenticated'] : []),
  ];
}
