import { hash } from 'node:crypto';
import type { TokenUse } from '../core/index.js';

/**
 * A SHA-256 digest of issuer and token id, under which a use is kept: of bounded length and harmless
 * characters whatever a caller names itself, and no pair of names can be read as another pair.
 *
 * @param salt what callers do not know, where they shall not choose what the digest is like
 */
export function digestTokenUse(
  { issuer, tokenId }: Pick<TokenUse, 'issuer' | 'tokenId'>,
  encoding: 'binary' | 'base64url',
  salt = '',
): string {
  return hash('sha256', salt + JSON.stringify([issuer, tokenId]), encoding);
}
