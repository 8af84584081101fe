import { setImmediate } from 'node:timers';

/** After this time a turn of the event loop begins no signature, since the rest of the process has work too. */
const MOST_MILLISECONDS = 3;

/** A turn makes at least this many signatures: on a busy processor the time says little about the signatures. */
const LEAST_SIGNATURES = 8;

/**
 * Makes the signatures of one turn of the event loop together, at its end, in the order of the calls. Signatures that
 * do not fit into 3 ms wait for the end of the next turn.
 *
 * The tables of a curve take much of a processor's cache. So a signature between other work takes about twice as long
 * as one that follows another. But 2,000 signatures at once kept the event loop busy for 120 ms of CPU, and turns of
 * 3 ms for 7.
 */
export class SigningTurn {
  private readonly waiting: (() => void)[] = [];
  private wake: () => void = () => undefined;

  /** @param now milliseconds of a monotonic clock; a broken clock makes turns of eight signatures */
  constructor(private readonly now: () => number = () => performance.now()) {
    void this.work();
  }

  /**
   * Calls `sign` at the end of this turn or a later one, outside the caller's async context.
   *
   * @returns what `sign` returns
   * @throws what `sign` throws; the other calls are signed nevertheless
   */
  atEnd<T>(sign: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.run(() => {
        try {
          resolve(sign());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  /** As {@link atEnd}, without a promise: 5,000 of them in one turn are work of their own. `sign` throws nothing. */
  run(sign: () => void): void {
    if (this.waiting.push(sign) === 1) this.wake();
  }

  /** One loop for the life of the service. A loop that a call starts would keep the async context of that call. */
  private async work(): Promise<never> {
    for (;;) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      while (this.waiting.length > 0) {
        await new Promise((resolve) => setImmediate(resolve));
        this.signSome();
      }
    }
  }

  private signSome(): void {
    const end = this.now() + MOST_MILLISECONDS;
    let signed = 0;
    while (signed < this.waiting.length && (signed < LEAST_SIGNATURES || this.now() < end)) {
      this.waiting[signed++]?.();
    }
    this.waiting.splice(0, signed);
  }
}

/** The turns in which signatures are verified. */
export type VerificationTurns = Pick<VerificationLoad, 'takeTurn' | 'begin' | 'end'>;

/**
 * Decides where a signature is verified: a single one on the main thread, the others on another thread. Waking
 * another thread and being woken by it takes 10 to 35 microseconds of CPU. The main thread then spends a quarter to a
 * third of its time. That pays for several requests at a time, not for one.
 */
export class VerificationLoad {
  /**
   * The same for grants. The grant of a request follows its token in the same turn. So a single request leaves
   * neither to another thread.
   */
  readonly ofGrants: VerificationTurns = {
    takeTurn: () => this.take('grant'),
    begin: () => this.begin(),
    end: () => this.end(),
  };

  private elsewhere = 0;
  private readonly taken = { token: false, grant: false };

  /**
   * Whether the main thread may verify a signature itself: no other thread verifies one, and this is the first in
   * this turn of the event loop. A turn has several if requests arrive faster than they are served.
   */
  takeTurn(): boolean {
    return this.take('token');
  }

  /** Another thread begins to verify a signature. */
  begin(): void {
    this.elsewhere++;
  }

  /** Another thread has verified a signature. */
  end(): void {
    this.elsewhere--;
  }

  private take(what: 'token' | 'grant'): boolean {
    if (this.elsewhere > 0 || this.taken[what]) return false;
    this.taken[what] = true;
    setImmediate(this.endTurn);
    return true;
  }

  private readonly endTurn = (): void => {
    this.taken.token = false;
    this.taken.grant = false;
  };
}
