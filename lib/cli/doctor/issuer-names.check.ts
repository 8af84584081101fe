import type { TrustedIssuerOptions, TargetOptions } from '../../core/index.js';
import type { UncheckedOptions } from '../configuration-module.js';
import { type Check, warn } from './check.js';

/**
 * Warns of service names that differ only in a final slash, since names are compared byte for byte, and of issuers without
 * a path: nearly every service writes the slash in its own name.
 *
 * @param audiences the services that clients of brokers and queues name
 */
export function checkIssuerNames(options: UncheckedOptions, audiences: readonly string[]): Check[] {
  const names = new Set([...namesOf(options), ...audiences]);
  const bare = [...new Set(issuersOf(options))].filter((name) => WITHOUT_PATH.test(name));
  const bareNames = bare.map((name) =>
    warn(
      'issuer names',
      `${name} has no final slash: a service that calls itself ${name}/ is another one`,
      'compare it with the `issuer` of that service, letter by letter',
    ),
  );
  return [...ownName(options.issuer), ...bareNames, ...sameButForSlash(names)];
}

function ownName(issuer: unknown): Check[] {
  if (typeof issuer !== 'string' || !WITHOUT_PATH.test(issuer)) return [];
  return [
    warn(
      'issuer names',
      `the own name ${issuer} has no final slash: who trusts ${issuer}/ trusts another service`,
      'write it as those who trust this service write it, letter by letter; `npx nestjs-service-auth call` shows what they answer',
    ),
  ];
}

const WITHOUT_PATH = /^https?:\/\/[^/]+$/;

function sameButForSlash(names: ReadonlySet<string>): Check[] {
  return [...names]
    .filter((name) => names.has(`${name}/`))
    .map((name) =>
      warn(
        'issuer names',
        `${name} and ${name}/ differ in the final slash, so they are two services`,
        'write the name that the service has as its own `issuer`, everywhere',
      ),
    );
}

function issuersOf({ trustedIssuers, originators }: UncheckedOptions): string[] {
  return [trustedIssuers, originators]
    .flatMap((list) => listOf<TrustedIssuerOptions>(list).map((each) => each.issuer))
    .filter((name) => typeof name === 'string');
}

function namesOf(options: UncheckedOptions): string[] {
  const { issuer, audience, targets, topics } = options;
  const trusted = issuersOf(options);
  const called = listOf<TargetOptions>(targets).map((each) => each.audience ?? each.baseUrl);
  const audiences = typeof audience === 'string' ? [audience] : listOf<string>(audience);
  return [issuer, ...audiences, ...trusted, ...called, ...listOf<string>(topics)].filter(
    (name) => typeof name === 'string',
  );
}

/** Unchecked options may have any value. */
function listOf<T>(value: unknown): T[] {
  const list: unknown[] = Array.isArray(value) ? value : [];
  return list.filter(Boolean) as T[];
}
