import type { TrustedIssuerOptions, TargetOptions } from '../../core/index.js';
import type { UncheckedOptions } from '../configuration-module.js';
import { type Check, warn } from './check.js';

/** Warns of service names that differ only in a final slash, since names are compared byte for byte. */
export function checkIssuerNames(options: UncheckedOptions): Check[] {
  const names = new Set(namesOf(options));
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

function namesOf(options: UncheckedOptions): string[] {
  const { issuer, audience, trustedIssuers, originators, targets } = options;
  const trusted = [trustedIssuers, originators].flatMap((list) =>
    listOf<TrustedIssuerOptions>(list).map((each) => each.issuer),
  );
  const called = listOf<TargetOptions>(targets).map((each) => each.audience ?? each.baseUrl);
  const audiences = typeof audience === 'string' ? [audience] : listOf<string>(audience);
  return [issuer, ...audiences, ...trusted, ...called].filter((name) => typeof name === 'string');
}

/** Unchecked options may have any value. */
function listOf<T>(value: unknown): T[] {
  const list: unknown[] = Array.isArray(value) ? value : [];
  return list.filter(Boolean) as T[];
}
