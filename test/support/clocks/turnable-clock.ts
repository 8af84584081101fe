/** A clock that can be turned, and tells when it is next looked at: the token is good so far. */
export class TurnableClock {
  private turnedBy = 0;
  private watchers: (() => void)[] = [];

  readonly now = (): number => {
    for (const watcher of this.watchers.splice(0)) setImmediate(watcher);
    return Date.now() + this.turnedBy;
  };

  /** Resolves in the turn of the event loop after the clock was looked at. */
  nextLook(): Promise<void> {
    return new Promise((resolve) => this.watchers.push(resolve));
  }

  turnBy(seconds: number): void {
    this.turnedBy += seconds * 1000;
  }
}
