// What keeps answers and gives them to others: caches, coalescers, shared Observables. The library signs each call for
// the right user, and no library sees who reads the answer. The cure of all: the user is part of the key.
import CircuitBreaker from 'opossum';
import pMemoize from 'p-memoize';
import { ServiceSigningError } from 'nestjs-service-auth';
import { defer, exhaustMap, firstValueFrom, map, share, timer } from 'rxjs';
import { around, firstOf, optionsOf } from './work.mjs';

/**
 * @typedef {import('./application.js').Answer} Answer
 * @typedef {import('./application.js').Served} Served
 * @typedef {import('./work.mjs').Task} Task
 * @typedef {import('./work.mjs').Tools} Tools
 * @typedef {import('rxjs').Observable<Answer>} Answered
 * @typedef {(key: string, task: Task) => PromiseLike<Answer>} Remember
 */

/** What everybody's answer is kept under, and each user's. @param {Tools} tools @param {Served} request */
export function keyOf({ way }, { caller }) {
  return way.isCured ? (caller?.subject ?? 'nobody') : 'profile';
}

/** @param {() => { remember: Remember, close?: () => unknown }} open @returns {import('./rows.mjs').Row['open']} */
export const remembering = (open) => (tools) => {
  const { remember, close } = open();
  return {
    serve: async (request) =>
      await around(tools, request, () =>
        remember(keyOf(tools, request), tools.client.task(request.id, optionsOf(tools, request))),
      ),
    close,
  };
};

/** @param {object} options of opossum */
export const circuit = (options) => () => {
  const breaker = new CircuitBreaker(
    (/** @type {Task} */ task, /** @type {string} */ _key) => task(),
    {
      ...options,
      cacheGetKey: (_task, key) => key,
      errorFilter: (error) => error instanceof ServiceSigningError,
    },
  );
  return {
    remember: /** @type {Remember} */ ((key, task) => breaker.fire(task, key)),
    close: () => breaker.shutdown(),
  };
};

export function memoized() {
  const memo = pMemoize(
    async (/** @type {string} */ _key, /** @type {Task} */ task) => await task(),
    { cacheKey: ([key]) => key },
  );
  return { remember: /** @type {Remember} */ ((key, task) => memo(key, task)) };
}

export function promises() {
  /** @type {Map<string, ReturnType<Task>>} */
  const known = new Map();
  /** @type {Remember} */
  const remember = (key, task) => {
    const answer = known.get(key) ?? task();
    known.set(key, answer);
    return answer;
  };
  return { remember };
}

/**
 * One Observable for all that ask for the same.
 *
 * @param {import('rxjs').MonoTypeOperatorFunction<Answer>} operator
 * @returns {import('./rows.mjs').Row['open']}
 */
export const shared = (operator) => (tools) => {
  const profileOf = oncePerKey(tools, (request) =>
    defer(() => tools.client.observe(`echo/${request.id}`, optionsOf(tools, request))).pipe(
      map(firstOf),
      operator,
    ),
  );
  return {
    serve: async (request) =>
      await around(tools, request, () => firstValueFrom(profileOf(request))),
  };
};

/** A feed that is polled while somebody listens. @type {import('./rows.mjs').Row['open']} */
export function polledFeed(tools) {
  const feedOf = oncePerKey(tools, (request) => {
    const poll = () =>
      tools.client.observe(`echo/${request.id}`, optionsOf(tools, request)).pipe(map(firstOf));
    // Not switchMap: on a busy machine each poll would be given up for the next.
    return timer(0, 20).pipe(exhaustMap(poll), share());
  });
  return {
    serve: async (request) => await firstValueFrom(feedOf(request)),
    feed: (request) => around(tools, request, () => defer(() => feedOf(request))),
  };
}

/** @param {Tools} tools @param {(request: Served) => Answered} make @returns {(request: Served) => Answered} */
function oncePerKey(tools, make) {
  /** @type {Map<string, Answered>} */
  const known = new Map();
  return (request) => {
    const key = keyOf(tools, request);
    const answered = known.get(key) ?? make(request);
    known.set(key, answered);
    return answered;
  };
}
