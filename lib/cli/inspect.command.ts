import { type Command, Option } from 'commander';
import type { KeySource, Profile, PublishedKey } from '../core/index.js';
import { readToken, type UnverifiedToken } from '../core/token-syntax.js';
import { createKeySource } from '../keys/key-source.js';
import {
  explainAbsence,
  explainClaims,
  type ExplainedMember,
  explainHeader,
} from './claim-words.js';
import { EXIT_CODES, type ExitCode, type Finish, failUsage } from './exit-codes.js';
import { readPublishedKeys, withConfigProblems } from './key-files.js';
import { paint, type Terminal, visible, writeJson } from './terminal.js';
import {
  attempt,
  checkSignature,
  findTokenFlaws,
  recogniseProfile,
  type TokenFlaw,
} from './token-flaws.js';

interface InspectOptions {
  readonly profile?: Profile;
  readonly key?: string;
  readonly algorithm?: string;
  readonly keyId?: string;
  readonly jwks?: string;
  readonly allowInsecure?: true;
  readonly json?: true;
}

/** What is known of a token; the shape of `--json`. */
interface Inspection {
  readonly profile: Profile | null;
  readonly header: readonly ExplainedMember[];
  readonly claims: readonly ExplainedMember[];
  readonly notes: readonly string[];
  readonly flaws: readonly TokenFlaw[];
  readonly signature: 'valid' | 'invalid' | 'undecided' | 'unchecked';
  readonly keyId: string | null;
}

const EXAMPLES = `
A token on the command line is seen by whoever lists the processes: prefer standard input.
What only the receiver knows is not checked: trust, audience, request, body and replay.

Examples:
  $ pbpaste | nestjs-service-auth inspect -
  $ nestjs-service-auth inspect - --jwks https://herald.service/.well-known/jwks.json < token.txt
  $ nestjs-service-auth inspect - --key herald.public.pem --json < token.txt

Exit codes: 0 no flaw, 1 a receiver would refuse it, 2 the command line is wrong,
3 a key file or standard input cannot be read.`;

/** Adds the command that decodes and explains a token. */
export function addInspect(program: Command, terminal: Terminal, finish: Finish): void {
  program
    .command('inspect')
    .summary('decode and explain a token')
    .description(
      'Decodes a token, says what each claim means, and finds what a receiver would refuse.',
    )
    .argument('<token>', 'the token, or - for standard input')
    .addOption(
      new Option(
        '--profile <profile>',
        'judge by this profile; default: what the token looks like',
      ).choices(['strict', 'original']),
    )
    .option('--key <file>', 'check the signature with the keys in a file')
    .option('--algorithm <name>', 'the algorithm of a key that does not name its own')
    .option('--key-id <id>', 'the key id of a key that does not name its own')
    .option('--jwks <url>', 'check the signature with the JWK Set at a URL')
    .option('--allow-insecure', 'let the JWK Set be fetched over http: from other hosts')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (token: string, options: InspectOptions) =>
      finish(await inspect(token, options, terminal)),
    );
}

async function inspect(
  argument: string,
  options: InspectOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  if (options.key !== undefined && options.jwks !== undefined) {
    failUsage('--key or --jwks, not both');
  }
  const text = argument === '-' ? (await terminal.readInput()).toString('utf8') : argument;
  // As it is pasted: alone, or with the name of its header before it.
  const compact = text.trim().replace(/^jwt:\s*/i, '');
  const read = await attempt(() => readToken([compact]));
  const inspection = read.flaw
    ? nothingKnown(read.flaw)
    : await inspectToken(read.value, options, terminal.now());
  if (options.json) writeJson(terminal, inspection);
  else printInspection(inspection, terminal);
  return inspection.flaws.length === 0 ? EXIT_CODES.ok : EXIT_CODES.failed;
}

function nothingKnown(flaw: TokenFlaw): Inspection {
  const nothing = { profile: null, header: [], claims: [], notes: [], keyId: null };
  return { ...nothing, flaws: [flaw], signature: 'unchecked' };
}

async function inspectToken(
  token: UnverifiedToken,
  options: InspectOptions,
  nowMilliseconds: number,
): Promise<Inspection> {
  const profile = options.profile ?? recogniseProfile(token);
  const nowSeconds = nowMilliseconds / 1000;
  const flaws = await findTokenFlaws(token, profile, nowMilliseconds);
  const described = {
    profile,
    header: explainHeader(token.unverifiedHeader, nowSeconds),
    claims: explainClaims(token.unverifiedPayload, nowSeconds),
    notes: explainAbsence(token.unverifiedPayload),
  };
  const keys = await openKeys(options);
  if (!keys) return { ...described, flaws, signature: 'unchecked', keyId: null };
  try {
    const { value = null, flaw } = await checkSignature(token, keys);
    if (!flaw) return { ...described, flaws, signature: 'valid', keyId: value };
    const signature = flaw.code === 'key_unavailable' ? 'undecided' : 'invalid';
    const isNew = flaws.every(({ code }) => code !== flaw.code);
    return { ...described, flaws: isNew ? [...flaws, flaw] : flaws, signature, keyId: null };
  } finally {
    keys.close();
  }
}

/** The keys to check with; undefined where none are named. */
async function openKeys(options: InspectOptions): Promise<KeySource | undefined> {
  const { key, jwks } = options;
  if (key !== undefined) {
    const keys = await readPublishedKeys(key, options);
    return await withConfigProblems(key, async () => await openSource({ keys }, options));
  }
  if (jwks === undefined) return undefined;
  return await withConfigProblems(
    '--jwks',
    async () => await openSource({ jwksUri: jwks }, options),
  );
}

async function openSource(
  keys: { readonly keys?: readonly PublishedKey[]; readonly jwksUri?: string },
  { allowInsecure }: InspectOptions,
): Promise<KeySource> {
  return await createKeySource(
    // The issuer is only for messages and a default URL, and neither is used here.
    { issuer: 'https://issuer.invalid/', ...keys },
    {
      allowInsecureKeyUrls: allowInsecure ?? false,
      maxStaleSeconds: 0,
      steadyNow: () => performance.now(),
      observer: { observe: () => undefined },
    },
  );
}

const SIGNATURE_WORDS = {
  valid: 'valid',
  invalid: 'not accepted',
  undecided: 'not checked: the keys cannot be had',
  unchecked: 'not checked; name --key or --jwks',
} as const;

function printInspection(inspection: Inspection, terminal: Terminal): void {
  const { profile, header, claims, notes, flaws, signature, keyId } = inspection;
  const heading = (text: string) => terminal.out(`${paint(terminal, 'bold', text)}\n`);
  if (profile) terminal.out(`Profile: ${profile}\n`);
  for (const [title, members] of [
    ['Header', header],
    ['Claims', claims],
  ] as const) {
    if (members.length > 0) heading(title);
    for (const { name, value, words } of members) {
      const shown = visible(JSON.stringify(value) ?? '');
      terminal.out(`  ${visible(name)}: ${shown}\n    ${paint(terminal, 'dim', words)}\n`);
    }
  }
  for (const note of notes) terminal.out(`  ${note}\n`);
  const good = keyId === null ? '' : ` (key ${visible(keyId)})`;
  const colour = { valid: 'green', invalid: 'red' } as const;
  const style = signature === 'valid' || signature === 'invalid' ? colour[signature] : 'yellow';
  terminal.out(`Signature: ${paint(terminal, style, SIGNATURE_WORDS[signature])}${good}\n`);
  if (flaws.length > 0) heading('A receiver refuses it');
  for (const flaw of flaws) printFlaw(flaw, terminal);
}

function printFlaw({ code, message, detail, hint }: TokenFlaw, terminal: Terminal): void {
  const why = detail === null ? '' : ` (${visible(detail)})`;
  terminal.out(`  ${paint(terminal, 'red', code)}: ${message}${why}\n    ${hint}\n`);
}
