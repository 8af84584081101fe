import type { NextFunction, Request, Response } from 'express';
import { KEYS_PATH } from '../setup/environment.js';
import type { Hop } from './messages.js';
import { describeReceived, now } from './received-token.js';

/**
 * FOR THE DEMONSTRATION ONLY. Tells the runner about every request and the claims of its token and grant, so
 * that the story can show what travels. It verifies nothing and nothing relies on it: that is the
 * guard's work, which comes after it.
 */
export function reportHops(report: (hop: Hop) => void) {
  return (request: Request, response: Response, next: NextFunction): void => {
    if (request.path !== `/${KEYS_PATH}`) {
      const received = describeReceived(textOf(request, 'jwt'), textOf(request, 'txn-token'));
      const line = `${request.method} ${request.originalUrl}`;
      const arrivedAt = now();
      const code = noteCode(response);
      response.once('finish', () => {
        const { statusCode: status } = response;
        const answer = { status, code: code(), answeredAt: now() };
        report({ request: line, arrivedAt, ...received, ...answer });
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
