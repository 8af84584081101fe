import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readEnvironment } from './setup/environment.js';
import { ensureKeyFiles, readPrivateKey } from './setup/key-files.js';
import { ringOf, writeKeyRing } from './story/key-ring-file.js';
import { Rotation } from './story/rotation.js';
import { Runner } from './story/runner.js';

const runner = new Runner();
let keyFile: string | undefined;
process.exitCode = 1; // Until it is through: an interrupted rotation is no success.

/** Starts everything with Herald's key in a file of its own, and rotates it while requests go on. */
await runner.run(async () => {
  const { keys } = readEnvironment(process.env);
  ensureKeyFiles(keys);
  keyFile = join(keys, 'herald.keys.json');
  const ring = await ringOf(readPrivateKey(keys, 'herald'));
  writeKeyRing(keyFile, ring);
  // Thousands of e-mails are for nobody's mail server but our own.
  const stage = await runner.start({ ...process.env, SMTP_URL: '', HERALD_KEY_FILE: keyFile });
  runner.tellLogs();
  await new Rotation(stage, keyFile, runner.narrator).play(ring);
  if (runner.narrator.concludes()) process.exitCode = 0;
});
if (keyFile !== undefined) rmSync(keyFile, { force: true });
