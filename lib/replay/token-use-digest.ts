import { createHash } from 'node:crypto';
import type { TokenUse } from '../core/index.js';

/**
 * A SHA-256 digest of issuer and token id, under which a use is kept: of bounded length and harmless
 * characters whatever a caller names itself, and no pair of names can be read as another pair.
 */
export function digestTokenUse(
  { issuer, tokenId }: Pick<TokenUse, 'issuer' | 'tokenId'>,
  encoding: 'binary' | 'base64url',
): string {
  return createHash('sha256')
    .update(JSON.stringify([issuer, tokenId]))
    .digest(encoding);
}
