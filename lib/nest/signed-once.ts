import { isDeepStrictEqual } from 'node:util';
import { createSlot } from '../core/index.js';
import type { ServiceAuth } from '../service-auth.js';

/** For which service a client or a queue signs, and what its options say. */
interface Signing {
  readonly serviceAuth: ServiceAuth;
  readonly options: unknown;
}

const SIGNINGS = createSlot<Signing>();

/** What to write where {@link noteSigning} answers `other`. */
export const SIGNS_OTHERWISE =
  'name it once, or write the same in both places: it already signs for another service, or with other options';

/**
 * Notes that a client or a queue signs from now on. Several modules may name the same one.
 *
 * @returns `first`: make it sign. `same`: it signs so already. `other`: it signs for another service, or with other options
 */
export function noteSigning(signing: object, by: Signing): 'first' | 'same' | 'other' {
  const known = SIGNINGS.get(signing);
  if (!known) {
    SIGNINGS.set(signing, by);
    return 'first';
  }
  const isSame = known.serviceAuth === by.serviceAuth;
  return isSame && isDeepStrictEqual(known.options, by.options) ? 'same' : 'other';
}
