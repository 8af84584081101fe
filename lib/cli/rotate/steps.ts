import type { JsonWebKey } from 'node:crypto';
import { describeSeconds } from '../durations.js';
import { type HeldKey, type HeldRing, membersOf, type RingMembers } from './held-ring.js';

/** The longest that a token may live, and the most that a receiver may tolerate of a clock: docs/protocol.md. */
const TOKEN_SECONDS = 300 + 60;

/** What a step needs to know of time. */
export interface StepTimes {
  readonly nowSeconds: number;
  /** How long receivers may go on with a set that they have fetched. */
  readonly maxAgeSeconds: number;
  /** How long until every instance of the service has read a changed file. */
  readonly reloadSeconds: number;
}

/** What a step comes to. */
export interface StepResult {
  readonly outcome: 'done' | 'already' | 'refused';
  readonly message: string;
  /** The keys to write to the file; undefined: it stays as it is. */
  readonly members?: RingMembers;
  /** The earliest moment of the next step, in seconds since the epoch. */
  readonly earliestSeconds?: number;
}

/**
 * Adds the next key, which the service publishes and does not use yet.
 *
 * @returns undefined where the next key is in the file and nobody has seen it published
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

/** Notes that the next key is published now: receivers know it when what they have fetched before is too old. */
export function notePublished(ring: HeldRing, next: HeldKey, times: StepTimes): StepResult {
  const earliestSeconds = times.nowSeconds + times.reloadSeconds + times.maxAgeSeconds;
  return {
    outcome: 'done',
    message: `The service publishes the next key, ${next.keyId}.`,
    members: { ...membersOf(ring), next: { ...next.jwk, nbf: earliestSeconds } },
    earliestSeconds,
  };
}

/** Signs with the next key from now on, and goes on publishing the one before. */
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
  // Nobody can see when it was published, so that the wait begins now.
  if (momentOf(next, 'nbf') === undefined)
    return { ...notePublished(ring, next, times), outcome: 'refused' };
  const { nbf: _nbf, ...signer } = next.jwk;
  const exp = times.nowSeconds + times.reloadSeconds + TOKEN_SECONDS + times.maxAgeSeconds;
  return {
    outcome: 'done',
    message: `The service signs with ${next.keyId} from now on. It still publishes ${current.keyId}.`,
    members: { previous: { ...current.jwk, exp }, current: signer },
    earliestSeconds: exp,
  };
}

/** Publishes the previous key no more. */
export function withdrawPrevious(ring: HeldRing, times: StepTimes): StepResult {
  const { previous, current, next } = ring;
  if (!previous) {
    if (next) return refuse('The next key does not sign yet. Run `rotate switch` first.');
    const message = `No previous key is published. The service signs with ${current.keyId}.`;
    return { outcome: 'already', message };
  }
  const exp = momentOf(previous, 'exp');
  const early = refuseEarly(exp, times, 'Tokens of the previous key may still be under way.');
  if (early) return early;
  const { previous: withdrawn, ...members } = membersOf(ring);
  if (exp !== undefined) {
    const message = `The service publishes ${previous.keyId} no more. Receivers refuse it in ${describeSeconds(times.reloadSeconds + times.maxAgeSeconds)} at the latest.`;
    return { outcome: 'done', message, members };
  }
  // Nobody can see when it signed last, so that the wait begins now.
  const from = times.nowSeconds + times.reloadSeconds + TOKEN_SECONDS + times.maxAgeSeconds;
  return {
    outcome: 'refused',
    message: `The file does not say when ${previous.keyId} signed last. The wait begins now.`,
    members: { ...members, previous: { ...withdrawn, exp: from } },
    earliestSeconds: from,
  };
}

/** A step that is not taken, and changes nothing. */
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

/** A moment that `rotate` wrote: `nbf` and `exp`, as OpenID Federation has them in a JWK. */
function momentOf({ jwk }: HeldKey, name: 'nbf' | 'exp'): number | undefined {
  const { [name]: moment } = jwk;
  return typeof moment === 'number' ? moment : undefined;
}
