import type { RefusalCode } from '../../core/index.js';

/** What the operator of the receiving service does about a refusal: one short sentence for the end of a line. */
export const REFUSAL_ADVICE: Readonly<Record<RefusalCode, string>> = {
  headers_unverifiable: 'Look for a proxy that adds headers.',
  token_missing: 'Look whether the caller signs, and whether a proxy removes the JWT header.',
  token_repeated: 'Look for a proxy or a retry that adds a second JWT header.',
  token_malformed: 'Look at what the caller writes into the JWT header.',
  token_too_large: 'Let the caller bind fewer headers.',
  header_invalid: 'Compare the profile of this issuer with what the caller sends.',
  algorithm_refused: 'Compare the algorithm of the key with the algorithms of this issuer.',
  issuer_unknown: 'Compare trustedIssuers with the issuer of the caller, byte for byte.',
  key_unknown: 'Let the caller publish its key before it signs with it.',
  key_unavailable: 'Check the key server of the caller, and the network to it.',
  signature_invalid: 'Give each key of the caller a key id of its own.',
  claim_missing: 'Compare the profile of this issuer with the claims of the caller.',
  claim_invalid: 'Correct the claim in the client of the caller.',
  token_expired:
    'Compare the clocks. If they agree, the caller sent an old token, or the request waited.',
  token_not_yet_valid: 'Compare the clocks.',
  lifetime_too_long:
    'Lower tokenLifetimeSeconds of the caller, or raise maxTokenLifetimeSeconds here.',
  audience_mismatch: 'Correct the audience of the target at the caller, or add the name here.',
  request_mismatch: 'Look for a gateway that changes the path or the query.',
  header_mismatch: 'Look for a proxy, or a client after the signing, that changes the header.',
  body_mismatch: 'Look for a proxy or a client that changes the body after it is signed.',
  body_unverifiable: 'Compare the size of the body with the limits of the route.',
  body_consumed: 'Register the module before what reads the body, or set rawBody.',
  token_replayed: 'Look for a proxy that repeats requests; retries are signed anew.',
  replay_store_unavailable: 'Check the replay store.',
  issuer_not_allowed: 'Add the caller to @AllowIssuers() of the route, if it may call it.',
  subject_missing: 'Let the caller name its user with onBehalfOf(...).',
  subject_not_allowed: 'Extend subjects of this issuer, if it may speak for these users.',
  subject_unknown: 'Look for the user where the userResolver does.',
  context_unsupported: 'Take the guard off handlers that are not HTTP.',
};
