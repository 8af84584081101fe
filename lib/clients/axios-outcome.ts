import { isNativeError } from 'node:util/types';
import { eraseToken } from './sent-token.js';

/**
 * Removes the token from an answer or an error of axios. It then refers to the caller's own configuration. The
 * request stays readable, but without the token, and is not enumerable, so that printing everything omits it.
 *
 * @returns the same answer or error
 */
export function withoutTraces<T>(outcome: T, config: unknown): T {
  clean(outcome, config, new Set());
  return outcome;
}

/** Errors can be causes of each other, even in a circle. Nothing here may replace the original error. */
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
