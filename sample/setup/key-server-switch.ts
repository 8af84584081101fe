import type { NextFunction, Request, Response } from 'express';
import type { RunnerMessage } from '../story/messages.js';
import { KEYS_PATH } from './environment.js';

/**
 * FOR THE DEMONSTRATION ONLY. Answers 503 to everybody who asks for the keys of this service while the runner wants that,
 * as a broken key server does. Everything else goes on.
 */
export function keyServerSwitch() {
  let isOff = false;
  process.on('message', (message: RunnerMessage) => {
    if (message.kind === 'key-server') isOff = message.isOff;
  });
  return (request: Request, response: Response, next: NextFunction): void => {
    if (isOff && request.path === `/${KEYS_PATH}`) response.status(503).end();
    else next();
  };
}
