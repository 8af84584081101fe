import { unlinkSync, writeFileSync } from 'node:fs';
import { failImpossible } from './exit-codes.js';
import { codeOf } from './key-files.js';

/** A file that must not exist yet. */
export interface NewFile {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

/**
 * Writes new files, all of them or none. Each is created with O_EXCL, so nothing is ever overwritten, and with its
 * final mode, so no other user can read it meanwhile.
 *
 * @throws CommandFailure if a file exists already, or cannot be written
 */
export function writeNewFiles(files: readonly NewFile[]): void {
  const written: string[] = [];
  for (const { path, text, mode } of files) {
    try {
      writeFileSync(path, '', { flag: 'wx', mode });
      written.push(path);
      writeFileSync(path, text, { flag: 'r+' });
    } catch (error) {
      written.forEach((mine) => unlinkSync(mine));
      failImpossible(describe(path, codeOf(error)));
    }
  }
}

function describe(path: string, code: string): string {
  return code === 'EEXIST'
    ? `${path} is there already and is not overwritten; name another file, or move it away`
    : `${path} cannot be written (${code})`;
}
