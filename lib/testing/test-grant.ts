import type { GrantOptions } from '../core/index.js';
import { createServiceAuth, type ServiceAuth } from '../service-auth.js';
import { ORIGINATOR, TRUST_DOMAIN } from './test-options.js';
import type { ThrowAwayKey } from './throw-away-keys.js';

/** What a test says of the grant that goes along with its requests. */
export interface TestGrantOptions extends GrantOptions {
  /** How long ago it was made, in seconds. Default 0. */
  readonly ageSeconds?: number;
  /**
   * The service that vouches for the user. Default: the first of `originators` that may; where the service under test has
   * none, `https://originator.test/`.
   */
  readonly originator?: string;
}

/** The longest life of a grant that any receiver can be set to accept, in seconds. */
const WEEK_SECONDS = 604_800;

/** The service that vouches for a user, where a test does not name one. */
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
  // One that may not vouch for this user is refused, as in production.
  return (fit ?? own[0] ?? originators[0])?.issuer ?? ORIGINATOR;
}

/** The environment that a service is in. */
export function trustDomainOf({ settings: { receiving, sending } }: ServiceAuth): string {
  return receiving?.grants?.trustDomain ?? sending?.trustDomain ?? TRUST_DOMAIN;
}

/** A prefix of a user's URI that covers all users like it. */
export function widestPrefix(subject: string): string {
  const [scheme = 'https:'] = /^[A-Za-z][A-Za-z0-9+.-]*:/.exec(subject) ?? [];
  return scheme;
}

/** Who makes a grant, in which environment, and when. */
export interface GrantMaker {
  readonly originator: string;
  readonly trustDomain: string;
  readonly key: ThrowAwayKey;
  readonly now: () => number;
}

/**
 * Makes a grant as an originator does.
 *
 * @throws ServiceSigningError `originate_refused` for what is no grant
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
    // It calls nobody, and what signs has to name somebody.
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
