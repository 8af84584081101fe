import { setImmediate } from 'node:timers';

/** At some 20 us each. What is more than these waits until the event loop has gone round. */
const MOST_IN_ONE_GO = 32;

interface Waiting {
  readonly sign: () => string;
  readonly resolve: (token: string) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Makes the signatures of one turn of the event loop one after another, at its end. The tables of a curve take
 * much of a processor's cache: loading them anew for each signature, between all else that a request does, takes
 * longer than to sign.
 */
export class SigningTurn {
  private waiting: Waiting[] = [];

  /** What `sign` returns, or throws, at the end of this turn. */
  run(sign: () => string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.waiting.length === 0) setImmediate(this.end);
      this.waiting.push({ sign, resolve, reject });
    });
  }

  private readonly end = (): void => {
    const due = this.waiting.splice(0, MOST_IN_ONE_GO);
    if (this.waiting.length > 0) setImmediate(this.end);
    for (const { sign, resolve, reject } of due) {
      try {
        resolve(sign());
      } catch (reason) {
        reject(reason);
      }
    }
  };
}
