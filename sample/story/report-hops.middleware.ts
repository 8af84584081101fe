import type { NextFunction, Request, Response } from 'express';
import { KEYS_PATH } from '../setup/environment.js';
import type { Hop } from './messages.js';

/**
 * FOR THE DEMONSTRATION ONLY. Tells the runner about every request and the claims of its token and grant, so
 * that the story can show what travels. It verifies nothing and nothing relies on it: that is the
 * guard's work, which comes after it.
 */
export function reportHops(report: (hop: Hop) => void) {
  return (request: Request, response: Response, next: NextFunction): void => {
    if (request.path !== `/${KEYS_PATH}`) {
      const [header, claims] = decode(request.headers['jwt']);
      const [, grant] = decode(request.headers['txn-token']);
      const keyId = typeof header?.['kid'] === 'string' ? header['kid'] : undefined;
      const line = `${request.method} ${request.originalUrl}`;
      const arrivedAt = now();
      response.once('finish', () => {
        const { statusCode: status } = response;
        const token = { header, claims, keyId, grant };
        report({ request: line, status, arrivedAt, answeredAt: now(), ...token });
      });
    }
    next();
  };
}

/** Milliseconds since the epoch, with fractions: hops are faster than that. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/** JOSE header and claims, of a token or a grant. */
function decode(token: unknown): Hop['claims'][] {
  if (typeof token !== 'string') return [];
  try {
    return token
      .split('.', 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Hop['claims']);
  } catch {
    return []; // Not a token: the guard will say so.
  }
}
