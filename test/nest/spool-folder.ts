import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { whereThereIs } from '../support/processes/where-there-is.js';

/** Of the event loop: far more than any file takes to be opened or closed. */
const MAX_TURNS = 20_000;
const OWN_FILES = '/proc/self/fd';

/** A folder for the temporary files of one service, and what is open in it. */
export class SpoolFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'spool-'));

  /** The names in the folder. */
  get names(): string[] {
    return readdirSync(this.path);
  }

  /** The descriptors this process has on files of the folder, those without a name included (Linux). */
  get descriptors(): number[] {
    return readdirSync(OWN_FILES)
      .map(Number)
      .filter((descriptor) => {
        try {
          return readlinkSync(join(OWN_FILES, String(descriptor))).startsWith(this.path);
        } catch {
          return false; // closed since the folder was read
        }
      });
  }

  /** Resolves when so many files are open, and none has a name. */
  async untilOpen(count: number): Promise<void> {
    for (let turns = 0; this.isOther(count); turns++) {
      if (turns > MAX_TURNS) throw new Error(`${this.descriptors.length} files, not ${count}`);
      await setImmediate();
    }
  }

  private isOther(count: number): boolean {
    return this.descriptors.length !== count || this.names.length > 0;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Whether the system tells which files a process has open. */
export const canSeeDescriptors = process.platform === 'linux';

/** Tests that look at open files, or write to a disk that is full. */
export const itOnLinux = whereThereIs(canSeeDescriptors, '/proc or /dev/full', it);
