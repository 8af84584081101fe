import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readPrivateKey } from '../setup/key-files.js';
import { ringOf, writeKeyRing } from './key-ring-file.js';

/** A copy of Herald's key, in a file that can be rotated. The key files of the sample stay as they are. */
export interface OpenKeyRing {
  readonly file: string;
  /** Removes the file. */
  close(): Promise<void>;
}

/** @param keys the directory of the key files */
export async function openKeyRing(keys: string): Promise<OpenKeyRing> {
  const directory = mkdtempSync(join(tmpdir(), 'herald-keys-'));
  const file = join(directory, 'herald.keys.json');
  writeKeyRing(file, await ringOf(readPrivateKey(keys, 'herald')));
  const close = async (): Promise<void> => {
    await Promise.resolve(rmSync(directory, { recursive: true, force: true }));
  };
  return { file, close };
}
