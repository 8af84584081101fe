import { Inject, Injectable } from '@nestjs/common';
import { type Answer, send, type SentRequest } from '../story/http-client.js';
import type { Attempt } from './attempts.js';
import { failedCheck, reasonFor } from './checks.js';
import { Forger, grantOf, tokenOf } from './forger.js';
import { readToken, type TokenParts } from './token-parts.js';

/** A request that went to Herald or Census, and what that answered. */
export interface Exchange {
  readonly method: string;
  readonly target: string;
  readonly contentType: string;
  readonly body: string;
  /** undefined: it had none. */
  readonly token: TokenParts | undefined;
  /** Likewise, of the grant. */
  readonly grant: TokenParts | undefined;
  readonly answer: Answer;
  /** The number of the check that refused it, from 0; undefined: none did. */
  readonly failedCheck: number | undefined;
  readonly reason: string;
}

export interface AttemptResult {
  readonly id: string;
  readonly exchanges: readonly Exchange[];
}

/** Sends what an attempt makes to the running service, and tells what came back. */
@Injectable()
export class AttemptService {
  constructor(@Inject(Forger) private readonly forger: Forger) {}

  async run(attempt: Attempt, input: string): Promise<AttemptResult> {
    const exchanges: Exchange[] = [];
    for (const request of await attempt.make(this.forger, input)) {
      exchanges.push(toExchange(request, await send(request)));
    }
    return { id: attempt.id, exchanges };
  }
}

function toExchange(request: SentRequest, answer: Answer): Exchange {
  const { pathname, search } = new URL(request.url);
  const token = tokenOf(request);
  const grant = grantOf(request);
  return {
    method: request.method,
    target: pathname + search,
    contentType: request.headers['content-type'] ?? '',
    body: request.body,
    token: token === '' ? undefined : readToken(token),
    grant: grant === '' ? undefined : readToken(grant),
    answer,
    failedCheck: failedCheck(answer.code),
    reason: reasonFor(answer.status, answer.code),
  };
}
