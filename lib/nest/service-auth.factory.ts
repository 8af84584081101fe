import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { Logger } from '@nestjs/common';
import {
  type Profile,
  ServiceAuthConfigError,
  type ServiceAuthOptions,
  type ServiceAuthSettings,
} from '../core/index.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { Enforcement, findEnforcementProblems } from './enforcement.js';
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
    coverage,
    trustedIssuers,
    observer,
    ...others
  } = { ...options };
  const logger = new Logger('ServiceAuth');
  const summary = new ReportSummary(logger);
  const hears = observer ?? new LoggingObserver();
  const coreOptions = {
    ...others,
    observer: reportUntil === undefined ? hears : [hears, summary].flat(),
    trustedIssuers: typeof trustedIssuers === 'function' ? finderOfClass : trustedIssuers,
  };
  const problems = [
    ...findResolverProblem(userResolver),
    ...findTokenProblem(tokenAfterVerification),
    ...findFolderProblem(spoolDirectory),
    ...findRawBodyProblem(rawBody),
    ...findPropagationProblem(subjectPropagation),
    ...findEnforcementProblems({ enforcement, reportUntil }),
    ...findCoverageProblem(coverage),
  ];
  const serviceAuth = await createOrCollect(coreOptions, problems);
  const { receiving, sending, observer: hearing, now } = serviceAuth.settings;
  if (receiving && options.replayStore === undefined) warnOfUnsharedMemory(hearing);
  warnOfOriginalProfile(serviceAuth.settings);
  warnOfLoosenedOptions({ ...options }, logger);
  summary.start(Enforcement.of({ enforcement, reportUntil }, now), sending?.targets ?? []);
  return serviceAuth;
}

async function createOrCollect(
  options: ServiceAuthOptions,
  problems: readonly string[],
): Promise<ServiceAuth> {
  try {
    const serviceAuth = await createServiceAuth(options);
    if (problems.length === 0) return serviceAuth;
    serviceAuth.close();
  } catch (error) {
    if (!(error instanceof ServiceAuthConfigError)) throw error;
    throw new ServiceAuthConfigError([...error.problems, ...problems]);
  }
  throw new ServiceAuthConfigError(problems);
}

function findResolverProblem(resolver: unknown): string[] {
  const isResolver =
    typeof resolver === 'object' &&
    resolver !== null &&
    'resolveUser' in resolver &&
    typeof resolver.resolveUser === 'function';
  if (resolver === undefined || typeof resolver === 'function' || isResolver) return [];
  return ['userResolver: write a class or an object with a method resolveUser'];
}

function findTokenProblem(word: unknown): string[] {
  if (word === undefined || word === 'remove' || word === 'keep') return [];
  return ["tokenAfterVerification: write 'remove' or 'keep'"];
}

function findPropagationProblem(word: unknown): string[] {
  if (word === undefined || word === 'explicit' || word === 'ambient') return [];
  return ["subjectPropagation: write 'explicit' or 'ambient'"];
}

function findCoverageProblem(word: unknown): string[] {
  if (word === undefined || word === 'off' || word === 'warn' || word === 'require') return [];
  return ["coverage: write 'off', 'warn' or 'require'"];
}

function findFolderProblem(path: unknown): string[] {
  if (path === undefined || (typeof path === 'string' && isFolder(path))) return [];
  return ['spoolDirectory: write the absolute path of a folder that is there'];
}

function findRawBodyProblem(rawBody: unknown): string[] {
  if (rawBody === undefined || typeof rawBody === 'function') return [];
  return ['rawBody: write a function from the request to the bytes that the platform kept'];
}

/** Whether it can be written to is not asked: that may change with every upload. */
function isFolder(path: string): boolean {
  try {
    return isAbsolute(path) && statSync(path).isDirectory();
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
