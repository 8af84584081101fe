import { hash } from 'node:crypto';
import type { TokenUse } from '../core/index.js';

/**
 * A SHA-256 digest of issuer and token id, the key of a use. It has bounded length and harmless characters, whatever
 * names a caller chooses, and different pairs give different digests.
 *
 * @param salt a text unknown to callers, if they must not be able to choose the digest
 */
export function digestTokenUse(
  { issuer, tokenId }: Pick<TokenUse, 'issuer' | 'tokenId'>,
  encoding: 'binary' | 'base64url',
  salt = '',
): string {
  return hash('sha256', salt + JSON.stringify([issuer, tokenId]), encoding);
}
