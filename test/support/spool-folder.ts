import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

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

if (!canSeeDescriptors) console.warn('Skipped: what needs /proc or /dev/full, which is Linux.');

/** Tests that need them; skipped, with a line that says so, on other systems. CI is Linux. */
export const itOnLinux: typeof it = canSeeDescriptors ? it : it.skip;
