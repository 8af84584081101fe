import { readJsonObject } from '../../lib/core/unambiguous-json.js';
import { assertHeaderProfile, readJoseHeader } from '../../lib/core/jose-header.js';
import { PROFILES } from '../../lib/core/profiles.js';
import { findHeaderFault } from '../support/properties/oracle.js';
import { assertSameVerdict, refusalOf } from './verdict.js';

/** Input: the JSON text of a JOSE header. */
export function fuzz(data: Uint8Array): void {
  const read = () => readJoseHeader(readJsonObject(data));
  assertSameVerdict(refusalOf(read), findHeaderFault(data));
  for (const profile of ['strict', 'original'] as const) {
    const readAs = () => assertHeaderProfile(read(), readJsonObject(data), PROFILES[profile]);
    assertSameVerdict(refusalOf(readAs), findHeaderFault(data, profile));
  }
}
