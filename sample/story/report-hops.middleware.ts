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
      const texts = { token: textOf(request, 'jwt'), grant: textOf(request, 'txn-token') };
      const code = noteCode(response);
      response.once('finish', () => {
        const { statusCode: status } = response;
        const token = { header, claims, keyId, grant, texts };
        report({ request: line, status, code: code(), arrivedAt, answeredAt: now(), ...token });
      });
    }
    next();
  };
}

/** @returns a function that returns the code of the JSON which the service has answered */
function noteCode(response: Response): () => string | undefined {
  const json = response.json.bind(response);
  let code: unknown;
  response.json = (body: unknown) => {
    code = (Object(body) as Record<string, unknown>)['code'];
    return json(body);
  };
  return () => (typeof code === 'string' ? code : undefined);
}

function textOf({ headers }: Request, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
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
