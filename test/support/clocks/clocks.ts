import { MemoryReplayStore } from 'nestjs-service-auth/core';

const START_SECONDS = 1_800_000_000;

/** Both clocks of one machine: the one that may step, the one that never does. */
export class Clocks {
  wallSeconds = START_SECONDS;
  monotonicMilliseconds = 123_456.789;

  readonly monotonicNow = (): number => this.monotonicMilliseconds;

  pass(seconds: number): void {
    this.wallSeconds += seconds;
    this.monotonicMilliseconds += seconds * 1000;
  }

  /** Somebody sets the wall clock. */
  step(seconds: number): void {
    this.wallSeconds += seconds;
  }
}

/** Remembers uses by a clock that stands still: for services whose wall clock does too, which is as if it were put back. */
export const stoppedStore = (): MemoryReplayStore =>
  new MemoryReplayStore({ monotonicNow: () => 0 });
