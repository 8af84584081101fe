import {
  isAlgorithm,
  type KeySourceOptions,
  type OriginatorOptions,
  type ServiceAuthOptions,
  type TrustedIssuerFinder,
  type TrustedIssuerOptions,
} from '../core/index.js';
import type { ServiceAuthModuleOptions } from '../nest/service-auth.options.js';
import type { TestClock } from './test-clock.js';
import type { ThrowAwayKeys } from './throw-away-keys.js';

/** The options that the testing kit fills in itself. */
type FilledIn = 'issuer' | 'signingKey' | 'replayStore' | 'now';

/**
 * The options of the module that a test may set. In `trustedIssuers` and `originators` the names and the policy
 * count: their keys are replaced.
 */
export interface ServiceAuthTestOptions extends Omit<ServiceAuthModuleOptions, FilledIn> {
  /** The URI of the service under test. Default `https://service.test/`. */
  issuer?: string;
}

/** The substitutes that let real settings run in a test. */
export interface TestSubstitutes {
  readonly keys: ThrowAwayKeys;
  readonly clock: TestClock;
}

/** The default names of the service under test, and of its caller. */
export const SERVICE = 'https://service.test/';
export const CALLER = 'https://caller.test/';
/** The default originator, and the default trust domain. */
export const ORIGINATOR = 'https://originator.test/';
export const TRUST_DOMAIN = 'https://trust-domain.test/';

/**
 * Fills in the options that a test omits: the name of the service, its trusted issuers, and a key if it calls others.
 */
export function completeOptions(
  options: ServiceAuthTestOptions,
  { keys }: TestSubstitutes,
): ServiceAuthModuleOptions {
  const issuer = options.issuer ?? SERVICE;
  const { privateKey } = keys.keyOf(issuer);
  const { originators, originate, targets } = options;
  const usesGrants = originators !== undefined || originate !== undefined;
  return {
    ...options,
    issuer,
    trustedIssuers: options.trustedIssuers ?? [{ issuer: CALLER, ...proofOf(originators) }],
    signingKey: targets === undefined ? undefined : { privateKey },
    trustDomain: options.trustDomain ?? (usesGrants ? TRUST_DOMAIN : undefined),
  };
}

/** A test that names originators but no issuers wants to verify grants. */
function proofOf(
  originators: ServiceAuthTestOptions['originators'],
): Pick<TrustedIssuerOptions, 'subjectProof'> {
  if (originators === undefined) return {};
  return { subjectProof: { mode: 'required', withoutSubject: 'allowed' } };
}

/**
 * The same settings with keys, clock and replay store of the test. Each trusted issuer has a throw-away key, and so
 * has the service if it signs. Policy, profiles, limits and mistakes stay as they are.
 *
 * @param finderOfClass represents a finder that the options name by its class
 */
export function withSubstitutes(
  options: ServiceAuthModuleOptions,
  finderOfClass: TrustedIssuerFinder,
  substitutes: TestSubstitutes,
): ServiceAuthModuleOptions {
  const { issuer, signingKey, trustedIssuers, originators } = options;
  const { privateKey } = substitutes.keys.keyOf(issuer);
  return {
    ...options,
    signingKey: signingKey === undefined ? undefined : { privateKey },
    trustedIssuers: withTestKeys(
      typeof trustedIssuers === 'function' ? finderOfClass : trustedIssuers,
      substitutes.keys,
    ),
    originators: Array.isArray(originators)
      ? originators.map((entry: OriginatorOptions) => withTestKey(entry, substitutes.keys))
      : originators,
    replayStore: undefined,
    now: substitutes.clock.now,
  };
}

function withTestKeys(
  trustedIssuers: ServiceAuthOptions['trustedIssuers'],
  keys: ThrowAwayKeys,
): ServiceAuthOptions['trustedIssuers'] {
  if (isFinder(trustedIssuers)) {
    return { find: async (issuer) => withTestKey(await trustedIssuers.find(issuer), keys) };
  }
  if (!Array.isArray(trustedIssuers)) return trustedIssuers;
  return trustedIssuers.map((entry: TrustedIssuerOptions) => withTestKey(entry, keys));
}

function isFinder(written: ServiceAuthOptions['trustedIssuers']): written is TrustedIssuerFinder {
  return (
    typeof written === 'object' &&
    written !== null &&
    'find' in written &&
    !Array.isArray(written) &&
    typeof written.find === 'function'
  );
}

/** The checks of the library report an entry without a name. */
function withTestKey<T extends KeySourceOptions | null | undefined>(
  entry: T,
  keys: ThrowAwayKeys,
): T {
  if (typeof entry?.issuer !== 'string') return entry;
  const { issuer, algorithms } = entry;
  const admitted = Array.isArray(algorithms) ? algorithms.filter(isAlgorithm) : [];
  const { publicKey } = keys.keyOf(issuer, admitted);
  return { ...entry, publicKey, keys: undefined, jwksUri: undefined };
}
