import { openSync, writeSync } from 'node:fs';
import { hrtime, pid } from 'node:process';

/**
 * What became of one reservation of a use. `owned` and `lost` are what its commit says; `seen` what another delivery was
 * told that asked for one.
 */
export type Step = 'reserved' | 'effect' | 'owned' | 'lost' | 'released' | 'seen';

/** One step of a run: of the handler that runs while a use is reserved. */
export interface RunLine {
  readonly step: Step;
  /** The id of the token. */
  readonly use: string;
  /** Of the reservation: each run has its own. */
  readonly owner: string;
  readonly pid: number;
  /** In milliseconds, by a clock that all processes of the machine share. */
  readonly at: number;
  /** When the reservation was asked for, by the same clock. */
  readonly asked?: number;
}

/** A process noticed that it stood still, or it told its observer of a lost lease. */
export type ProcessLine =
  | {
      readonly step: 'stood-still';
      readonly pid: number;
      readonly from: number;
      readonly at: number;
    }
  | { readonly step: 'lease_lost'; readonly pid: number; readonly at: number };

export type Line = RunLine | ProcessLine;

/** Milliseconds, by a clock that all processes of the machine share. */
export function sharedNow(): number {
  return Number(hrtime.bigint()) / 1e6;
}

/** The end of a file to which several processes write. A line is in it before `note` returns, whatever ends the process. */
export class LineWriter {
  private readonly file: number;

  constructor(path: string) {
    this.file = openSync(path, 'a');
  }

  note(line: Line): void {
    writeSync(this.file, `${JSON.stringify(line)}\n`);
  }

  /** From now on, notes when the event loop of this process has stood still for so long. */
  watchTheLoop(milliseconds: number): void {
    let last = sharedNow();
    setInterval(() => {
      const now = sharedNow();
      if (now - last > milliseconds) this.note({ step: 'stood-still', pid, from: last, at: now });
      last = now;
    }, 50).unref();
  }
}
