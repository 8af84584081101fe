import type { TrustedIssuerOptions, TargetOptions } from '../../core/index.js';
import type { UncheckedOptions } from '../configuration-module.js';
import { type Check, warn } from './check.js';

/**
 * Warns of service names that differ only in a final slash, since names are compared byte for byte, and of names without
 * a path: nearly every service writes the slash in its own name.
 *
 * @param audiences the services that clients of brokers and queues name
 */
export function checkIssuerNames(options: UncheckedOptions, audiences: readonly string[]): Check[] {
  const own = ownNames(options);
  const named = [...issuersOf(options), ...calledIn(options), ...audiences];
  const names = new Set([...own, ...named, ...baseUrlsOf(options)]);
  // One warning for each mistake: of two names that differ in the slash, the last one warns.
  const isBare = (name: string) => WITHOUT_PATH.test(name) && !names.has(`${name}/`);
  const others = new Set(named.filter((name) => !own.includes(name)));
  return [
    ...own.filter(isBare).map(ownName),
    ...[...others].filter(isBare).map(otherName),
    ...sameButForSlash(names),
  ];
}

function ownName(name: string): Check {
  return warn(
    'issuer names',
    `the own name ${name} has no final slash: a service that writes ${name}/ in its trustedIssuers, or as the audience of its calls, means another one`,
    'write it as the trustedIssuers of called services and the `audience` of callers write it, letter by letter; `npx nestjs-service-auth call` shows what a service answers',
  );
}

function otherName(name: string): Check {
  return warn(
    'issuer names',
    `${name} has no final slash: a service that calls itself ${name}/ is another one`,
    'compare it with the `issuer` of that service, or the name in its `audience` or `topics`, letter by letter',
  );
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

/** The names that this service answers to. */
function ownNames({ issuer, audience, topics }: UncheckedOptions): string[] {
  const audiences = typeof audience === 'string' ? [audience] : listOf<string>(audience);
  const names = new Set([issuer, ...audiences, ...listOf<string>(topics)]);
  return [...names].filter((name) => typeof name === 'string');
}

/** The names that targets write. */
function calledIn({ targets }: UncheckedOptions): string[] {
  return listOf<TargetOptions>(targets)
    .map(({ audience }) => audience)
    .filter((name) => typeof name === 'string');
}

/** The names of targets that write no other: the options report one without its slash. */
function baseUrlsOf({ targets }: UncheckedOptions): string[] {
  return listOf<TargetOptions>(targets)
    .flatMap(({ audience, baseUrl }) => (audience === undefined ? [baseUrl] : []))
    .filter((name) => typeof name === 'string');
}

/** Unchecked options may have any value. */
function listOf<T>(value: unknown): T[] {
  const list: unknown[] = Array.isArray(value) ? value : [];
  return list.filter(Boolean) as T[];
}
