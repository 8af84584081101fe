import { refuse } from '../errors.js';
import { findSubjectFlaw } from '../subject.js';
import { isObject, type UnverifiedObject } from '../unambiguous-json.js';

/** The longest lifetime of a grant that a receiver can be configured to accept, in seconds: a week. */
export const LONGEST_GRANT_SECONDS = 604_800;

/** The claims of a grant, with the right types. Anybody can write them until the signature is verified. */
export interface GrantClaims {
  /** The originator: the service that authenticated the user. */
  readonly issuer: string;
  /** The trust domain. */
  readonly audience: string;
  readonly subject: string;
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number;
  readonly notBeforeSeconds: number | undefined;
  /** The id of the transaction, the same on every hop. */
  readonly transaction: string;
  readonly scopes: readonly string[];
  readonly acr: string | undefined;
  readonly authTimeSeconds: number | undefined;
  readonly amr: readonly string[] | undefined;
  readonly transactionContext: UnverifiedObject | undefined;
  readonly requesterContext: UnverifiedObject | undefined;
}

const TRUST_DOMAIN = /^[\x21-\x7e]{1,256}$/;
const TRANSACTION = /^[^\p{Cc}\p{Z}]{16,256}$/u;
/** RFC 6749 appendix A.4: visible ASCII without quotation mark and backslash. */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/** Whether a text can be the name of a trust domain. */
export function isTrustDomain(text: unknown): text is string {
  return typeof text === 'string' && TRUST_DOMAIN.test(text);
}

/** Whether a text can be one scope of a grant. */
export function isScopeToken(text: unknown): text is string {
  return typeof text === 'string' && SCOPE_TOKEN.test(text);
}

/**
 * Reads the claims of a grant: each has the type and form of the protocol's section on grants. Claims that the protocol
 * does not name are ignored.
 *
 * @param maxLifetimeSeconds the longest `exp - iat`
 * @throws ServiceTokenRefusedError `grant_invalid`
 * @see draft-ietf-oauth-transaction-tokens-10
 */
export function readGrantClaims(
  payload: UnverifiedObject,
  maxLifetimeSeconds: number,
): GrantClaims {
  const issuedAtSeconds = readSeconds(payload, 'iat') ?? missing('iat');
  const expiresAtSeconds = readSeconds(payload, 'exp') ?? missing('exp');
  if (expiresAtSeconds <= issuedAtSeconds) invalid('exp is not after iat');
  if (expiresAtSeconds - issuedAtSeconds > maxLifetimeSeconds) {
    invalid(`exp is more than ${maxLifetimeSeconds} s after iat`);
  }
  // Who asked for the grant. A token service writes another name than its own, so nothing compares it.
  if ((readText(payload, 'req_wl') ?? missing('req_wl')) === '') invalid('req_wl is empty');
  return {
    issuer: readText(payload, 'iss') ?? missing('iss'),
    audience: readMatching(payload, 'aud', TRUST_DOMAIN),
    subject: readSubject(payload),
    issuedAtSeconds,
    expiresAtSeconds,
    notBeforeSeconds: readSeconds(payload, 'nbf'),
    transaction: readMatching(payload, 'txn', TRANSACTION),
    scopes: readScopes(payload),
    acr: readText(payload, 'acr'),
    authTimeSeconds: readSeconds(payload, 'auth_time'),
    amr: readTexts(payload, 'amr'),
    transactionContext: readRecord(payload, 'tctx'),
    requesterContext: readRecord(payload, 'rctx'),
  };
}

function readText(payload: UnverifiedObject, name: string): string | undefined {
  const value = payload[name];
  if (value === undefined || typeof value === 'string') return value;
  return invalid(`${name} is not a string`);
}

function readMatching(payload: UnverifiedObject, name: string, form: RegExp): string {
  const value = readText(payload, name) ?? missing(name);
  return form.test(value) ? value : invalid(`${name} has the wrong form`);
}

function readSubject(payload: UnverifiedObject): string {
  const subject = readText(payload, 'sub') ?? missing('sub');
  const flaw = findSubjectFlaw(subject);
  return flaw === undefined ? subject : invalid(`sub is ${flaw}`);
}

/** Splits at single spaces; an empty part is not a scope. */
function readScopes(payload: UnverifiedObject): readonly string[] {
  const scopes = (readText(payload, 'scope') ?? missing('scope')).split(' ');
  return scopes.every((scope) => SCOPE_TOKEN.test(scope))
    ? Object.freeze(scopes)
    : invalid('scope has the wrong form');
}

function readSeconds(payload: UnverifiedObject, name: string): number | undefined {
  const value = payload[name];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return invalid(`${name} is not a finite number`);
}

function readTexts(payload: UnverifiedObject, name: string): readonly string[] | undefined {
  const value = payload[name];
  if (value === undefined) return undefined;
  const isList = Array.isArray(value) && value.every((text) => typeof text === 'string');
  return isList ? Object.freeze([...(value as string[])]) : invalid(`${name} is no list of texts`);
}

function readRecord(payload: UnverifiedObject, name: string): UnverifiedObject | undefined {
  const value = payload[name];
  if (value === undefined) return undefined;
  if (isObject(value)) return value as UnverifiedObject;
  return invalid(`${name} is not an object`);
}

function missing(name: string): never {
  return invalid(`${name} is missing`);
}

function invalid(detail: string): never {
  return refuse('grant_invalid', detail);
}
