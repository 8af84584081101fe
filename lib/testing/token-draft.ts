import { CompactSign } from 'jose';
import type { SigningKey } from '../core/index.js';
import { decodeToken } from './decode-token.js';

/** A token before it is signed. A claim that is `undefined` is omitted. */
export interface TokenDraft {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly key: SigningKey;
}

const utf8 = new TextEncoder();

/** The draft of a token, from a signed one. */
export function draftOf(token: string, key: SigningKey): TokenDraft {
  return { ...decodeToken(token), key };
}

/** The same draft with other claims. */
export function withClaims(
  draft: TokenDraft,
  claims: Readonly<Record<string, unknown>>,
): TokenDraft {
  return { ...draft, claims: { ...draft.claims, ...claims } };
}

/** Signs a draft as it is, valid or not. */
export async function signDraft({ header, claims, key }: TokenDraft): Promise<string> {
  return await new CompactSign(utf8.encode(JSON.stringify(claims)))
    .setProtectedHeader({ ...header, alg: key.algorithm })
    .sign(key.key);
}
