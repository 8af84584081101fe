import type { JsonWebKey } from 'node:crypto';
import { describeSeconds } from '../durations.js';
import { type HeldKey, type HeldRing, membersOf, type RingMembers } from './held-ring.js';

/** The longest lifetime of a token: docs/protocol.md. */
const TOKEN_SECONDS = 300;
/** The largest clock tolerance of a receiver. */
const TOLERANCE_SECONDS = 60;
/** The member of a previous key with the longest lifetime of its grants. */
const LIFETIME = 'max_lifetime';

/** The times that a step needs. */
export interface StepTimes {
  readonly nowSeconds: number;
  /** How long receivers may use a fetched set. */
  readonly maxAgeSeconds: number;
  /** How long until every instance of the service has read a changed file. */
  readonly reloadSeconds: number;
  /** The longest lifetime of a grant of the service, in seconds; 0: it makes none. */
  readonly grantSeconds: number;
}

/** The result of a step. */
export interface StepResult {
  readonly outcome: 'done' | 'already' | 'refused';
  readonly message: string;
  /** The keys to write to the file; undefined: the file does not change. */
  readonly members?: RingMembers;
  /** The earliest moment of the next step, in seconds since the epoch. */
  readonly earliestSeconds?: number;
}

/**
 * Adds the next key, which the service publishes but does not use yet.
 *
 * @returns undefined if the file has the next key, but it was not seen in the published set
 */
export async function addNext(
  ring: HeldRing,
  create: () => Promise<JsonWebKey>,
): Promise<StepResult | undefined> {
  const { previous, next: known } = ring;
  if (previous) return refuse('The previous key is still published. Run `rotate withdraw` first.');
  if (!known) {
    const next = await create();
    const message = `The file has the next key, ${String(next['kid'])}.`;
    return { outcome: 'done', message, members: { ...membersOf(ring), next } };
  }
  const earliestSeconds = momentOf(known, 'nbf');
  if (earliestSeconds === undefined) return undefined;
  const message = `The next key, ${known.keyId}, is published already.`;
  return { outcome: 'already', message, earliestSeconds };
}

/** Notes that the next key is published now. Receivers know it after their earlier sets have expired. */
export function notePublished(ring: HeldRing, next: HeldKey, times: StepTimes): StepResult {
  const earliestSeconds = times.nowSeconds + times.reloadSeconds + times.maxAgeSeconds;
  return {
    outcome: 'done',
    message: `The service publishes the next key, ${next.keyId}.`,
    members: { ...membersOf(ring), next: { ...next.jwk, nbf: earliestSeconds } },
    earliestSeconds,
  };
}

/** Signs with the next key from now on, and still publishes the previous one. */
export function switchToNext(ring: HeldRing, times: StepTimes): StepResult {
  const { previous, current, next } = ring;
  if (!next) {
    if (!previous) return refuse('There is no next key. Run `rotate publish` first.');
    const message = `The service signs with ${current.keyId} already.`;
    return { outcome: 'already', message, earliestSeconds: momentOf(previous, 'exp') };
  }
  if (previous) return refuse('The previous key is still published. Run `rotate withdraw` first.');
  if (!Object.hasOwn(next.jwk, 'd')) return refuse('The next key has no private half in the file.');
  if (!next.isPublished) {
    return refuse(
      `The service does not publish the next key, ${next.keyId}, so receivers would refuse its tokens. Run \`rotate publish\` again.`,
    );
  }
  const early = refuseEarly(
    momentOf(next, 'nbf'),
    times,
    'Some receivers may not know the next key yet.',
  );
  if (early) return early;
  // The time of publication is unknown, so the wait begins now.
  if (momentOf(next, 'nbf') === undefined)
    return { ...notePublished(ring, next, times), outcome: 'refused' };
  const { nbf: _nbf, ...signer } = next.jwk;
  const previousKey = signedLast(current.jwk, times);
  return {
    outcome: 'done',
    message: `The service signs with ${next.keyId} from now on. It still publishes ${current.keyId}.`,
    members: { previous: previousKey, current: signer },
    earliestSeconds: previousKey.exp,
  };
}

/**
 * Stops publishing the previous key.
 *
 * @param isForced whether not to wait until tokens and grants of that key have expired
 */
export function withdrawPrevious(ring: HeldRing, times: StepTimes, isForced: boolean): StepResult {
  const { previous, current, next } = ring;
  if (!previous) {
    if (next) return refuse('The next key does not sign yet. Run `rotate switch` first.');
    const message = `No previous key is published. The service signs with ${current.keyId}.`;
    return { outcome: 'already', message };
  }
  const { previous: _withdrawn, ...members } = membersOf(ring);
  const objection = isForced ? undefined : objectionTo(previous, members, times);
  if (objection) return objection;
  const message = `The service publishes ${previous.keyId} no more. Receivers refuse it in ${describeSeconds(times.reloadSeconds + times.maxAgeSeconds)} at the latest.`;
  return { outcome: 'done', message, members };
}

/** Why the previous key must not be withdrawn yet; undefined if it may be. */
function objectionTo(
  previous: HeldKey,
  members: RingMembers,
  times: StepTimes,
): StepResult | undefined {
  const noted = momentOf(previous, 'exp');
  if (noted === undefined) {
    // The time of its last signature is unknown, so the wait begins now.
    const key = signedLast(previous.jwk, times);
    return {
      outcome: 'refused',
      message: `The file does not say when ${previous.keyId} signed last. The wait begins now.`,
      members: { ...members, previous: key },
      earliestSeconds: key.exp,
    };
  }
  const known = Math.max(TOKEN_SECONDS, notedLifetime(previous.jwk));
  const longer = Math.max(0, times.grantSeconds - known);
  const isGrant = Math.max(known, times.grantSeconds) > TOKEN_SECONDS;
  const what = isGrant ? 'Grants' : 'Tokens';
  const early = refuseEarly(
    noted + longer,
    times,
    `${what} of the previous key may still be under way.`,
  );
  if (!early || longer === 0) return early;
  // Noted, so that a withdrawal without a lifetime of grants waits for them too.
  const key = { ...previous.jwk, exp: noted + longer, [LIFETIME]: times.grantSeconds };
  return { ...early, members: { ...members, previous: key } };
}

/** A key that no longer signs, with the time when everything that it signed has expired. */
function signedLast(jwk: JsonWebKey, times: StepTimes): JsonWebKey & { readonly exp: number } {
  const { nowSeconds, reloadSeconds, maxAgeSeconds, grantSeconds } = times;
  const lifetime = Math.max(TOKEN_SECONDS, grantSeconds);
  const exp = nowSeconds + reloadSeconds + lifetime + TOLERANCE_SECONDS + maxAgeSeconds;
  return { ...jwk, exp, ...(lifetime > TOKEN_SECONDS ? { [LIFETIME]: lifetime } : {}) };
}

/** A refused step, which changes nothing. */
export function refuse(message: string): StepResult {
  return { outcome: 'refused', message };
}

function refuseEarly(
  earliestSeconds: number | undefined,
  { nowSeconds }: StepTimes,
  why: string,
): StepResult | undefined {
  if (earliestSeconds === undefined || nowSeconds >= earliestSeconds) return undefined;
  return { outcome: 'refused', message: `It is too early. ${why}`, earliestSeconds };
}

/** The longest lifetime of a grant of the previous key, as noted by `rotate`; in seconds. */
export function notedLifetime(previous: JsonWebKey): number {
  return numberIn(previous, LIFETIME) ?? 0;
}

/** A time that `rotate` wrote: `nbf` or `exp`, members of a JWK from OpenID Federation. */
function momentOf({ jwk }: HeldKey, name: 'nbf' | 'exp'): number | undefined {
  return numberIn(jwk, name);
}

function numberIn(jwk: JsonWebKey, name: string): number | undefined {
  const { [name]: value } = jwk;
  return typeof value === 'number' ? value : undefined;
}
