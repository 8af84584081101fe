import { Inject, Injectable } from '@nestjs/common';
import type { Attempt } from './attempts.js';
import { curlOf, type CurlCommand } from './curl.js';
import { exchange, type Exchange } from './exchange.js';
import { Forger } from './forger.js';

export interface AttemptResult {
  readonly id: string;
  readonly exchanges: readonly Exchange[];
}

/** Sends what an attempt makes to the running service, and describes what came back. */
@Injectable()
export class AttemptService {
  constructor(@Inject(Forger) private readonly forger: Forger) {}

  async run(attempt: Attempt, input: string): Promise<AttemptResult> {
    const exchanges: Exchange[] = [];
    for (const request of await attempt.make(this.forger, input)) {
      exchanges.push(await exchange(request));
    }
    return { id: attempt.id, exchanges };
  }

  /** Makes the requests of an attempt anew, and sends none: the visitor does, with curl. */
  async toCurl(attempt: Attempt, input: string): Promise<CurlCommand> {
    return curlOf(await attempt.make(this.forger, input));
  }
}
