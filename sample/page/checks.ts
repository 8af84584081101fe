import type { RefusalCode } from 'nestjs-service-auth/core';

/** One step of a receiver. The first that fails decides, and ends the checks. */
export interface Check {
  readonly title: string;
  /** What it asks, in a few words. */
  readonly asks: string;
  readonly codes: readonly RefusalCode[];
}

/** What a receiver checks, in its order: docs/protocol.md, "Receiving". */
export const CHECKS: readonly Check[] = [
  {
    title: 'Token',
    asks: 'One JWT header, well formed and not too large',
    codes: ['token_missing', 'token_repeated', 'token_malformed', 'token_too_large'],
  },
  {
    title: 'Content',
    asks: 'JOSE header and claims are those of the protocol',
    codes: ['header_invalid', 'algorithm_refused', 'claim_invalid', 'claim_missing'],
  },
  { title: 'Issuer', asks: 'The receiver trusts the caller', codes: ['issuer_unknown'] },
  {
    title: 'Key',
    asks: 'The key id is one of the caller’s own keys',
    codes: ['key_unknown', 'key_unavailable'],
  },
  {
    title: 'Signature',
    asks: 'The signature fits key and token',
    codes: ['signature_invalid'],
  },
  {
    title: 'Time and audience',
    asks: 'The token is fresh, and meant for this service',
    codes: ['token_expired', 'token_not_yet_valid', 'lifetime_too_long', 'audience_mismatch'],
  },
  {
    title: 'Request',
    asks: 'Method, path, bound headers and body are those that were signed',
    codes: ['request_mismatch', 'header_mismatch', 'body_mismatch', 'body_unverifiable'],
  },
  {
    title: 'Policy',
    asks: 'This caller may use the route and name this user',
    codes: ['issuer_not_allowed', 'subject_missing', 'subject_not_allowed', 'subject_unknown'],
  },
  {
    title: 'Grant',
    asks: 'Edge has signed that this user is logged in, minutes ago at most',
    codes: [
      'grant_missing',
      'grant_repeated',
      'grant_invalid',
      'grant_mismatch',
      'grant_expired',
      'grant_not_yet_valid',
      'originator_unknown',
      'originator_not_allowed',
      'scope_missing',
      'authentication_insufficient',
    ],
  },
  {
    title: 'First use',
    asks: 'The token was not used before',
    codes: ['token_replayed', 'replay_store_unavailable'],
  },
];

/** Why a receiver refuses, for the visitor of the page: the caller reads less. */
const REASONS: Partial<Record<RefusalCode, string>> = {
  token_missing:
    'There is no JWT header. The route is guarded, so the guard looks at nothing else.',
  token_malformed: 'The JWT header does not have the form of a token.',
  algorithm_refused:
    'The token names an algorithm that the protocol does not have. There is no “none” and no shared secret: the receiver’s key decides which signature counts.',
  issuer_unknown:
    'Herald has a list of the services that may call it. It refuses all others before it looks for a key.',
  key_unknown:
    'The receiver looks for the key among those that the caller publishes, and does not find it. A key that a request brings along counts for nothing.',
  key_unavailable:
    'The receiver has no key of the caller, and cannot fetch one. It cannot decide, so it refuses: 503 means “ask again later”.',
  signature_invalid:
    'The signature covers JOSE header and claims. Herald verifies it with the public key of another.service, and it does not fit what Herald received.',
  token_expired:
    'A token lives for 60 seconds, and this one is ten minutes old. A stolen token is soon worth nothing.',
  audience_mismatch:
    'aud names Census, and Herald received the token. A token for one service is worth nothing at another.',
  request_mismatch:
    'req holds method, path and query, exactly as signed. Herald received another request line.',
  header_mismatch: 'hdr holds the Content-Type that was signed. Herald received another one.',
  body_mismatch:
    'bdy is the SHA-256 hash of the body that was signed. Herald hashes the bytes that it received, and the two hashes differ.',
  body_unverifiable: 'Herald cannot hash the bytes of this body, so it does not trust them.',
  subject_missing: 'The route acts for a user, and the token names none: sub is missing.',
  subject_not_allowed:
    'The signature is good, but Herald lets another.service speak for the users of Census alone.',
  grant_missing:
    'The token is good: Herald’s own key signed it. That is not enough. Edge must have signed a grant that says user 42 is logged in, and there is none.',
  grant_expired:
    'The grant is real, and says that the user was logged in an hour ago. Census takes no grant that is older than five minutes.',
  grant_mismatch:
    'The grant is alive, and it is for the operator. It is worth nothing for another user.',
  token_replayed:
    'The same request came before. Census and Herald remember each jti until its token expires, and accept it once.',
};

/** Explains an answer to a signed request, a refusal or not. */
export function reasonFor(status: number, code: string | undefined): string {
  const reason = Object.entries(REASONS).find(([known]) => known === code)?.[1];
  if (reason !== undefined) return reason;
  if (code !== undefined) return 'The answer itself says why.';
  if (status < 300) {
    return 'Every check has passed: the request arrived as it was signed, byte for byte, and for the first time.';
  }
  if (status === 400) return 'The token is good. Herald’s own code does not accept the order.';
  if (status === 403) {
    return 'The token is good, so Herald acts for this user. Census does not let this user read user 42: the same rules as if the user asked in person.';
  }
  return 'The token is good. The application behind the guard gave this answer.';
}

/** Where in {@link CHECKS} the code belongs; undefined: no check has refused the request. */
export function failedCheck(code: string | undefined): number | undefined {
  const at = CHECKS.findIndex(({ codes }) => codes.some((known) => known === code));
  return at === -1 ? undefined : at;
}
