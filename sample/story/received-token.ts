import type { Received } from './messages.js';

/** A token and a grant as they arrived, and what they say. It verifies nothing. */
export function describeReceived(
  token: string | undefined,
  grant: string | undefined,
): Pick<Received, 'header' | 'claims' | 'keyId' | 'grant' | 'texts'> {
  const [header, claims] = decode(token);
  const [, grantClaims] = decode(grant);
  const keyId = typeof header?.['kid'] === 'string' ? header['kid'] : undefined;
  return { header, claims, keyId, grant: grantClaims, texts: { token, grant } };
}

/** Milliseconds since the epoch, with fractions: hops are faster than that. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/** JOSE header and claims, of a token or a grant. */
function decode(token: string | undefined): Received['claims'][] {
  if (token === undefined) return [];
  try {
    return token
      .split('.', 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Received['claims']);
  } catch {
    return []; // Not a token: the guard will say so.
  }
}
