import type { Command } from 'commander';
import {
  ServiceAuthConfigError,
  type ServiceAuthEvent,
  type ServiceAuthOptions,
  type TrustedIssuerOptions,
} from '../../core/index.js';
import { DEFAULT_MAX_MESSAGE_SECONDS } from '../../core/messages/message.js';
import { defaultKeyUrl } from '../../keys/key-source.js';
import { createServiceAuth, type ServiceAuth } from '../../service-auth.js';
import {
  loadOptions,
  loadService,
  type UncheckedOptions,
  withoutNest,
} from '../configuration-module.js';
import { EXIT_CODES, type ExitCode, type Finish, failUsage } from '../exit-codes.js';
import { paint, type Terminal, visible, writeJson } from '../terminal.js';
import { type Check, fail, ok } from './check.js';
import { checkClocks } from './clock.check.js';
import { checkGrants } from './grants.check.js';
import {
  checkDroppedOfAnswerers,
  checkIssuerKeys,
  checkOriginatorKeys,
} from './issuer-keys.check.js';
import { checkIssuerNames } from './issuer-names.check.js';
import { checkMessages, checkUnseen, readMessages } from './messages.check.js';
import { audiencesIn, messagesIn, type ModuleMessages } from './module-messages.js';
import { checkOtherServices } from './other-services.check.js';
import { checkPublishedKeys } from './published-keys.check.js';
import { checkReplayStore, isInMemory } from './replay-store.check.js';
import { examineRoutes } from './routes.check.js';
import { checkSharedWork } from './shared-work.check.js';
import { checkKeyFile, checkSigningKey } from './signing-key.check.js';

interface DoctorOptions {
  readonly export?: string;
  readonly publishedAt?: string;
  readonly reviewed?: string;
  readonly with: readonly string[];
  readonly routes?: true;
  readonly strict?: true;
  readonly json?: true;
}

const EXAMPLES = `
The module exports the options of ServiceAuthModule.forRoot, or a function (async or not) that
gives them, as \`serviceAuthOptions\`, \`options\` or the default export; or a Nest module that imports
ServiceAuthModule.forRoot(...). It is run to be read, so do not name main.js. With --routes it is the
module that starts the application.

Examples:
  $ nestjs-service-auth doctor dist/service-auth.options.js
  $ nestjs-service-auth doctor dist/app.module.js --strict --json
  $ nestjs-service-auth doctor --routes dist/main.js

Exit codes: 0 no check failed, 1 one did (with --strict: or warned), 2 the command line is wrong,
3 the module cannot be loaded.`;

/** Adds the command that checks the configuration of a service, and its surroundings. */
export function addDoctor(program: Command, terminal: Terminal, finish: Finish): void {
  program
    .command('doctor')
    .showHelpAfterError(
      '(<module> is the built file of the root module, such as dist/app.module.js; add --help for what can be written)',
    )
    .summary('check a configuration and what it depends on')
    .description(
      'Checks the options of a service, its keys, those of its callers and originators, what it says of grants, of messages and of jobs, its clock, its replay store, and the libraries that share work.',
    )
    .argument(
      '<module>',
      'the built file of the root module, such as dist/app.module.js, or one that exports the options',
    )
    .option('--export <name>', 'the export to take')
    .option('--published-at <url>', "where receivers fetch this service's keys")
    .option('--reviewed <packages>', 'do not warn of these packages, separated by commas')
    .option(
      '--with <module>',
      'compare what it says of grants with the options of another service of the environment; may be repeated',
      collect,
      [],
    )
    .option('--routes', 'start the application, and list which of its handlers are guarded')
    .option('--strict', 'count a warning as a failure')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (module: string, options: DoctorOptions) =>
      finish(
        options.routes
          ? await examineRoutes(module, options, terminal)
          : await examine(module, options, terminal),
      ),
    );
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

async function examine(
  module: string,
  options: DoctorOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const { publishedAt } = options;
  if (publishedAt !== undefined && !URL.canParse(publishedAt))
    failUsage('--published-at is no URL');
  const { options: loaded, modules } = await loadService(module, options.export);
  const written = withoutNest(loaded);
  const messages = messagesIn(modules);
  const others = await Promise.all(options.with.map(async (file) => await loadOptions(file)));
  const keyFile = checkKeyFile(written);
  const service = await checkService(written, { publishedAt, others, terminal, messages });
  const checks = [
    ...keyFile,
    ...checkIssuerNames(written, audiencesIn(messages)),
    ...withoutRepetition(service, keyFile),
    ...checkUnseen(written, modules.length > 0),
    ...(await checkReplay(written, messages, terminal)),
    ...checkSharedWork(written, {
      module,
      subjectPropagation: loaded['subjectPropagation'],
      reviewed: options.reviewed?.split(',').map((name) => name.trim()) ?? [],
    }),
  ];
  const status = worstOf(checks);
  if (options.json) writeJson(terminal, { status, checks });
  else printChecks(checks, terminal);
  const isGood = status === 'ok' || (status === 'warn' && !options.strict);
  return isGood ? EXIT_CODES.ok : EXIT_CODES.failed;
}

/** A key file that cannot be read is a wrong option too; once is enough. */
function withoutRepetition(checks: readonly Check[], keyFile: readonly Check[]): Check[] {
  const isUnreadable = keyFile.some(({ status }) => status === 'fail');
  return checks.filter(
    ({ check, message }) =>
      !(isUnreadable && check === 'options' && message === 'signingKey.keyFile'),
  );
}

/** A service that only sends needs no store. */
async function checkReplay(
  options: UncheckedOptions,
  { requests, events, processors }: ModuleMessages,
  { now }: Terminal,
): Promise<Check[]> {
  const { trustedIssuers, replayStore, maxMessageLifetimeSeconds } = options;
  if (trustedIssuers === undefined) return [];
  const isTaking = requests.length + events.length + processors.length > 0;
  const longest = maxMessageLifetimeSeconds ?? DEFAULT_MAX_MESSAGE_SECONDS;
  const messageSeconds = isTaking ? Number(longest) : undefined;
  return await checkReplayStore(replayStore, { now, messageSeconds });
}

/** The surroundings with which a service is checked. */
interface Surroundings {
  readonly publishedAt: string | undefined;
  /** The options of other services of its environment. */
  readonly others: readonly UncheckedOptions[];
  readonly terminal: Terminal;
  readonly messages: ModuleMessages;
}

async function checkService(
  written: UncheckedOptions,
  { publishedAt, others, terminal, messages }: Surroundings,
): Promise<Check[]> {
  const events: ServiceAuthEvent[] = [];
  const opened = await open(written, events);
  if (Array.isArray(opened)) return opened;
  try {
    const { settings } = opened;
    const isListed = Array.isArray(written['trustedIssuers']);
    const read = await readMessages(messages, opened);
    const { addressed, problems } = read;
    const { answering } = messages;
    const dropped = { events, answerers: read.answererNames };
    const urls = [...urlsOf(written as Partial<ServiceAuthOptions>), ...read.keyUrls];
    return [
      ...(problems.length > 0
        ? describeProblems(problems)
        : [ok('options', `those of ${settings.issuer} are good`)]),
      ...checkSigningKey(settings.sending, { addressed, answering }),
      ...(await checkPublishedKeys(settings, publishedAt)),
      ...(await checkIssuerKeys(settings, isListed, dropped)),
      ...(await checkOriginatorKeys(settings)),
      ...read.answerers,
      ...checkDroppedOfAnswerers(settings, dropped),
      ...checkMessages(messages, { settings, isListed, read, others }),
      ...checkGrants(settings, written, { isListed, addressed }),
      ...checkOtherServices(settings, others, addressed),
      ...(await checkClocks(urls, {
        now: terminal.now,
        toleranceSeconds: settings.receiving?.clockToleranceSeconds ?? 5,
      })),
    ];
  } finally {
    opened.close();
  }
}

/** The service as it would start, without the parts that could prevent its start: separate checks cover those. */
async function open(
  written: UncheckedOptions,
  events: ServiceAuthEvent[],
): Promise<ServiceAuth | Check[]> {
  const { trustedIssuers, replayStore } = written;
  try {
    return await createServiceAuth({
      ...(written as unknown as ServiceAuthOptions),
      trustedIssuers: trustedIssuersOf(trustedIssuers),
      replayStore: withoutStart(replayStore),
      requireKeysAtStart: false,
      observer: { observe: (event) => void events.push(event) },
    });
  } catch (error) {
    if (!(error instanceof ServiceAuthConfigError)) throw error;
    return describeProblems(error.problems);
  }
}

/** Each is `field: what to write`. */
function describeProblems(problems: readonly string[]): Check[] {
  return problems.map((problem) => {
    const [, field = '', advice = ''] = /^([^:]*): (.*)$/s.exec(problem) ?? [];
    return fail('options', field || problem, advice);
  });
}

/** Only Nest can create a class of finder, so here it finds no issuer. */
function trustedIssuersOf(written: unknown): ServiceAuthOptions['trustedIssuers'] {
  if (typeof written === 'function') return { find: () => undefined };
  return written as ServiceAuthOptions['trustedIssuers'];
}

function withoutStart(store: unknown): ServiceAuthOptions['replayStore'] {
  const { recordUse } = Object(store) as { recordUse?: unknown };
  // A value that is not a store stays, so that the options report it.
  if (typeof recordUse !== 'function') return store as ServiceAuthOptions['replayStore'];
  // That of the library, so that the options report messages which live too long for it.
  if (isInMemory(store)) return undefined;
  return { recordUse: () => 'first' };
}

/** The key servers of issuers and originators, and the called services. */
function urlsOf(options: Partial<ServiceAuthOptions>): string[] {
  const { trustedIssuers, originators = [], targets = [] } = options;
  const issuers = Array.isArray(trustedIssuers)
    ? (trustedIssuers as readonly TrustedIssuerOptions[])
    : [];
  const trusted = new Set(issuers.map(({ issuer }) => issuer));
  // An originator without keys has those of the trusted issuer with its name.
  const others = originators.filter(
    ({ issuer, jwksUri }) => jwksUri !== undefined || !trusted.has(issuer),
  );
  const keyUrls = [...issuers, ...others]
    .filter(({ publicKey, keys }) => publicKey === undefined && keys === undefined)
    .map(({ issuer, jwksUri }) => jwksUri ?? defaultKeyUrl(issuer));
  return [...keyUrls, ...targets.map(({ baseUrl }) => baseUrl)];
}

function worstOf(checks: readonly Check[]): Check['status'] {
  const has = (status: Check['status']) => checks.some((check) => check.status === status);
  return has('fail') ? 'fail' : has('warn') ? 'warn' : 'ok';
}

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

function printChecks(checks: readonly Check[], terminal: Terminal): void {
  for (const { check, status, message, advice } of checks) {
    const word = paint(terminal, COLOURS[status], status.padEnd(4));
    terminal.out(`${word}  ${check}: ${visible(message)}\n`);
    if (advice !== null) terminal.out(`      ${visible(advice)}\n`);
  }
  const count = (status: Check['status']) => checks.filter((each) => each.status === status).length;
  terminal.out(`\n${count('ok')} ok, ${count('warn')} warn, ${count('fail')} fail\n`);
}
