import type { Logger } from '@nestjs/common';
import type { ServiceAuthModuleOptions } from './service-auth.options.js';

/** Warns of each option that protects less than its default. */
export function warnOfLoosenedOptions(options: ServiceAuthModuleOptions, logger: Logger): void {
  if (options.unknownTargets === 'send-unsigned') {
    logger.warn('Requests to URLs outside `targets` are sent without a token (unknownTargets).');
  }
  if (options.allowInsecureKeyUrls === true) {
    logger.warn(
      'Keys may be fetched over plain http:, where others can replace them (allowInsecureKeyUrls).',
    );
  }
  if (options.subjectPropagation === 'ambient') {
    logger.warn(
      'Calls take the user of the request being served without naming it (subjectPropagation): work that requests share may call for the wrong user.',
    );
  }
  for (const { baseUrl } of (options.targets ?? []).filter(
    ({ signing }) => signing === 'best-effort',
  )) {
    logger.warn(`Calls to ${baseUrl} that cannot be signed are sent without a token (signing).`);
  }
  if (options.refusalDetails === 'full') {
    logger.warn(
      'Events, log lines and spans quote the paths and queries of refused requests (refusalDetails).',
    );
  }
  if (options.tokenAfterVerification === 'keep') {
    logger.warn(
      'Tokens stay in the headers of requests, for loggers and handlers to see (tokenAfterVerification).',
    );
  }
}
