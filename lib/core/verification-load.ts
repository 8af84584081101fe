import { setImmediate } from 'node:timers';

/**
 * Decides where a signature is verified. Another thread spares the main thread most of the work, and costs
 * waking it and waking up from it: worth it for several requests at a time, too dear for one.
 */
export class VerificationLoad {
  private elsewhere = 0;
  private isTurnTaken = false;

  /**
   * Whether the main thread may verify one itself: no other thread is verifying one, and this is the first
   * in this turn of the event loop. A turn has several where requests come faster than they are served.
   */
  takeTurn(): boolean {
    if (this.elsewhere > 0 || this.isTurnTaken) return false;
    this.isTurnTaken = true;
    setImmediate(this.endTurn);
    return true;
  }

  /** One was left to another thread. */
  begin(): void {
    this.elsewhere++;
  }

  /** It was verified there. */
  end(): void {
    this.elsewhere--;
  }

  private readonly endTurn = (): void => {
    this.isTurnTaken = false;
  };
}
