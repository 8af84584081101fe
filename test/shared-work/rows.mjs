// Every way in which requests share work, with what becomes of it, written by hand before the first run.
import { BatchHttpLink } from '@apollo/client/link/batch-http';
import { HttpLink } from '@apollo/client';
import { share, shareReplay } from 'rxjs';
import { circuit, memoized, polledFeed, promises, remembering, shared } from './answers.mjs';
import {
  apollo,
  keptSockets,
  loaderPerRequest,
  sharedLoader,
  trpcBatchLink,
  trpcHttpLink,
} from './batches.mjs';
import { LIMITS } from './limits.mjs';
import { around, CLIENTS, MADE_BEFORE, optionsOf } from './work.mjs';

/**
 * What becomes of a cell's requests:
 * - `right`: each user has the answer to a call of their own, strangers have none;
 * - `refused`: some or all of the users' calls were not sent, no call was sent for another;
 * - `wrong subject`: a call was signed for another user than its own;
 * - `wrong answer`: calls were signed right, and an answer went to another user than the one it is for.
 *
 * @typedef {'right' | 'refused' | 'wrong subject' | 'wrong answer'} Verdict
 */

/**
 * @typedef {import('./application.js').Answer} Answer
 * @typedef {import('./application.js').Served} Served
 * @typedef {import('./work.mjs').ClientName} ClientName
 * @typedef {import('./work.mjs').Tools} Tools
 * @typedef {{
 *   serve: (request: Served) => Promise<Answer>,
 *   feed?: (request: Served) => import('rxjs').Observable<Answer>,
 *   close?: () => unknown,
 * }} Opened
 */

/**
 * `ambient` is what becomes of it without a word where `subjectPropagation` is `ambient`; `around` with
 * `runOnBehalfOf()` around the shared work, in both modes; `words` with `onBehalfOf()` in the call, in `explicit`.
 * A row that is wrong anywhere says why, and has a cure. `first` says that the first request is answered before the
 * others are sent.
 *
 * @typedef {{
 *   name: string,
 *   package?: string,
 *   ambient: Verdict,
 *   around: Verdict,
 *   words: Verdict,
 *   why?: string,
 *   cure?: string,
 *   clients: readonly ClientName[],
 *   sharesAnswers?: boolean,
 *   isFeed?: boolean,
 *   sockets?: number,
 *   first?: 'alone',
 *   open: (tools: Tools) => Opened,
 * }} Row
 */

/** @param {import('./limits.mjs').Limit} limit @returns {Row} */
function toRow({ open, path, ...limit }) {
  const isWrong = limit.why !== undefined;
  return {
    ...limit,
    words: 'right',
    clients: [...CLIENTS, MADE_BEFORE],
    cure: isWrong || limit.ambient === 'refused' ? '`bind`' : undefined,
    open: (tools) => {
      const { share: use, close } = open();
      return {
        serve: async (request) =>
          await around(tools, request, () => {
            const task = tools.client.task(request.id, optionsOf(tools, request), path);
            return use(tools.way.isCured ? tools.callContext.bind(task) : task);
          }),
        close,
      };
    },
  };
}

const RIGHT = /** @type {const} */ ({ ambient: 'right', around: 'right', words: 'right' });
/** @type {{ ambient: Verdict, around: Verdict, words: Verdict }} */
const BATCHED = { ambient: 'wrong subject', around: 'wrong subject', words: 'right' };
const BATCH =
  'The first request of a batch starts the timer that sends it, for all that are in it.';
/** @type {Pick<Row, 'ambient' | 'around' | 'words' | 'why' | 'cure' | 'sharesAnswers'>} */
const KEPT = {
  ambient: 'wrong answer',
  around: 'wrong answer',
  words: 'wrong answer',
  sharesAnswers: true,
  why: 'It gives the answer of one call to all that ask under the same key, and makes no call for them.',
  cure: 'the user in the key',
};

/** @type {Omit<Row, 'clients'>[]} */
const OTHERS = [
  { name: 'tRPC, httpLink', package: '@trpc/client', ...RIGHT, open: trpcHttpLink },
  {
    name: 'tRPC, httpBatchLink',
    package: '@trpc/client',
    ...BATCHED,
    why: BATCH,
    cure: 'a client for each request',
    open: trpcBatchLink,
  },
  {
    name: 'Apollo, HttpLink',
    package: '@apollo/client',
    ...RIGHT,
    open: apollo({ Link: HttpLink }),
  },
  {
    name: 'Apollo, BatchHttpLink',
    package: '@apollo/client',
    ...BATCHED,
    why: BATCH,
    cure: 'a client for each request',
    open: apollo({ Link: BatchHttpLink }),
  },
  {
    name: 'Apollo, query deduplication',
    package: '@apollo/client',
    ...KEPT,
    cure: '`queryDeduplication: false`',
    open: apollo({ Link: HttpLink, deduplicates: true }),
  },
  {
    name: 'Apollo, InMemoryCache',
    package: '@apollo/client',
    ...KEPT,
    cure: 'a client for each request',
    first: 'alone',
    open: apollo({ Link: HttpLink, caches: true }),
  },
  {
    name: 'DataLoader for all requests',
    package: 'dataloader',
    ...BATCHED,
    why: BATCH,
    cure: '`runShared`, the user in the key, `onBehalfOf`',
    open: sharedLoader,
  },
  { name: 'DataLoader for each request', package: 'dataloader', ...RIGHT, open: loaderPerRequest },
  {
    name: 'opossum, coalesce',
    package: 'opossum',
    ...KEPT,
    open: remembering(circuit({ coalesce: true })),
  },
  {
    name: 'opossum, cache',
    package: 'opossum',
    ...KEPT,
    first: 'alone',
    open: remembering(circuit({ cache: true })),
  },
  { name: 'p-memoize', package: 'p-memoize', ...KEPT, open: remembering(memoized) },
  { name: 'promise that is kept', ...KEPT, open: remembering(promises) },
  { name: 'share()', package: 'rxjs', ...KEPT, open: shared(share()) },
  { name: 'shareReplay()', package: 'rxjs', ...KEPT, open: shared(shareReplay(1)) },
  {
    name: '`@Sse()`, a polled feed behind share()',
    package: 'rxjs',
    ...KEPT,
    isFeed: true,
    open: polledFeed,
  },
  { name: 'sockets that are kept alive', ...RIGHT, sockets: 8, open: keptSockets },
];

/** @type {readonly Row[]} */
export const ROWS = [...LIMITS.map(toRow), ...OTHERS.map((row) => ({ ...row, clients: CLIENTS }))];
