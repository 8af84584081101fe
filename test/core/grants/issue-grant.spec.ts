import {
  createServiceAuth,
  type GrantOptions,
  type ServiceAuth,
  type ServiceAuthOptions,
} from 'nestjs-service-auth/core';
import { heldGrantOf } from '../../../lib/core/grants/held-grant.js';
import { readUnverifiedGrant } from '../../../lib/core/grants/unverified-grant.js';
import { createKey } from '../../support/keys/keys.js';
import { ObservedEvents } from '../../support/observed/observed-events.js';
import {
  CENSUS,
  codeOf,
  HERALD,
  NOW_SECONDS,
  now,
  outgoing,
  received,
  USER,
} from '../../support/services/peers.js';
import { decodeClaims, decodeHeader } from '../../support/tokens/forge.js';
import { tthOf } from '../../support/tokens/grant.js';

const TRUST_DOMAIN = 'https://test.example.org/';
const USERS = 'https://census.service/user/';
const DAY_SECONDS = 86_400;
const key = createKey();

const services: ServiceAuth[] = [];
afterEach(() => services.splice(0).forEach((service) => service.close()));

async function start(options: Partial<ServiceAuthOptions> = {}): Promise<ServiceAuth> {
  const service = await createServiceAuth({
    issuer: HERALD,
    signingKey: { privateKey: key.privateKey },
    targets: [{ baseUrl: CENSUS }],
    trustDomain: TRUST_DOMAIN,
    originate: { subjects: [USERS] },
    now,
    ...options,
  });
  services.push(service);
  return service;
}

const issue = async (options?: GrantOptions, more?: Partial<ServiceAuthOptions>, user = USER) =>
  await (await start(more)).issueGrant(user, options);

describe('a grant that is made', () => {
  it('says who vouches for whom, and until when', async () => {
    const grant = await issue();
    expect(decodeHeader(grant)).toEqual({ alg: 'ES256', kid: key.keyId, typ: 'txntoken+jwt' });
    expect(decodeClaims(grant)).toEqual({
      iss: HERALD,
      aud: TRUST_DOMAIN,
      sub: USER,
      iat: NOW_SECONDS,
      exp: NOW_SECONDS + 300,
      txn: expect.stringMatching(/^[\w-]{16,256}$/) as string,
      scope: 'user-present',
      req_wl: HERALD,
    });
    expect(readUnverifiedGrant(grant)).toEqual({
      subject: USER,
      expiresAtSeconds: NOW_SECONDS + 300,
    });
  });

  it('says what its maker knows', async () => {
    const grant = await issue({
      scope: ['user:read', 'user:delete'],
      lifetimeSeconds: DAY_SECONDS,
      acr: 'urn:acr:gold',
      authTimeSeconds: NOW_SECONDS - 60,
      amr: ['pwd', 'otp'],
      transactionContext: { order: 7 },
      requesterContext: { ip: '192.0.2.1' },
    });
    expect(decodeClaims(grant)).toMatchObject({
      exp: NOW_SECONDS + DAY_SECONDS,
      scope: 'user:read user:delete',
      acr: 'urn:acr:gold',
      auth_time: NOW_SECONDS - 60,
      amr: ['pwd', 'otp'],
      tctx: { order: 7 },
      rctx: { ip: '192.0.2.1' },
    });
  });

  it('has a transaction of its own each time, which its event names', async () => {
    const observer = new ObservedEvents();
    const service = await start({ observer });
    const grants = [await service.issueGrant(USER), await service.issueGrant(USER, { scope: 'a' })];
    const transactions = grants.map((grant) => decodeClaims(grant)['txn']);
    expect(new Set(transactions).size).toBe(2);
    expect(observer.of('grant_issued')).toEqual(
      transactions.map((transaction) => ({
        type: 'grant_issued',
        transaction,
        lifetimeSeconds: 300,
        insteadOf: undefined,
      })),
    );
    expect(JSON.stringify(observer.all)).not.toContain(USER);
  });

  it('is believed by a receiver, beside a token that names it', async () => {
    const edge = await start();
    const census = await createServiceAuth({
      issuer: CENSUS,
      trustDomain: TRUST_DOMAIN,
      originators: [{ issuer: HERALD, subjects: [USERS] }],
      trustedIssuers: [
        {
          issuer: HERALD,
          publicKey: key.publicPem,
          subjectProof: { mode: 'required', withoutSubject: 'refused' },
        },
      ],
      now,
    });
    services.push(census);
    const grant = await edge.issueGrant(USER, { acr: 'gold' });
    const request = outgoing({ grant });
    const token = (await edge.sign(request)) ?? '';
    expect(decodeClaims(token)['tth']).toBe(tthOf(grant));
    const incoming = received(request, token);
    expect(await codeOf(async () => await census.verify(incoming))).toBe('grant_mismatch');
    const rawHeaders = [...incoming.rawHeaders, 'Txn-Token', grant];
    const identity = await census.verify({ ...incoming, rawHeaders });
    expect(identity.grant).toMatchObject({ originator: HERALD, acr: 'gold' });
    expect(await heldGrantOf(identity)?.text()).toBe(grant);
  });

  const LIVES: [what: string, seconds: number, options: GrantOptions, originate: object][] = [
    ['the whole life that is allowed', DAY_SECONDS, { lifetimeSeconds: DAY_SECONDS }, {}],
    ['the life of the options', 60, {}, { lifetimeSeconds: 60 }],
    ['a short one where that is the longest', 60, {}, { maxLifetimeSeconds: 60 }],
    ['a second', 1, { lifetimeSeconds: 1 }, {}],
  ];
  it.each(LIVES)('lives for %s', async (_what, seconds, options, originate) => {
    const grant = await issue(options, { originate: { subjects: [USERS], ...originate } });
    const { iat, exp } = decodeClaims(grant);
    expect(Number(exp) - Number(iat)).toBe(seconds);
  });
});

describe('GR-45 originate_refused', () => {
  const REFUSED: [
    title: string,
    detail: string | RegExp,
    options: unknown,
    more?: object,
    user?: unknown,
  ][] = [
    ['without originate', 'set `originate`', {}, { originate: undefined }],
    [
      'a user outside of its prefixes',
      'the user is outside of `originate.subjects`',
      {},
      {},
      'https://census.service/admin/1/',
    ],
    [
      'a user that begins as a prefix',
      'the user is outside of `originate.subjects`',
      {},
      {},
      `${USERS}../admin/1/`,
    ],
    ['what is no URI', 'the user is not an absolute URI', {}, {}, 'user/21'],
    ...[0, -1, 1.5, DAY_SECONDS + 1, Number.NaN, '60', null].map(
      (lifetimeSeconds): (typeof REFUSED)[number] => [
        `a life of ${String(lifetimeSeconds)}`,
        `lifetimeSeconds is no whole number from 1 to ${DAY_SECONDS}`,
        lifetimeSeconds === null ? { lifetimeSeconds: {} } : { lifetimeSeconds },
      ],
    ),
    ...['', 'a b', ' a', 'caf\u00e9', 'a"', [], [''], ['a', 'b c'], 7, ['a', 7], {}].map(
      (scope): (typeof REFUSED)[number] => [
        `the scope ${JSON.stringify(scope)}`,
        /^scope is no text without spaces/,
        { scope },
      ],
    ),
    ['an acr that is no text', 'acr is not a string', { acr: 7 }],
    ['an amr that is no list', 'amr is no list of texts', { amr: 'pwd' }],
    ['a time that is no number', 'auth_time is not a finite number', { authTimeSeconds: '5' }],
    ['a context that is no object', 'tctx is not an object', { transactionContext: [1] }],
    ['a context that is a text', 'rctx is not an object', { requesterContext: 'x' }],
    [
      '__proto__ in a context',
      'member with a forbidden name',
      { transactionContext: JSON.parse('{"__proto__":{}}') as object },
    ],
    ['a lone surrogate', /lone surrogate/, { acr: '\ud800' }],
    [
      'more members than are read',
      'more than 64 values',
      { amr: Array.from({ length: 64 }, () => 'x') },
    ],
    ['what JSON cannot say', /BigInt/, { transactionContext: { big: 1n } }],
  ];
  it.each(REFUSED)('%s', async (_title, detail, options, more = {}, user = USER) => {
    const matching =
      typeof detail === 'string' ? detail : (expect.stringMatching(detail) as string);
    const refused = issue(options as GrantOptions, more, user as string);
    await expect(refused).rejects.toMatchObject({ code: 'originate_refused', detail: matching });
    expect(await codeOf(async () => await issue())).toBe('accepted');
  });

  it('a grant of 4,097 characters, and none of 4,096', async () => {
    const lengths: unknown[] = [];
    // Base64url has no text of one character more than a multiple of four, so not every key id meets the limit.
    for (const keyId of ['a', 'ab', 'abc']) {
      const service = await start({ signingKey: { privateKey: key.privateKey, keyId } });
      const lengthOf = async (size: number): Promise<unknown> =>
        await service.issueGrant(USER, { acr: 'a'.repeat(size) }).then(
          ({ length }) => length,
          (error: { code: string }) => error.code,
        );
      const about = 2000 + Math.floor(((4096 - Number(await lengthOf(2000))) * 3) / 4);
      for (let size = about - 4; size < about + 4; size++) lengths.push(await lengthOf(size));
    }
    expect(lengths).toContain(4096);
    expect(lengths).toContain('originate_refused');
    expect(lengths.filter((length) => Number(length) > 4096)).toEqual([]);
  });

  it("is not what the application's own objects throw", async () => {
    const own = new RangeError('of the application');
    const toJSON = (): never => {
      throw own;
    };
    await expect(issue({ transactionContext: { toJSON } })).rejects.toBe(own);
    expect(await codeOf(async () => await issue({ transactionContext: {} }))).toBe('accepted');
  });

  it('tells observers of none that was not made', async () => {
    const observer = new ObservedEvents();
    const service = await start({ observer });
    await expect(service.issueGrant('x')).rejects.toThrow('No grant was made for this user');
    expect(observer.of('grant_issued')).toEqual([]);
    await service.issueGrant(USER);
    expect(observer.of('grant_issued')).toHaveLength(1);
  });

  it('is sending_disabled without a key, and service_closed once it is closed', async () => {
    const receiving = await start({
      signingKey: undefined,
      targets: undefined,
      originate: undefined,
      trustedIssuers: [{ issuer: CENSUS, publicKey: key.publicPem }],
    });
    await expect(receiving.issueGrant(USER)).rejects.toMatchObject({ code: 'sending_disabled' });
    const closed = await start();
    closed.close();
    await expect(closed.issueGrant(USER)).rejects.toMatchObject({ code: 'service_closed' });
  });

  it('is service_closed where the service is closed while it signs', async () => {
    const service = await start();
    const made = service.issueGrant(USER);
    service.close();
    await expect(made).rejects.toMatchObject({ code: 'service_closed' });
  });
});

describe('what is read of a grant that was given, and cannot be verified', () => {
  const claims = (value: unknown) =>
    `a.${Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')}.c`;
  it.each([
    ['no grant', 'x'],
    ['two segments', 'a.b'],
    ['no JSON', 'a.b.c'],
    ['no user', claims({ exp: 5 })],
    ['no end', claims({ sub: USER })],
    ['a user that is no text', claims({ sub: 5, exp: 5 })],
    ['an end that is no number', claims({ sub: USER, exp: '5' })],
    ['a user twice', claims(`{"sub":"x","sub":"${USER}","exp":5}`)],
    ['too many claims', claims({ sub: USER, exp: 5, x: Array.from({ length: 64 }, () => 1) })],
    ['too many characters', claims({ sub: USER, exp: 5, x: 'x'.repeat(4096) })],
  ])('%s: nothing', (_title, text) => {
    expect(readUnverifiedGrant(text)).toBeUndefined();
    expect(readUnverifiedGrant(claims({ sub: USER, exp: 5 }))).toEqual({
      subject: USER,
      expiresAtSeconds: 5,
    });
  });
});
