import { assertClaimsProfile, type BodyClaim, readClaims, type VerifiedClaims } from './claims.js';
import { refuse, ServiceAuthUnavailableError } from './errors.js';
import { createIdentity, type ServiceIdentity } from './identity.js';
import { assertHeaderProfile, type JoseHeader, readJoseHeader } from './jose-header.js';
import type { VerificationKey } from './keys.js';
import {
  describeAudience,
  describeBody,
  describeKnownKeys,
  describeNearMiss,
  describeRequestLine,
} from './refusal-details.js';
import { PROFILES } from './profiles.js';
import type { TokenUse } from './replay.js';
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
import { verifyClaims } from './token-signature.js';
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
 * Verifies the one token of a request, in the order of protocol section 4: cheap steps first, and
 * the first use is recorded last. On return the request is what its issuer signed, was not seen
 * before, and satisfies `policy`.
 *
 * Does not check that the subject exists: that is the application's knowledge. `progress` notes how far
 * it came, for the event of the decision.
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
  const unverified = readClaims(token.unverifiedPayload);

  const trusted =
    (await settings.trustedIssuers.find(unverified.issuer)) ??
    refuse('issuer_unknown', describeNearMiss(unverified.issuer, settings.trustedIssuers));
  progress?.nameIssuer(trusted.issuer);
  const rules = PROFILES[trusted.profile];
  assertHeaderProfile(header, token.unverifiedHeader, rules);
  assertClaimsProfile(unverified, rules);

  const key =
    (await trusted.keys.find(header.keyId)) ??
    refuse('key_unknown', describeKnownKeys(trusted.keys.health()));
  assertAlgorithm(header, key);
  const claims = await verifyClaims(unverified, token, {
    algorithm: header.algorithm,
    key: key.key,
    load: settings.verificationLoad,
  });
  knownHeaders.keep(token.encodedHeader, token.unverifiedHeader);
  progress?.proveSignature(header.algorithm);

  assertTimes(claims, trusted.profile, settings, now());
  const audience = readAudience(claims, settings);
  await assertBinding(bindable, claims, trusted, settings);
  // Again, since a slow body takes time to arrive: a token is judged by the time of the decision.
  assertTimes(claims, trusted.profile, settings, now());
  assertPolicy(claims, trusted, policy);
  await assertFirstUse(claims, trusted, settings, now());
  progress?.finishVerification();
  return createIdentity(
    { ...claims, audience },
    { keyId: key.keyId, profile: trusted.profile, verifier: settings },
  );
}

function assertAlgorithm(header: JoseHeader, key: VerificationKey): void {
  if (!key.algorithms.has(header.algorithm)) {
    refuse('algorithm_refused', 'alg is not the algorithm of the key');
  }
}

function readAudience(claims: VerifiedClaims, settings: ReceivingSettings): string {
  const { audience } = claims;
  if (audience === undefined || !settings.audiences.has(audience)) {
    refuse('audience_mismatch', describeAudience(audience, settings.audiences));
  }
  return audience;
}

const CONTENT_HEADERS: ReadonlySet<string> = new Set(['content-type', 'content-encoding']);
const NO_HEADERS: ReadonlyMap<string, string> = new Map();

/** Asserts that the token was made for this very request. Waits for its body. */
async function assertBinding(
  bindable: BindableRequest,
  claims: VerifiedClaims,
  trusted: TrustedIssuer,
  settings: ReceivingSettings,
): Promise<void> {
  await bindable.body.settle?.();
  const bound = claims.boundHeaders ?? NO_HEADERS;
  const required = headersToBind(bindable.body, settings.requiredHeaders);
  const binding = bindRequest(bindable, new Set([...required, ...bound.keys()]));
  if (PROFILES[trusted.profile].bindsRequest) {
    if (claims.requestLine !== binding.req) {
      const { refusalDetails } = settings;
      const detail = describeRequestLine(claims.requestLine, binding.req, refusalDetails);
      refuse('request_mismatch', detail);
    }
    assertHeaders(bound, binding.hdr, bindable, required);
  }
  await assertBody(bindable, claims.body, binding);
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
async function assertBody(
  request: BindableRequest,
  claim: BodyClaim | undefined,
  binding: RequestBinding,
): Promise<void> {
  assertTransferCoding(request);
  if (claim === undefined) {
    if (request.body.hasContent) refuse('claim_missing', 'bdy');
    return;
  }
  const digest = await binding.bdy(claim.algorithm);
  if (digest !== claim.digest) refuse('body_mismatch', describeBody(request));
}

/** Servers remove `chunked` alone. Under any other coding the bytes received are not the content. */
function assertTransferCoding(request: BindableRequest): void {
  const [coding = 'chunked', ...others] = request.headerValues('transfer-encoding');
  if (coding.toLowerCase() !== 'chunked' || others.length > 0) {
    refuse('body_unverifiable', 'the body: a transfer coding besides chunked');
  }
}

function assertPolicy(claims: VerifiedClaims, trusted: TrustedIssuer, policy: RoutePolicy): void {
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

/** Begins to record the use before it waits for anything: `nowMilliseconds` is the time of the decision. */
async function assertFirstUse(
  claims: VerifiedClaims,
  trusted: TrustedIssuer,
  settings: ReceivingSettings,
  nowMilliseconds: number,
): Promise<void> {
  const { issuer, tokenId } = claims;
  if (tokenId === undefined) return; // only the original profile gets here without one
  const nowSeconds = nowMilliseconds / 1000;
  const expiresAtSeconds =
    claims.expiresAtSeconds ??
    (claims.issuedAtSeconds ?? nowSeconds) + settings.maxTokenLifetimeSeconds[trusted.profile];
  const verdict = await recordUse(settings, {
    issuer,
    tokenId,
    forgetAtSeconds: expiresAtSeconds + settings.clockToleranceSeconds,
    nowSeconds,
    issuedAtSeconds: claims.issuedAtSeconds,
    clockToleranceSeconds: settings.clockToleranceSeconds,
  });
  if (verdict === 'seen') refuse('token_replayed');
  if (verdict !== 'first') {
    throw new ServiceAuthUnavailableError('replay_store_unavailable', {
      detail: 'the store answered neither "first" nor "seen"',
    });
  }
}

/** Whatever a store throws, the use is undecided. */
async function recordUse(settings: ReceivingSettings, use: TokenUse): Promise<unknown> {
  try {
    return await settings.replayStore.recordUse(use);
  } catch (cause) {
    if (cause instanceof ServiceAuthUnavailableError) throw cause;
    throw new ServiceAuthUnavailableError('replay_store_unavailable', { cause });
  }
}
