/** One who is stopped at a gate. */
export interface Held {
  /** Resolves when somebody has come to the gate. */
  readonly reached: Promise<void>;
  /** Lets that one through. */
  release(): void;
}

/** Everybody passes, except for one whom somebody wants to be held. */
export class Gate {
  private readonly holds: { readonly reach: () => void; readonly released: Promise<void> }[] = [];

  /** Stops the next one who comes. */
  hold(): Held {
    const [reached, reach] = openPromise();
    const [released, release] = openPromise();
    this.holds.push({ reach, released });
    return { reached, release };
  }

  /** @param go is called when the gate is open */
  async pass(go: () => void): Promise<void> {
    const next = this.holds.shift();
    next?.reach();
    await next?.released;
    go();
  }
}

/** @returns a promise, and what resolves it */
function openPromise(): [Promise<void>, () => void] {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return [promise, resolve];
}
