import { readGrantClaims } from '../../lib/core/grants/grant-claims.js';
import { readUnverifiedGrant } from '../../lib/core/grants/unverified-grant.js';
import { assertGrantText, isGrantText } from '../../lib/core/grants/verify-grant.js';
import { readJsonObject } from '../../lib/core/unambiguous-json.js';
import { findGrantFault } from '../support/properties/oracle.js';
import { assertSameVerdict, refusalOf } from './verdict.js';

const DAY_SECONDS = 86_400;

/** Input: the JSON text of the claims of a grant, and any text at all in the place of the grant. */
export function fuzz(data: Uint8Array): void {
  assertSameVerdict(
    refusalOf(() => readGrantClaims(readJsonObject(data), DAY_SECONDS)),
    findGrantFault(data, DAY_SECONDS),
  );
  const text = Buffer.from(data).toString('latin1');
  const isForm = refusalOf(() => assertGrantText(text)) === undefined;
  if (isGrantText(text) && !isForm)
    throw new Error('the outer form of a grant, and no text of one');
  readUnverifiedGrant(text);
  readUnverifiedGrant(`e30.${Buffer.from(data).toString('base64url')}.AA`);
}
