// Work that is handed over as a function: limiters, queues, locks, pools, buses, timers. The cure of all is
// ServiceCallContext.bind().
import { EventEmitter, on } from 'node:events';
import { Worker } from 'node:worker_threads';
import { ServiceSigningError } from 'nestjs-service-auth';
import asyncLibrary from 'async';
import AsyncLock from 'async-lock';
import { Mutex } from 'async-mutex';
import Bottleneck from 'bottleneck';
import {
  bulkhead,
  circuitBreaker,
  ConsecutiveBreaker,
  ConstantBackoff,
  handleAll,
  handleWhen,
  retry,
} from 'cockatiel';
import fastq from 'fastq';
import genericPool from 'generic-pool';
import CircuitBreaker from 'opossum';
import pLimit from 'p-limit';
import pLimit3 from 'p-limit-3';
import pLimit4 from 'p-limit-4';
import pLimit5 from 'p-limit-5';
import PQueue from 'p-queue';
import { default as PQueue6Module } from 'p-queue-6';
import PQueue7 from 'p-queue-7';
import PQueue8 from 'p-queue-8';
import PQueue9 from 'p-queue-9';
import { concatMap, first, mergeMap, Subject } from 'rxjs';

/**
 * @typedef {import('./work.mjs').Task} Task
 * @typedef {(task: Task) => PromiseLike<import('./application.js').Answer>} Share runs a task, sooner or later
 * @typedef {{ share: Share, close?: () => unknown }} Sharing
 */

/** How many tasks run at once, where a library limits them. */
const CONCURRENCY = 2;

/** A refusal says nothing about the service that is called. */
const isFailure = (/** @type {unknown} */ error) => !(error instanceof ServiceSigningError);

/** @param {Task} task @returns {{ promise: ReturnType<Task>, run: () => Promise<void> }} */
function defer(task) {
  /** @type {(answer: ReturnType<Task>) => void} */
  let settle = () => undefined;
  /** @type {ReturnType<Task>} */
  const promise = new Promise((resolve) => (settle = resolve));
  const run = async () => {
    const answer = task();
    settle(answer);
    await answer.catch(() => undefined);
  };
  return { promise, run };
}

/** @typedef {ReturnType<typeof defer>} Deferred */

/** @param {(concurrency: number) => Share} create */
const limited = (create) => () => ({ share: create(CONCURRENCY) });

/** @param {new (options: { concurrency: number }) => { add: Share }} Queue */
const queued = (Queue) => () => {
  const queue = new Queue({ concurrency: CONCURRENCY });
  return { share: /** @type {Share} */ ((task) => queue.add(task)) };
};

/** Requests put into a Subject what its one subscription works off. @param {import('rxjs').OperatorFunction<Deferred, unknown>} work */
const subject = (work) => () => {
  /** @type {Subject<Deferred>} */
  const tasks = new Subject();
  const subscription = tasks.pipe(work).subscribe();
  /** @type {Share} */
  const share = (task) => {
    const deferred = defer(task);
    tasks.next(deferred);
    return deferred.promise;
  };
  return { share, close: () => subscription.unsubscribe() };
};

const runIt = async (/** @type {Deferred} */ { run }) => await run();

/** Two connections; who releases one calls the next in line. */
class CallbackPool {
  #free = CONCURRENCY;
  /** @type {(() => void)[]} */
  #waiting = [];

  /** @param {() => void} use */
  acquire(use) {
    if (this.#free === 0) return void this.#waiting.push(use);
    this.#free--;
    use();
  }

  release() {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}

function callbackPool() {
  const pool = new CallbackPool();
  /** @type {Share} */
  const share = (task) => {
    const { promise, run } = defer(task);
    pool.acquire(() => void run().then(() => pool.release()));
    return promise;
  };
  return { share };
}

/** A list that `start` begins to work off when the first task is in it, or before. */
class TaskList {
  /** @type {Deferred[]} */
  #tasks = [];

  /** @param {Task} task */
  add(task) {
    const deferred = defer(task);
    this.#tasks.push(deferred);
    return deferred.promise;
  }

  async drain() {
    for (let next = this.#tasks.shift(); next; next = this.#tasks.shift()) await next.run();
  }

  runAll() {
    for (const { run } of this.#tasks.splice(0)) void run();
  }
}

/** The loop of a list that has been running since the application started. */
function runningLoop() {
  const bus = new EventEmitter();
  const stop = new AbortController();
  const loop = async () => {
    for await (const [deferred] of on(bus, 'task', { signal: stop.signal })) {
      await /** @type {Deferred} */ (deferred).run();
    }
  };
  const looping = loop().catch(() => undefined);
  /** @type {Share} */
  const share = (task) => {
    const deferred = defer(task);
    bus.emit('task', deferred);
    return deferred.promise;
  };
  const close = async () => {
    stop.abort();
    await looping;
  };
  return { share, close };
}

/** Whoever finds the list at rest works it off, for the others too. */
function drainedByFirst() {
  const list = new TaskList();
  let isDraining = false;
  /** @type {Share} */
  const share = (task) => {
    const promise = list.add(task);
    if (!isDraining) {
      isDraining = true;
      void list.drain().finally(() => (isDraining = false));
    }
    return promise;
  };
  return { share };
}

/** @param {{ isLazy: boolean }} options */
const intervals =
  ({ isLazy }) =>
  () => {
    const list = new TaskList();
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    const start = () => (timer ??= setInterval(() => list.runAll(), 1));
    if (!isLazy) start();
    /** @type {Share} */
    const share = (task) => {
      start();
      return list.add(task);
    };
    return { share, close: () => clearInterval(timer) };
  };

const ECHO = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', (message) => parentPort.postMessage(message));
`;

/** A worker computes something for each request, and then the call is made. @param {{ isLazy: boolean }} options */
const worker =
  ({ isLazy }) =>
  () => {
    /** @type {Worker | undefined} */
    let running;
    /** @type {Map<number, Deferred>} */
    const waiting = new Map();
    const start = () => {
      running ??= new Worker(ECHO, { eval: true }).on('message', (/** @type {number} */ at) => {
        void waiting.get(at)?.run();
      });
      return running;
    };
    if (!isLazy) start();
    /** @type {Share} */
    const share = (task) => {
      const deferred = defer(task);
      const at = waiting.size;
      waiting.set(at, deferred);
      start().postMessage(at);
      return deferred.promise;
    };
    return { share, close: async () => await running?.terminate() };
  };

/** @type {Share} */
const inOwnTimer = (task) => new Promise((resolve) => setTimeout(() => resolve(task()), 1));

/** A listener that was there before, called by the request itself. */
function ownEvents() {
  const bus = new EventEmitter().on('task', (/** @type {Deferred} */ { run }) => void run());
  /** @type {Share} */
  const share = (task) => {
    const deferred = defer(task);
    bus.emit('task', deferred);
    return deferred.promise;
  };
  return { share };
}

/** Each request waits for an event, and each emits one, which all that wait then hear. */
function othersEvents() {
  const bus = new EventEmitter().setMaxListeners(0);
  /** @type {Share} */
  const share = (task) => {
    const { promise, run } = defer(task);
    bus.once('go', () => void run());
    setTimeout(() => bus.emit('go'), 2);
    return promise;
  };
  return { share };
}

/** The same with a Subject. */
function othersSubject() {
  /** @type {Subject<void>} */
  const bus = new Subject();
  /** @type {Share} */
  const share = (task) => {
    const { promise, run } = defer(task);
    bus.pipe(first(), mergeMap(run)).subscribe();
    setTimeout(() => bus.next(), 2);
    return promise;
  };
  return { share };
}

function bottleneck() {
  const limiter = new Bottleneck({ maxConcurrent: CONCURRENCY });
  return { share: /** @type {Share} */ ((task) => limiter.schedule(task)) };
}

/** @param {{ execute(task: Task): ReturnType<Task> }} policy @returns {Sharing} */
const policed = (policy) => ({ share: (task) => policy.execute(task) });

function breaker() {
  const circuit = new CircuitBreaker((/** @type {Task} */ task) => task(), {
    errorFilter: (error) => !isFailure(error),
  });
  return {
    share: /** @type {Share} */ ((task) => circuit.fire(task)),
    close: () => circuit.shutdown(),
  };
}

function asyncQueue() {
  const queue = asyncLibrary.queue(async (/** @type {Task} */ task) => await task(), CONCURRENCY);
  return { share: /** @type {Share} */ ((task) => queue.pushAsync(task)) };
}

function asyncLock() {
  const lock = new AsyncLock({ maxPending: Infinity });
  return { share: /** @type {Share} */ ((task) => lock.acquire('key', task)) };
}

function asyncMutex() {
  const mutex = new Mutex();
  return { share: /** @type {Share} */ ((task) => mutex.runExclusive(task)) };
}

function fastQueue() {
  const queue = fastq.promise(async (/** @type {Task} */ task) => await task(), CONCURRENCY);
  return { share: /** @type {Share} */ ((task) => queue.push(task)) };
}

function connectionPool() {
  const factory = { create: async () => ({}), destroy: async () => undefined };
  const pool = genericPool.createPool(factory, { max: CONCURRENCY });
  const close = async () => {
    await pool.drain();
    await pool.clear();
  };
  return { share: /** @type {Share} */ ((task) => pool.use(task)), close };
}

const DRAINED =
  'The end of one task starts the next one, in the async context of the request that the ended task was for.';
const EVENT = 'A listener runs in the async context of the request that emits.';
const FIRST = (/** @type {string} */ what) =>
  `${what} keeps the async context of the request that began it, and runs everybody's work there.`;

/**
 * Rows of work that is handed over as a function, and what happens to it, written by hand. Who is to be right in
 * `ambient` without a word, and inside `runOnBehalfOf()` around the shared work?
 *
 * @typedef {{ name: string, package?: string, ambient: Verdict, around: Verdict, why?: string, path?: string,
 *   open: () => Sharing }} Limit
 * @typedef {import('./rows.mjs').Verdict} Verdict
 * @type {Limit[]}
 */
export const LIMITS = [
  {
    name: 'nothing shared',
    ambient: 'right',
    around: 'right',
    open: () => ({ share: (task) => task() }),
  },
  { name: 'p-limit', package: 'p-limit-3', ...wrong(DRAINED), open: limited(pLimit3) },
  { name: 'p-limit', package: 'p-limit-4', ...wrong(DRAINED), open: limited(pLimit4) },
  { name: 'p-limit', package: 'p-limit-5', ...right(), open: limited(pLimit5) },
  { name: 'p-limit', package: 'p-limit', ...right(), open: limited(pLimit) },
  {
    name: 'p-queue',
    package: 'p-queue-6',
    ...wrong(DRAINED),
    open: queued(PQueue6Module.default),
  },
  { name: 'p-queue', package: 'p-queue-7', ...wrong(DRAINED), open: queued(PQueue7) },
  { name: 'p-queue', package: 'p-queue-8', ...wrong(DRAINED), open: queued(PQueue8) },
  { name: 'p-queue', package: 'p-queue-9', ...wrong(DRAINED), open: queued(PQueue9) },
  { name: 'p-queue', package: 'p-queue', ...right(), open: queued(PQueue) },
  { name: 'bottleneck', package: 'bottleneck', ...wrong(DRAINED), open: bottleneck },
  {
    name: 'cockatiel, bulkhead',
    package: 'cockatiel',
    ...wrong(DRAINED),
    open: () => policed(bulkhead(CONCURRENCY, Infinity)),
  },
  {
    name: 'cockatiel, circuit breaker',
    package: 'cockatiel',
    ...right(),
    open: () =>
      policed(
        circuitBreaker(handleWhen(isFailure), {
          halfOpenAfter: 1000,
          breaker: new ConsecutiveBreaker(5),
        }),
      ),
  },
  {
    name: 'cockatiel, retry of a failed call',
    package: 'cockatiel',
    ...right(),
    path: 'flaky',
    open: () => policed(retry(handleAll, { maxAttempts: 2, backoff: new ConstantBackoff(1) })),
  },
  { name: 'opossum', package: 'opossum', ...right(), open: breaker },
  { name: 'async, queue', package: 'async', ...wrong(DRAINED), open: asyncQueue },
  { name: 'async-lock', package: 'async-lock', ...wrong(DRAINED), open: asyncLock },
  { name: 'async-mutex', package: 'async-mutex', ...right(), open: asyncMutex },
  { name: 'fastq', package: 'fastq', ...wrong(DRAINED), open: fastQueue },
  { name: 'generic-pool', package: 'generic-pool', ...right(), open: connectionPool },
  { name: 'pool with callbacks', ...wrong(DRAINED), open: callbackPool },
  {
    name: 'Subject with concatMap',
    package: 'rxjs',
    ...wrong(DRAINED),
    open: subject(concatMap(runIt)),
  },
  {
    name: 'Subject with mergeMap, limited',
    package: 'rxjs',
    ...wrong(DRAINED),
    open: subject(mergeMap(runIt, CONCURRENCY)),
  },
  {
    name: 'Subject with mergeMap',
    package: 'rxjs',
    ...right(),
    open: subject(mergeMap(runIt)),
  },
  {
    name: 'Subject that one request waits for and another feeds',
    package: 'rxjs',
    ...wrong(EVENT),
    open: othersSubject,
  },
  { name: 'EventEmitter, emitted by the request itself', ...right(), open: ownEvents },
  { name: 'EventEmitter, emitted by another request', ...wrong(EVENT), open: othersEvents },
  { name: 'timer of the request', ...right(), open: () => ({ share: inOwnTimer }) },
  { name: 'timer that runs since the start', ...lost(), open: intervals({ isLazy: false }) },
  {
    name: 'timer that the first request began',
    ...wrong(FIRST('A timer')),
    open: intervals({ isLazy: true }),
  },
  { name: 'queue in memory, loop since the start', ...lost(), open: runningLoop },
  { name: 'queue in memory, drained by its first user', ...wrong(DRAINED), open: drainedByFirst },
  { name: 'worker_threads, worker since the start', ...lost(), open: worker({ isLazy: false }) },
  {
    name: 'worker_threads, worker that the first request began',
    ...wrong(FIRST('A worker')),
    open: worker({ isLazy: true }),
  },
];

/** @returns {{ ambient: Verdict, around: Verdict }} */
function right() {
  return { ambient: 'right', around: 'right' };
}

/** It runs with nobody. @returns {{ ambient: Verdict, around: Verdict }} */
function lost() {
  return { ambient: 'refused', around: 'refused' };
}

/** @param {string} why @returns {{ ambient: Verdict, around: Verdict, why: string }} */
function wrong(why) {
  return { ambient: 'wrong subject', around: 'wrong subject', why };
}
