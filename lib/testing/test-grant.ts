import type { GrantOptions } from '../core/index.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { ORIGINATOR, TRUST_DOMAIN } from './test-options.js';
import type { ThrowAwayKey } from './throw-away-keys.js';

/** The options of the grant in the requests of a test. */
export interface TestGrantOptions extends GrantOptions {
  /** The age of the grant, in seconds. Default 0. */
  readonly ageSeconds?: number;
  /**
   * The service that vouches for the user. Default: the first of `originators` that may vouch for the user;
   * `https://originator.test/` if the service under test has none.
   */
  readonly originator?: string;
}

/** The longest lifetime of a grant that a receiver can be configured to accept, in seconds. */
const WEEK_SECONDS = 604_800;

/** The service that vouches for a user, if a test does not name one. */
export function originatorOf(
  { settings: { receiving } }: ServiceAuth,
  subject: string,
  { originator, scope = 'user-present' }: TestGrantOptions,
): string {
  if (originator !== undefined) return originator;
  const originators = [...(receiving?.grants?.originators.values() ?? [])];
  const own = originators.filter(({ subjects }) =>
    subjects.some((prefix) => subject.startsWith(prefix)),
  );
  const fit = own.find(({ scopes }) => !scopes || [scope].flat().every((each) => scopes.has(each)));
  // The guard refuses an originator that may not vouch for this user, as in production.
  return (fit ?? own[0] ?? originators[0])?.issuer ?? ORIGINATOR;
}

/** The trust domain of a service. */
export function trustDomainOf({ settings: { receiving, sending } }: ServiceAuth): string {
  return receiving?.grants?.trustDomain ?? sending?.trustDomain ?? TRUST_DOMAIN;
}

/** A prefix of a user's URI that covers all similar users. */
export function widestPrefix(subject: string): string {
  const [scheme = 'https:'] = /^[A-Za-z][A-Za-z0-9+.-]*:/.exec(subject) ?? [];
  return scheme;
}

/** The originator of a grant, its trust domain, and the time. */
export interface GrantMaker {
  readonly originator: string;
  readonly trustDomain: string;
  readonly key: ThrowAwayKey;
  readonly now: () => number;
}

/**
 * Makes a grant as an originator does.
 *
 * @throws ServiceSigningError `originate_refused` for invalid options of a grant
 */
export async function makeGrant(
  subject: string,
  { ageSeconds = 0, originator: _named, ...options }: TestGrantOptions,
  { originator, trustDomain, key, now }: GrantMaker,
): Promise<string> {
  const { privateKey, algorithm } = key;
  const maker = await createServiceAuth({
    issuer: originator,
    signingKey: { privateKey, algorithm },
    // It calls no service, but a signing service must have a target.
    targets: [{ baseUrl: 'https://nobody.test/' }],
    trustDomain,
    originate: { subjects: [widestPrefix(subject)], maxLifetimeSeconds: WEEK_SECONDS },
    now: () => now() - ageSeconds * 1000,
  });
  try {
    return await maker.issueGrant(subject, options);
  } finally {
    maker.close();
  }
}
