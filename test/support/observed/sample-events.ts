import type { ServiceAuthEvent } from 'nestjs-service-auth/core';

type EventOf<T> = Extract<ServiceAuthEvent, { type: T }>;

const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const REASON = 'Redis is not connected';

/** One event of every type, whole: what the documentation shows is made from them. */
export const SAMPLE_EVENTS: { readonly [T in ServiceAuthEvent['type']]: EventOf<T> } = {
  request_accepted: {
    type: 'request_accepted',
    transport: 'http',
    issuer: HERALD,
    audience: CENSUS,
    hasSubject: true,
    algorithm: 'ES256',
    keyId: 'herald-2026-11',
    profile: 'strict',
    proof: 'none',
    originator: undefined,
    transaction: undefined,
    proofRefusal: undefined,
    route: '/users/:id',
    durationMilliseconds: 0.4,
  },
  request_refused: {
    type: 'request_refused',
    transport: 'http',
    code: 'header_mismatch',
    status: 401,
    detail: 'content-type differs',
    issuer: HERALD,
    issuerTrust: 'verified',
    route: '/users',
    durationMilliseconds: 0.4,
  },
  request_would_be_refused: {
    type: 'request_would_be_refused',
    transport: 'http',
    code: 'token_expired',
    status: 401,
    detail: '12.0 s ago by this clock',
    issuer: HERALD,
    issuerTrust: 'verified',
    route: '/users',
    durationMilliseconds: 0.4,
  },
  grant_unbound: {
    type: 'grant_unbound',
    transport: 'http',
    issuer: 'https://herald.service/',
    route: '/user/:id',
    reason: 'claim_only',
  },
  grant_issued: {
    type: 'grant_issued',
    transaction: 'transaction-0123456789',
    lifetimeSeconds: 300,
    insteadOf: undefined,
  },
  request_anonymous: { type: 'request_anonymous', transport: 'http', route: '/users' },
  request_failed: {
    type: 'request_failed',
    transport: 'http',
    reason: 'unexpected_error',
    route: '/users/:id',
    durationMilliseconds: 0.4,
  },
  lease_lost: { type: 'lease_lost', transport: 'messages', issuer: HERALD, route: 'user.created' },
  duplicate_dropped: {
    type: 'duplicate_dropped',
    transport: 'messages',
    issuer: HERALD,
    route: 'user.created',
  },
  request_signed: {
    type: 'request_signed',
    transport: 'http',
    audience: CENSUS,
    hasSubject: true,
    profile: 'strict',
    durationMilliseconds: 0.3,
  },
  signing_failed: {
    type: 'signing_failed',
    transport: 'http',
    code: 'subject_undecided',
    audience: CENSUS,
    isSentUnsigned: false,
  },
  keys_refreshed: { type: 'keys_refreshed', issuer: HERALD, keyIds: ['herald-2026-11'] },
  keys_refresh_failed: {
    type: 'keys_refresh_failed',
    issuer: HERALD,
    reason: 'the key server cannot be reached (ECONNREFUSED)',
    servingStale: true,
  },
  issuer_look_up_failed: {
    type: 'issuer_look_up_failed',
    reason: 'the finder of trustedIssuers failed (ECONNREFUSED)',
  },
  issuer_look_up_recovered: { type: 'issuer_look_up_recovered' },
  key_dropped: {
    type: 'key_dropped',
    issuer: HERALD,
    reason: 'keys: two have the key id "2026"; neither is used',
  },
  original_issuer_found: { type: 'original_issuer_found', issuer: HERALD },
  signing_keys_changed: {
    type: 'signing_keys_changed',
    keyId: 'census-2',
    publishedKeyIds: ['census-1', 'census-2'],
  },
  signing_keys_unusable: {
    type: 'signing_keys_unusable',
    reason: 'the key cannot be read (ENOENT)',
  },
  replay_store_failed: { type: 'replay_store_failed', reason: REASON },
  replay_store_recovered: { type: 'replay_store_recovered', refused: 12, acceptedUnchecked: 0 },
  token_accepted_unchecked: {
    type: 'token_accepted_unchecked',
    issuer: HERALD,
    reason: REASON,
    count: 3,
  },
  replay_store_unsafe: {
    type: 'replay_store_unsafe',
    reason:
      'each process of the cluster remembers used tokens for itself. Give replayStore a shared store (Redis)',
  },
};
