import { createPublicKey, createSecretKey } from 'node:crypto';
import { KnownHeaders } from '../../../lib/core/known-headers.js';
import { GrantCache, type KnownGrant } from '../../../lib/core/grants/grant-cache.js';
import type {
  GrantSettings,
  Originator,
  ProofPolicy,
} from '../../../lib/core/grants/grant-settings.js';
import {
  type ProofOutcome,
  type ProofVerifier,
  proveSubject,
  type SubjectClaim,
} from '../../../lib/core/grants/prove-subject.js';
import type { KeySource, VerificationKey } from '../../../lib/core/keys.js';
import { ServiceAuthUnavailableError } from 'nestjs-service-auth/core';
import { createKey, type TestKey } from '../../support/keys/keys.js';
import { codeOf, NOW_SECONDS, USER } from '../../support/services/peers.js';
import { type GrantParts, makeGrant, tthOf } from '../../support/tokens/grant.js';

const EDGE = 'https://edge.service/';
const TRUST_DOMAIN = 'https://test.example.org/';
const USERS = 'https://census.service/user/';
const DAY_SECONDS = 86_400;

/** The keys of one originator, as a test sets them. */
class ChangingKeys implements KeySource {
  isOutOfReach = false;
  private readonly byId = new Map<string, VerificationKey>();

  constructor(...keys: TestKey[]) {
    for (const key of keys) this.add(key);
  }

  add({ keyId, publicKey, algorithm }: TestKey, algorithms = [algorithm]): void {
    this.byId.set(keyId, { keyId, key: publicKey, algorithms: new Set(algorithms) });
  }

  remove({ keyId }: TestKey): void {
    this.byId.delete(keyId);
  }

  find(keyId: string | undefined): VerificationKey | undefined {
    if (this.isOutOfReach) throw new ServiceAuthUnavailableError('key_unavailable');
    return keyId === undefined ? undefined : this.byId.get(keyId);
  }

  health() {
    return { status: 'static' as const, keyIds: [...this.byId.keys()] };
  }

  assertUsable(): void {}
  refreshIfDue(): void {}
  async settled(): Promise<void> {}
  close(): void {}
}

/** Counts how often a grant was verified. */
class CountingCache extends GrantCache {
  verifications = 0;

  override async once(hash: string, verify: () => Promise<KnownGrant>): Promise<KnownGrant> {
    return await super.once(hash, async () => {
      this.verifications++;
      return await verify();
    });
  }
}

const key = createKey();

interface Setup {
  readonly keys: ChangingKeys;
  readonly originators: Map<string, Originator>;
  readonly cache: CountingCache;
  readonly grants: GrantSettings;
  seconds: number;
}

let setup: Setup;
beforeEach(() => {
  const keys = new ChangingKeys(key);
  const originator = { issuer: EDGE, keys, subjects: [USERS], scopes: undefined };
  const originators = new Map<string, Originator>([[EDGE, originator]]);
  const grants = { trustDomain: TRUST_DOMAIN, originators, maxLifetimeSeconds: DAY_SECONDS };
  setup = { keys, originators, cache: new CountingCache(), grants, seconds: NOW_SECONDS };
});

const grantOf = (parts: Partial<GrantParts> = {}): string => {
  const good = { key, originator: EDGE, trustDomain: TRUST_DOMAIN, subject: USER };
  return makeGrant({ ...good, now: NOW_SECONDS, ...parts });
};

const pair = (grant: string, parts: Partial<SubjectClaim> = {}): SubjectClaim => ({
  subject: USER,
  tth: tthOf(grant),
  headerValues: (name) => (name === 'txn-token' ? [grant] : []),
  ...parts,
});

interface Terms {
  readonly mode?: 'off' | 'report' | 'required';
  readonly withoutSubject?: 'allowed' | 'refused';
  readonly maxAgeSeconds?: number;
  readonly asked?: ProofPolicy;
  readonly verifier?: Partial<ProofVerifier>;
}

async function prove(claim: SubjectClaim, terms: Terms = {}): Promise<ProofOutcome> {
  const { mode = 'required', withoutSubject = 'refused', maxAgeSeconds = 300, asked } = terms;
  return await proveSubject(
    claim,
    { proof: { mode, withoutSubject, maxAgeSeconds }, asked },
    {
      grants: setup.grants,
      cache: setup.cache,
      clockToleranceSeconds: 5,
      now: () => setup.seconds * 1000,
      ...terms.verifier,
    },
  );
}

const verdict = async (claim: SubjectClaim, terms?: Terms): Promise<string> =>
  await codeOf(async () => await prove(claim, terms));

describe('a grant that is known', () => {
  it('GR-01 is verified once, whatever is asked of it later', async () => {
    const grant = grantOf({ claims: { acr: 'gold' } });
    const outcomes = [await prove(pair(grant)), await prove(pair(grant)), await prove(pair(grant))];
    expect(setup.cache.verifications).toBe(1);
    expect(outcomes.map((outcome) => outcome.grant)).toEqual(
      outcomes.map(() => ({
        originator: EDGE,
        transaction: expect.any(String) as string,
        scopes: ['user-present'],
        issuedAtSeconds: NOW_SECONDS,
        expiresAtSeconds: NOW_SECONDS + 300,
        acr: 'gold',
        authTimeSeconds: undefined,
        amr: undefined,
        transactionContext: undefined,
        requesterContext: undefined,
      })),
    );
    expect(await verdict(pair(grantOf()))).toBe('accepted');
    expect(setup.cache.verifications).toBe(2);
  });

  it('GR-01 is verified once for twenty calls at a time', async () => {
    const grant = grantOf();
    const verdicts = await Promise.all(
      Array.from({ length: 20 }, async () => await verdict(pair(grant))),
    );
    expect(new Set(verdicts)).toEqual(new Set(['accepted']));
    expect(setup.cache.verifications).toBe(1);
    expect(await verdict(pair(grant))).toBe('accepted');
    expect(setup.cache.verifications).toBe(1);
  });

  it('GR-36 is verified once where its key was fetched anew and is unchanged', async () => {
    const grant = grantOf();
    expect(await verdict(pair(grant))).toBe('accepted');
    setup.keys.add({ ...key, publicKey: createPublicKey(key.publicPem) });
    expect(await verdict(pair(grant))).toBe('accepted');
    expect(setup.cache.verifications).toBe(1);
  });

  const CHANGES: [title: string, code: string, change: () => void, undo: () => void][] = [
    [
      'whose key was withdrawn',
      'grant_invalid',
      () => setup.keys.remove(key),
      () => setup.keys.add(key),
    ],
    [
      'whose key has another value under the same id',
      'grant_invalid',
      () => setup.keys.add({ ...createKey(), keyId: key.keyId }),
      () => setup.keys.add(key),
    ],
    [
      'whose algorithm is no longer allowed',
      'grant_invalid',
      () => setup.keys.add(key, ['ES384']),
      () => setup.keys.add(key),
    ],
    [
      'whose originator is one no longer',
      'originator_unknown',
      () => setup.originators.delete(EDGE),
      () =>
        setup.originators.set(EDGE, {
          issuer: EDGE,
          keys: setup.keys,
          subjects: [USERS],
          scopes: undefined,
        }),
    ],
    [
      'whose originator may vouch for other users only',
      'originator_not_allowed',
      () =>
        setup.originators.set(EDGE, {
          issuer: EDGE,
          keys: setup.keys,
          subjects: ['urn:x:'],
          scopes: undefined,
        }),
      () =>
        setup.originators.set(EDGE, {
          issuer: EDGE,
          keys: setup.keys,
          subjects: [USERS],
          scopes: undefined,
        }),
    ],
    [
      'whose originator may vouch for other scopes only',
      'originator_not_allowed',
      () =>
        setup.originators.set(EDGE, {
          issuer: EDGE,
          keys: setup.keys,
          subjects: [USERS],
          scopes: new Set(['x']),
        }),
      () =>
        setup.originators.set(EDGE, {
          issuer: EDGE,
          keys: setup.keys,
          subjects: [USERS],
          scopes: undefined,
        }),
    ],
    [
      'whose keys are out of reach',
      'key_unavailable',
      () => (setup.keys.isOutOfReach = true),
      () => (setup.keys.isOutOfReach = false),
    ],
    ['that is over', 'grant_expired', () => (setup.seconds += 305), () => (setup.seconds -= 305)],
  ];
  it.each(CHANGES)('GR-36, GR-37 %s: %s', async (_title, code, change, undo) => {
    const grant = grantOf({ claims: { exp: NOW_SECONDS + 300 } });
    expect(await verdict(pair(grant))).toBe('accepted');
    change();
    expect(await verdict(pair(grant))).toBe(code);
    expect(await verdict(pair(grant))).toBe(code);
    undo();
    expect(await verdict(pair(grant))).toBe('accepted');
  });

  it('GR-03 is that of its user alone', async () => {
    const grant = grantOf();
    expect(await verdict(pair(grant))).toBe('accepted');
    expect(await verdict(pair(grant, { subject: `${USERS}22/` }))).toBe('grant_mismatch');
  });

  it('GR-44 is not known where it was invented, were there hundreds', async () => {
    const stranger = { ...createKey(), keyId: key.keyId };
    const invented = Array.from({ length: 200 }, () => grantOf({ key: stranger }));
    for (const grant of invented) expect(await verdict(pair(grant))).toBe('grant_invalid');
    expect(invented.filter((grant) => setup.cache.find(tthOf(grant)) !== undefined)).toEqual([]);
    const good = grantOf();
    expect(await verdict(pair(good))).toBe('accepted');
    expect(setup.cache.find(tthOf(good))).toBeDefined();
  });

  it('is not known where its signature is not good, however often it comes', async () => {
    const invented = grantOf({ key: { ...createKey(), keyId: key.keyId } });
    for (const _time of [1, 2, 3]) expect(await verdict(pair(invented))).toBe('grant_invalid');
    expect(setup.cache.verifications).toBe(3);
    expect(setup.cache.find(tthOf(invented))).toBeUndefined();
  });
});

describe('what is proved', () => {
  it('cannot be changed', async () => {
    const claims = { amr: ['pwd'], tctx: { order: { id: 7 } }, rctx: { ip: 'x' }, auth_time: 5 };
    const { grant } = await prove(pair(grantOf({ claims })));
    expect(grant).toMatchObject({
      amr: ['pwd'],
      authTimeSeconds: 5,
      transactionContext: { order: { id: 7 } },
      requesterContext: { ip: 'x' },
    });
    const order = grant?.transactionContext?.['order'];
    const parts = [grant, grant?.scopes, grant?.amr, grant?.transactionContext, order];
    expect(parts.map((part) => Object.isFrozen(part))).toEqual(parts.map(() => true));
  });

  it('is held for the calls of this user, until it is over', async () => {
    const grant = grantOf();
    const { held } = await prove(pair(grant));
    expect(held?.subject).toBe(USER);
    expect(await held?.text()).toBe(grant);
    expect(held?.isOver((NOW_SECONDS + 299) * 1000)).toBe(false);
    expect(held?.isOver((NOW_SECONDS + 300) * 1000)).toBe(true);
    expect(Object.keys(held ?? {})).toEqual([]);
    expect(JSON.stringify(held)).toBe('{}');
  });
});

describe('the modes of an issuer', () => {
  const twice = (grant: string) => ({ headerValues: () => [grant, grant] });
  const nothing = { headerValues: () => [] };
  const PAIRS: [
    title: string,
    claim: (grant: string) => SubjectClaim,
    unbound: unknown,
    code: string,
  ][] = [
    ['a good pair', (grant) => pair(grant), undefined, 'accepted'],
    [
      'no grant',
      (grant) => pair(grant, { tth: undefined, ...nothing }),
      undefined,
      'grant_missing',
    ],
    ['the claim alone', (grant) => pair(grant, nothing), 'claim_only', 'grant_mismatch'],
    [
      'the header alone',
      (grant) => pair(grant, { tth: undefined }),
      'header_only',
      'grant_mismatch',
    ],
    ['unequal halves', (grant) => pair(grant, { tth: tthOf('x') }), 'unequal', 'grant_mismatch'],
    ['two headers', (grant) => pair(grant, twice(grant)), 'repeated', 'grant_repeated'],
    [
      'two headers without a claim',
      (grant) => pair(grant, { tth: undefined, ...twice(grant) }),
      'repeated',
      'grant_repeated',
    ],
    [
      'two empty headers',
      (grant) => pair(grant, { headerValues: () => ['', ''] }),
      'repeated',
      'grant_repeated',
    ],
    ['what is no grant', () => pair('a b'), 'malformed', 'grant_invalid'],
    ['what is none in form', () => pair('a.b'), 'malformed', 'grant_invalid'],
    ['4,097 characters', () => pair(`a.b.${'c'.repeat(4093)}`), 'malformed', 'grant_invalid'],
    ['a list', (grant) => pair(`${grant},${grant}`), 'malformed', 'grant_repeated'],
  ];

  it.each(PAIRS)('GR-34 off: %s', async (_title, claim, unbound, code) => {
    const grant = grantOf();
    const outcome = await prove(claim(grant), { mode: 'off', verifier: { grants: undefined } });
    expect(outcome.unbound).toBe(unbound);
    expect(outcome.grant).toBeUndefined();
    expect(outcome.refusal).toBeUndefined();
    expect(await outcome.held?.text()).toBe(code === 'accepted' ? grant : undefined);
    expect(setup.cache.verifications).toBe(0);
  });

  it.each(PAIRS)('GR-40 report: %s', async (_title, claim, _unbound, code) => {
    const grant = grantOf();
    const outcome = await prove(claim(grant), { mode: 'report' });
    expect(outcome.grant).toBeUndefined();
    expect(outcome.refusal).toBe(code === 'accepted' ? undefined : code);
    expect(await outcome.held?.text()).toBe(code === 'accepted' ? grant : undefined);
  });

  it.each(PAIRS)('GR-34 required: %s', async (_title, claim, _unbound, code) => {
    expect(await verdict(claim(grantOf()))).toBe(code);
    expect(await verdict(claim(grantOf()), { mode: 'off', asked: {} })).toBe(code);
    expect(await verdict(claim(grantOf()), { mode: 'report', asked: {} })).toBe(code);
  });

  it('GR-34 off hands on what nobody here can read', async () => {
    const outcome = await prove(pair('not.a.grant'), { mode: 'off' });
    expect(await outcome.held?.text()).toBe('not.a.grant');
    expect(outcome.held?.isOver(Infinity)).toBe(false);
    const nobodys = pair(grantOf(), { subject: undefined });
    expect(await prove(nobodys, { mode: 'off' })).toEqual({});
  });

  it('GR-20 without a user', async () => {
    const nobody = pair(grantOf(), { subject: undefined });
    expect(await verdict(nobody, { withoutSubject: 'allowed' })).toBe('accepted');
    expect(await prove(nobody, { withoutSubject: 'allowed' })).toEqual({});
    expect(await verdict(nobody)).toBe('subject_missing');
    expect(await verdict(nobody, { withoutSubject: 'allowed', asked: {} })).toBe('subject_missing');
    expect(await verdict(nobody, { mode: 'off', asked: {} })).toBe('subject_missing');
    expect(await prove(nobody, { mode: 'report' })).toEqual({ refusal: 'subject_missing' });
    expect(await prove(nobody, { mode: 'report', withoutSubject: 'allowed' })).toEqual({});
  });

  it('GR-37 report where keys are out of reach', async () => {
    setup.keys.isOutOfReach = true;
    expect(await prove(pair(grantOf()), { mode: 'report' })).toEqual({
      refusal: 'key_unavailable',
    });
    expect(await verdict(pair(grantOf()))).toBe('key_unavailable');
  });

  it('GR-37 throw what is no verdict, in each mode', async () => {
    const error = new Error('of the key source');
    setup.keys.find = () => {
      throw error;
    };
    for (const mode of ['report', 'required'] as const) {
      await expect(prove(pair(grantOf()), { mode })).rejects.toBe(error);
    }
  });

  it('GR-37 throw a failure of the signature check that is no verdict', async () => {
    const secret = createSecretKey(Buffer.alloc(32));
    setup.keys.add({ ...key, publicKey: secret });
    await expect(prove(pair(grantOf()))).rejects.toMatchObject({ name: 'TypeError' });
    setup.keys.add(key);
    expect(await verdict(pair(grantOf()))).toBe('accepted');
  });

  it('GR-04 believe nobody where nobody vouches', async () => {
    const verifier = { grants: undefined };
    expect(await verdict(pair(grantOf()), { verifier })).toBe('originator_unknown');
    expect(await verdict(pair(grantOf()), { mode: 'off', asked: {}, verifier })).toBe(
      'originator_unknown',
    );
  });
});

describe('the age of a grant', () => {
  const ages = (issuer: number, route?: number): Terms => ({
    maxAgeSeconds: issuer,
    asked: route === undefined ? undefined : { maxAgeSeconds: route },
  });
  const ROWS: [issuer: number, route: number | undefined, age: number, code: string][] = [
    [300, undefined, 305, 'accepted'],
    [300, undefined, 305.1, 'grant_expired'],
    [86_400, undefined, 305.1, 'grant_expired'],
    [86_400, undefined, 305, 'accepted'],
    [300, 86_400, 305.1, 'grant_expired'],
    [3600, 86_400, 3605, 'accepted'],
    [3600, 86_400, 3605.1, 'grant_expired'],
    [86_400, 3600, 3605, 'accepted'],
    [86_400, 3600, 3605.1, 'grant_expired'],
    [300, 60, 65, 'accepted'],
    [300, 60, 65.1, 'grant_expired'],
    [30, 300, 35, 'accepted'],
    [30, undefined, 35.1, 'grant_expired'],
    [86_400, 86_400, 86_404.9, 'accepted'],
    [86_400, 86_400, 86_405, 'grant_expired'],
    [300, undefined, -5, 'accepted'],
    [300, undefined, -5.1, 'grant_not_yet_valid'],
  ];
  it.each(ROWS)(
    'GR-09, GR-10, GR-11, GR-21 issuer %s s, route %s s, age %s s: %s',
    async (issuer, route, age, code) => {
      const grant = grantOf({ claims: { exp: NOW_SECONDS + DAY_SECONDS } });
      setup.seconds = NOW_SECONDS + age;
      expect(await verdict(pair(grant), ages(issuer, route))).toBe(code);
    },
  );

  it.each([
    [DAY_SECONDS, 'accepted'],
    [DAY_SECONDS + 1, 'grant_invalid'],
  ])('GR-30 its life of %s s by default: %s', async (life, code) => {
    expect(await verdict(pair(grantOf({ claims: { exp: NOW_SECONDS + life } })))).toBe(code);
    setup = { ...setup, grants: { ...setup.grants, maxLifetimeSeconds: 2 * DAY_SECONDS } };
    expect(await verdict(pair(grantOf({ claims: { exp: NOW_SECONDS + life } })))).toBe('accepted');
  });
});

describe('what a refusal says', () => {
  const detailOf = async (claim: SubjectClaim, terms?: Terms): Promise<unknown> =>
    await prove(claim, terms).then(
      () => 'accepted',
      (error: { detail?: string }) => error.detail,
    );
  const ROWS: [title: string, grant: () => string, terms: Terms, detail: unknown][] = [
    ['grant_missing', () => '', {}, 'the token names a grant, and none came with it'],
    ['4,097 characters', () => 'a'.repeat(4097), {}, 'longer than 4096 characters'],
    ['a comma', () => 'a,b', {}, 'several grants in one header'],
    ['a space', () => 'a b', {}, 'not visible ASCII'],
    ['no segments', () => 'abc', {}, 'not three base64url segments'],
    [
      'another typ',
      () => grantOf({ header: { typ: 'svc+jwt' } }),
      {},
      expect.stringMatching(/typ/),
    ],
    ['a claim less', () => grantOf({ claims: { txn: undefined } }), {}, 'txn is missing'],
    [
      'a name that differs in its end',
      () => grantOf({ claims: { iss: EDGE.slice(0, -1) } }),
      {},
      `differs from ${EDGE} in its final slash`,
    ],
    [
      'a name unlike others',
      () => grantOf({ claims: { iss: 'https://x.example/' } }),
      {},
      undefined,
    ],
    [
      'an unknown kid',
      () => grantOf({ header: { kid: 'x' } }),
      {},
      expect.stringMatching(/^kid: .*/),
    ],
    [
      'another alg',
      () => grantOf({ header: { alg: 'ES384' } }),
      {},
      'alg is not the algorithm of the key',
    ],
    [
      'a bad signature',
      () => grantOf({ key: { ...createKey(), keyId: key.keyId } }),
      {},
      'signature_invalid',
    ],
    [
      'another domain',
      () => grantOf({ trustDomain: 'x' }),
      {},
      'it was made for another trust domain',
    ],
    ['another user', () => grantOf({ subject: `${USERS}2/` }), {}, 'it was made for another user'],
    ['an hour', () => grantOf({ now: NOW_SECONDS - 3600 }), {}, 'exp was 3300.0 s ago'],
    [
      'the future',
      () => grantOf({ now: NOW_SECONDS + 60 }),
      {},
      'iat is 60.0 s ahead of this clock',
    ],
    [
      'an age',
      () => grantOf({ claims: { iat: NOW_SECONDS - 400, exp: NOW_SECONDS + 400 } }),
      { asked: { maxAgeSeconds: 60 } },
      'it is 400.0 s old; its issuer may use one of 300 s, and the route takes one of 60 s',
    ],
    ['a scope', () => grantOf(), { asked: { scopes: ['user:delete'] } }, 'user:delete'],
    [
      'an acr',
      () => grantOf(),
      { asked: { acrs: [new Set(['gold', 'silver'])] } },
      'the route asks for gold or silver',
    ],
    [
      'another originator',
      () => grantOf(),
      { asked: { originators: [new Set(['x'])] } },
      'by this route',
    ],
  ];
  it.each(ROWS)('GR-22 of %s', async (_title, grant, terms, detail) => {
    expect(await detailOf(pair(grant()), terms)).toEqual(detail);
    expect(await detailOf(pair(grantOf()))).toBe('accepted');
  });

  it('GR-06, GR-14 of an originator out of its bounds, and of no originators', async () => {
    setup.originators.set(EDGE, {
      issuer: EDGE,
      keys: setup.keys,
      subjects: ['urn:x:'],
      scopes: undefined,
    });
    expect(await detailOf(pair(grantOf()))).toBe(`${EDGE} may not vouch for this user`);
    setup.originators.set(EDGE, {
      issuer: EDGE,
      keys: setup.keys,
      subjects: [USERS],
      scopes: new Set(['x']),
    });
    expect(await detailOf(pair(grantOf()))).toBe(`${EDGE} may not vouch for this scope`);
    expect(await detailOf(pair(grantOf()), { verifier: { grants: undefined } })).toBe(
      'this service has no `originators`, so it believes no grant',
    );
    expect(await detailOf(pair(grantOf(), { tth: undefined }))).toBe(
      'the token does not name the grant beside it',
    );
    expect(await detailOf(pair(grantOf(), { tth: 'x' }))).toBe(
      'the token was made for another grant',
    );
    expect(await detailOf(pair('x', { headerValues: () => ['x', 'x'] }))).toBe(
      'several Txn-Token headers',
    );
  });
});

describe('all that a route asks holds', () => {
  const asked = (policy: ProofPolicy): Terms => ({ mode: 'off', asked: policy });
  const ROWS: [title: string, policy: ProofPolicy, code: string][] = [
    ['each scope', { scopes: ['a', 'b'] }, 'accepted'],
    ['each scope, one of them missing', { scopes: ['a', 'c'] }, 'scope_missing'],
    [
      'each list of originators',
      { originators: [new Set([EDGE]), new Set([EDGE, 'x'])] },
      'accepted',
    ],
    [
      'one list without it',
      { originators: [new Set([EDGE]), new Set(['x'])] },
      'originator_not_allowed',
    ],
    ['each list of acr', { acrs: [new Set(['gold']), new Set(['gold', 'x'])] }, 'accepted'],
    [
      'one list without its acr',
      { acrs: [new Set(['gold']), new Set(['x'])] },
      'authentication_insufficient',
    ],
  ];
  it.each(ROWS)('GR-19, GR-32, GR-33, GR-41 %s', async (_title, policy, code) => {
    const grant = grantOf({ claims: { scope: 'a b', acr: 'gold' } });
    expect(await verdict(pair(grant), asked(policy))).toBe(code);
  });
});

it('GR-27 remembers the header of a good grant, which is not taken for that of a token', async () => {
  const knownHeaders = new KnownHeaders();
  const grant = grantOf();
  const [header = ''] = grant.split('.');
  const bad = grantOf({ key: { ...createKey(), keyId: key.keyId } });
  expect(await verdict(pair(bad), { verifier: { knownHeaders } })).toBe('grant_invalid');
  expect(knownHeaders.find(header)).toBeUndefined();
  expect(await verdict(pair(grant), { verifier: { knownHeaders } })).toBe('accepted');
  expect(knownHeaders.find(header)).toMatchObject({ typ: 'txntoken+jwt' });
  const [asToken = ''] = grantOf({ header: { typ: 'svc+jwt' } }).split('.');
  knownHeaders.keep(asToken, { alg: 'ES256', kid: key.keyId, typ: 'svc+jwt' });
  const service = grantOf({ header: { typ: 'svc+jwt' } });
  expect(await verdict(pair(service), { verifier: { knownHeaders } })).toBe('grant_invalid');
});
