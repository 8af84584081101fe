import { REFUSALS, type RefusalCode } from '../core/index.js';

/** What each refusal asks of whoever made the call, or runs the service that refused it. */
export const REFUSAL_HINTS: Readonly<Record<RefusalCode, string>> = {
  headers_unverifiable:
    'The request arrived with so many headers that the receiver cannot see all of them. Send fewer, and look for a proxy that adds some.',
  token_missing:
    'No JWT header arrived. Sign the call, and look whether a proxy on the way drops the header `JWT`.',
  token_repeated:
    'Two tokens arrived. Send one JWT header: a proxy or a retry may have added another, and an inbound one is never passed on.',
  token_malformed:
    'The header was no compact JWT when it arrived. Look whether something put `Bearer`, quotes or white space into it, or cut it off.',
  token_too_large:
    'A token has at most 8192 characters. Bind fewer headers (`signedHeaders`), or call a shorter URL.',
  header_invalid:
    'The JOSE header is not that of the profile the receiver expects of this caller. Strict tokens have exactly alg, kid and `typ: svc+jwt`; make `profile` the same on both sides.',
  algorithm_refused:
    'The receiver knows the key for another algorithm. Publish the key with the `alg` it signs with, or name it in `algorithms` of the issuer there.',
  issuer_unknown:
    'The receiver trusts no issuer with exactly this URI. Add it to its `trustedIssuers`, byte for byte, final slash included.',
  key_unknown:
    'The receiver has no key with this key id for the caller. Publish the key before it signs, and wait until receivers have fetched it (`maxAgeSeconds`), or give the receiver the new public key.',
  key_unavailable:
    'The receiver cannot fetch the keys of the caller. Check from its host that the JWK Set of the caller answers over https:, and try again.',
  signature_invalid:
    'The token was signed with another private key than the one published under its key id, or changed on the way. Compare `jwks <key file>` with what the receiver fetches.',
  claim_missing:
    'The profile requires a claim that the token lacks: strict tokens need iss, aud, iat, exp, jti, req, and bdy with a body; original ones iss, aud, sub, and bdy with a body. `inspect` names it.',
  claim_invalid:
    'A claim has the wrong type or form. `inspect` names it: `sub` must be an absolute URI, `aud` one string, `bdy` a digest in lower-case hex that the profile accepts.',
  token_expired:
    'The token is older than it may live. Sign each attempt anew, and compare the clocks of both hosts (`doctor` does).',
  token_not_yet_valid:
    'The token comes from the future. The clock of the caller is ahead of that of the receiver: synchronise both (`doctor` compares them).',
  lifetime_too_long:
    'The token lives longer than the receiver allows. Lower `tokenLifetimeSeconds` of the caller, or raise `maxTokenLifetimeSeconds` of the receiver.',
  audience_mismatch:
    'The receiver does not answer to this audience. Set `audience` of the target (here `--audience`) to the issuer URI of the receiver, byte for byte, or add the name to its `audience`.',
  request_mismatch:
    'Method or target changed on the way. Where a gateway strips a path prefix, set `publicPathPrefix` of the receiver; where one rewrites the query or the encoding, stop it.',
  header_mismatch:
    'A bound header arrived with another value, or one that must be bound is not. Look for a proxy that rewrites Content-Type or Content-Encoding, and for a caller too old to bind Content-Encoding; bind what the receiver requires (`signedHeaders`, here `--sign-header`).',
  body_mismatch:
    'The body arrived with other bytes than were signed. Look for what rewrites it after signing: a proxy, an interceptor, a compressing client.',
  body_unverifiable:
    'The receiver could not see the whole body: too large (413), cut off or under a transfer coding (415), or no room on its disk (503). Send it without Transfer-Encoding, or raise `@MaxBodyBytes()` there.',
  body_consumed:
    'Something at the receiver read the body before its guard. Register parsers after the module there, or set its option `rawBody`.',
  token_replayed:
    'This token was used before. Sign every attempt anew, retries included; look for a proxy that sends requests twice.',
  replay_store_unavailable:
    'The replay store of the receiver is out of reach or full. Check its Redis (`doctor` there does), and try again.',
  issuer_not_allowed:
    'The route is for other callers. Add this issuer to its `@AllowIssuers(...)`, on the class and on the method, or call another route.',
  subject_missing:
    'The route acts for a user and the token names none. Say for whom: `onBehalfOf(subject)` in code, `--as <subject>` here.',
  subject_not_allowed:
    'This caller may not speak for this user. Add a prefix of its URI to `subjects` of the issuer at the receiver, or name another user.',
  subject_unknown:
    'The `userResolver` of the receiver knows no such user. Check the URI, final slash included, and that the user exists there.',
  context_unsupported:
    'The handler was not reached over HTTP. Service tokens protect HTTP routes: keep the guard off gateways, microservice and GraphQL handlers.',
};

/** Tells a code of the protocol from any other value. */
export function isRefusalCode(value: unknown): value is RefusalCode {
  return typeof value === 'string' && Object.hasOwn(REFUSALS, value);
}
