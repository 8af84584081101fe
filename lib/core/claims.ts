import { type BodyHashAlgorithm, bodyHashAlgorithmOf } from './body-hash.js';
import { refuse } from './errors.js';
import type { ProfileRules } from './profiles.js';
import { findSubjectFlaw } from './subject.js';
import { isObject, type UnverifiedObject } from './unambiguous-json.js';

/** The `bdy` claim: the digest, and the algorithm its length names. */
export interface BodyClaim {
  readonly algorithm: BodyHashAlgorithm;
  readonly digest: string;
}

/**
 * The claims of the protocol as the token has them, with the right types; undefined if missing. Nothing is verified:
 * anybody can write these claims.
 */
export interface UnverifiedClaims {
  readonly issuer: string;
  readonly audience: string | undefined;
  readonly subject: string | undefined;
  readonly tokenId: string | undefined;
  readonly issuedAtSeconds: number | undefined;
  readonly expiresAtSeconds: number | undefined;
  readonly notBeforeSeconds: number | undefined;
  readonly requestLine: string | undefined;
  /** Header values by lower-case name. */
  readonly boundHeaders: ReadonlyMap<string, string> | undefined;
  readonly body: BodyClaim | undefined;
  /** The whole payload, including claims that the protocol does not name. */
  readonly payload: UnverifiedObject;
}

declare const VERIFIED: unique symbol;

/**
 * The claims of a token with a valid signature: its issuer has written them. Only `verifyClaims` creates them, so no
 * later step can take claims that the signature does not cover.
 */
export interface VerifiedClaims extends UnverifiedClaims {
  readonly [VERIFIED]: true;
}

/** The longest `req`, in characters. */
export const MAX_REQUEST_LINE_LENGTH = 4096;

const MAX_BOUND_HEADERS = 32;
const TOKEN_ID = /^[^\p{Cc}\p{Z}]{16,256}$/u;
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ ]+$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/**
 * Reads the claims: each has the type and form of protocol section 3, or is absent. Later steps check which claims
 * are required, and whether they are true.
 *
 * @param line the form of `req`
 * @throws ServiceTokenRefusedError `claim_invalid`, `claim_missing` (only `iss`, which names the profile)
 * @see RFC 7519 section 4.1
 */
export function readClaims(payload: UnverifiedObject, line = REQUEST_LINE): UnverifiedClaims {
  return {
    issuer: readName(payload, 'iss') ?? refuse('claim_missing', 'iss'),
    audience: readName(payload, 'aud'),
    subject: readSubject(payload),
    tokenId: readMatching(payload, 'jti', TOKEN_ID),
    issuedAtSeconds: readSeconds(payload, 'iat'),
    expiresAtSeconds: readSeconds(payload, 'exp'),
    notBeforeSeconds: readSeconds(payload, 'nbf'),
    requestLine: readRequestLine(payload, line),
    boundHeaders: readBoundHeaders(payload),
    body: readBodyClaim(payload),
    payload,
  };
}

/**
 * Asserts that the token has every claim that the profile requires, and that the profile accepts the digest of `bdy`.
 * The content of the request decides whether `bdy` is required.
 *
 * @throws ServiceTokenRefusedError `claim_missing`, `claim_invalid`
 */
export function assertClaimsProfile(claims: UnverifiedClaims, rules: ProfileRules): void {
  const missing = rules.requiredClaims.find((name) => claims.payload[name] === undefined);
  if (missing !== undefined) refuse('claim_missing', missing);
  if (claims.body && !rules.acceptedBodyHashes.has(claims.body.algorithm)) {
    refuse('claim_invalid', `bdy is ${claims.body.algorithm}, which the profile does not accept`);
  }
}

function readString(payload: UnverifiedObject, name: string): string | undefined {
  const value = payload[name];
  if (value === undefined) return undefined;
  return typeof value === 'string' ? value : refuse('claim_invalid', `${name} is not a string`);
}

/** Reads `iss` or `aud`. Both are compared byte for byte with configured URIs, so their form needs no check. */
function readName(payload: UnverifiedObject, name: string): string | undefined {
  const value = readString(payload, name);
  return value === '' ? refuse('claim_invalid', `${name} is empty`) : value;
}

function readSubject(payload: UnverifiedObject): string | undefined {
  const subject = readString(payload, 'sub');
  const flaw = subject === undefined ? undefined : findSubjectFlaw(subject);
  return flaw === undefined ? subject : refuse('claim_invalid', `sub is ${flaw}`);
}

function readMatching(payload: UnverifiedObject, name: string, form: RegExp): string | undefined {
  const value = readString(payload, name);
  if (value === undefined || form.test(value)) return value;
  return refuse('claim_invalid', `${name} has the wrong form`);
}

function readRequestLine(payload: UnverifiedObject, form: RegExp): string | undefined {
  const line = readMatching(payload, 'req', form);
  if (line !== undefined && line.length > MAX_REQUEST_LINE_LENGTH) {
    refuse('claim_invalid', 'req is too long');
  }
  return line;
}

function readSeconds(payload: UnverifiedObject, name: string): number | undefined {
  const value = payload[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    refuse('claim_invalid', `${name} is not a finite number`);
  }
  return value;
}

function readBodyClaim(payload: UnverifiedObject): BodyClaim | undefined {
  const digest = readString(payload, 'bdy');
  if (digest === undefined) return undefined;
  const algorithm = bodyHashAlgorithmOf(digest) ?? refuse('claim_invalid', 'bdy is not a digest');
  return { algorithm, digest };
}

function readBoundHeaders(payload: UnverifiedObject): Map<string, string> | undefined {
  const { hdr } = payload;
  if (hdr === undefined) return undefined;
  if (!isObject(hdr)) refuse('claim_invalid', 'hdr is not an object');
  const headers = new Map<string, string>();
  const entries = Object.entries(hdr);
  if (entries.length > MAX_BOUND_HEADERS) refuse('claim_invalid', 'hdr has too many members');
  for (const [name, value] of entries) {
    if (!HEADER_NAME.test(name))
      refuse('claim_invalid', 'hdr has a name that is no lower-case header');
    if (typeof value !== 'string') refuse('claim_invalid', 'hdr has a value that is not a string');
    headers.set(name, value);
  }
  return headers;
}
