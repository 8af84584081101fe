import { assertClaimsProfile, type BodyClaim, readClaims, type VerifiedClaims } from './claims.js';
import { refuse } from './errors.js';
import { createIdentity, markVerified, type ServiceIdentity } from './identity.js';
import { assertHeaderProfile, readJoseHeader } from './jose-header.js';
import { describeBody, describeKnownKeys, describeRequestLine } from './refusal-details.js';
import type { IncomingMessage } from './messages/message.js';
import { PROFILES, type ProfileRules } from './profiles.js';
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
import type { ReceivingSettings } from './settings.js';
import { assertTimes, timeLimits } from './token-times.js';
import { verifyClaims } from './token-signature.js';
import { readToken } from './token-syntax.js';
import {
  apart,
  assertAlgorithm,
  assertFirst,
  assertPolicy,
  assertRoutePolicy,
  findTrustedIssuer,
  proveUser,
  readAudience,
  recordUse,
  type RoutePolicy,
  tokenUse,
  type Verifier,
  withHeld,
} from './verification-steps.js';

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

  const trusted = await findTrustedIssuer(unverified.issuer, 'http', settings);
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

/**
 * Asserts that a caller verified for one route satisfies another route, to which the request was handed on.
 *
 * @returns the identity, with the grant if the route requires a proof
 * @throws ServiceTokenRefusedError, ServiceAuthUnavailableError as {@link verifyRequest} does for policy and proof
 */
export async function verifyForRoute(
  identity: ServiceIdentity,
  {
    call,
    policy,
  }: { readonly call: IncomingRequest | IncomingMessage; readonly policy: RoutePolicy },
  verifier: Verifier,
): Promise<ServiceIdentity> {
  assertRoutePolicy(identity, policy);
  if (policy.proof === undefined) return identity;
  const { settings } = verifier;
  const trusted = (await settings.trustedIssuers.find(identity.issuer)) ?? refuse('issuer_unknown');
  const claims = { subject: identity.subject, payload: identity.claims };
  const headers = 'rawHeaders' in call ? readRequest(call, settings) : call;
  const proof = await proveUser(claims, { trusted, policy, headers }, verifier);
  return withHeld(markVerified({ ...identity, grant: proof.grant }, settings), proof);
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
