import { isNativeError } from 'node:util/types';
import { eraseToken } from './sent-token.js';

/**
 * Makes an answer or an error of axios show nothing of the token: it names the caller's own
 * configuration, and the request, from which the token is erased, is there for those who ask for it but
 * not for those who print everything.
 *
 * @returns the same answer or error
 */
export function withoutTraces<T>(outcome: T, config: unknown): T {
  clean(outcome, config, new Set());
  return outcome;
}

/** Errors can be causes of each other, in a circle too. Nothing here may replace the error that happened. */
function clean(part: unknown, config: unknown, seen: Set<unknown>): void {
  if (typeof part !== 'object' || part === null || seen.has(part)) return;
  seen.add(part);
  if ('config' in part) Reflect.set(part, 'config', config);
  if ('request' in part) {
    eraseToken(part.request, isNativeError(part));
    if (Object.hasOwn(part, 'request'))
      Reflect.defineProperty(part, 'request', { enumerable: false });
  }
  if ('response' in part) clean(part.response, config, seen);
  if ('cause' in part) clean(part.cause, config, seen);
  if ('errors' in part && Array.isArray(part.errors)) {
    for (const error of part.errors) clean(error, config, seen);
  }
}
