import type { ServiceAuthSettings, Target } from '../../core/index.js';
import { DEFAULT_MAX_LIFETIME_SECONDS } from '../../core/grants/resolve-originate.js';
import type { UncheckedOptions } from '../configuration-module.js';
import { describeSeconds } from '../durations.js';
import { longestGrantSeconds } from '../grant-lifetime.js';
import { type Check, fail, ok, warn } from './check.js';
import type { Addressed } from './messages.check.js';

/** Compares the options about grants of this service and of others in its environment. */
export function checkOtherServices(
  settings: ServiceAuthSettings,
  others: readonly UncheckedOptions[],
  addressed: readonly Addressed[],
): Check[] {
  const own = viewOf(settings, addressed);
  return others.flatMap((other) => [
    ...compareDomains(own, other),
    ...compareLifetimes(own, other),
    ...compareCalls(own, other),
    ...compareMessages(own, other),
  ]);
}

/** The options of this service with which the others must agree. */
interface OwnView {
  readonly issuer: string;
  readonly trustDomain: string | undefined;
  readonly originators: ReadonlySet<string>;
  readonly accepts: number;
  readonly makes: number | undefined;
  readonly targets: readonly Target[];
  readonly addressed: readonly Addressed[];
}

function viewOf(
  { issuer, receiving, sending }: ServiceAuthSettings,
  addressed: readonly Addressed[],
): OwnView {
  const { grants } = receiving ?? {};
  return {
    issuer,
    trustDomain: grants?.trustDomain ?? sending?.trustDomain,
    originators: new Set(grants?.originators.keys()),
    accepts: grants?.maxLifetimeSeconds ?? DEFAULT_MAX_LIFETIME_SECONDS,
    makes: sending?.originate?.maxLifetimeSeconds,
    targets: sending?.targets ?? [],
    addressed,
  };
}

function compareDomains(own: OwnView, other: UncheckedOptions): Check[] {
  const { trustDomain } = other;
  const name = 'trust domain';
  const who = nameOf(other);
  if (own.trustDomain === trustDomain) {
    return own.trustDomain === undefined ? [] : [ok(name, `that of ${who} too`)];
  }
  const [one, two] = [own.trustDomain, trustDomain].map((domain) =>
    typeof domain === 'string' ? domain : 'none',
  );
  const message = `${own.issuer} says ${one}, and ${who} says ${two}`;
  if (own.trustDomain === undefined || trustDomain === undefined) {
    return [warn(name, message, 'set it in both, or grants end where it is not set')];
  }
  return [fail(name, message, 'write the same in all services of one environment')];
}

function compareLifetimes(own: OwnView, other: UncheckedOptions): Check[] {
  const who = nameOf(other);
  const { maxGrantLifetimeSeconds = DEFAULT_MAX_LIFETIME_SECONDS, originators } = other;
  const checks: Check[] = [];
  if (own.originators.has(who)) {
    const made = longestGrantSeconds(other) ?? 0;
    const message = `${who} is an originator here, and makes no grants`;
    checks.push(
      made === 0
        ? warn('originators', message, 'set its `originate`, or take it off the list')
        : compareLives([who, made], [own.issuer, own.accepts]),
    );
  }
  const believesOwn = listOf(originators).some(({ issuer }) => issuer === own.issuer);
  if (believesOwn && own.makes !== undefined) {
    checks.push(compareLives([own.issuer, own.makes], [who, Number(maxGrantLifetimeSeconds)]));
  }
  return checks;
}

type Life = readonly [service: string, seconds: number];

function compareLives([maker, made]: Life, [taker, accepted]: Life): Check {
  const name = 'grant lifetime';
  const [most, limit] = [describeSeconds(made), describeSeconds(accepted)];
  const message = `${maker} makes grants of up to ${most}, and ${taker} accepts ${limit}`;
  if (made <= accepted) return ok(name, message);
  const advice = 'shorten originate.maxLifetimeSeconds, or raise maxGrantLifetimeSeconds';
  return fail(name, message, advice);
}

/** Checks that a service that requires proof gets grants. */
function compareCalls(own: OwnView, other: UncheckedOptions): Check[] {
  const names = new Set([other['issuer'], other['audience']].flat());
  const target = own.targets.find(({ audience }) => names.has(audience));
  const entry = listOf(other['trustedIssuers']).find(({ issuer }) => issuer === own.issuer);
  const { mode } = Object(entry?.['subjectProof']) as { mode?: unknown };
  if (target === undefined || mode !== 'required') return [];
  const who = nameOf(other);
  if (target.grants !== 'never') return [ok('grants of calls', `${who} requires them`)];
  const message = `${who} requires proof that the user asked, and calls to it carry no grant`;
  return [fail('grants of calls', message, "write grants: 'send' for this target")];
}

/** The same for clients of brokers and for queues. */
function compareMessages(own: OwnView, other: UncheckedOptions): Check[] {
  const names = new Set([other['issuer'], other['audience']].flat());
  const entry = listOf(other['trustedIssuers']).find(({ issuer }) => issuer === own.issuer);
  const { mode } = Object(entry?.['subjectProof']) as { mode?: unknown };
  if (mode !== 'required') return [];
  const who = nameOf(other);
  return own.addressed
    .filter(({ audience }) => names.has(audience))
    .map(({ name, grants }) => {
      if (grants !== 'never')
        return ok('grants of calls', `${who} requires them, and ${name} sends them`);
      const message = `${who} requires proof that the user asked, and ${name} sends no grant`;
      return fail('grants of calls', message, `write grants: 'send' for ${name}`);
    });
}

function nameOf({ issuer }: UncheckedOptions): string {
  return String(issuer);
}

/** Unchecked options may have any value. */
function listOf(value: unknown): UncheckedOptions[] {
  const list: unknown[] = Array.isArray(value) ? value : [];
  return list.filter((item): item is UncheckedOptions => typeof item === 'object' && item !== null);
}
