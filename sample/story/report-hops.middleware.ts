import type { NextFunction, Request, Response } from 'express';
import type { Hop } from './messages.js';

/**
 * FOR THE DEMONSTRATION ONLY. Tells the runner about every request and the claims of its token, so
 * that the story can show what travels. It verifies nothing and nothing relies on it: that is the
 * guard's work, which comes after it.
 */
export function reportHops(report: (hop: Hop) => void) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const claims = decodeClaims(request.headers['jwt']);
    const line = `${request.method} ${request.originalUrl}`;
    response.once('finish', () => report({ request: line, status: response.statusCode, claims }));
    next();
  };
}

function decodeClaims(token: unknown): Hop['claims'] {
  if (typeof token !== 'string') return undefined;
  try {
    const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
    return JSON.parse(payload) as Hop['claims'];
  } catch {
    return undefined; // Not a token: the guard will say so.
  }
}
