import { readJsonObject } from '../../lib/core/unambiguous-json.js';
import { assertClaimsProfile, readClaims } from '../../lib/core/claims.js';
import { PROFILES } from '../../lib/core/profiles.js';
import { findClaimsFault, findObjectFault } from '../support/properties/oracle.js';
import { assertSameVerdict, refusalOf } from './verdict.js';

/** Input: the JSON text of a token's claims. */
export function fuzz(data: Uint8Array): void {
  assertSameVerdict(
    refusalOf(() => readJsonObject(data)),
    findObjectFault(data),
  );
  const read = () => readClaims(readJsonObject(data));
  assertSameVerdict(refusalOf(read), findClaimsFault(data));
  for (const profile of ['strict', 'original'] as const) {
    const readAs = () => assertClaimsProfile(read(), PROFILES[profile]);
    assertSameVerdict(refusalOf(readAs), findClaimsFault(data, profile));
  }
}
