import { type Answer, send } from '../story/http-client.js';
import { type ForgedRequest, grantOf, tokenOf } from './forged-request.js';
import { failedCheck, reasonFor } from './checks.js';
import { type Difference, differencesOf } from './differences.js';
import { readToken, type TokenParts } from './token-parts.js';

/** A request that went to Herald or Census, and what that answered. */
export interface Exchange {
  readonly method: string;
  readonly target: string;
  readonly contentType: string;
  readonly body: string;
  /** undefined: the request had none. */
  readonly token: TokenParts | undefined;
  /** undefined: the request had none. */
  readonly grant: TokenParts | undefined;
  /** undefined: nobody listens there. */
  readonly answer: Answer | undefined;
  /** The number of the check that refused it, from 0; undefined: none did. */
  readonly failedCheck: number | undefined;
  readonly reason: string;
  readonly differences: readonly Difference[];
}

const NO_ANSWER = 'The service is stopped: no process listens at its address.';

/** Sends a request, and describes it and the answer. A service that is stopped gives an exchange without an answer. */
export async function exchange(request: ForgedRequest): Promise<Exchange> {
  return toExchange(request, await sendOrMiss(request));
}

async function sendOrMiss(request: ForgedRequest): Promise<Answer | undefined> {
  try {
    return await send(request);
  } catch (error) {
    if (isConnectionLost(error)) return undefined;
    throw error;
  }
}

/** `fetch` throws a TypeError when no process listens, or when it ends before it has answered. */
export function isConnectionLost(error: unknown): boolean {
  return error instanceof TypeError && error.message === 'fetch failed';
}

function toExchange(request: ForgedRequest, answer: Answer | undefined): Exchange {
  const { pathname, search } = new URL(request.url);
  return {
    method: request.method,
    target: pathname + search,
    contentType: request.headers['content-type'] ?? '',
    body: request.body,
    token: partsOf(tokenOf(request)),
    grant: partsOf(grantOf(request)),
    answer,
    failedCheck: failedCheck(answer?.code),
    reason: answer ? reasonFor(answer.status, answer.code) : NO_ANSWER,
    differences: differencesOf(request, answer?.code),
  };
}

function partsOf(token: string): TokenParts | undefined {
  return token === '' ? undefined : readToken(token);
}
