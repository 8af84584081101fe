import { isRefusal, refuse } from '../errors.js';
import type { UnboundReason } from '../events.js';
import { GRANT_HEADER } from '../request.js';
import { isWithinPrefixes } from '../subject.js';
import type { RefusalCode } from '../codes.js';
import type { GrantClaims } from './grant-claims.js';
import {
  DEFAULT_MAX_AGE_SECONDS,
  type GrantSettings,
  type ProofPolicy,
  type SubjectProof,
} from './grant-settings.js';
import { HeldGrant } from './held-grant.js';
import type { VerifiedGrant } from './verified-grant.js';
import {
  assertGrantText,
  grantHash,
  type GrantVerifier,
  isGrantText,
  verifyGrant,
} from './verify-grant.js';

/** What a verified service token says about its user, and the headers of its request. */
export interface SubjectClaim {
  readonly subject: string | undefined;
  /** The claim `tth`, of any type; undefined if the token has none. */
  readonly tth: unknown;
  /** Every value of a header, by its lower-case name. */
  readonly headerValues: (name: string) => readonly string[];
}

/** What the configuration of the issuer and the route require of a request. */
export interface ProofTerms {
  /** The requirement of the issuer. */
  readonly proof: SubjectProof;
  /** The requirement of the route. With it a proof is required, whatever the mode of the issuer is. */
  readonly asked: ProofPolicy | undefined;
}

/** The receiver that checks the proof. */
export interface ProofVerifier extends Omit<GrantVerifier, 'grants'> {
  /** Undefined in a service without originators. There no issuer and no route requires a proof. */
  readonly grants: GrantSettings | undefined;
  readonly clockToleranceSeconds: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** The result of the check whether the user asked. */
export interface ProofOutcome {
  /** What was proved, if a proof is required. */
  readonly grant?: VerifiedGrant;
  /** The grant to pass on with calls for this user. */
  readonly held?: HeldGrant;
  /** The code of the refusal if the mode of the issuer was `required`. */
  readonly refusal?: RefusalCode;
  /** Why the token and the grant do not belong together, if no proof was required. */
  readonly unbound?: UnboundReason;
}

const NOTHING: ProofOutcome = Object.freeze({});

/**
 * Checks whether the user of a verified service token asked for this request: protocol section "Grants". Cheap steps
 * run first.
 *
 * @throws ServiceTokenRefusedError `subject_missing`, `grant_missing`, `grant_repeated`, `grant_invalid`,
 *   `grant_mismatch`, `originator_unknown`, `originator_not_allowed`, `grant_expired`, `grant_not_yet_valid`,
 *   `scope_missing`, `authentication_insufficient`
 * @throws ServiceAuthUnavailableError `key_unavailable`
 */
export function proveSubject(
  claim: SubjectClaim,
  terms: ProofTerms,
  verifier: ProofVerifier,
): ProofOutcome | Promise<ProofOutcome> {
  const { mode } = terms.proof;
  if (terms.asked || mode === 'required') return judge(claim, terms, verifier);
  return mode === 'off' ? comparePair(claim) : report(claim, terms, verifier);
}

/** Without a required proof: keeps a token and its grant unread, and notices if one of them is missing. */
function comparePair(claim: SubjectClaim): ProofOutcome {
  const [text = '', ...others] = claim.headerValues(GRANT_HEADER);
  if (claim.subject === undefined || (text === '' && claim.tth === undefined)) return NOTHING;
  if (others.length > 0) return { unbound: 'repeated' };
  if (text === '') return { unbound: 'claim_only' };
  if (claim.tth === undefined) return { unbound: 'header_only' };
  if (!isGrantText(text)) return { unbound: 'malformed' };
  if (claim.tth !== grantHash(text)) return { unbound: 'unequal' };
  return { held: new HeldGrant(text, { subject: claim.subject }) };
}

/** Refuses no request, even if keys cannot be fetched. */
async function report(
  claim: SubjectClaim,
  terms: ProofTerms,
  verifier: ProofVerifier,
): Promise<ProofOutcome> {
  try {
    const { held } = await judge(claim, terms, verifier);
    return held ? { held } : NOTHING;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { refusal: error.code };
  }
}

async function judge(
  claim: SubjectClaim,
  terms: ProofTerms,
  verifier: ProofVerifier,
): Promise<ProofOutcome> {
  const { subject } = claim;
  if (subject === undefined) {
    if (terms.asked || terms.proof.withoutSubject === 'refused') refuse('subject_missing');
    return NOTHING;
  }
  const { grants } = verifier;
  if (grants === undefined) {
    refuse('originator_unknown', 'this service has no `originators`, so it believes no grant');
  }
  const { text, tokenHash } = readPair(claim);
  const { claims, proved } = await verifyGrant(text, tokenHash, { ...verifier, grants });
  assertMeant(claims, subject, grants);
  assertAge(claims, terms, verifier);
  if (terms.asked) assertAsked(claims, terms.asked);
  const { expiresAtSeconds } = claims;
  const held = new HeldGrant(text, { subject, expiresAtSeconds });
  return { grant: proved, held };
}

/** Reads the grant, and asserts that it is the only one and that the token was made for it. */
function readPair({ tth, headerValues }: SubjectClaim): { text: string; tokenHash: string } {
  const [text = '', ...others] = headerValues(GRANT_HEADER);
  if (others.length > 0) refuse('grant_repeated', 'several Txn-Token headers');
  if (text === '' && tth === undefined) refuse('grant_missing');
  if (text === '') refuse('grant_mismatch', 'the token names a grant, and none came with it');
  if (tth === undefined) refuse('grant_mismatch', 'the token does not name the grant beside it');
  assertGrantText(text);
  const tokenHash = grantHash(text);
  if (tth !== tokenHash) refuse('grant_mismatch', 'the token was made for another grant');
  return { text, tokenHash };
}

/** Asserts that the grant is for this trust domain and this user, and that its originator may vouch for the user. */
function assertMeant(claims: GrantClaims, subject: string, grants: GrantSettings): void {
  if (claims.audience !== grants.trustDomain) {
    refuse('grant_mismatch', 'it was made for another trust domain');
  }
  if (claims.subject !== subject) refuse('grant_mismatch', 'it was made for another user');
  const originator = grants.originators.get(claims.issuer) ?? refuse('originator_unknown');
  if (!isWithinPrefixes(subject, originator.subjects)) {
    refuse('originator_not_allowed', `${originator.issuer} may not vouch for this user`);
  }
  const { scopes } = originator;
  if (scopes && !claims.scopes.every((scope) => scopes.has(scope))) {
    refuse('originator_not_allowed', `${originator.issuer} may not vouch for this scope`);
  }
}

/**
 * Asserts that a grant is valid now. Issuers and routes limit its age.
 *
 * @throws ServiceTokenRefusedError `grant_expired`, `grant_not_yet_valid`
 */
export function assertGrantTimes(
  { expiresAtSeconds, issuedAtSeconds, notBeforeSeconds }: GrantClaims,
  { clockToleranceSeconds: tolerance, now }: Pick<ProofVerifier, 'clockToleranceSeconds' | 'now'>,
): void {
  const seconds = now() / 1000;
  if (expiresAtSeconds + tolerance <= seconds) {
    refuse('grant_expired', `exp was ${(seconds - expiresAtSeconds).toFixed(1)} s ago`);
  }
  if (issuedAtSeconds - tolerance > seconds) {
    const ahead = (issuedAtSeconds - seconds).toFixed(1);
    refuse('grant_not_yet_valid', `iat is ${ahead} s ahead of this clock`);
  }
  if (notBeforeSeconds !== undefined && notBeforeSeconds - tolerance > seconds) {
    const ahead = (notBeforeSeconds - seconds).toFixed(1);
    refuse('grant_not_yet_valid', `nbf is ${ahead} s ahead of this clock`);
  }
}

function assertAge(
  claims: GrantClaims,
  { proof, asked }: ProofTerms,
  verifier: ProofVerifier,
): void {
  assertGrantTimes(claims, verifier);
  const { clockToleranceSeconds: tolerance, now } = verifier;
  const ofRoute = asked?.maxAgeSeconds ?? DEFAULT_MAX_AGE_SECONDS;
  const most = Math.min(proof.maxAgeSeconds, ofRoute);
  const age = now() / 1000 - claims.issuedAtSeconds;
  if (age - tolerance > most) {
    const limits = `its issuer may use one of ${proof.maxAgeSeconds} s, and the route takes one of ${ofRoute} s`;
    refuse('grant_expired', `it is ${age.toFixed(1)} s old; ${limits}`);
  }
}

function assertAsked(claims: GrantClaims, { scopes, originators, acrs }: ProofPolicy): void {
  for (const allowed of originators ?? []) {
    if (!allowed.has(claims.issuer)) refuse('originator_not_allowed', 'by this route');
  }
  for (const scope of scopes ?? []) {
    if (!claims.scopes.includes(scope)) refuse('scope_missing', scope);
  }
  for (const allowed of acrs ?? []) {
    if (claims.acr === undefined || !allowed.has(claims.acr)) {
      refuse('authentication_insufficient', `the route asks for ${[...allowed].join(' or ')}`);
    }
  }
}
