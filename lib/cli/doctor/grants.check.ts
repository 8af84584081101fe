import type { JsonWebKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type ServiceAuthSettings, sharedPrefix } from '../../core/index.js';
import { isFileOptions } from '../../keys/signing-key-origin.js';
import type { UncheckedOptions } from '../configuration-module.js';
import { describeSeconds } from '../durations.js';
import { DEFAULT_MAX_LIFETIME_SECONDS } from '../../core/grants/resolve-originate.js';
import { notedLifetime } from '../rotate/steps.js';
import { type Check, fail, ok, warn } from './check.js';
import type { Addressed } from './messages.check.js';

/** Checks the options of one service about grants, beyond those that prevent its start. */
export function checkGrants(
  settings: ServiceAuthSettings,
  written: UncheckedOptions,
  { isListed, addressed }: GrantParts,
): Check[] {
  return [
    ...checkTrustDomain(settings),
    ...checkProofs(settings, isListed),
    ...checkTargets(settings, addressed),
    ...checkAddressed(settings, addressed),
    ...checkLifetimes(settings, written),
  ];
}

/** What is checked besides the settings. */
interface GrantParts {
  /** Whether the trusted issuers are a list. */
  readonly isListed: boolean;
  /** The clients of brokers and the queues that sign. */
  readonly addressed: readonly Addressed[];
}

function checkTrustDomain({ receiving, sending }: ServiceAuthSettings): Check[] {
  const { trustDomain, originators } = receiving?.grants ?? {};
  if (originators) {
    const names = [...originators.keys()].join(', ');
    return [ok('trust domain', `${trustDomain}; these vouch for users: ${names}`)];
  }
  return sending?.trustDomain === undefined
    ? []
    : [ok('trust domain', `${sending.trustDomain}; nobody vouches for users here`)];
}

/** The weakest issuer decides what proofs are worth. */
function checkProofs({ receiving }: ServiceAuthSettings, isListed: boolean): Check[] {
  if (!receiving?.grants) return [];
  const name = 'subject proof';
  if (!isListed) {
    const message =
      'issuers are looked up when they call: one without subjectProof is refused for users';
    return [warn(name, message, 'let the finder give a subjectProof for each issuer')];
  }
  const prefixes = [...receiving.grants.originators.values()].flatMap(({ subjects }) => subjects);
  return [...receiving.trustedIssuers.known()].flatMap(({ issuer, subjects, subjectProof }) => {
    const mode = subjectProof?.mode ?? 'off';
    const prefix = sharedPrefix(subjects, prefixes);
    if (prefix === undefined) return [];
    if (mode === 'required') return [ok(name, `${issuer}: required`)];
    const message = `${issuer} may name users of ${prefix} without proof (${mode})`;
    return [warn(name, message, "write mode: 'required' when its calls have grants")];
  });
}

function checkTargets({ sending }: ServiceAuthSettings, addressed: readonly Addressed[]): Check[] {
  if (sending?.trustDomain === undefined) return [];
  if (sending.targets.length + addressed.length === 0) return [];
  const name = 'grants of calls';
  const named = (...words: readonly string[]) => [
    ...sending.targets.filter(({ grants }) => words.includes(grants)).map((each) => each.audience),
    ...addressed.filter(({ grants }) => words.includes(grants)).map((each) => each.name),
  ];
  const takers = named('send', 'required');
  const others = named('never');
  if (takers.length === 0 && sending.originate) {
    const message =
      addressed.length === 0
        ? 'this service makes grants, and no target takes any'
        : 'this service makes grants, and no target, client or queue takes any';
    return [warn(name, message, "write grants: 'send' for targets of this trust domain")];
  }
  const sent = takers.length === 0 ? 'sent to nobody' : `sent to ${takers.join(', ')}`;
  return [ok(name, others.length === 0 ? sent : `${sent}; not to ${others.join(', ')}`)];
}

/** Without a trust domain, nobody has a grant to send. */
function checkAddressed(
  { sending }: ServiceAuthSettings,
  addressed: readonly Addressed[],
): Check[] {
  if (!sending || sending.trustDomain !== undefined) return [];
  const advice = "set the trustDomain of this service, or write grants: 'never'";
  return addressed.flatMap(({ name, grants }) => {
    if (grants === 'never') return [];
    const message = `${name}: grants are '${grants}', and this service has no trustDomain`;
    return grants === 'required'
      ? fail(
          'grants of calls',
          `${message}: each message for a user fails (grant_unusable)`,
          advice,
        )
      : warn('grants of calls', `${message}: none is sent`, advice);
  });
}

/** A key that is withdrawn too early invalidates the grants that it has signed. */
function checkLifetimes({ sending }: ServiceAuthSettings, written: UncheckedOptions): Check[] {
  const { maxLifetimeSeconds } = sending?.originate ?? {};
  if (maxLifetimeSeconds === undefined) return [];
  const name = 'grant lifetime';
  const life = describeSeconds(maxLifetimeSeconds);
  const checks = [ok(name, `grants live for up to ${life}; a key stays published as long`)];
  const { signingKey } = written;
  const noted = isFileOptions(signingKey) ? notedInFile(signingKey.keyFile) : undefined;
  if (noted !== undefined && noted < maxLifetimeSeconds) {
    const message = `the previous key may be withdrawn before its grants have expired, which live for up to ${life}`;
    checks.push(warn(name, message, 'name this module in `rotate withdraw --config`'));
  }
  if (maxLifetimeSeconds > DEFAULT_MAX_LIFETIME_SECONDS) {
    const message = `receivers refuse grants of ${life} unless they say otherwise`;
    checks.push(
      warn(name, message, 'set maxGrantLifetimeSeconds there, or a shorter maxLifetimeSeconds'),
    );
  }
  return checks;
}

/** The lifetime that `rotate` noted with the previous key; undefined if the file has none. */
function notedInFile(keyFile: unknown): number | undefined {
  try {
    const ring: unknown = JSON.parse(readFileSync(String(keyFile), 'utf8'));
    const { previous } = Object(ring) as { previous?: unknown };
    return previous === undefined ? undefined : notedLifetime(Object(previous) as JsonWebKey);
  } catch {
    // A PEM, or no file: other checks report that.
    return undefined;
  }
}
