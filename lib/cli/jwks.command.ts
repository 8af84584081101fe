import type { Command } from 'commander';
import type { PublishedKey } from '../core/index.js';
import { EXIT_CODES, type ExitCode, type Finish, failImpossible } from './exit-codes.js';
import { type KeyWords, readPublishedKeys } from './key-files.js';
import { type Terminal, writeJson } from './terminal.js';

const EXAMPLES = `
A file holds a PEM or a JWK, private or public, a JWK Set, or { "previous", "current", "next" }.
Of private keys only the public half is printed.

Examples:
  $ nestjs-service-auth jwks herald.private.pem > jwks.json
  $ nestjs-service-auth jwks --algorithm PS256 rsa.public.pem next.private.json

Exit codes: 0 printed, 2 the command line is wrong, 3 a file holds no key that can be used.`;

/** Adds the command that makes a public JWK Set of key files. */
export function addJwks(program: Command, terminal: Terminal, finish: Finish): void {
  program
    .command('jwks')
    .summary('the public JWK Set of key files')
    .description(
      'Prints the public JWK Set (RFC 7517) of the keys in files: what a service publishes.',
    )
    .argument('<file...>', 'key files')
    .option('--algorithm <name>', 'the algorithm of keys that do not name their own')
    .option(
      '--key-id <id>',
      'the key id, where there is one key; default: its own, or its thumbprint',
    )
    .option('--json', 'print JSON, which is what it prints anyway')
    .addHelpText('after', EXAMPLES)
    .action(async (files: string[], options: KeyWords) =>
      finish(await printJwks(files, options, terminal)),
    );
}

async function printJwks(
  files: readonly string[],
  words: KeyWords,
  terminal: Terminal,
): Promise<ExitCode> {
  const byId = new Map<string, PublishedKey>();
  for (const file of files) {
    for (const key of await readPublishedKeys(file, words)) {
      assertSame(key, byId.get(key.kid) ?? key, file);
      byId.set(key.kid, key);
    }
  }
  if (byId.size === 0) failImpossible('the files hold no keys');
  writeJson(terminal, { keys: [...byId.values()] });
  return EXIT_CODES.ok;
}

/** The two halves of a key pair are one key. */
function assertSame(key: PublishedKey, known: PublishedKey, file: string): void {
  if (JSON.stringify(known) === JSON.stringify(key)) return;
  failImpossible(`${file}: the set has another key with this key id already`);
}
