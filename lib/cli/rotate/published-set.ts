import { setTimeout as wait } from 'node:timers/promises';
import type { VerificationKey } from '../../core/index.js';
import { fetchJwkSetFrom } from '../../keys/fetch-jwk-set.js';
import { JwkSetError, readJwkSet } from '../../keys/jwk-set.js';
import { CommandFailure, failImpossible } from '../exit-codes.js';
import { codeOf } from '../key-files.js';

const POLL_MILLISECONDS = 500;

/** The set that receivers fetch now. */
export interface PublishedSet {
  readonly keys: readonly VerificationKey[];
  /** How long a receiver may keep using a set that it has just fetched. */
  readonly maxAgeSeconds: number;
}

/**
 * Fetches a published key set as a receiver does.
 *
 * @throws CommandFailure if there is no key set
 */
export async function fetchPublishedSet(url: string): Promise<PublishedSet> {
  try {
    const { bytes, maxAgeSeconds } = await fetchJwkSetFrom(url)(
      undefined,
      new AbortController().signal,
    );
    const { keys } = await readJwkSet(bytes ?? new Uint8Array(), undefined);
    return { keys: [...keys.values()], maxAgeSeconds };
  } catch (error) {
    const { cause = error } = Object(error) as { cause?: unknown };
    const why = error instanceof JwkSetError ? error.message : `no answer (${codeOf(cause)})`;
    return failImpossible(
      `The published keys cannot be fetched from ${url}: ${why}. Start the service, or name the URL with --jwks.`,
    );
  }
}

/**
 * Fetches the published set repeatedly, until it has a key.
 *
 * @returns the set with the key; undefined if the key is not there in time
 */
export async function waitForKey(
  url: string,
  keyId: string,
  seconds: number,
): Promise<PublishedSet | undefined> {
  for (let left = (seconds * 1000) / POLL_MILLISECONDS; left >= 0; left--) {
    const set = await fetchIfThere(url);
    if (set?.keys.some((key) => key.keyId === keyId)) return set;
    await wait(POLL_MILLISECONDS);
  }
  return undefined;
}

/** A service that is restarting may answer the next time. */
async function fetchIfThere(url: string): Promise<PublishedSet | undefined> {
  try {
    return await fetchPublishedSet(url);
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    return undefined;
  }
}
