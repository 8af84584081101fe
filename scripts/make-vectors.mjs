// Makes the test vectors: npm run vectors
//   --check   changes nothing, and fails where a file is not what would be made
// Nothing here is random but the keys, which are made once: making the vectors again changes nothing.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { algorithms } from './vectors/algorithms.mjs';
import { answers } from './vectors/answers.mjs';
import { binding } from './vectors/binding.mjs';
import { claims } from './vectors/claims.mjs';
import { gateway } from './vectors/gateway.mjs';
import { grants } from './vectors/grants.mjs';
import { header } from './vectors/header.mjs';
import { issuerKeys } from './vectors/issuer-keys.mjs';
import { keysFile, VECTORS } from './vectors/keys.mjs';
import { messages } from './vectors/messages.mjs';
import { original } from './vectors/original.mjs';
import { signing } from './vectors/signing.mjs';
import { syntax } from './vectors/syntax.mjs';
import { installedProgram } from './with-packages.mjs';

const FILES = {
  'keys.json': keysFile,
  'syntax.json': syntax.toJson(),
  'header.json': header.toJson(),
  'claims.json': claims.toJson(),
  'binding.json': binding.toJson(),
  'gateway.json': gateway.toJson(),
  'original.json': original.toJson(),
  'algorithms.json': algorithms.toJson(),
  'grants.json': grants.toJson(),
  'messages.json': messages.toJson(),
  'answers.json': answers.toJson(),
  'issuer-keys.json': issuerKeys.toJson(),
  'signing.json': signing.toJson(),
};

const LARGE_OUTPUT = /** @type {const} */ ({ encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });

const { values: args } = parseArgs({
  options: { check: { type: 'boolean' } },
});
const prettier = installedProgram('tools/lint', 'prettier');
let stale = 0;
mkdirSync(VECTORS, { recursive: true });
for (const [name, content] of Object.entries(FILES)) {
  const path = join(VECTORS, name);
  const input = JSON.stringify(content);
  const made = execFileSync(prettier, ['--stdin-filepath', path], { ...LARGE_OUTPUT, input });
  const there = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (made === there) continue;
  stale += 1;
  console.log(args.check ? `${name} is not what would be made: npm run vectors` : name);
  if (!args.check) writeFileSync(path, made);
}
if (args.check) {
  console.log(`${Object.keys(FILES).length - stale} passed, ${stale} failed`);
  process.exitCode = stale === 0 ? 0 : 1;
}
