import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { Logger } from '@nestjs/common';
import {
  nearestName,
  OptionReader,
  ProblemList,
  type Profile,
  ServiceAuthConfigError,
  type ServiceAuthOptions,
  type ServiceAuthSettings,
  sharedPrefix,
} from '../core/index.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { checkEnforcement, Enforcement } from './enforcement.js';
import { warningOfOriginal } from './log/event-lines.js';
import { LoggingObserver, type LoggingObserverOptions } from './logging-observer.js';
import { isClass } from './provider-lookup.js';
import { ReportSummary } from './report-summary.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';
import type { TrustedIssuerFinderProvider } from './trusted-issuer-finder.provider.js';
import { warnOfUnsharedMemory } from './unshared-memory.js';
import { RESOLVER } from './user-lookup.js';
import { warnOfLoosenedOptions } from './warn-of-loosened-options.js';

/**
 * Builds the service from the module's options, and warns once of every peer and option with less protection.
 *
 * @throws ServiceAuthConfigError listing every problem, each as `field: what to write`
 */
export async function createServiceAuthFrom(
  options: ServiceAuthModuleOptions,
  finderOfClass: TrustedIssuerFinderProvider,
): Promise<ServiceAuth> {
  const {
    userResolver,
    tokenAfterVerification,
    spoolDirectory,
    rawBody,
    subjectPropagation,
    enforcement,
    reportUntil,
    coverage,
    trustedIssuers,
    observer,
    ...others
  } = { ...options };
  // The core does not know these names, and would advise to remove a misspelt one.
  const misspelt = membersNamed(others, isNearlyOwn);
  const coreMembers = membersNamed(others, (name) => !isNearlyOwn(name));
  const logger = new Logger('ServiceAuth');
  const summary = new ReportSummary(logger);
  const hears = observer ?? new LoggingObserver(clockOf(others.now));
  const own = { userResolver, tokenAfterVerification, spoolDirectory, rawBody, subjectPropagation };
  const coreOptions = {
    ...coreMembers,
    observer: reportUntil === undefined ? hears : [hears, summary].flat(),
    trustedIssuers: typeof trustedIssuers === 'function' ? finderOfClass : trustedIssuers,
  };
  const reported = { ...own, enforcement, reportUntil, coverage, ...misspelt };
  const serviceAuth = await createChecked(coreOptions, reported);
  const { receiving, sending, observer: hearing, now } = serviceAuth.settings;
  if (receiving && options.replayStore === undefined) warnOfUnsharedMemory(hearing);
  warnOfOriginalProfile(serviceAuth.settings);
  warnOfUnproved(serviceAuth.settings);
  warnOfLoosenedOptions({ ...options }, logger);
  summary.start(Enforcement.of({ enforcement, reportUntil }, now), sending?.targets ?? []);
  return serviceAuth;
}

/** The options of the module besides those of the core. */
const OWN_NAMES = [
  'userResolver',
  'tokenAfterVerification',
  'spoolDirectory',
  'rawBody',
  'subjectPropagation',
  'enforcement',
  'reportUntil',
  'coverage',
] as const satisfies (keyof ServiceAuthModuleOptions)[];

function isNearlyOwn(name: string): boolean {
  return nearestName(name, OWN_NAMES) !== undefined;
}

function membersNamed<T extends object>(options: T, isTaken: (name: string) => boolean): T {
  return Object.fromEntries(Object.entries(options).filter(([name]) => isTaken(name))) as T;
}

/** An invalid clock is reported with the other problems of the options. */
function clockOf(now: unknown): LoggingObserverOptions {
  return typeof now === 'function' ? { now: now as () => number } : {};
}

async function createChecked(
  options: ServiceAuthOptions,
  own: Pick<ServiceAuthModuleOptions, (typeof OWN_NAMES)[number]>,
): Promise<ServiceAuth> {
  const problems = new ProblemList();
  const serviceAuth = await problems.attempt(async () => await createServiceAuth(options));
  checkOwnOptions(new OptionReader(own, OWN_NAMES, problems));
  if (serviceAuth && problems.problems.length === 0) return serviceAuth;
  serviceAuth?.close();
  throw new ServiceAuthConfigError(problems.problems);
}

function checkOwnOptions(reader: OptionReader): void {
  reader.value('userResolver', isResolver, RESOLVER);
  reader.word('tokenAfterVerification', ['remove', 'keep'], 'remove');
  reader.value('spoolDirectory', isFolder, 'write the absolute path of a folder that is there');
  const rawBody = 'write a function from the request to the bytes that the platform kept';
  reader.value('rawBody', isFunction, rawBody);
  reader.word('subjectPropagation', ['explicit', 'ambient'], 'explicit');
  checkEnforcement(reader);
  reader.word('coverage', ['off', 'warn', 'require'], 'warn');
}

function isResolver(value: unknown): value is object {
  if (isFunction(value)) return isClass(value);
  const isObject = typeof value === 'object' && value !== null;
  return isObject && typeof Reflect.get(value, 'resolveUser') === 'function';
}

function isFunction(value: unknown): value is () => unknown {
  return typeof value === 'function';
}

/** Does not check for write access, which may change with every upload. */
function isFolder(path: unknown): path is string {
  try {
    return typeof path === 'string' && isAbsolute(path) && statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** The most issuers that one line of the log names. */
const MOST_NAMES = 5;

/** Only with grants: without them, no issuer proves that the user asked. */
function warnOfUnproved({ receiving }: ServiceAuthSettings): void {
  const { grants, trustedIssuers } = receiving ?? {};
  const originated = [...(grants?.originators.values() ?? [])].flatMap(({ subjects }) => subjects);
  const unproved = [...(trustedIssuers?.known() ?? [])].filter(
    ({ subjects, subjectProof }) =>
      subjectProof?.mode === 'off' && sharedPrefix(subjects, originated) !== undefined,
  );
  if (unproved.length === 0) return;
  const names = unproved.slice(0, MOST_NAMES).map(({ issuer }) => issuer);
  const more = unproved.length > MOST_NAMES ? ` and ${unproved.length - MOST_NAMES} more` : '';
  new Logger('ServiceAuth').warn(
    `Calls of ${names.join(', ')}${more} need no proof that the user asked (subjectProof 'off'): they can name each user within their subjects.`,
  );
}

function warnOfOriginalProfile({ receiving, sending }: ServiceAuthSettings): void {
  const logger = new Logger('ServiceAuth');
  const isOriginal = ({ profile }: { profile: Profile }): boolean => profile === 'original';
  for (const { issuer } of [...(receiving?.trustedIssuers.known() ?? [])].filter(isOriginal)) {
    logger.warn(warningOfOriginal(issuer));
  }
  for (const { audience } of (sending?.targets ?? []).filter(isOriginal)) {
    logger.warn(
      `Requests to ${audience} are signed in the original profile: tokens bind no URL and may be replayed. Once it accepts strict tokens, remove profile: 'original' of the target.`,
    );
  }
}
