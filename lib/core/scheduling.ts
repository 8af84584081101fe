import { setImmediate } from 'node:timers';

/** No signature of a turn of the event loop begins after this time: the rest of the process has work too. */
const MOST_MILLISECONDS = 3;

/** So many are made in any case: where the processor serves others meanwhile, the time says nothing of the signatures. */
const LEAST_SIGNATURES = 8;

/**
 * Makes the signatures of one turn of the event loop together, at its end, first come, first served. What does not fit
 * into 3 ms waits for the end of the next turn.
 *
 * Together, because the tables of a curve take much of a processor's cache: a signature between all else that a request
 * does takes about twice as long as one that follows another. Not all at once, because 2,000 of them kept the event loop
 * busy for 120 ms of CPU; in turns of 3 ms, for 7.
 */
export class SigningTurn {
  private readonly waiting: Waiting[] = [];
  private wake: () => void = () => undefined;

  /** @param now milliseconds of a clock that does not step; one that answers nonsense makes turns of eight signatures */
  constructor(private readonly now: () => number = () => performance.now()) {
    void this.work();
  }

  /**
   * Calls `sign` at the end of this turn, or of a later one, outside of the caller's async context.
   *
   * @returns what `sign` returns
   * @throws what `sign` throws; those that wait are signed nevertheless
   */
  atEnd<T>(sign: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.waiting.push({ sign, resolve, reject });
      this.wake();
    });
  }

  /** One loop for the life of the service: begun by a call, it would keep the async context of that call. */
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
      settle(this.waiting[signed++]);
    }
    this.waiting.splice(0, signed);
  }
}

/** A signature that waits for its turn, and its promise. */
interface Waiting {
  sign(): unknown;
  resolve(signed: unknown): void;
  reject(error: unknown): void;
}

function settle(waiting: Waiting | undefined): void {
  try {
    waiting?.resolve(waiting.sign());
  } catch (error) {
    waiting?.reject(error);
  }
}

/** What is asked and told where a signature is verified. */
export type VerificationTurns = Pick<VerificationLoad, 'takeTurn' | 'begin' | 'end'>;

/**
 * Decides where a signature is verified: on the main thread where it comes alone, else on another one. To wake another
 * thread and to be woken by it takes 10 to 35 microseconds of CPU. The main thread spends a quarter to a third of what
 * it would, which pays for several requests at a time and not for one.
 */
export class VerificationLoad {
  /**
   * The same for grants. The grant of a request follows its token in the same turn: a request that comes alone leaves
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
   * Whether the main thread may verify one itself: no other thread is verifying one, and this is the first
   * in this turn of the event loop. A turn has several where requests come faster than they are served.
   */
  takeTurn(): boolean {
    return this.take('token');
  }

  /** Notes that one was left to another thread. */
  begin(): void {
    this.elsewhere++;
  }

  /** Notes that one was verified there. */
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
