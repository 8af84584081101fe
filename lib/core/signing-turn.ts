import { setImmediate } from 'node:timers';

/**
 * Lets the signatures of one turn of the event loop follow one another, at its end. The tables of a curve take much
 * of a processor's cache: loading them anew for each signature, between all else that a request does, takes longer
 * than to sign.
 */
export class SigningTurn {
  private ending: Promise<void> | undefined;

  /** Resolves at the end of this turn, for all who wait for it. */
  untilEnd(): Promise<void> {
    this.ending ??= new Promise((resolve) => {
      setImmediate(() => {
        this.ending = undefined;
        resolve();
      });
    });
    return this.ending;
  }
}
