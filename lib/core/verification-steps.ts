import type { VerifiedClaims } from './claims.js';
import { refuse, ServiceAuthUnavailableError } from './errors.js';
import { GrantCache } from './grants/grant-cache.js';
import { NO_PROOF, type ProofPolicy } from './grants/grant-settings.js';
import { holdGrant } from './grants/held-grant.js';
import { type ProofOutcome, proveSubject } from './grants/prove-subject.js';
import type { ServiceIdentity } from './identity.js';
import type { TrustedIssuer } from './issuers.js';
import type { JoseHeader } from './jose-header.js';
import type { VerificationKey } from './keys.js';
import type { KnownHeaders } from './known-headers.js';
import { describeAudience, describeNearMiss } from './refusal-details.js';
import type { TokenUse } from './replay.js';
import type { BindableRequest } from './request-binding.js';
import type { CallTransport } from './messages/message.js';
import type { VerificationLoad } from './scheduling.js';
import type { ReceivingSettings } from './settings.js';
import { isWithinPrefixes } from './subject.js';
import type { TimeLimits } from './token-times.js';
import type { DecisionMode, VerificationProgress } from './verification-progress.js';

/** What one route asks of a caller, besides a good token. It can only narrow. */
export interface RoutePolicy {
  /** Each list must name the issuer; no list: every trusted issuer may call. */
  readonly allowedIssuers?: readonly ReadonlySet<string>[];
  /** Whether the caller must name a user. */
  readonly subjectRequired?: boolean;
  /** A proof that the user asked, whatever the configuration asks of the issuer. Undefined: what that asks. */
  readonly proof?: ProofPolicy | undefined;
}

/** Who verifies: its settings, its clock, and what it remembers of other requests. */
export interface Verifier {
  readonly settings: ReceivingSettings;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly knownHeaders?: KnownHeaders;
  readonly load?: VerificationLoad;
  /** Grants that were verified before. */
  readonly knownGrants?: GrantCache;
  /** Notes how far this request came, for the event of the decision. */
  readonly progress?: VerificationProgress | undefined;
  /** With `report` the first use of a token is recorded apart from those that count. Default `enforce`. */
  readonly enforcement?: DecisionMode | undefined;
}

/** The identity, which calls for its user take the grant from. */
export function withHeld(identity: ServiceIdentity, { held }: ProofOutcome): ServiceIdentity {
  if (held) holdGrant(identity, held);
  return identity;
}

/** Who calls, what its route asks, and what came beside the token. */
interface ProofRequest {
  readonly trusted: TrustedIssuer;
  readonly policy: RoutePolicy;
  readonly headers: Pick<BindableRequest, 'headerValues'>;
}

/** Whether the user asked, as far as a proof is required. A token in the original profile binds no request: it proves none. */
export function proveUser(
  { subject, payload }: Pick<VerifiedClaims, 'subject' | 'payload'>,
  { trusted, policy, headers: { headerValues } }: ProofRequest,
  { settings, now, knownHeaders, load, knownGrants = new GrantCache() }: Verifier,
): ProofOutcome | Promise<ProofOutcome> {
  const { grants, clockToleranceSeconds } = settings;
  const { subjectProof: proof } = trusted;
  if (proof === undefined && subject !== undefined) {
    refuse(
      'subject_not_allowed',
      `the finder of trustedIssuers gave no subjectProof for ${trusted.issuer}`,
    );
  }
  const isUnbound = policy.proof !== undefined && trusted.profile === 'original';
  return proveSubject(
    { subject, tth: isUnbound ? undefined : payload['tth'], headerValues },
    { proof: proof ?? NO_PROOF, asked: policy.proof },
    { grants, clockToleranceSeconds, now, knownHeaders, load, cache: knownGrants },
  );
}

/**
 * The issuer that a token names, if it is trusted for this way of calling. One that is trusted for other ways is as
 * unknown here as any.
 *
 * @throws ServiceTokenRefusedError `issuer_unknown`
 * @throws ServiceAuthUnavailableError `key_unavailable` when that cannot be decided now
 */
export async function findTrustedIssuer(
  unverifiedIssuer: string,
  transport: CallTransport,
  { trustedIssuers }: Pick<ReceivingSettings, 'trustedIssuers'>,
): Promise<TrustedIssuer> {
  const trusted =
    (await trustedIssuers.find(unverifiedIssuer)) ??
    refuse('issuer_unknown', describeNearMiss(unverifiedIssuer, trustedIssuers));
  const { transports } = trusted;
  if (transports.has(transport)) return trusted;
  return refuse(
    'issuer_unknown',
    `its issuer is trusted for ${[...transports].join(' and ')} alone`,
  );
}

export function assertAlgorithm(header: JoseHeader, key: VerificationKey): void {
  if (!key.algorithms.has(header.algorithm)) {
    refuse('algorithm_refused', 'alg is not the algorithm of the key');
  }
}

/** @throws ServiceTokenRefusedError `audience_mismatch` */
export function readAudience(
  { audience }: VerifiedClaims,
  { audiences }: Pick<ReceivingSettings, 'audiences'>,
): string {
  if (audience !== undefined && audiences.has(audience)) return audience;
  return refuse('audience_mismatch', describeAudience(audience, audiences));
}

export function assertPolicy(
  claims: VerifiedClaims,
  trusted: TrustedIssuer,
  policy: RoutePolicy,
): void {
  const { subject } = claims;
  assertRoutePolicy({ issuer: trusted.issuer, subject }, policy);
  if (subject !== undefined && trusted.subjects && !isWithinPrefixes(subject, trusted.subjects)) {
    refuse('subject_not_allowed');
  }
}

/**
 * Asserts that a caller satisfies what one route asks, be it verified for this route or for another.
 *
 * @throws ServiceTokenRefusedError `issuer_not_allowed`, `subject_missing`
 */
export function assertRoutePolicy(
  caller: Pick<ServiceIdentity, 'issuer' | 'subject'>,
  policy: RoutePolicy,
): void {
  for (const allowed of policy.allowedIssuers ?? []) {
    if (!allowed.has(caller.issuer)) refuse('issuer_not_allowed');
  }
  if (policy.subjectRequired && caller.subject === undefined) refuse('subject_missing');
}

/** What a replay store must remember of a token; undefined in the original profile, where a token may have no id. */
export function tokenUse(
  claims: VerifiedClaims,
  { maxLifetimeSeconds, clockToleranceSeconds }: TimeLimits,
  nowMilliseconds: number,
): TokenUse | undefined {
  const { issuer, tokenId, issuedAtSeconds } = claims;
  if (tokenId === undefined) return undefined;
  const nowSeconds = nowMilliseconds / 1000;
  const expiresAtSeconds =
    claims.expiresAtSeconds ?? (issuedAtSeconds ?? nowSeconds) + maxLifetimeSeconds;
  return {
    issuer,
    tokenId,
    forgetAtSeconds: expiresAtSeconds + clockToleranceSeconds,
    nowSeconds,
    issuedAtSeconds,
    clockToleranceSeconds,
  };
}

/** The use in a space of its own: no token id has a space. */
export function apart(use: TokenUse): TokenUse {
  return { ...use, tokenId: `report ${use.tokenId}` };
}

/** @param verdict what the store answered */
export function assertFirst(verdict: unknown): void {
  if (verdict === 'seen') refuse('token_replayed');
  if (verdict !== 'first') {
    throw new ServiceAuthUnavailableError('replay_store_unavailable', {
      detail: 'the store answered neither "first" nor "seen"',
    });
  }
}

/**
 * Begins to record the use before it waits for anything: its time is the time of the decision. Whatever a store throws,
 * the use is undecided.
 */
export async function recordUse(
  use: TokenUse,
  { replayStore }: ReceivingSettings,
): Promise<unknown> {
  try {
    return await replayStore.recordUse(use);
  } catch (cause) {
    if (cause instanceof ServiceAuthUnavailableError) throw cause;
    throw new ServiceAuthUnavailableError('replay_store_unavailable', { cause });
  }
}
