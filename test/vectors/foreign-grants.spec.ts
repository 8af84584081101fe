import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { Controller, Post, type Type, UseGuards } from '@nestjs/common';
import {
  ServiceAuthModule,
  ServiceGrant,
  ServiceJwtGuard,
  type VerifiedGrant,
} from 'nestjs-service-auth';
import {
  type Algorithm,
  createServiceAuth,
  type ServiceAuth,
  type ServiceAuthOptions,
} from 'nestjs-service-auth/core';
import { createKey, type TestKey } from '../support/keys/keys.js';
import { type Outcome, python, runPython } from '../support/processes/python.js';
import { whereThereIs } from '../support/processes/where-there-is.js';
import { codeOf } from '../support/services/peers.js';
import {
  type Adapter,
  ADAPTERS,
  startService,
  type TestService,
} from '../support/services/service.js';
import { decodeClaims, decodeHeader } from '../support/tokens/forge.js';

// Pythons take their time on a busy machine.
jest.setTimeout(120_000);

const MAKER = join(import.meta.dirname, 'transaction_token.py');
const CLIENTS = join(import.meta.dirname, '../../sample/clients/python');
const VERIFIER = join(CLIENTS, 'verify_token.py');
const CLIENT = join(CLIENTS, 'strict_client.py');
const CENSUS = 'https://census.service/';
const HERALD = 'https://herald.service/';
const EDGE = 'https://edge.service/';
const ANOTHER = 'https://another.service/';
const TOKEN_SERVICE = 'https://tts.trust-domain.example/';
const USERS = 'https://census.service/user/';
const USER = `${USERS}21/`;
/** A plain name, as the examples of the draft have it. */
const TRUST_DOMAIN = 'trust-domain-1';
const GET = { method: 'GET', headers: {}, body: new Uint8Array() } as const;

const describeWithPython = whereThereIs(
  python !== undefined,
  'Python with PyJWT and cryptography',
  describe,
);

const keys = { herald: createKey(), edge: createKey(), another: createKey() };
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

let folder: string;
let herald: ServiceAuth;
let edge: ServiceAuth;

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const sender = (issuer: string, key: TestKey): ServiceAuthOptions => ({
  issuer,
  signingKey: { privateKey: key.privatePem },
  targets: [{ baseUrl: CENSUS }],
  trustDomain: TRUST_DOMAIN,
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'foreign-grants-'));
  herald = await createServiceAuth(sender(HERALD, keys.herald));
  edge = await createServiceAuth({
    ...sender(EDGE, keys.edge),
    originate: { subjects: [USERS] },
  });
});

afterAll(() => {
  herald.close();
  edge.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A call of Herald for the user, with a grant. */
const signed = async (grant: string, subject = USER): Promise<string> =>
  (await herald.sign({ ...GET, url: new URL('user/42/', CENSUS), subject, grant })) ?? '';

describeWithPython('Transaction Tokens that PyJWT makes', () => {
  const KEY_ID = 'identifier-to-key';
  /** The example of the draft, with what the profile asks besides: iss, and a URI as sub. */
  const claims = {
    iss: TOKEN_SERVICE,
    iat: nowSeconds(),
    aud: TRUST_DOMAIN,
    exp: nowSeconds() + 360,
    txn: '97053963-771d-49cc-a4e3-20aad399c312',
    sub: USER,
    req_wl: 'apigateway.trust-domain.example',
    rctx: { req_ip: '69.151.72.123', authn: 'face' },
    scope: 'trade.stocks',
    tctx: {
      action: 'BUY',
      ticker: 'MSFT',
      quantity: '100',
      customer_type: { geo: 'US', level: 'VIP' },
    },
    purp: 'a claim that neither page names',
  };
  const tokenService = { RS256: createKey('RS256'), ES256: createKey('ES256') };
  type Signing = keyof typeof tokenService;

  async function make(algorithm: Signing, changed: object, header: object): Promise<string> {
    const key = file(`${algorithm}.pem`, tokenService[algorithm].privatePem);
    const given = JSON.stringify({ header, claims: { ...claims, ...changed } });
    const { ok, output } = await runPython(MAKER, ['make', key, algorithm], given);
    if (!ok) throw new Error(output);
    return output;
  }

  const startCensus = async (algorithm: Algorithm & Signing): Promise<ServiceAuth> =>
    await createServiceAuth({
      issuer: CENSUS,
      trustDomain: TRUST_DOMAIN,
      originators: [
        {
          issuer: TOKEN_SERVICE,
          subjects: [USERS],
          keys: [{ publicKey: tokenService[algorithm].publicPem, keyId: KEY_ID }],
          algorithms: [algorithm],
        },
      ],
      trustedIssuers: [
        {
          issuer: HERALD,
          publicKey: keys.herald.publicPem,
          subjects: [USERS],
          subjectProof: { mode: 'required', withoutSubject: 'refused' },
        },
      ],
    });

  /** What the receiver makes of a call with that grant. */
  async function send(census: ServiceAuth, grant: string) {
    const rawHeaders = ['JWT', await signed(grant), 'Txn-Token', grant];
    return await census.verify({ method: 'GET', target: '/user/42/', rawHeaders, body: GET.body });
  }

  describe.each(['RS256', 'ES256'] as const)('with %s', (algorithm) => {
    let census: ServiceAuth;
    beforeAll(async () => {
      census = await startCensus(algorithm);
    });
    afterAll(() => census.close());

    it('are accepted', async () => {
      const grant = await make(algorithm, {}, { kid: KEY_ID });
      const identity = await send(census, grant);
      expect(identity).toMatchObject({ issuer: HERALD, subject: USER });
      expect(identity.grant).toEqual({
        originator: TOKEN_SERVICE,
        transaction: claims.txn,
        scopes: ['trade.stocks'],
        issuedAtSeconds: claims.iat,
        expiresAtSeconds: claims.exp,
        acr: undefined,
        authTimeSeconds: undefined,
        amr: undefined,
        transactionContext: claims.tctx,
        requesterContext: claims.rctx,
      });
    });

    it.each<[what: string, changed: object, header: object]>([
      ['without iss', { iss: undefined }, { kid: KEY_ID }],
      ['without kid', {}, {}],
      ['whose sub is no URI', { sub: 'd084sdrt234fsaw34tr23t' }, { kid: KEY_ID }],
      ['whose aud is an array', { aud: [TRUST_DOMAIN] }, { kid: KEY_ID }],
    ])('are refused %s, which the draft allows', async (_what, changed, header) => {
      const grant = await make(algorithm, changed, header);
      expect(await codeOf(async () => await send(census, grant))).toBe('grant_invalid');
    });
  });
});

describeWithPython('grants of this library', () => {
  const keySet = () => {
    const { keyId: kid, publicKey, algorithm: alg } = keys.edge;
    return JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid, alg }] });
  };
  const verify = async (grant: string, trustDomain: string): Promise<Outcome> =>
    await runPython(MAKER, ['verify', file('keys.json', keySet()), trustDomain], grant);

  it('are accepted by a verifier that was written from the draft alone', async () => {
    const grant = await edge.issueGrant(USER, {
      scope: ['notification:create', 'user:read'],
      acr: 'urn:example:two-factors',
      amr: ['pwd', 'otp'],
      transactionContext: { action: 'BUY' },
      requesterContext: { req_ip: '192.0.2.1' },
    });
    const { ok, output } = await verify(grant, TRUST_DOMAIN);
    expect({ ok, output }).toEqual({ ok: true, output: expect.any(String) as unknown });
    expect(JSON.parse(output)).toEqual(decodeClaims(grant));
    expect(decodeHeader(grant)).toEqual({
      alg: 'ES256',
      kid: keys.edge.keyId,
      typ: 'txntoken+jwt',
    });
  });

  it.each<[what: string, refusal: RegExp, trustDomain: string, bend: (grant: string) => string]>([
    ['of another trust domain', /^InvalidAudienceError/, 'trust-domain-2', (grant) => grant],
    [
      'with a changed signature',
      /^InvalidSignatureError/,
      TRUST_DOMAIN,
      (grant) => `${grant.slice(0, -20)}AAAA${grant.slice(-16)}`,
    ],
  ])('are refused by it %s', async (_what, refusal, trustDomain, bend) => {
    const { ok, output } = await verify(bend(await edge.issueGrant(USER)), trustDomain);
    expect(ok).toBe(false);
    expect(output).toMatch(refusal);
  });

  describe('and the receiver of the sample in Python', () => {
    interface Call {
      readonly grant?: string;
      readonly sent?: string;
      readonly subject?: string;
      readonly more?: readonly string[];
      readonly users?: string;
      readonly trustDomain?: string;
      readonly originator?: string;
    }

    async function receive(call: Call = {}): Promise<Outcome> {
      const { grant = await edge.issueGrant(USER, { scope: 'user:read' }) } = call;
      const { sent = grant, users = USERS, trustDomain = TRUST_DOMAIN, originator = EDGE } = call;
      const token = await signed(grant, call.subject);
      const asked = {
        '--grant': file('grant', sent),
        '--trust-domain': trustDomain,
        '--originator': originator,
        '--originator-key': file('edge.pem', keys.edge.publicPem),
        '--users': users,
      };
      const heraldKey = file('herald.pem', keys.herald.publicPem);
      const args = [
        token,
        heraldKey,
        CENSUS,
        ...Object.entries(asked).flat(),
        ...(call.more ?? []),
      ];
      return await runPython(VERIFIER, args);
    }

    it('accepts them', async () => {
      const { ok, output } = await receive({ more: ['--scope', 'user:read'] });
      expect({ ok, output }).toEqual({ ok: true, output: expect.any(String) as unknown });
      expect(JSON.parse(output)).toMatchObject({
        iss: HERALD,
        sub: USER,
        grant: { iss: EDGE, sub: USER, aud: TRUST_DOMAIN, scope: 'user:read', req_wl: EDGE },
      });
    });

    it.each<[what: string, code: string, call: Call]>([
      ['of another user', 'grant_mismatch', { subject: `${USERS}42/` }],
      ['of another trust domain', 'grant_mismatch', { trustDomain: 'trust-domain-2' }],
      ['of an unknown originator', 'originator_unknown', { originator: HERALD }],
      ['of a user of others', 'originator_not_allowed', { users: 'https://partner.example/' }],
      ['without the scope', 'scope_missing', { more: ['--scope', 'user:delete'] }],
      ['that are too old', 'grant_expired', { more: ['--max-age', '-10'] }],
    ])('refuses those %s', async (_what, code, call) => {
      expect(await receive(call)).toEqual({ ok: false, output: `Refused: ${code}` });
    });

    it('refuses another than the one that was signed', async () => {
      const sent = await edge.issueGrant(USER, { scope: 'user:read' });
      expect(await receive({ sent })).toEqual({ ok: false, output: 'Refused: grant_mismatch' });
    });

    it('refuses one that a forwarder has made', async () => {
      const forger = await createServiceAuth({
        ...sender(EDGE, keys.herald),
        originate: { subjects: [USERS] },
      });
      const grant = await forger.issueGrant(USER);
      forger.close();
      expect(await receive({ grant })).toEqual({ ok: false, output: 'Refused: grant_invalid' });
    });
  });
});

/** The client writes a final slash, which Fastify does not overlook. */
function controllerFor(adapter: Adapter): Type {
  @Controller()
  @UseGuards(ServiceJwtGuard)
  class NotificationController {
    @Post(adapter === 'express' ? 'notification' : '*')
    create(@ServiceGrant() grant: VerifiedGrant) {
      return { originator: grant.originator };
    }
  }
  return NotificationController;
}

describeWithPython.each(ADAPTERS)('the client of the sample in Python, on %s', (adapter) => {
  let receiver: TestService;

  beforeAll(async () => {
    const subjects = [USERS];
    receiver = await startService({
      adapter,
      imports: [
        ServiceAuthModule.forRoot({
          issuer: HERALD,
          trustDomain: TRUST_DOMAIN,
          originators: [{ issuer: EDGE, subjects, publicKey: keys.edge.publicPem }],
          trustedIssuers: [
            {
              issuer: ANOTHER,
              publicKey: keys.another.publicPem,
              subjects,
              subjectProof: { mode: 'required', withoutSubject: 'refused' },
            },
          ],
        }),
      ],
      controllers: [controllerFor(adapter)],
    });
  });

  afterAll(async () => await receiver.close());

  const call = async (...args: readonly string[]): Promise<Outcome> => {
    const key = file('another.pem', keys.another.privatePem);
    return await runPython(CLIENT, ['--herald', `${receiver.url}/`, '--key', key, ...args]);
  };

  it('is served with the grant of its user', async () => {
    const outcome = await call('--grant', file('grant', await edge.issueGrant(USER)));
    expect(outcome).toEqual({ ok: true, output: `201 {"originator":"${EDGE}"}` });
  });

  it('is refused with the grant of another user, and without one', async () => {
    const other = await edge.issueGrant(`${USERS}42/`);
    const mismatch = await call('--grant', file('grant', other));
    expect(mismatch.ok).toBe(false);
    expect(mismatch.output).toMatch(/^403 .*"code":"grant_mismatch"/);
    const missing = await call();
    expect(missing.ok).toBe(false);
    expect(missing.output).toMatch(/^403 .*"code":"grant_missing"/);
  });
});
