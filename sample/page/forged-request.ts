import type { SentRequest } from '../story/http-client.js';
import { readToken, rewriteToken } from './token-parts.js';

/** A request to send, and the honest one that it was made from. */
export interface ForgedRequest extends SentRequest {
  /** undefined: nobody has tampered with it. */
  readonly original?: SentRequest;
}

/** The token of a request; empty when the request has none. */
export function tokenOf({ headers }: SentRequest): string {
  return headers['JWT'] ?? '';
}

/** The grant of a request; empty when the request has none. */
export function grantOf({ headers }: SentRequest): string {
  return headers['Txn-Token'] ?? '';
}

/** The same request with other members, such as another body. The token stays as it was. */
export function tampered(original: SentRequest, others: Partial<SentRequest>): ForgedRequest {
  return { ...original, ...others, original };
}

/** The same request with a rewritten token. The signature stays as it was. */
export function withRewrittenToken(
  original: SentRequest,
  parts: Parameters<typeof rewriteToken>[1],
): ForgedRequest {
  const token = rewriteToken(tokenOf(original), parts);
  return tampered(original, { headers: { ...original.headers, JWT: token } });
}

/** The JOSE header and the claims of the token of a request. */
export function tokenPartsOf(request: SentRequest): ReturnType<typeof readToken> | undefined {
  const token = tokenOf(request);
  return token === '' ? undefined : readToken(token);
}
