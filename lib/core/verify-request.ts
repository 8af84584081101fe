import { assertClaimsProfile, type BodyClaim, readClaims, type ServiceClaims } from './claims.js';
import { refuse, ServiceAuthUnavailableError } from './errors.js';
import { createIdentity, type ServiceIdentity } from './identity.js';
import { assertHeaderProfile, type JoseHeader, readJoseHeader } from './jose-header.js';
import type { VerificationKey } from './keys.js';
import { isPending } from './pending.js';
import { PROFILES } from './profiles.js';
import {
  type BindableRequest,
  bindRequest,
  headersToBind,
  type RequestBinding,
} from './request-binding.js';
import {
  assertWholeHeaderList,
  boundHeaderValues,
  type IncomingRequest,
  TOKEN_HEADER,
} from './request.js';
import { assertIncomingRequest, bodyFrom } from './request-shape.js';
import type { TrustedIssuer } from './issuers.js';
import type { ReceivingSettings } from './settings.js';
import { isWithinPrefixes } from './subject.js';
import { assertTimes } from './token-times.js';
import { assertSignature } from './token-signature.js';
import { readToken } from './token-syntax.js';
import type { VerificationProgress } from './verification-progress.js';

/** What one route asks of a caller, besides a good token. It can only narrow. */
export interface RoutePolicy {
  /** Each list must name the issuer; no list: every trusted issuer may call. */
  readonly allowedIssuers?: readonly ReadonlySet<string>[];
  /** Whether the caller must name a user. */
  readonly subjectRequired?: boolean;
}

/**
 * Verifies the one token of a request, in the order of protocol section 4: cheap before dear, and
 * the first use is recorded last. On return the request is what its issuer signed, was not seen
 * before, and satisfies `policy`.
 *
 * Does not check that the subject exists: that is the application's knowledge. `progress` hears how far
 * it came, for the event that tells of the decision.
 *
 * @throws ServiceTokenRefusedError with the code of the first step that fails
 * @throws ServiceAuthUnavailableError `key_unavailable`, `replay_store_unavailable`
 * @throws ServiceAuthUsageError for a request that is no {@link IncomingRequest}, such as one with a parsed body
 */
export async function verifyRequest(
  request: IncomingRequest,
  settings: ReceivingSettings,
  now: () => number,
  policy: RoutePolicy = {},
  progress?: VerificationProgress,
): Promise<ServiceIdentity> {
  assertIncomingRequest(request);
  assertWholeHeaderList(request);
  const bindable = toBindable(request, settings.publicPathPrefix);
  const { knownHeaders } = settings;
  const token = readToken(bindable.headerValues(TOKEN_HEADER), knownHeaders);
  const header = readJoseHeader(token.unverifiedHeader);
  const claims = readClaims(token.unverifiedPayload);

  // Here and below only what must be waited for is: each wait costs, and most answers are there at once.
  const finding = settings.trustedIssuers.find(claims.issuer);
  const trusted = (isPending(finding) ? await finding : finding) ?? refuse('issuer_unknown');
  progress?.nameIssuer(trusted.issuer);
  const rules = PROFILES[trusted.profile];
  assertHeaderProfile(header, token.unverifiedHeader, rules);
  assertClaimsProfile(claims, token.unverifiedPayload, rules);

  const findingKey = trusted.keys.find(header.keyId);
  const key = (isPending(findingKey) ? await findingKey : findingKey) ?? refuse('key_unknown');
  assertAlgorithm(header, key);
  const { verificationLoad } = settings;
  const verifying = assertSignature(token, header.algorithm, key.key, verificationLoad);
  if (isPending(verifying)) await verifying;
  knownHeaders.keep(token.encodedHeader, token.unverifiedHeader);
  progress?.proveSignature(header.algorithm);

  assertTimes(claims, trusted.profile, settings, now());
  const audience = readAudience(claims, settings);
  const binding = assertBinding(bindable, claims, trusted, settings);
  if (isPending(binding)) {
    await binding;
    // Reading a slow body takes time, and a token is judged by the time of the decision.
    assertTimes(claims, trusted.profile, settings, now());
  }

  assertPolicy(claims, trusted, policy);
  const recording = assertFirstUse(claims, trusted, settings, now());
  if (isPending(recording)) await recording;
  return createIdentity(
    { ...claims, audience },
    {
      keyId: key.keyId,
      profile: trusted.profile,
      payload: token.unverifiedPayload,
      verifier: settings,
    },
  );
}

function assertAlgorithm(header: JoseHeader, key: VerificationKey): void {
  if (!key.algorithms.has(header.algorithm)) {
    refuse('algorithm_refused', 'alg is not the algorithm of the key');
  }
}

function readAudience(claims: ServiceClaims, settings: ReceivingSettings): string {
  const { audience } = claims;
  if (audience === undefined || !settings.audiences.has(audience)) refuse('audience_mismatch');
  return audience;
}

const CONTENT_HEADERS: ReadonlySet<string> = new Set(['content-type', 'content-encoding']);
const NO_HEADERS: ReadonlyMap<string, string> = new Map();

/** Asserts that the token was made for this very request. A promise where the body is waited for. */
function assertBinding(
  bindable: BindableRequest,
  claims: ServiceClaims,
  trusted: TrustedIssuer,
  settings: ReceivingSettings,
): void | Promise<void> {
  const settling = bindable.body.settle?.();
  const assertSettled = () => assertRequest(bindable, claims, trusted, settings);
  return isPending(settling) ? settling.then(assertSettled) : assertSettled();
}

function assertRequest(
  bindable: BindableRequest,
  claims: ServiceClaims,
  trusted: TrustedIssuer,
  settings: ReceivingSettings,
): void | Promise<void> {
  const bound = claims.boundHeaders ?? NO_HEADERS;
  const required = headersToBind(bindable.body, settings.requiredHeaders);
  const binding = bindRequest(bindable, new Set([...required, ...bound.keys()]));
  if (PROFILES[trusted.profile].bindsRequest) {
    if (claims.requestLine !== binding.req) refuse('request_mismatch');
    assertHeaders(bound, binding.hdr, bindable, required);
  }
  return assertBody(bindable, claims.body, binding);
}

function toBindable(request: IncomingRequest, publicPathPrefix: string): BindableRequest {
  return {
    method: request.method,
    target: publicPathPrefix + request.target,
    body: bodyFrom(request.body),
    headerValues: (name) => boundHeaderValues(request.rawHeaders, name),
  };
}

function assertHeaders(
  bound: ReadonlyMap<string, string>,
  received: Readonly<Record<string, string>>,
  request: BindableRequest,
  required: ReadonlySet<string>,
): void {
  for (const [name, value] of bound) {
    if (received[name] !== value) refuse('header_mismatch', `${nameFor(name, required)} differs`);
  }
  for (const name of required) {
    if (!bound.has(name) && request.headerValues(name).length > 0) {
      refuse('header_mismatch', `${name} is not bound`);
    }
  }
}

/** What the receiver asks for may be named; any other name is a word of the token. */
function nameFor(name: string, required: ReadonlySet<string>): string {
  return required.has(name) || CONTENT_HEADERS.has(name) ? name : 'another header in hdr';
}

/** The body rule of protocol section 3. */
function assertBody(
  request: BindableRequest,
  claim: BodyClaim | undefined,
  binding: RequestBinding,
): void | Promise<void> {
  assertTransferCoding(request);
  if (claim === undefined) {
    if (request.body.hasContent) refuse('claim_missing', 'bdy');
    return undefined;
  }
  const assertDigest = (digest: string): void => {
    if (digest !== claim.digest) refuse('body_mismatch');
  };
  const digest = binding.bdy(claim.algorithm);
  return typeof digest === 'string'
    ? assertDigest(digest)
    : Promise.resolve(digest).then(assertDigest);
}

/** Servers remove `chunked` alone. Under any other coding the bytes received are not the content. */
function assertTransferCoding(request: BindableRequest): void {
  const [coding = 'chunked', ...others] = request.headerValues('transfer-encoding');
  if (coding.toLowerCase() !== 'chunked' || others.length > 0) {
    refuse('body_unverifiable', 'the body: a transfer coding besides chunked');
  }
}

function assertPolicy(claims: ServiceClaims, trusted: TrustedIssuer, policy: RoutePolicy): void {
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

function assertFirstUse(
  claims: ServiceClaims,
  trusted: TrustedIssuer,
  settings: ReceivingSettings,
  nowMilliseconds: number,
): void | Promise<void> {
  const { issuer, tokenId } = claims;
  if (tokenId === undefined) return undefined; // only the original profile gets here without one
  const nowSeconds = nowMilliseconds / 1000;
  const expiresAtSeconds =
    claims.expiresAtSeconds ??
    (claims.issuedAtSeconds ?? nowSeconds) + settings.maxTokenLifetimeSeconds[trusted.profile];
  const verdict = recordUse(settings, {
    issuer,
    tokenId,
    forgetAtSeconds: expiresAtSeconds + settings.clockToleranceSeconds,
    nowSeconds,
    issuedAtSeconds: claims.issuedAtSeconds,
    clockToleranceSeconds: settings.clockToleranceSeconds,
  });
  return isPending(verdict) ? Promise.resolve(verdict).then(assertFirst) : assertFirst(verdict);
}

function assertFirst(verdict: unknown): void {
  if (verdict === 'seen') refuse('token_replayed');
  if (verdict !== 'first') {
    throw new ServiceAuthUnavailableError('replay_store_unavailable', {
      detail: 'the store answered neither "first" nor "seen"',
    });
  }
}

function recordUse(
  settings: ReceivingSettings,
  use: Parameters<ReceivingSettings['replayStore']['recordUse']>[0],
): unknown {
  try {
    const verdict: unknown = settings.replayStore.recordUse(use);
    return isPending(verdict) ? Promise.resolve(verdict).catch(failUnavailable) : verdict;
  } catch (cause) {
    return failUnavailable(cause);
  }
}

function failUnavailable(cause: unknown): never {
  if (cause instanceof ServiceAuthUnavailableError) throw cause;
  throw new ServiceAuthUnavailableError('replay_store_unavailable', { cause });
}
