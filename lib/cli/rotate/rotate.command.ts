import type { JsonWebKey } from 'node:crypto';
import { type Command, Option } from 'commander';
import { type Algorithm, ALGORITHMS } from '../../core/algorithms.js';
import { defaultKeyUrl } from '../../keys/key-source.js';
import { describeSeconds } from '../durations.js';
import {
  EXIT_CODES,
  type ExitCode,
  failImpossible,
  failUsage,
  type Finish,
} from '../exit-codes.js';
import { loadOptions } from '../configuration-module.js';
import { isGrantLifetime, longestGrantSeconds } from '../grant-lifetime.js';
import { readAlgorithm } from '../key-files.js';
import { createNewKey } from '../new-key.js';
import { paint, type Terminal, writeJson } from '../terminal.js';
import { type HeldRing, readHeldRing, type RingMembers } from './held-ring.js';
import { fetchPublishedSet, type PublishedSet, waitForKey } from './published-set.js';
import { replaceFile } from './replace-file.js';
import {
  addNext,
  notePublished,
  refuse,
  type StepResult,
  type StepTimes,
  switchToNext,
  withdrawPrevious,
} from './steps.js';

const STEPS = ['publish', 'switch', 'withdraw'] as const;
type Step = (typeof STEPS)[number];

/** The command after each step. */
const NEXT_STEPS: Readonly<Record<Step, Step | undefined>> = {
  publish: 'switch',
  switch: 'withdraw',
  withdraw: undefined,
};

interface RotateOptions {
  readonly issuer?: string;
  readonly jwks?: string;
  readonly algorithm?: Algorithm;
  readonly reloadSeconds: string;
  readonly config?: string;
  readonly grantLifetimeSeconds?: string;
  readonly now?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

/** The input of a rotation, read and checked once. */
interface Rotation {
  readonly step: Step;
  readonly keyFile: string;
  readonly url: string;
  readonly options: RotateOptions;
  readonly reloadSeconds: number;
  /** The longest lifetime of a grant of the service, in seconds; 0: it makes none. */
  readonly grantSeconds: number;
  readonly terminal: Terminal;
}

const RSA_BITS = 3072;
const CHANGED = 'Somebody else changed the file meanwhile. Look at it before you go on.';

const EXAMPLES = `
One step a call: publish, switch, withdraw. The key file keeps its name, mode and owner. A step that
comes too early is refused, and the command says how long to wait. A step that is done already is
done, so any call may be repeated. Of a service that makes grants name --config or
--grant-lifetime-seconds, with switch and withdraw: a key stays published for as long as they live.

Examples:
  $ nestjs-service-auth rotate publish herald.private.pem --issuer https://herald.service/
  $ nestjs-service-auth rotate switch herald.private.pem --issuer https://herald.service/
  $ nestjs-service-auth rotate withdraw herald.private.pem --issuer https://herald.service/

Exit codes: 0 done, 1 refused: too early, or another step comes first, 2 the command line is wrong,
3 the file or the published keys cannot be read.`;

/** Adds the command that gives a service another key, step by step. */
export function addRotate(program: Command, terminal: Terminal, finish: Finish): void {
  program
    .command('rotate')
    .summary('give a service another key, without a failed request')
    .description('Gives a service another signing key in its key file, one step a call.')
    .argument('<step>', STEPS.join(', '))
    .argument('<file>', 'the `keyFile` of the service')
    .option('--issuer <uri>', 'the URI of the service, which publishes its keys under it')
    .option('--jwks <url>', 'where receivers fetch its keys, if not under the URI')
    .addOption(
      new Option('--algorithm <name>', 'the algorithm of the next key; default: as before').choices(
        Object.keys(ALGORITHMS),
      ),
    )
    .option('--reload-seconds <n>', 'how long until every instance has read a changed file', '60')
    .option(
      '--config <module>',
      'the options of the service, which say how long its grants live (`originate`)',
    )
    .option('--grant-lifetime-seconds <n>', 'the longest life of a grant that it makes')
    .option('--now', 'withdraw at once; what the key has signed is refused from then on')
    .option('--dry-run', 'say what the step would do, and change nothing')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (step: string, file: string, options: RotateOptions) =>
      finish(await rotate(await readRotation(step, file, { options, terminal }))),
    );
}

async function readRotation(
  text: string,
  keyFile: string,
  { options, terminal }: Pick<Rotation, 'options' | 'terminal'>,
): Promise<Rotation> {
  const step = STEPS.find((name) => name === text) ?? failUsage(`the step is ${STEPS.join(', ')}`);
  const { issuer, jwks, reloadSeconds: written } = options;
  if (issuer !== undefined && !URL.canParse(issuer)) failUsage('--issuer is no URL');
  const url = jwks ?? (issuer === undefined ? undefined : defaultKeyUrl(issuer));
  if (url === undefined || !URL.canParse(url)) {
    return failUsage('say where the keys are published: --issuer <uri>, or --jwks <url>');
  }
  const reloadSeconds = /^\d{1,4}$/.test(written) ? Number(written) : 0;
  if (reloadSeconds < 1) failUsage('--reload-seconds: write a whole number from 1 to 9999');
  if (options.now && step !== 'withdraw') failUsage('--now goes with the step withdraw alone');
  const grantSeconds = await readGrantSeconds(options);
  return { step, keyFile, url, options, reloadSeconds, grantSeconds, terminal };
}

/** The lifetime of grants on the command line, or in the options of the service: the longer one counts. */
async function readGrantSeconds({
  config,
  grantLifetimeSeconds: written,
}: RotateOptions): Promise<number> {
  const typed = /^\d{1,6}$/.test(written ?? '0') ? Number(written ?? 0) : Number.NaN;
  if (written !== undefined && !isGrantLifetime(typed)) {
    failUsage('--grant-lifetime-seconds: write a whole number from 1 to 604800');
  }
  const configured = config === undefined ? 0 : longestGrantSeconds(await loadOptions(config));
  if (configured === undefined) {
    return failImpossible(`${config}: originate.maxLifetimeSeconds is no number of seconds`);
  }
  return Math.max(typed, configured);
}

async function rotate(rotation: Rotation): Promise<ExitCode> {
  const set = await fetchPublishedSet(rotation.url);
  const ring = await readOwnRing(rotation, set);
  const result = await take(rotation, ring, set);
  report(rotation, ring, result);
  return result.outcome === 'refused' ? EXIT_CODES.failed : EXIT_CODES.ok;
}

/** The keys of the file, which must belong to the service that publishes at the URL. */
async function readOwnRing({ keyFile, url }: Rotation, { keys }: PublishedSet): Promise<HeldRing> {
  const ring = await readHeldRing(keyFile, keys);
  if (ring.current.isPublished) return ring;
  return failImpossible(
    `${url} does not list ${ring.current.keyId}, the key that signs by ${keyFile}. Is this the key file of that service?`,
  );
}

async function take(rotation: Rotation, ring: HeldRing, set: PublishedSet): Promise<StepResult> {
  if (rotation.step === 'publish') return await publish(rotation, ring);
  const times = timesOf(rotation, set);
  const result =
    rotation.step === 'switch'
      ? switchToNext(ring, times)
      : withdrawPrevious(ring, times, rotation.options.now ?? false);
  write(rotation, result.members);
  return result;
}

/** Adds the next key, and waits until it is published: from then on receivers can fetch it. */
async function publish(rotation: Rotation, ring: HeldRing): Promise<StepResult> {
  const { keyFile, url, reloadSeconds, options } = rotation;
  const added = await addNext(ring, async () => await createNext(ring, options));
  if (added && (added.outcome !== 'done' || options.dryRun)) return added;
  write(rotation, added?.members);
  const { next } = await readHeldRing(keyFile, []);
  if (!next) return refuse(CHANGED);
  const seen = await waitForKey(url, next.keyId, options.dryRun ? 0 : reloadSeconds);
  if (!seen) {
    return refuse(
      `The file has the next key, ${next.keyId}, and ${url} does not list it yet. Look for \`signing_keys_unusable\` in the log of the service, then run \`rotate publish\` again.`,
    );
  }
  const ringNow = await readOwnRing(rotation, seen);
  if (ringNow.next?.keyId !== next.keyId) return refuse(CHANGED);
  const noted = notePublished(ringNow, ringNow.next, timesOf(rotation, seen));
  write(rotation, noted.members);
  return noted;
}

async function createNext({ current }: HeldRing, options: RotateOptions): Promise<JsonWebKey> {
  const algorithm = options.algorithm ?? readAlgorithm(String(current.jwk['alg'])) ?? 'ES256';
  const bits = Buffer.from(current.jwk.n ?? '', 'base64url').length * 8;
  const rsaBits = Math.max(RSA_BITS, bits);
  const { privateText } = await createNewKey({
    algorithm,
    format: 'jwk',
    keyId: undefined,
    rsaBits,
  });
  return JSON.parse(privateText) as JsonWebKey;
}

function timesOf(
  { terminal, reloadSeconds, grantSeconds }: Rotation,
  { maxAgeSeconds }: PublishedSet,
): StepTimes {
  const nowSeconds = Math.ceil(terminal.now() / 1000);
  return { nowSeconds, maxAgeSeconds, reloadSeconds, grantSeconds };
}

function write({ keyFile, options }: Rotation, members: RingMembers | undefined): void {
  if (members === undefined || options.dryRun) return;
  replaceFile(keyFile, `${JSON.stringify(members, null, 2)}\n`);
}

function report(rotation: Rotation, ring: HeldRing, result: StepResult): void {
  const { step, keyFile, options, terminal } = rotation;
  const { outcome, message, members, earliestSeconds } = result;
  const idOf = (name: keyof HeldRing) =>
    members ? (members[name]?.['kid'] ?? null) : (ring[name]?.keyId ?? null);
  if (options.json) {
    const earliest =
      earliestSeconds === undefined ? null : new Date(earliestSeconds * 1000).toISOString();
    writeJson(terminal, {
      step,
      outcome,
      message,
      keyFile,
      dryRun: options.dryRun ?? false,
      previous: idOf('previous'),
      current: idOf('current'),
      next: idOf('next'),
      earliest,
    });
    return;
  }
  const colour = outcome === 'refused' ? 'red' : 'green';
  const prefix = options.dryRun ? `${step} (dry run)` : step;
  terminal.out(`${paint(terminal, colour, prefix)}: ${message}\n`);
  terminal.out(describeWait(rotation, result));
}

/** Says how long to wait, and for what. */
function describeWait(
  { step, terminal }: Rotation,
  { outcome, earliestSeconds }: StepResult,
): string {
  const following = outcome === 'refused' ? step : NEXT_STEPS[step];
  if (earliestSeconds === undefined || following === undefined) return '';
  const left = earliestSeconds - Math.floor(terminal.now() / 1000);
  if (left <= 0) return `Next: \`rotate ${following}\`.\n`;
  return `Next: \`rotate ${following}\`, in ${describeSeconds(left)} at the earliest.\n`;
}
