import type { RefusalCode } from 'nestjs-service-auth/core';

/** One step of a receiver: the first that fails decides, and none after it is taken. */
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
    asks: 'JOSE header and claims are what the protocol knows',
    codes: ['header_invalid', 'algorithm_refused', 'claim_invalid', 'claim_missing'],
  },
  { title: 'Issuer', asks: 'The caller is a trusted one', codes: ['issuer_unknown'] },
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
    asks: 'Edge has said, for this user and just now, that the user is there',
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

/** Why a receiver refuses: more than it tells the caller, for the visitor of the page. */
const REASONS: Partial<Record<RefusalCode, string>> = {
  token_missing: 'There is no JWT header. The route is guarded, so nothing else is looked at.',
  token_malformed: 'What is in the JWT header does not have the form of a token.',
  algorithm_refused:
    'The token names an algorithm the protocol does not have. There is no “none” and no shared secret here: only signatures, with the algorithm that belongs to the key.',
  issuer_unknown:
    'Herald has a list of the services that may call it. Whoever is not on it is refused before any key is looked for.',
  key_unknown:
    'Herald looks for the key among those that another.service publishes, and this one is not there. A key that comes with a caller counts for nothing.',
  signature_invalid:
    'Header and claims are signed. Herald verifies with the public key of another.service, and the signature does not fit what it received.',
  token_expired:
    'A token lives for 60 seconds, and this one is ten minutes old. A stolen token is soon worth nothing.',
  audience_mismatch:
    'aud names Census, and this is Herald. What one service was told is no use at another.',
  request_mismatch:
    'req holds the method and the path with its query, exactly as signed. Herald received another request line.',
  header_mismatch: 'hdr holds the Content-Type that was signed. Herald received another one.',
  body_mismatch:
    'bdy is the SHA-256 hash of the body that was signed. Herald hashes the bytes it received, and the two differ.',
  body_unverifiable: 'Herald cannot hash the bytes of this body, so it does not trust it.',
  subject_missing: 'The route acts for a user, and the token names none: sub is missing.',
  subject_not_allowed:
    'The signature is good, but Herald lets another.service speak for the users of Census alone.',
  grant_missing:
    'The token is good, and it is Herald who signed it. That is not enough: Edge must have said that the user is there, and there is no such word.',
  grant_expired:
    'The grant is real, and says that the user was there an hour ago. Census takes none that is older than five minutes.',
  grant_mismatch:
    'The grant is alive, and it is for the operator. It is worth nothing for anybody else.',
  token_replayed:
    'The very same request came before. Its jti is remembered until the token expires, and counts once.',
};

/** What to say of an answer to a signed request, whether it is a refusal or not. */
export function reasonFor(status: number, code: string | undefined): string {
  const reason = Object.entries(REASONS).find(([known]) => known === code)?.[1];
  if (reason !== undefined) return reason;
  if (code !== undefined) return 'The receiver’s own sentence above says why.';
  if (status < 300) {
    return 'Every check has passed: this is, byte for byte, the request that was signed, and it came once.';
  }
  if (status === 400) return 'The token is good; Herald’s own code does not accept what is asked.';
  if (status === 403) {
    return 'The token is good, so Herald acts as this user. Census does not let the user read the other one: the same rules as if the user had come in person.';
  }
  return 'The token is good; the application behind the guard has answered this.';
}

/** Where in {@link CHECKS} the code belongs; undefined: no check has refused the request. */
export function failedCheck(code: string | undefined): number | undefined {
  const at = CHECKS.findIndex(({ codes }) => codes.some((known) => known === code));
  return at === -1 ? undefined : at;
}
