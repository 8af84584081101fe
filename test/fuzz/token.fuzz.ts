import { readUnverifiedBodyHash } from '../../lib/core/unverified-body-hash.js';
import { readToken } from '../../lib/core/token-syntax.js';
import { findSyntaxFault } from '../support/properties/oracle.js';
import { assertSameVerdict, refusalOf } from './verdict.js';

/** Input: the value of the `JWT` header, a byte for each character. */
export function fuzz(data: Uint8Array): void {
  const value = Buffer.from(data).toString('latin1');
  readUnverifiedBodyHash(['JWT', value]);
  assertSameVerdict(
    refusalOf(() => readToken([value])),
    findSyntaxFault(value),
  );
}
