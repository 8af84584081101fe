import { readFileSync } from 'node:fs';
import type { KeyMaterial } from 'nestjs-service-auth/core';
import type { Environment } from '../setup/environment.js';
import { readPrivateKey } from '../setup/key-files.js';
import type { KeyRing } from '../story/key-ring-file.js';

/**
 * The key that Herald signs with now: the current one of its key ring, otherwise that of its PEM file.
 *
 * @throws SetupError when there is neither
 */
export function heraldKeyOf({
  keys,
  heraldKeyFile,
}: Pick<Environment, 'keys' | 'heraldKeyFile'>): KeyMaterial {
  if (heraldKeyFile === undefined) return readPrivateKey(keys, 'herald');
  const text = readFileSync(heraldKeyFile, 'utf8');
  return text.startsWith('{') ? readKeyRing(text).current : text;
}

/** @param text of a file that `writeKeyRing` has written */
function readKeyRing(text: string): KeyRing {
  return JSON.parse(text) as KeyRing;
}
