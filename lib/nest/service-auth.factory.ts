import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { Logger } from '@nestjs/common';
import {
  OptionReader,
  ProblemList,
  type Profile,
  ServiceAuthConfigError,
  type ServiceAuthOptions,
  type ServiceAuthSettings,
} from '../core/index.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { checkEnforcement, Enforcement } from './enforcement.js';
import { LoggingObserver, warningOfOriginal } from './logging-observer.js';
import { ReportSummary } from './report-summary.js';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';
import type { TrustedIssuerFinderProvider } from './trusted-issuer-finder.provider.js';
import { warnOfUnsharedMemory } from './unshared-memory.js';
import { warnOfLoosenedOptions } from './warn-of-loosened-options.js';

/**
 * Builds the service from the module's options, and warns once of every peer and option that is less protected.
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
    trustedIssuers,
    observer,
    ...others
  } = { ...options };
  const logger = new Logger('ServiceAuth');
  const summary = new ReportSummary(logger);
  const hears = observer ?? new LoggingObserver();
  const own = { userResolver, tokenAfterVerification, spoolDirectory, rawBody, subjectPropagation };
  const coreOptions = {
    ...others,
    observer: reportUntil === undefined ? hears : [hears, summary].flat(),
    trustedIssuers: typeof trustedIssuers === 'function' ? finderOfClass : trustedIssuers,
  };
  const serviceAuth = await createChecked(coreOptions, { ...own, enforcement, reportUntil });
  const { receiving, sending, observer: hearing, now } = serviceAuth.settings;
  if (receiving && options.replayStore === undefined) warnOfUnsharedMemory(hearing);
  warnOfOriginalProfile(serviceAuth.settings);
  warnOfLoosenedOptions({ ...options }, logger);
  summary.start(Enforcement.of({ enforcement, reportUntil }, now), sending?.targets ?? []);
  return serviceAuth;
}

/** What the module reads besides the options of the core. */
const OWN_NAMES = [
  'userResolver',
  'tokenAfterVerification',
  'spoolDirectory',
  'rawBody',
  'subjectPropagation',
  'enforcement',
  'reportUntil',
] as const satisfies (keyof ServiceAuthModuleOptions)[];

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
  const resolver = 'write a class or an object with a method resolveUser';
  reader.value('userResolver', isResolver, resolver);
  reader.word('tokenAfterVerification', ['remove', 'keep'], 'remove');
  reader.value('spoolDirectory', isFolder, 'write the absolute path of a folder that is there');
  const rawBody = 'write a function from the request to the bytes that the platform kept';
  reader.value('rawBody', isFunction, rawBody);
  reader.word('subjectPropagation', ['explicit', 'ambient'], 'explicit');
  checkEnforcement(reader);
}

function isResolver(value: unknown): value is object {
  if (typeof value === 'function') return true;
  const isObject = typeof value === 'object' && value !== null;
  return isObject && typeof Reflect.get(value, 'resolveUser') === 'function';
}

function isFunction(value: unknown): value is () => unknown {
  return typeof value === 'function';
}

/** Whether it can be written to is not asked: that may change with every upload. */
function isFolder(path: unknown): path is string {
  try {
    return typeof path === 'string' && isAbsolute(path) && statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function warnOfOriginalProfile({ receiving, sending }: ServiceAuthSettings): void {
  const logger = new Logger('ServiceAuth');
  const isOriginal = ({ profile }: { profile: Profile }): boolean => profile === 'original';
  for (const { issuer } of [...(receiving?.trustedIssuers.known() ?? [])].filter(isOriginal)) {
    logger.warn(warningOfOriginal(issuer));
  }
  for (const { audience } of (sending?.targets ?? []).filter(isOriginal)) {
    logger.warn(
      `Requests to ${audience} are signed in the original profile: tokens bind no URL and may be replayed.`,
    );
  }
}
