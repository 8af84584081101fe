import { randomBytes } from 'node:crypto';
import { MAX_REQUEST_LINE_LENGTH } from './claims.js';
import { ServiceSigningError } from './errors.js';
import { PROFILES, type ProfileRules } from './profiles.js';
import {
  type BindableRequest,
  bindRequest,
  headersToBind,
  type RequestBinding,
} from './request-binding.js';
import { bodyFrom, type OutgoingRequest } from './request.js';
import type { SendingSettings, Target } from './settings.js';
import { findSubjectFlaw } from './subject.js';
import { signClaims } from './token-signature.js';
import { MAX_TOKEN_LENGTH } from './token-syntax.js';

/** 24 random bytes: 192 bits, 32 characters. */
const TOKEN_ID_BYTES = 24;

/** RFC 9110 section 5.5, without white space at the ends. */
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;

/**
 * Signs a request for a target: claims who calls, whom, for which user, and (in the strict profile)
 * exactly which request. The token is for this one attempt: a retry is signed again.
 *
 * The request must be final: what is changed after signing is refused by the receiver.
 *
 * @returns the value of the `JWT` header
 * @throws ServiceSigningError `subject_invalid`, `subject_required`, `header_unsignable`,
 *   `request_too_long`, `token_too_large`
 */
export async function signRequest(
  request: OutgoingRequest,
  target: Target,
  sending: SendingSettings,
  sender: { readonly issuer: string; readonly now: () => number },
): Promise<string> {
  const rules = PROFILES[target.profile];
  const subject = readSubject(request.subject, rules);
  const bindable = toBindable(request);
  const headerNames = headersToBind(bindable.body, sending.signedHeaders);
  assertSignable(bindable, headerNames);
  const binding = bindRequest(bindable, headerNames);
  const claims = {
    iss: sender.issuer,
    aud: target.audience,
    sub: subject,
    ...(rules.bindsRequest ? singleUse(sending, sender.now()) : undefined),
    ...(rules.bindsRequest ? requestClaims(binding) : undefined),
    bdy: bindable.body.hasContent ? await binding.bdy(rules.bodyHash) : undefined,
  };
  const signingKey = sending.signingKeys.current();
  const header = rules.keyIdRequired
    ? { typ: rules.type, kid: signingKey.keyId }
    : { typ: rules.type.toUpperCase() };
  const token = await signClaims(claims, header, signingKey);
  if (token.length > MAX_TOKEN_LENGTH) throw new ServiceSigningError('token_too_large');
  return token;
}

function readSubject(subject: string | undefined, rules: ProfileRules): string | undefined {
  if (subject === undefined) {
    if (rules.requiredClaims.includes('sub')) throw new ServiceSigningError('subject_required');
    return undefined;
  }
  const flaw = findSubjectFlaw(subject);
  if (flaw !== undefined) throw new ServiceSigningError('subject_invalid', { detail: flaw });
  return subject;
}

function singleUse(sending: SendingSettings, nowMilliseconds: number) {
  const iat = Math.floor(nowMilliseconds / 1000);
  return {
    iat,
    exp: iat + sending.tokenLifetimeSeconds,
    jti: randomBytes(TOKEN_ID_BYTES).toString('base64url'),
  };
}

function requestClaims({ req, hdr }: RequestBinding) {
  if (req.length > MAX_REQUEST_LINE_LENGTH) throw new ServiceSigningError('request_too_long');
  return { req, hdr: Object.keys(hdr).length > 0 ? hdr : undefined };
}

function toBindable(request: OutgoingRequest): BindableRequest {
  const { pathname, search } = new URL(request.url);
  const headers = new Map<string, string[]>();
  for (const [name, value] of Object.entries(request.headers)) {
    const values = headers.get(name.toLowerCase()) ?? [];
    headers.set(name.toLowerCase(), values.concat(value));
  }
  return {
    method: request.method.toUpperCase(),
    target: pathname + search,
    body: bodyFrom(request.body),
    headerValues: (name) => headers.get(name) ?? [],
  };
}

/** A receiver could not tell which of several values was meant, and no header carries other characters. */
function assertSignable(request: BindableRequest, headerNames: ReadonlySet<string>): void {
  for (const name of headerNames) {
    const values = request.headerValues(name);
    if (values.length > 1 || !values.every((value) => FIELD_VALUE.test(value))) {
      throw new ServiceSigningError('header_unsignable', { detail: name });
    }
  }
}
