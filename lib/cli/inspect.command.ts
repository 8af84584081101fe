import { type Command, Option } from 'commander';
import type { KeySource, Profile, PublishedKey } from '../core/index.js';
import { asGrant } from '../core/grants/verify-grant.js';
import { readToken, type UnverifiedToken } from '../core/token-syntax.js';
import { createKeySource } from '../keys/key-source.js';
import {
  explainAbsence,
  explainClaims,
  type ExplainedMember,
  explainGrantClaims,
  explainHeader,
} from './claim-words.js';
import { EXIT_CODES, type ExitCode, type Finish, failUsage } from './exit-codes.js';
import { findGrantFlaws, grantNotes, isGrant, readGrant } from './grant-flaws.js';
import { readPublishedKeys, withConfigProblems } from './key-files.js';
import { paint, type Terminal, visible, writeJson } from './terminal.js';
import {
  attempt,
  type Attempted,
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

/** What is known of a token or a grant; the shape of `--json`. */
interface Inspection {
  /** Null for what is neither. */
  readonly kind: 'token' | 'grant' | null;
  readonly profile: Profile | null;
  readonly header: readonly ExplainedMember[];
  readonly claims: readonly ExplainedMember[];
  readonly notes: readonly string[];
  readonly flaws: readonly TokenFlaw[];
  readonly signature: 'valid' | 'invalid' | 'undecided' | 'unchecked';
  readonly keyId: string | null;
}

const EXAMPLES = `
Everyone who lists the processes sees a token on the command line: prefer standard input.
What only the receiver knows is not checked: trust, audience, request, body and replay; of a grant
the originators, the trust domain, and the age that its caller and the route allow.

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
    .summary('decode and explain a token or a grant')
    .description(
      'Decodes a token or a grant, says what each claim means, and finds what a receiver would refuse.',
    )
    .argument('<token>', 'the token or grant, or - for standard input')
    .addOption(
      new Option(
        '--profile <profile>',
        'judge as a token of this profile; default: what it looks like',
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
  const pasted = PASTED.exec(text.trim());
  const { name = '', compact = '' } = pasted?.groups ?? {};
  const inspection = await inspectText(compact, name.toLowerCase(), {
    options,
    nowMilliseconds: terminal.now(),
  });
  if (options.json) writeJson(terminal, inspection);
  else printInspection(inspection, terminal);
  return inspection.flaws.length === 0 ? EXIT_CODES.ok : EXIT_CODES.failed;
}

/** A pasted text: alone, or after the name of its header. */
const PASTED = /^(?:(?<name>jwt|txn-token):\s*)?(?<compact>[^]*)$/i;

interface InspectParts {
  readonly options: InspectOptions;
  readonly nowMilliseconds: number;
}

/** @param name the name of the pasted header, in lower case; empty without one */
async function inspectText(
  compact: string,
  name: string,
  parts: InspectParts,
): Promise<Inspection> {
  const { profile } = parts.options;
  const asToken = name === 'jwt' || profile !== undefined;
  const token = await attempt(() => readToken([compact]));
  const looksLikeGrant = token.value !== undefined && isGrant(token.value);
  if (!asToken && (name !== '' || looksLikeGrant)) {
    const grant = await readGrant(compact);
    return grant.flaw ? nothingKnown(grant.flaw) : await inspectGrant(grant.value, parts);
  }
  return token.flaw ? nothingKnown(token.flaw) : await inspectToken(token.value, parts);
}

function nothingKnown(flaw: TokenFlaw): Inspection {
  const nothing = { kind: null, profile: null, header: [], claims: [], notes: [], keyId: null };
  return { ...nothing, flaws: [flaw], signature: 'unchecked' };
}

async function inspectToken(
  token: UnverifiedToken,
  { options, nowMilliseconds }: InspectParts,
): Promise<Inspection> {
  const profile = options.profile ?? recogniseProfile(token);
  const nowSeconds = nowMilliseconds / 1000;
  const flaws = await findTokenFlaws(token, profile, nowMilliseconds);
  const described = {
    kind: 'token' as const,
    profile,
    header: explainHeader(token.unverifiedHeader, nowSeconds),
    claims: explainClaims(token.unverifiedPayload, nowSeconds),
    notes: explainAbsence(token.unverifiedPayload),
  };
  const signature = await checkWith(options, async (keys) => await checkSignature(token, keys));
  return { ...described, ...withSignature(flaws, signature) };
}

async function inspectGrant(
  grant: UnverifiedToken,
  { options, nowMilliseconds }: InspectParts,
): Promise<Inspection> {
  const nowSeconds = nowMilliseconds / 1000;
  const flaws = await findGrantFlaws(grant, nowMilliseconds);
  const described = {
    kind: 'grant' as const,
    profile: null,
    header: explainHeader(grant.unverifiedHeader, nowSeconds),
    claims: explainGrantClaims(grant.unverifiedPayload, nowSeconds),
    notes: grantNotes(grant, nowSeconds),
  };
  const signature = await checkWith(
    options,
    async (keys) => await asGrant(async () => await checkSignature(grant, keys)),
  );
  return { ...described, ...withSignature(flaws, signature) };
}

/** @returns the id of the key that verifies the signature, or why it is refused; undefined if no keys are given */
async function checkWith(
  options: InspectOptions,
  check: (keys: KeySource) => Promise<string>,
): Promise<Attempted<string> | undefined> {
  const keys = await openKeys(options);
  if (!keys) return undefined;
  try {
    return await attempt(async () => await check(keys));
  } finally {
    keys.close();
  }
}

function withSignature(
  flaws: readonly TokenFlaw[],
  outcome: Attempted<string> | undefined,
): Pick<Inspection, 'flaws' | 'signature' | 'keyId'> {
  if (!outcome) return { flaws, signature: 'unchecked', keyId: null };
  const { value = null, flaw } = outcome;
  if (!flaw) return { flaws, signature: 'valid', keyId: value };
  const signature = flaw.code === 'key_unavailable' ? 'undecided' : 'invalid';
  const isNew = flaws.every(({ code }) => code !== flaw.code);
  return { flaws: isNew ? [...flaws, flaw] : flaws, signature, keyId: null };
}

/** The keys to check with; undefined if none are given. */
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
  undecided: 'not checked: the keys are not available',
  unchecked: 'not checked; name --key or --jwks',
} as const;

function printInspection(inspection: Inspection, terminal: Terminal): void {
  const { kind, profile, header, claims, notes, flaws, signature, keyId } = inspection;
  const heading = (text: string) => terminal.out(`${paint(terminal, 'bold', text)}\n`);
  if (profile) terminal.out(`Profile: ${profile}\n`);
  if (kind === 'grant') terminal.out('Grant\n');
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
