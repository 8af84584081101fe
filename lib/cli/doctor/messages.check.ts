import {
  JOB_QUEUE_OPTIONS,
  MESSAGE_CLIENT_OPTIONS,
  OptionReader,
  ProblemList,
  readClientTarget,
  readQueueTarget,
  readReception,
  RECEPTION_OPTIONS,
  type ServiceAuthSettings,
} from '../../core/index.js';
import { DEFAULT_MAX_MESSAGE_SECONDS, MAX_DELAY_SECONDS } from '../../core/messages/message.js';
import { defaultKeyUrl } from '../../keys/key-source.js';
import type { ServiceAuth } from '../../service-auth.js';
import type { UncheckedOptions } from '../configuration-module.js';
import { describeSeconds } from '../durations.js';
import { type Check, fail, ok, warn } from './check.js';
import { checkKeys } from './issuer-keys.check.js';
import { type ModuleMessages, showsMessages } from './module-messages.js';

/** A client or a queue that signs, and the service that it is for. */
export interface Addressed {
  /** Such as `client CENSUS`. */
  readonly name: string;
  readonly audience: string;
  readonly grants: 'send' | 'required' | 'never';
  readonly kind: 'events' | 'jobs';
  readonly lifetimeSeconds: number;
}

/** The clients and queues of a service, once they are read. */
export interface ReadMessages {
  readonly addressed: readonly Addressed[];
  /** The checks of the keys of called services. */
  readonly answerers: readonly Check[];
  /** The services whose answers are verified. */
  readonly answererNames: ReadonlySet<string>;
  /** The URLs where their keys are published. */
  readonly keyUrls: readonly string[];
  /** Each as `field: what to write`. */
  readonly problems: readonly string[];
}

const DEFAULT_EVENT_SECONDS = 600;

/** Reads the clients and queues as the service does when it starts, and asks for the keys of the called services. */
export async function readMessages(
  { clients, queues, receptions }: ModuleMessages,
  service: ServiceAuth,
): Promise<ReadMessages> {
  const problems = new ProblemList();
  for (const reception of receptions) {
    readReception(new OptionReader(reception, RECEPTION_OPTIONS, problems.under('forRoot')));
  }
  const { issuer, sending } = service.settings;
  const {
    trustDomain,
    messageLifetimeSeconds = DEFAULT_EVENT_SECONDS,
    jobLifetimeSeconds = DEFAULT_MAX_MESSAGE_SECONDS,
  } = sending ?? {};
  const answers = new Answers(service);
  const read: Addressed[] = [];
  for (const [at, entry] of clients.entries()) {
    const reader = new OptionReader(
      entry,
      MESSAGE_CLIENT_OPTIONS,
      problems.under(`clients[${at}]`),
    );
    const { audience, answers: believed, grants } = readClientTarget(reader, { trustDomain });
    if (audience === undefined) continue;
    const name = `client ${nameOf(reader.raw('client'))}`;
    const lifetimeSeconds = messageLifetimeSeconds;
    read.push({ name, audience, grants, kind: 'events', lifetimeSeconds });
    if (believed === 'signed') await answers.verify(reader, audience);
    if (believed === 'unsigned') answers.believe(name, audience);
  }
  for (const [at, entry] of queues.entries()) {
    const reader = new OptionReader(entry, JOB_QUEUE_OPTIONS, problems.under(`queues[${at}]`));
    const target = readQueueTarget(reader, { issuer, trustDomain, jobLifetimeSeconds });
    read.push({ ...target, name: `queue ${nameOf(reader.raw('queue'))}`, kind: 'jobs' });
  }
  return { addressed: read, problems: problems.problems, ...(await answers.checked()) };
}

const ANSWERERS = 'keys of answerer';

/** Collects what is known of the services that answer. */
class Answers {
  private readonly checks: Promise<Check>[] = [];
  /** The check of each service that was begun last. */
  private readonly running = new Map<string, Promise<Check>>();
  private readonly unsigned: Check[] = [];
  private readonly names = new Set<string>();
  private readonly urls: string[] = [];

  constructor(private readonly service: ServiceAuth) {}

  async verify(reader: OptionReader, audience: string): Promise<void> {
    // Other keys of the same service end the fetch of the former ones.
    await this.running.get(audience);
    const options = { ...reader.keyOptions(), issuer: audience };
    const keys = await reader.problems.attempt(
      async () => await this.service.keysOfAnswerer(options),
    );
    if (!keys) return;
    const known = [...(this.service.settings.receiving?.trustedIssuers.known() ?? [])];
    const isFetchedHere = known.every((each) => each.keys !== keys);
    if (isFetchedHere && keys.health().status !== 'static')
      this.urls.push(options.jwksUri ?? defaultKeyUrl(audience));
    this.names.add(audience);
    const check = checkAnswerer(audience, keys);
    this.checks.push(check);
    this.running.set(audience, check);
  }

  believe(name: string, audience: string): void {
    const message = `${audience}: ${name} takes its answers unsigned, so anybody who reaches the broker may answer`;
    const advice =
      "remove answers: 'unsigned' when that service imports ServiceMessagesModule and has a signingKey";
    this.unsigned.push(warn(ANSWERERS, message, advice));
  }

  async checked(): Promise<Pick<ReadMessages, 'answerers' | 'answererNames' | 'keyUrls'>> {
    const checks = [...(await Promise.all(this.checks)), ...this.unsigned];
    // Several clients may call one service.
    const byMessage = new Map(checks.map((check) => [check.message, check]));
    return { answerers: [...byMessage.values()], answererNames: this.names, keyUrls: this.urls };
  }
}

async function checkAnswerer(
  issuer: string,
  keys: Parameters<typeof checkKeys>[1]['keys'],
): Promise<Check> {
  const check = await checkKeys(ANSWERERS, { issuer, keys });
  if (check.status === 'ok') return check;
  return fail(
    ANSWERERS,
    `${check.message}; until its keys are known, send fails with key_unavailable`,
    "open the URL of its JWK Set from this host; a service without signingKey publishes no keys, so its answers cannot be signed: write signingKey there, or answers: 'unsigned' here; for a service without HTTP write its publicKey, for a topic answers: 'none'",
  );
}

function nameOf(token: unknown): string {
  return typeof token === 'function' ? token.name : String(token);
}

/** The service with its clients and queues, and the options of other services of its environment. */
export interface MessageParts {
  readonly settings: ServiceAuthSettings;
  readonly isListed: boolean;
  readonly read: ReadMessages;
  readonly others: readonly UncheckedOptions[];
}

/** Checks who may send messages and jobs to this service, and how long those live that it sends. */
export function checkMessages(messages: ModuleMessages, parts: MessageParts): Check[] {
  const { requests, events, processors } = messages;
  const handlers = [...requests, ...events];
  return [
    ...checkUnverified(messages),
    ...checkSenders('messages', handlers, parts),
    ...checkSenders('jobs', processors, parts),
    ...checkOwnJobs(parts),
    ...checkLifetimes(parts),
  ];
}

const IMPORT_MESSAGES =
  "import ServiceMessagesModule from 'nestjs-service-auth/microservices' where ServiceAuthModule is imported";

/** Finds the handlers whose every message the guard refuses, as the log of the service says at start. */
function checkUnverified({ unverified: { guarded, reachable } }: ModuleMessages): Check[] {
  const lacks = 'ServiceMessagesModule is not imported';
  const found: Check[] = [];
  if (guarded.length > 0) {
    const are = `${listed(guarded)} ${guarded.length === 1 ? 'is' : 'are'} guarded`;
    const message = `${are}, and ${lacks}: ServiceJwtGuard refuses every message`;
    found.push(fail('messages', message, IMPORT_MESSAGES));
  }
  if (reachable.length > 0) {
    const message = `${lacks}. Where APP_GUARD reaches messages (a microservice, or inheritAppConfig: true), ServiceJwtGuard refuses each to ${listed(reachable)}; elsewhere these are open`;
    found.push(warn('messages', message, `${IMPORT_MESSAGES}, and guard these handlers`));
  }
  return found;
}

const TAKERS = { messages: 'handlers take messages', jobs: 'processors take jobs' } as const;

/** Checks that some trusted issuer may send what the handlers of this service take. */
function checkSenders(
  name: 'messages' | 'jobs',
  handlers: readonly string[],
  { settings: { receiving }, isListed }: MessageParts,
): Check[] {
  if (handlers.length === 0) return [];
  const who = `${TAKERS[name]}: ${listed(handlers)}`;
  if (!receiving) {
    const advice = 'name the services that may send them in trustedIssuers';
    return [fail(name, `${who}. Without trustedIssuers, each of them fails`, advice)];
  }
  const senders = [...receiving.trustedIssuers.known()].filter(
    ({ transports, profile }) => transports.has(name) && profile === 'strict',
  );
  if (isListed && senders.length === 0) {
    const advice = `add '${name}' to the transports of a trusted issuer in the strict profile`;
    return [fail(name, `${who}. No trusted issuer may send any (transports, profile)`, advice)];
  }
  const from = isListed
    ? listed(senders.map(({ issuer }) => issuer))
    : 'issuers that are looked up';
  const open =
    name === 'messages' ? '. Not examined: the options of servers in main.ts, such as noAck' : '';
  return [ok(name, `${who}; from ${from}${open}`)];
}

/** Checks that a service does the jobs that it queues for itself. */
function checkOwnJobs({ settings, isListed, read }: MessageParts): Check[] {
  const { issuer, receiving } = settings;
  const own = receiving?.audiences ?? new Set([issuer]);
  const queues = read.addressed.filter(
    ({ kind, audience }) => kind === 'jobs' && own.has(audience),
  );
  if (queues.length === 0 || (receiving && !isListed)) return [];
  const known = [...(receiving?.trustedIssuers.known() ?? [])];
  if (known.some((each) => each.issuer === issuer && each.transports.has('jobs'))) return [];
  const names = listed(queues.map(({ name }) => name));
  const message = `the jobs of ${names} are for this service, which does not trust itself for jobs: its worker refuses them (issuer_unknown)`;
  const advice = `add { issuer: '${issuer}', transports: ['jobs'] } to trustedIssuers, or name the audience whose worker does them`;
  return [warn('jobs', message, advice)];
}

/** Checks that receivers accept events and jobs for as long as they live. */
function checkLifetimes({ settings, read: { addressed }, others }: MessageParts): Check[] {
  if (!settings.sending || addressed.length === 0) return [];
  const name = 'message lifetime';
  const bad = addressed.flatMap((each) => {
    const accepted = acceptedBy(each.audience, { settings, others });
    if (each.lifetimeSeconds <= (accepted ?? DEFAULT_MAX_MESSAGE_SECONDS)) return [];
    const life = `${each.kind} of ${each.name} live for ${describeSeconds(each.lifetimeSeconds)}`;
    const who = `${each.audience}${accepted === undefined ? ', unless it says otherwise,' : ''}`;
    const limit = describeSeconds(accepted ?? DEFAULT_MAX_MESSAGE_SECONDS);
    const message = `${life}, and ${who} accepts ${limit} (lifetime_too_long)`;
    const advice =
      'raise maxMessageLifetimeSeconds there, with a replay store that its processes share, or shorten the lifetime here';
    return [accepted === undefined ? warn(name, message, advice) : fail(name, message, advice)];
  });
  if (bad.length > 0) return bad;
  const longest = Math.max(...addressed.map(({ lifetimeSeconds }) => lifetimeSeconds));
  const life = describeSeconds(longest);
  return [
    ok(
      name,
      `events and jobs live for up to ${life}; keep a key published as long after it has signed`,
    ),
  ];
}

/** How long all receivers of a name accept events and jobs; undefined if their options are not known here. */
function acceptedBy(
  audience: string,
  { settings: { receiving }, others }: Pick<MessageParts, 'settings' | 'others'>,
): number | undefined {
  if (receiving?.audiences.has(audience)) return receiving.maxMessageLifetimeSeconds;
  const limits = others
    .filter((each) => [each['issuer'], each['audience'], each['topics']].flat().includes(audience))
    .map(({ maxMessageLifetimeSeconds: limit = DEFAULT_MAX_MESSAGE_SECONDS }) => limit);
  // What is no lifetime keeps that service from starting: its own doctor says so.
  const isKnown = (limit: unknown): limit is number =>
    typeof limit === 'number' && limit <= MAX_DELAY_SECONDS;
  return limits.length > 0 && limits.every(isKnown) ? Math.min(...limits) : undefined;
}

/** Says that a service with messages was not examined for them, where only its options are exported. */
export function checkUnseen(options: UncheckedOptions, isModuleSeen: boolean): Check[] {
  if (isModuleSeen || !showsMessages(options)) return [];
  const message = 'clients, queues and handlers are not examined: only options are exported';
  const advice =
    'export the module that imports ServiceMessagesModule or ServiceJobsModule from the same file';
  return [warn('messages', message, advice)];
}

/** The most names in one line. */
const NAMED = 10;

/** Names in words, ten of them. */
export function listed(names: readonly string[]): string {
  const left = names.length - NAMED;
  return `${names.slice(0, NAMED).join(', ')}${left > 0 ? ` and ${left} more` : ''}`;
}
