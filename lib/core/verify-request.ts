import { assertClaimsProfile, type BodyClaim, readClaims, type VerifiedClaims } from './claims.js';
import { refuse, ServiceAuthUnavailableError } from './errors.js';
import { GrantCache } from './grants/grant-cache.js';
import { NO_PROOF, type ProofPolicy } from './grants/grant-settings.js';
import { holdGrant } from './grants/held-grant.js';
import { type ProofOutcome, proveSubject } from './grants/prove-subject.js';
import { createIdentity, markVerified, type ServiceIdentity } from './identity.js';
import { assertHeaderProfile, type JoseHeader, readJoseHeader } from './jose-header.js';
import type { VerificationKey } from './keys.js';
import type { KnownHeaders } from './known-headers.js';
import {
  describeAudience,
  describeBody,
  describeKnownKeys,
  describeNearMiss,
  describeRequestLine,
} from './refusal-details.js';
import { PROFILES, type ProfileRules } from './profiles.js';
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
import type { VerificationLoad } from './scheduling.js';
import type { ReceivingSettings } from './settings.js';
import { isWithinPrefixes } from './subject.js';
import { assertTimes, timeLimits, type TimeLimits } from './token-times.js';
import { verifyClaims } from './token-signature.js';
import { readToken } from './token-syntax.js';
import type { DecisionMode, VerificationProgress } from './verification-progress.js';

/** What one route requires of a caller besides a valid token. It can only narrow. */
export interface RoutePolicy {
  /** Each set must contain the issuer; without a set, every trusted issuer may call. */
  readonly allowedIssuers?: readonly ReadonlySet<string>[];
  /** Whether the caller must name a user. */
  readonly subjectRequired?: boolean;
  /** The proof that the route requires. Undefined: what the configuration requires of the issuer. */
  readonly proof?: ProofPolicy | undefined;
}

/** The verifier: its settings, its clock, and what it remembers of other requests. */
export interface Verifier {
  readonly settings: ReceivingSettings;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly knownHeaders?: KnownHeaders;
  readonly load?: VerificationLoad;
  /** Grants that were verified before. */
  readonly knownGrants?: GrantCache;
  /** Records the progress of this request, for the event of the decision. */
  readonly progress?: VerificationProgress | undefined;
  /** With `report`, uses of tokens are recorded separately from those of enforced requests. Default `enforce`. */
  readonly enforcement?: DecisionMode | undefined;
}

/**
 * Verifies the one token of a request, in the order of protocol section 4: cheap steps first, the replay store last.
 * On return the request is the one that its issuer signed, its token was not used before, and it satisfies `policy`.
 *
 * Does not check that the subject exists: only the application knows.
 *
 * @throws ServiceTokenRefusedError with the code of the first step that fails
 * @throws ServiceAuthUnavailableError `key_unavailable`, `replay_store_unavailable`
 * @throws ServiceAuthUsageError for a request that is not an {@link IncomingRequest}, such as one with a parsed body
 */
export async function verifyRequest(
  request: IncomingRequest,
  policy: RoutePolicy,
  verifier: Verifier,
): Promise<ServiceIdentity> {
  const { settings, now, knownHeaders, load, progress, enforcement } = verifier;
  const bindable = readRequest(request, settings);
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
  const { algorithm } = header;
  const check = { algorithm, key: key.key, keyId: key.keyId, load };
  const claims = await verifyClaims(unverified, token, check);
  knownHeaders?.keep(token.encodedHeader, token.unverifiedHeader);
  progress?.proveSignature(algorithm);

  const limits = timeLimits(settings, trusted.profile);
  assertTimes(claims, limits, now());
  const audience = readAudience(claims, settings);
  await bindable.body.settle?.();
  const { refusalDetails } = settings;
  const binding = bindAsClaimed(bindable, claims, { rules, refusalDetails });
  const digest = claims.body && (await binding.bdy(claims.body.algorithm));
  assertBody(bindable, claims.body, digest);
  // Again, since a slow body takes time to arrive: the time of the decision counts.
  assertTimes(claims, limits, now());
  assertPolicy(claims, trusted, policy);
  const proof = await proveUser(claims, { trusted, policy, headers: bindable }, verifier);
  // And again, since fetching the keys of an originator takes time.
  assertTimes(claims, limits, now());
  const use = tokenUse(claims, limits, now());
  if (use) assertFirst(await recordUse(enforcement === 'report' ? apart(use) : use, settings));
  progress?.finishVerification(proof);
  const { keyId } = key;
  const verified = { keyId, profile: trusted.profile, verifier: settings, grant: proof.grant };
  return withHeld(createIdentity({ ...claims, audience }, verified), proof);
}

/** Adds the grant to the identity, so that calls for its user can pass it on. */
function withHeld(identity: ServiceIdentity, { held }: ProofOutcome): ServiceIdentity {
  if (held) holdGrant(identity, held);
  return identity;
}

/** The caller, what the route requires, and the headers of the request. */
interface ProofRequest {
  readonly trusted: TrustedIssuer;
  readonly policy: RoutePolicy;
  readonly headers: Pick<BindableRequest, 'headerValues'>;
}

/**
 * Checks whether the user asked, if a proof is required. A token in the original profile binds no request, so it
 * proves nothing of the user.
 */
function proveUser(
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
 * Asserts that a caller verified for one route satisfies another route, to which the request was handed on.
 *
 * @returns the identity, with the grant if the route requires a proof
 * @throws ServiceTokenRefusedError, ServiceAuthUnavailableError as {@link verifyRequest} does for policy and proof
 */
export async function verifyForRoute(
  identity: ServiceIdentity,
  { request, policy }: { readonly request: IncomingRequest; readonly policy: RoutePolicy },
  verifier: Verifier,
): Promise<ServiceIdentity> {
  assertRoutePolicy(identity, policy);
  if (policy.proof === undefined) return identity;
  const { settings } = verifier;
  const trusted = (await settings.trustedIssuers.find(identity.issuer)) ?? refuse('issuer_unknown');
  const claims = { subject: identity.subject, payload: identity.claims };
  const headers = readRequest(request, settings);
  const proof = await proveUser(claims, { trusted, policy, headers }, verifier);
  return withHeld(markVerified({ ...identity, grant: proof.grant }, settings), proof);
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

/** What a token must bind, and how much the detail of a refusal says. */
interface BindingTerms extends Pick<ReceivingSettings, 'refusalDetails'> {
  readonly rules: ProfileRules;
}

/**
 * Computes the binding of a request with settled content, and asserts that the token has the same `req` and `hdr`.
 */
function bindAsClaimed(
  bindable: BindableRequest,
  claims: VerifiedClaims,
  { rules, refusalDetails }: BindingTerms,
): RequestBinding {
  const bound = claims.boundHeaders ?? NO_HEADERS;
  const required = headersToBind(bindable);
  const binding = bindRequest(bindable, new Set([...required, ...bound.keys()]));
  if (rules.bindsRequest) {
    if (claims.requestLine !== binding.req) {
      const detail = describeRequestLine(claims.requestLine, binding.req, refusalDetails);
      refuse('request_mismatch', detail);
    }
    assertBoundHeaders(bound, binding.hdr, required);
    assertRequiredHeaders(required, bound, bindable);
  }
  assertTransferCoding(bindable);
  return binding;
}

/** The request as a token binds it, with its complete list of headers. */
function readRequest(
  request: IncomingRequest,
  { publicPathPrefix, requiredHeaders }: ReceivingSettings,
): BindableRequest {
  assertIncomingRequest(request);
  assertWholeHeaderList(request);
  return {
    method: request.method,
    target: publicPathPrefix + request.target,
    body: bodyFrom(request.body),
    configuredHeaders: requiredHeaders,
    headerValues: (name) => boundHeaderValues(request.rawHeaders, name),
  };
}

/** Asserts that each header that the token binds has the received value. */
function assertBoundHeaders(
  bound: ReadonlyMap<string, string>,
  received: Readonly<Record<string, string>>,
  required: ReadonlySet<string>,
): void {
  for (const [name, value] of bound) {
    if (received[name] !== value) refuse('header_mismatch', `${nameFor(name, required)} differs`);
  }
}

/** Asserts that the token binds each required header of the request. */
function assertRequiredHeaders(
  required: ReadonlySet<string>,
  bound: ReadonlyMap<string, string>,
  request: BindableRequest,
): void {
  for (const name of required) {
    if (!bound.has(name) && request.headerValues(name).length > 0) {
      refuse('header_mismatch', `${name} is not bound`);
    }
  }
}

/** A detail may name headers that the receiver requires; other names are text of the token. */
function nameFor(name: string, required: ReadonlySet<string>): string {
  return required.has(name) || CONTENT_HEADERS.has(name) ? name : 'another header in hdr';
}

/**
 * The body rule of protocol section 3.
 *
 * @param digest of the content, in the algorithm of the claim
 */
function assertBody(
  request: BindableRequest,
  claim: BodyClaim | undefined,
  digest: string | undefined,
): void {
  if (claim === undefined && request.body.hasContent) refuse('claim_missing', 'bdy');
  if (digest !== claim?.digest) refuse('body_mismatch', describeBody(request));
}

/** Servers remove only `chunked`. With any other coding, the received bytes are not the content. */
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
 * Asserts that a caller satisfies one route, whether it was verified for this route or for another.
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

/** What a replay store must remember of a token; undefined for a token without an id (original profile). */
function tokenUse(
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

/** Separates the uses in report-only mode: a token id never contains a space. */
function apart(use: TokenUse): TokenUse {
  return { ...use, tokenId: `report ${use.tokenId}` };
}

/** @param verdict the answer of the store */
function assertFirst(verdict: unknown): void {
  if (verdict === 'seen') refuse('token_replayed');
  if (verdict !== 'first') {
    throw new ServiceAuthUnavailableError('replay_store_unavailable', {
      detail: 'the store answered neither "first" nor "seen"',
    });
  }
}

/**
 * Calls the store before it waits for anything, so the time of the use is the time of the decision. Any error of a
 * store leaves the use undecided.
 */
async function recordUse(use: TokenUse, { replayStore }: ReceivingSettings): Promise<unknown> {
  try {
    return await replayStore.recordUse(use);
  } catch (cause) {
    if (cause instanceof ServiceAuthUnavailableError) throw cause;
    throw new ServiceAuthUnavailableError('replay_store_unavailable', { cause });
  }
}
