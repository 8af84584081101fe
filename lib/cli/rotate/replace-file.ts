import { randomUUID } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { failImpossible } from '../exit-codes.js';
import { codeOf } from '../key-files.js';

/** The text between the name of the file and a random part. */
const INFIX = '.rotate-';

/**
 * Replaces a file: writes a new file beside it, with the same mode and owner, and renames it. Readers find the old
 * text or the new one, never a part. Removes files that a killed process left beside it.
 *
 * @throws CommandFailure if the file cannot be replaced, and stays unchanged
 */
export function replaceFile(path: string, text: string): void {
  try {
    // A link still points to its file afterwards.
    const file = realpathSync(path);
    removeLeftovers(file);
    const beside = `${file}${INFIX}${randomUUID()}`;
    try {
      writeLike(file, beside, text);
      renameSync(beside, file);
    } catch (error) {
      removeLeftovers(file);
      throw error;
    }
  } catch (error) {
    failImpossible(
      `${path} cannot be replaced (${codeOf(error)}). Run this as the owner of the file, in a folder that can be written.`,
    );
  }
}

function writeLike(file: string, beside: string, text: string): void {
  const { mode, uid, gid } = statSync(file);
  const descriptor = openSync(beside, 'wx', 0o600);
  try {
    const own = fstatSync(descriptor);
    // With another owner, the service could no longer read its key.
    if (own.uid !== uid || own.gid !== gid) fchownSync(descriptor, uid, gid);
    fchmodSync(descriptor, mode & 0o777);
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function removeLeftovers(file: string): void {
  const folder = dirname(file);
  const prefix = `${basename(file)}${INFIX}`;
  for (const name of readdirSync(folder)) {
    if (name.startsWith(prefix)) unlinkSync(join(folder, name));
  }
}
