import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { ReplayStore, ServiceAuthEvent, TokenUse, TokenUseVerdict } from '../../core/index.js';
import { describeSeconds } from '../durations.js';
import { codeOf } from '../key-files.js';
import { type Check, fail, ok, warn } from './check.js';

const NAME = 'replay store';
const RETRY_MILLISECONDS = 100;
/** A new client is still connecting. */
const ATTEMPTS = 30;
const LIFETIME_SECONDS = 10;

/**
 * Checks that the store distinguishes a first use from a second, and collects its warnings at start, such as of a
 * Redis that may evict keys. Leaves one used token of no service in the store, which expires.
 *
 */
export async function checkReplayStore(
  store: unknown,
  { now, messageSeconds }: ReplayParts,
): Promise<Check[]> {
  if (store === undefined) return [warnOfMemory(messageSeconds)];
  // The options have reported it already.
  if (!isStore(store)) return [];
  const more = isInMemory(store) ? [warnOfMemory(messageSeconds)] : [];
  const use = createUse(now());
  const verdict = await askUntilReady(store, use);
  if (typeof verdict !== 'string') return [failUnreachable(verdict.reason)];
  const second = await askOnce(store, use);
  const isGood = verdict === 'first' && second === 'seen';
  return [isGood ? okStore() : failBlind(), ...more, ...(await warnings(store))];
}

export interface ReplayParts {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** How long the events and jobs live that the service takes; undefined if it takes none. */
  readonly messageSeconds: number | undefined;
}

function isStore(store: unknown): store is ReplayStore {
  return typeof store === 'object' && store !== null && 'recordUse' in store;
}

/** By its name, as the process may have another copy of the class. */
export function isInMemory(store: unknown): boolean {
  return (Object(store) as object).constructor?.name === 'MemoryReplayStore';
}

function createUse(nowMilliseconds: number): TokenUse {
  const nowSeconds = nowMilliseconds / 1000;
  return {
    issuer: 'https://doctor.invalid/',
    tokenId: randomUUID(),
    nowSeconds,
    issuedAtSeconds: nowSeconds,
    forgetAtSeconds: nowSeconds + LIFETIME_SECONDS,
    clockToleranceSeconds: 0,
  };
}

type Asked = TokenUseVerdict | { readonly reason: string };

async function askUntilReady(store: ReplayStore, use: TokenUse): Promise<Asked> {
  let asked = await askOnce(store, use);
  for (let left = ATTEMPTS; left > 0 && typeof asked !== 'string'; left--) {
    await wait(RETRY_MILLISECONDS);
    asked = await askOnce(store, use);
  }
  return asked;
}

async function askOnce(store: ReplayStore, use: TokenUse): Promise<Asked> {
  try {
    return await store.recordUse(use);
  } catch (error) {
    const { detail } = Object(error) as { detail?: unknown };
    return { reason: typeof detail === 'string' ? detail : codeOf(error) };
  }
}

function warnOfMemory(messageSeconds: number | undefined): Check {
  const message =
    messageSeconds === undefined
      ? 'in the memory of each process: another process accepts a token again'
      : `in the memory of each process: another process, or this one after a restart, may handle an event or job again for ${describeSeconds(messageSeconds)}`;
  return warn(NAME, message, 'with several processes, share a `RedisReplayStore` (docs/replay.md)');
}

function okStore(): Check {
  return ok(NAME, 'reachable, and distinguishes a second use from the first');
}

function failBlind(): Check {
  const message = 'it does not distinguish a second use from the first: tokens can be replayed';
  return fail(NAME, message, "make `recordUse` answer 'first' once, then 'seen'");
}

/** A Redis without free memory answers, but refuses to write: its address is right, and it is running. */
function failUnreachable(reason: string): Check {
  const isFull = /\bOOM\b/.test(reason);
  const advice = isFull
    ? 'give Redis more memory (`maxmemory`), or a Redis of its own for the store; keep `maxmemory-policy noeviction`, since evicted uses are replays'
    : 'start the store, look at its address and password, and connect the client where the options are made';
  const message = isFull ? `Redis is full: ${reason}` : `it cannot be asked: ${reason}`;
  return fail(NAME, message, advice);
}

/** The warnings that the store reports when a service starts to use it. */
async function warnings(store: ReplayStore): Promise<Check[]> {
  const events: ServiceAuthEvent[] = [];
  const observer = { observe: (event: ServiceAuthEvent) => void events.push(event) };
  try {
    await store.start?.(observer);
  } catch (error) {
    return [failUnreachable(codeOf(error))];
  } finally {
    store.close?.(observer);
  }
  return events.flatMap((event) =>
    event.type === 'replay_store_unsafe' ? warnOfLoss(event.reason) : [],
  );
}

function warnOfLoss(reason: string): Check {
  const advice = 'a token whose use is lost can be used again until it expires (docs/replay.md)';
  return warn(NAME, reason, advice);
}
