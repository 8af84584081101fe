import { createHook } from 'node:async_hooks';
import {
  createServiceAuth,
  type IncomingRequest,
  type RefusalCode,
  type RequestBody,
  type RoutePolicy,
  type ServiceAuth,
  ServiceAuthError,
  ServiceAuthUnavailableError,
  ServiceTokenRefusedError,
} from 'nestjs-service-auth/core';
import type { KeySource } from '../../lib/core/keys.js';
import { Receiver } from '../../lib/core/receiver.js';
import type { ReceivingSettings } from '../../lib/core/settings.js';
import { sha256, strictToken, type StrictTokenParts } from '../support/tokens/forge.js';
import { createKey } from '../support/keys/keys.js';
import { CENSUS, HERALD, NOW_SECONDS, now, USER } from '../support/services/peers.js';

/** What costs more than reading a header, from cheap to dear. */
interface Work {
  issuers: number;
  keys: number;
  signatures: number;
  digests: number;
  uses: number;
}

const key = createKey();
const strangerKey = createKey();
const rsaKey = createKey('RS256');
const BODY = '{"name":"x"}';
const ALL: Work = { issuers: 1, keys: 1, signatures: 1, digests: 1, uses: 1 };
const NONE: Work = { issuers: 0, keys: 0, signatures: 0, digests: 0, uses: 0 };

interface Case {
  readonly code: RefusalCode;
  readonly work: Work;
  readonly parts?: Partial<StrictTokenParts>;
  readonly tokens?: (token: string) => string[];
  readonly policy?: RoutePolicy;
  readonly fault?: 'keys' | 'body' | 'store' | 'used';
}

const found: Work = { ...NONE, issuers: 1 };
const keyed: Work = { ...found, keys: 1 };
const verified: Work = { ...keyed, signatures: 1 };
const bound: Work = { ...verified, digests: 1 };
const claims = (changed: object): Case['parts'] => ({ claims: { ...changed } });

/** In the order of the protocol: what is found out later has cost everything before it. */
const CASES: readonly Case[] = [
  { code: 'token_missing', work: NONE, tokens: () => [] },
  { code: 'token_repeated', work: NONE, tokens: (token) => [token, token] },
  { code: 'token_too_large', work: NONE, tokens: () => ['a'.repeat(8193)] },
  { code: 'token_malformed', work: NONE, tokens: () => ['.'.repeat(8192)] },
  { code: 'header_invalid', work: NONE, parts: { header: { crit: ['b64'] } } },
  { code: 'algorithm_refused', work: NONE, parts: { header: { alg: 'HS256' } } },
  { code: 'claim_missing', work: NONE, parts: claims({ iss: undefined }) },
  { code: 'claim_invalid', work: NONE, parts: claims({ exp: 'soon' }) },
  { code: 'issuer_unknown', work: found, parts: { issuer: 'https://stranger.service/' } },
  { code: 'header_invalid', work: found, parts: { header: { typ: 'JWT' } } },
  { code: 'claim_missing', work: found, parts: claims({ jti: undefined }) },
  { code: 'key_unknown', work: keyed, parts: { key: strangerKey } },
  { code: 'key_unavailable', work: keyed, fault: 'keys' },
  {
    code: 'algorithm_refused',
    work: keyed,
    parts: { key: { ...rsaKey, keyId: key.keyId } },
  },
  {
    code: 'signature_invalid',
    work: verified,
    parts: { key: { ...strangerKey, keyId: key.keyId } },
  },
  { code: 'token_expired', work: verified, parts: { now: NOW_SECONDS - 600 } },
  { code: 'token_not_yet_valid', work: verified, parts: { now: NOW_SECONDS + 600 } },
  { code: 'lifetime_too_long', work: verified, parts: claims({ exp: NOW_SECONDS + 9999 }) },
  { code: 'audience_mismatch', work: verified, parts: { audience: HERALD } },
  { code: 'request_mismatch', work: verified, parts: { target: '/another/' } },
  { code: 'header_mismatch', work: verified, parts: { contentType: 'text/plain' } },
  { code: 'claim_missing', work: verified, parts: claims({ bdy: undefined }) },
  { code: 'body_mismatch', work: bound, parts: claims({ bdy: sha256('another') }) },
  { code: 'body_unverifiable', work: bound, fault: 'body' },
  { code: 'issuer_not_allowed', work: bound, policy: { allowedIssuers: [new Set([CENSUS])] } },
  {
    code: 'subject_missing',
    work: bound,
    parts: { subject: undefined },
    policy: { subjectRequired: true },
  },
  { code: 'subject_not_allowed', work: bound, parts: { subject: 'urn:someone:else' } },
  { code: 'token_replayed', work: ALL, fault: 'used' },
  { code: 'replay_store_unavailable', work: ALL, fault: 'store' },
];

describe('what a request costs before it is refused', () => {
  let census: ServiceAuth;
  let work: Work = { ...NONE };
  /** Node tells of each signature that is made or verified. */
  const signatures = createHook({
    init: (_id, type) => {
      if (type === 'SIGNREQUEST') work.signatures++;
    },
  });

  beforeAll(async () => {
    census = await createServiceAuth({
      issuer: CENSUS,
      trustedIssuers: [
        { issuer: HERALD, publicKey: key.publicPem, subjects: ['https://census.service/'] },
      ],
      now,
    });
    signatures.enable();
  });
  afterAll(() => {
    signatures.disable();
    census.close();
  });
  beforeEach(() => {
    work = { ...NONE };
  });

  function counting(settings: ReceivingSettings, fault: Case['fault']): ReceivingSettings {
    const { trustedIssuers, replayStore } = settings;
    const countingKeys = (keys: KeySource): KeySource => ({
      ...keys,
      find: (keyId) => {
        work.keys++;
        if (fault === 'keys') throw new ServiceAuthUnavailableError('key_unavailable');
        return keys.find(keyId);
      },
    });
    return {
      ...settings,
      trustedIssuers: {
        known: () => trustedIssuers.known(),
        close: () => trustedIssuers.close(),
        find: async (issuer) => {
          work.issuers++;
          const trusted = await trustedIssuers.find(issuer);
          return trusted && { ...trusted, keys: countingKeys(trusted.keys) };
        },
      },
      replayStore: {
        recordUse: (use) => {
          work.uses++;
          if (fault === 'store') throw new Error('away');
          return fault === 'used' ? 'seen' : replayStore.recordUse(use);
        },
      },
    };
  }

  async function answer(one: Partial<Case>): Promise<string> {
    const parts = { method: 'POST', target: '/user/', body: BODY, contentType: 'application/json' };
    const peers = { key, issuer: HERALD, audience: CENSUS, subject: USER, now: NOW_SECONDS };
    const token = strictToken({ ...peers, ...parts, ...one.parts });
    const body: RequestBody = {
      hasContent: true,
      digest: () => {
        work.digests++;
        if (one.fault === 'body') throw new ServiceTokenRefusedError('body_unverifiable');
        return sha256(BODY);
      },
    };
    const tokens = one.tokens?.(token) ?? [token];
    const rawHeaders = tokens.flatMap((value) => ['JWT', value]);
    rawHeaders.push('Content-Type', parts.contentType);
    const request: IncomingRequest = { ...parts, rawHeaders, body };
    const receiving = counting(census.receiving, one.fault);
    const receiver = new Receiver({ ...census.settings, receiving });
    work.signatures = 0; // that of the token was its issuer's
    try {
      await receiver.begin({}).prove(request, one.policy);
      return 'accepted';
    } catch (error) {
      if (error instanceof ServiceAuthError) return error.code;
      throw error;
    }
  }

  it('is everything once where it is accepted', async () => {
    expect(await answer({})).toBe('accepted');
    expect(work).toEqual(ALL);
  });

  it.each(CASES)('$code: $work', async (one) => {
    expect(await answer(one)).toBe(one.code);
    expect(work).toEqual(one.work);
  });
});
