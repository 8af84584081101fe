import { type Command, Option } from 'commander';
import { type Algorithm, ALGORITHMS } from '../core/index.js';
import { writeNewFiles } from './exclusive-files.js';
import { EXIT_CODES, type ExitCode, type Finish, failUsage } from './exit-codes.js';
import { createNewKey, isDefaultAlgorithm, type NewKey } from './new-key.js';
import { paint, type Terminal, writeJson } from './terminal.js';

interface KeygenOptions {
  /** Undefined with `stdout`. */
  readonly file?: string | undefined;
  readonly algorithm: Algorithm;
  readonly format: 'pem' | 'jwk';
  readonly keyId?: string;
  readonly rsaBits: '2048' | '3072' | '4096';
  readonly publicFile?: string;
  readonly stdout?: true;
  readonly json?: true;
}

const KEY_ID = /^[^\p{Cc}]{1,256}$/u;

const EXAMPLES = `
The file gets mode 0600. Nothing is ever overwritten.

Examples:
  $ nestjs-service-auth keygen herald.private.pem
  $ nestjs-service-auth keygen herald.json --format jwk --algorithm EdDSA --key-id herald-2026
  $ nestjs-service-auth keygen --stdout | vault kv put secret/herald key=-

Exit codes: 0 made, 2 the command line is wrong, 3 a file is there already or cannot be written.`;

/** Adds the command that makes a key pair. */
export function addKeygen(program: Command, terminal: Terminal, finish: Finish): void {
  const algorithms = Object.keys(ALGORITHMS);
  program
    .command('keygen')
    .summary('make a key pair')
    .description('Makes the key pair of a service, and prints its public half and key id.')
    .argument('[file]', 'where the private key goes')
    .addOption(
      new Option('--algorithm <name>', 'signature algorithm').choices(algorithms).default('ES256'),
    )
    .addOption(
      new Option('--format <format>', 'PKCS#8 PEM or JWK').choices(['pem', 'jwk']).default('pem'),
    )
    .option('--key-id <id>', 'the key id; default: the RFC 7638 thumbprint')
    .addOption(
      new Option('--rsa-bits <bits>', 'size of an RSA key')
        .choices(['2048', '3072', '4096'])
        .default('3072'),
    )
    .option('--public-file <file>', 'where the public key goes, too')
    .option('--stdout', 'print the private key instead of writing a file')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string | undefined, options: KeygenOptions) =>
      finish(await keygen({ ...options, file }, terminal)),
    );
}

async function keygen(options: KeygenOptions, terminal: Terminal): Promise<ExitCode> {
  const { file, algorithm, format, keyId, publicFile, stdout } = options;
  if (file === undefined && !stdout) failUsage('name a file for the private key, or say --stdout');
  if (file !== undefined && stdout) failUsage('name a file or say --stdout, not both');
  const rsaBits = Number(options.rsaBits);
  const key = await createNewKey({ algorithm, format, keyId: readKeyId(keyId), rsaBits });
  writeNewFiles([
    ...(publicFile === undefined ? [] : [{ path: publicFile, text: key.publicText, mode: 0o644 }]),
    ...(file === undefined ? [] : [{ path: file, text: key.privateText, mode: 0o600 }]),
  ]);
  const made = { ...key, nextStep: await describeNextStep(options, key) };
  if (options.json) printJson(options, made, terminal);
  else printWords(options, made, terminal);
  return EXIT_CODES.ok;
}

function readKeyId(keyId: string | undefined): string | undefined {
  if (keyId === undefined || KEY_ID.test(keyId)) return keyId;
  return failUsage('--key-id: write 1 to 256 characters without control characters');
}

/** A new key, and what to do with it. */
interface MadeKey extends NewKey {
  readonly nextStep: string;
}

function printJson(
  { file, algorithm, publicFile }: KeygenOptions,
  { keyId, publicJwk, privateText, nextStep }: MadeKey,
  terminal: Terminal,
): void {
  writeJson(terminal, {
    keyId,
    algorithm,
    privateKeyFile: file ?? null,
    publicKeyFile: publicFile ?? null,
    publicJwk,
    // Only present with --stdout.
    ...(file === undefined ? { privateKey: privateText } : {}),
    nextStep,
  });
}

/** With --stdout, standard output has only the private key, and the words go to standard error. */
function printWords(
  { file, format, publicFile }: KeygenOptions,
  { keyId, privateText, publicText, nextStep }: MadeKey,
  terminal: Terminal,
): void {
  const say = (text: string) => (file === undefined ? terminal.err(text) : terminal.out(text));
  if (file === undefined) terminal.out(privateText);
  else say(`Private key: ${paint(terminal, 'bold', file)}, mode 0600. Keep it where it is.\n`);
  if (publicFile !== undefined) say(`Public key:  ${publicFile}\n`);
  say(`Key id:      ${paint(terminal, 'bold', keyId)}\n\n`);
  say(`Public ${format === 'pem' ? 'key' : 'JWK'}:\n${publicText}\n`);
  say(`${paint(terminal, 'bold', 'Next:')} ${nextStep}\n`);
}

async function describeNextStep(
  { file, algorithm, format, keyId }: KeygenOptions,
  { privateText }: NewKey,
): Promise<string> {
  // A JWK contains both.
  const isSilent = format === 'pem';
  const words = [
    file === undefined ? 'privateKey: ...' : `keyFile: ${JSON.stringify(file)}`,
    ...(isSilent && !(await isDefaultAlgorithm(privateText, algorithm))
      ? [`algorithm: '${algorithm}'`]
      : []),
    ...(isSilent && keyId !== undefined ? [`keyId: ${JSON.stringify(keyId)}`] : []),
  ];
  return (
    `give the service \`signingKey: { ${words.join(', ')} }\`. It publishes the public half at ` +
    '/.well-known/jwks.json; a receiver that cannot fetch it takes the public key as `publicKey` of the issuer.'
  );
}
