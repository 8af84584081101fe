import { MAX_REQUEST_LINE_LENGTH } from './claims.js';
import { ServiceSigningError } from './errors.js';
import { isPending } from './pending.js';
import { PROFILES, type ProfileRules } from './profiles.js';
import {
  type BindableRequest,
  bindRequest,
  headersToBind,
  type RequestBinding,
} from './request-binding.js';
import type { OutgoingRequest } from './request.js';
import { assertOutgoingRequest, bodyFrom } from './request-shape.js';
import type { SendingSettings, Target } from './settings.js';
import type { SigningTurn } from './signing-turn.js';
import { findSubjectFlaw } from './subject.js';
import { signClaims } from './token-signature.js';
import type { TokenIds } from './token-ids.js';
import { MAX_TOKEN_LENGTH } from './token-syntax.js';

/** RFC 9110 section 5.5, without white space at the ends. */
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;

/** Who signs: its name, its clock, where its token ids come from, and when it signs. */
export interface Sender {
  readonly issuer: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly tokenIds: TokenIds;
  readonly turn: SigningTurn;
}

/**
 * Signs a request for a target: claims who calls, whom, for which user, and (in the strict profile)
 * exactly which request. The token is for this one attempt: a retry is signed again.
 *
 * The request must be final: what is changed after signing is refused by the receiver.
 *
 * @returns the value of the `JWT` header
 * @throws ServiceSigningError `subject_invalid`, `subject_required`, `header_unsignable`,
 *   `request_too_long`, `token_too_large`
 * @throws ServiceAuthUsageError for a request that is no {@link OutgoingRequest}, such as one with a body of text
 */
export async function signRequest(
  request: OutgoingRequest,
  target: Target,
  sending: SendingSettings,
  sender: Sender,
): Promise<string> {
  assertOutgoingRequest(request);
  const rules = PROFILES[target.profile];
  const subject = readSubject(request.subject, rules);
  const bindable = toBindable(request);
  const settling = bindable.body.settle?.();
  if (isPending(settling)) await settling;
  const headerNames = headersToBind(bindable.body, sending.signedHeaders);
  assertSignable(bindable, headerNames);
  const binding = bindRequest(bindable, headerNames);
  const bdy = bindable.body.hasContent ? binding.bdy(rules.bodyHash) : undefined;
  const claims = {
    iss: sender.issuer,
    aud: target.audience,
    sub: subject,
    ...(rules.bindsRequest ? singleUse(sending, sender) : undefined),
    ...(rules.bindsRequest ? requestClaims(binding) : undefined),
    bdy: isPending(bdy) ? await bdy : bdy,
  };
  await sender.turn.untilEnd();
  const signingKey = sending.signingKeys.current();
  const header = rules.keyIdRequired
    ? { typ: rules.type, kid: signingKey.keyId }
    : { typ: rules.type.toUpperCase() };
  const signing = signClaims(claims, header, signingKey);
  const token = isPending(signing) ? await signing : signing;
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

function singleUse(sending: SendingSettings, { now, tokenIds }: Sender) {
  const iat = Math.floor(now() / 1000);
  return { iat, exp: iat + sending.tokenLifetimeSeconds, jti: tokenIds.next() };
}

function requestClaims({ req, hdr }: RequestBinding) {
  if (req.length > MAX_REQUEST_LINE_LENGTH) throw new ServiceSigningError('request_too_long');
  return { req, hdr: Object.keys(hdr).length > 0 ? hdr : undefined };
}

function toBindable({ method, url, headers, body }: OutgoingRequest): BindableRequest {
  const { pathname, search, host } = url instanceof URL ? url : new URL(url);
  const entries = Object.entries(headers);
  const valuesOf = (name: string): readonly string[] =>
    entries.flatMap(([given, values]) => (given.toLowerCase() === name ? values : []));
  return {
    method: method.toUpperCase(),
    target: pathname + search,
    body: bodyFrom(body),
    headerValues: (name) => {
      const values = valuesOf(name);
      // Clients take the host from the URL where the caller names none.
      return name === 'host' && values.length === 0 ? [host] : values;
    },
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
