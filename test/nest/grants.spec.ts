import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Controller, Get, Inject, Next, Req, UseGuards } from '@nestjs/common';
import {
  OptionalServiceAuth,
  RequireSubjectProof,
  ServiceAuthConfigError,
  ServiceAuthModule,
  type ServiceAuthModuleOptions,
  ServiceCaller,
  ServiceGrant,
  type ServiceIdentity,
  ServiceJwtGuard,
  type VerifiedGrant,
} from 'nestjs-service-auth';
import { onBehalfOf } from 'nestjs-service-auth/axios';
import { ServiceFetch, ServiceFetchModule } from 'nestjs-service-auth/fetch';
import { expectAccepted, expectRefused } from '../support/attacks/answers.js';
import { type AttemptParts, toCall, tokenFor, withParts } from '../support/attacks/attempt.js';
import { stoppedStore } from '../support/clocks/clocks.js';
import { type Answer, call } from '../support/http/http.js';
import { RecordingServer, valuesOf } from '../support/http/recording-server.js';
import { jwkOf, type KeyServer, serveKeys, startKeyServer } from '../support/keys/key-server.js';
import { createKey } from '../support/keys/keys.js';
import { LogRecorder } from '../support/observed/log-recorder.js';
import { ObservedEvents } from '../support/observed/observed-events.js';
import {
  BASELINE,
  CENSUS,
  censusKey,
  COURIER,
  courierKey,
  EDGE,
  edgeKey,
  HERALD,
  heraldKey,
  MAILER,
  mailerKey,
  NOW_SECONDS,
  provingTrust,
  SCHEDULER,
  schedulerKey,
  startCensus,
  TRUST_DOMAIN,
  USER,
} from '../support/services/census.js';
import { rawRequest } from '../support/services/middleware.js';
import { ADAPTERS, startService, type TestService } from '../support/services/service.js';
import { decodeClaims } from '../support/tokens/forge.js';
import { type GrantParts, makeGrant, tthOf } from '../support/tokens/grant.js';

const REPORTER = 'https://reporter.service/';
const VETERAN_PROVING = 'https://old.service/';
const reporterKey = createKey();

const wire = new RecordingServer();
beforeAll(async () => void (await wire.start()));
afterAll(async () => await wire.close());

const grantOf = (parts: Partial<GrantParts> = {}): string =>
  makeGrant({
    key: edgeKey,
    originator: EDGE,
    trustDomain: TRUST_DOMAIN,
    subject: USER,
    now: NOW_SECONDS,
    ...parts,
  });
const courier = { issuer: COURIER, key: courierKey } as const;
const herald = { issuer: HERALD, key: heraldKey } as const;
const reporter = { issuer: REPORTER, key: reporterKey } as const;
const none = { sendGrant: () => ({}) } as const;
const twice = { sendGrant: (grant: string) => ({ 'Txn-Token': [grant, grant] }) } as const;
const unclaimed = { claims: { tth: undefined } } as const;

/** What a handler sees of the grant: verified, and as it was sent. */
interface Seen {
  readonly transaction: unknown;
  readonly inIdentity: unknown;
  readonly headers: boolean;
  /** The grant that was handed on with a call for the caller's user. */
  readonly handedOn: string | undefined;
}

abstract class LookingController {
  constructor(@Inject(ServiceFetch) private readonly fetch: ServiceFetch) {}

  protected async look(
    request: object,
    grant: VerifiedGrant | undefined,
    caller: ServiceIdentity | undefined,
  ): Promise<Seen> {
    const raw: IncomingMessage = rawRequest(request);
    const { rawHeaders, headers, headersDistinct } = raw;
    const shown = JSON.stringify([rawHeaders, headers, headersDistinct]);
    return {
      transaction: grant?.transaction,
      inIdentity: caller?.grant?.transaction,
      headers: shown.includes('eyJ'),
      handedOn: caller?.subject === undefined ? undefined : await this.handOn(caller),
    };
  }

  private async handOn(caller: ServiceIdentity): Promise<string | undefined> {
    // By its path: several may be on their way.
    const path = `/on/${randomUUID()}`;
    await this.fetch(wire.url + path, onBehalfOf(caller, {}));
    const sent = wire.requests.find(({ target }) => target === path) ?? wire.takeOne();
    const [grant] = valuesOf(sent, 'txn-token');
    const [token = ''] = valuesOf(sent, 'jwt');
    expect(decodeClaims(token)['tth']).toBe(grant === undefined ? undefined : tthOf(grant));
    return grant;
  }
}

@Controller('seen')
@UseGuards(ServiceJwtGuard)
class SeenController extends LookingController {
  @Get('plain')
  async plain(
    @Req() request: object,
    @ServiceGrant() grant: VerifiedGrant,
    @ServiceCaller() caller: ServiceIdentity,
  ) {
    return await this.look(request, grant, caller);
  }

  @Get('proved')
  @RequireSubjectProof()
  async proved(
    @Req() request: object,
    @ServiceGrant() grant: VerifiedGrant,
    @ServiceCaller() caller: ServiceIdentity,
  ) {
    return await this.look(request, grant, caller);
  }

  @Get('open')
  @OptionalServiceAuth()
  async open(
    @Req() request: object,
    @ServiceGrant() grant: VerifiedGrant,
    @ServiceCaller() caller: ServiceIdentity,
  ) {
    return await this.look(request, grant, caller);
  }
}

@Controller('class')
@UseGuards(ServiceJwtGuard)
@RequireSubjectProof({ maxAgeSeconds: 60, scope: 'user:read', originators: [EDGE] })
class ClassController {
  @Get('alone')
  alone() {
    return 'what the class asks';
  }

  @Get('both')
  @RequireSubjectProof({ maxAgeSeconds: 86_400, scope: 'user:delete', acr: 'gold' })
  both() {
    return 'what both ask';
  }

  @Get('several')
  @RequireSubjectProof({ originators: [EDGE, SCHEDULER], acr: ['gold', 'silver'] })
  @RequireSubjectProof({ maxAgeSeconds: 30, acr: ['silver', 'bronze'] })
  several() {
    return 'what all ask';
  }
}

/** Inherits what its routes and its class ask. */
@Controller('heir')
@UseGuards(ServiceJwtGuard)
class HeirController extends ClassController {}

@Controller('handed')
@UseGuards(ServiceJwtGuard)
class FirstController {
  @Get('on')
  first(@Next() next: () => void) {
    next();
  }
}

@Controller('handed')
@UseGuards(ServiceJwtGuard)
class SecondController extends LookingController {
  @Get('on')
  @RequireSubjectProof()
  async second(
    @Req() request: object,
    @ServiceGrant() grant: VerifiedGrant,
    @ServiceCaller() caller: ServiceIdentity,
  ) {
    return await this.look(request, grant, caller);
  }
}

/** Express alone has next(). */
const HANDING_ON = [FirstController, SecondController];
const CONTROLLERS = [SeenController, ClassController, HeirController];

describe.each(ADAPTERS)('grants on %s', (adapter) => {
  const events = new ObservedEvents();
  const logs = new LogRecorder();
  let seconds = NOW_SECONDS;
  beforeEach(() => {
    seconds = NOW_SECONDS;
    events.decisions.splice(0);
    events.all.splice(0);
  });

  const optionsOf = (
    options: Partial<ServiceAuthModuleOptions> = {},
  ): ServiceAuthModuleOptions => ({
    issuer: CENSUS,
    signingKey: { privateKey: censusKey.privatePem },
    targets: [{ baseUrl: wire.url }],
    ...provingTrust,
    trustedIssuers: [
      ...provingTrust.trustedIssuers,
      { issuer: REPORTER, publicKey: reporterKey.publicPem, subjectProof: { mode: 'report' } },
      {
        issuer: VETERAN_PROVING,
        publicKey: heraldKey.publicPem,
        profile: 'original',
        subjectProof: { mode: 'off' },
      },
    ],
    now: () => seconds * 1000,
    replayStore: stoppedStore(),
    observer: events,
    ...options,
  });

  const start = async (options: Partial<ServiceAuthModuleOptions> = {}): Promise<TestService> =>
    await startService({
      adapter,
      logger: logs,
      imports: [ServiceAuthModule.forRoot(optionsOf(options)), ServiceFetchModule],
      controllers: adapter === 'express' ? [...CONTROLLERS, ...HANDING_ON] : CONTROLLERS,
    });

  const send = async (port: number, target: string, parts: AttemptParts): Promise<Answer> => {
    const attempt = withParts(withParts(BASELINE, parts), { target });
    return await call(port, toCall(attempt, tokenFor(attempt, seconds)));
  };

  describe('that reach a handler', () => {
    let census: TestService;
    beforeAll(async () => void (census = await start()));
    afterAll(async () => await census.close());
    const ask = async (target: string, parts: AttemptParts): Promise<Answer> =>
      await send(census.port, target, parts);
    const seenOf = (json: unknown): Seen => json as Seen;

    it('GR-01 are handed to it, taken off the request, told of, and handed on as they came', async () => {
      const grant = grantOf({ claims: { scope: 'user:read' } });
      const { txn } = decodeClaims(grant);
      for (const _time of ['first', 'second']) {
        const { json } = await ask('/seen/plain', { ...courier, grant });
        expect(json).toEqual({
          transaction: txn,
          inIdentity: txn,
          headers: false,
          handedOn: grant,
        });
      }
      const proved = {
        proof: 'grant',
        originator: EDGE,
        transaction: txn,
        proofRefusal: undefined,
      };
      expect(events.of('request_accepted')).toMatchObject([proved, proved]);
      expect(JSON.stringify([events.decisions, events.all, logs.entries])).not.toContain('eyJ');
    });

    const UNBOUND: [reason: string, parts: AttemptParts][] = [
      ['claim_only', none],
      ['header_only', unclaimed],
      ['unequal', { claims: { tth: tthOf('x') } }],
      ['repeated', twice],
      ['malformed', { grant: 'a.b' }],
    ];
    it.each(UNBOUND)(
      'GR-34 that are no pair are told of where nobody asks: %s',
      async (reason, parts) => {
        const grant = grantOf();
        const good = await ask('/seen/plain', { ...herald, grant });
        expect(good.json).toEqual({ headers: false, handedOn: grant });
        expect(events.of('grant_unbound')).toEqual([]);
        const { json } = await ask('/seen/plain', { ...herald, grant, ...parts });
        expect(json).toEqual({ headers: false });
        expect(events.of('grant_unbound')).toEqual([
          {
            type: 'grant_unbound',
            transport: 'http',
            issuer: HERALD,
            route: '/seen/plain',
            reason,
          },
        ]);
        expect(events.of('request_accepted')).toMatchObject([
          { proof: 'none', originator: undefined, transaction: undefined, proofRefusal: undefined },
          { proof: 'none', originator: undefined, transaction: undefined, proofRefusal: undefined },
        ]);
      },
    );

    it('GR-34 are judged on a route that asks, whatever its issuer must do', async () => {
      const grant = grantOf();
      const { json } = await ask('/seen/proved', { ...herald, grant });
      expect(seenOf(json)).toMatchObject({
        transaction: decodeClaims(grant)['txn'],
        handedOn: grant,
      });
      expectRefused(await ask('/seen/proved', { ...herald }), { code: 'grant_missing' });
      expectRefused(await ask('/seen/proved', { ...herald, grant, ...none }), {
        code: 'grant_mismatch',
      });
      expectRefused(await ask('/seen/proved', { ...herald, grant, ...unclaimed }), {
        code: 'grant_mismatch',
      });
      expectRefused(await ask('/seen/proved', { ...herald, grant, ...twice }), {
        code: 'grant_repeated',
      });
      const invented = grantOf({ key: { ...createKey(), keyId: edgeKey.keyId } });
      expectRefused(await ask('/seen/proved', { ...reporter, grant: invented }), {
        code: 'grant_invalid',
      });
    });

    const FAILING: [code: string, parts: AttemptParts][] = [
      ['grant_missing', { grant: undefined }],
      ['grant_mismatch', none],
      ['grant_mismatch', unclaimed],
      ['grant_repeated', twice],
      ['grant_invalid', { grant: grantOf({ key: { ...createKey(), keyId: edgeKey.keyId } }) }],
      ['originator_unknown', { grant: grantOf({ originator: HERALD, key: heraldKey }) }],
      ['grant_expired', { grant: grantOf({ now: NOW_SECONDS - 3600 }) }],
    ];
    it.each(FAILING)(
      'GR-40 that fail in a report are served, and told of: %s',
      async (code, parts) => {
        const good = await ask('/seen/plain', { ...reporter, grant: grantOf() });
        expect(seenOf(good.json).handedOn).toEqual(expect.any(String));
        const { json, status } = await ask('/seen/plain', {
          ...reporter,
          grant: grantOf(),
          ...parts,
        });
        expect({ json, status }).toEqual({ json: { headers: false }, status: 200 });
        expect(events.of('request_accepted')).toMatchObject([
          { proof: 'none', proofRefusal: undefined },
          { proof: 'none', proofRefusal: code },
        ]);
      },
    );

    it('GR-40 that are good in a report are no proof for the handler, and handed on', async () => {
      const grant = grantOf();
      const { json } = await ask('/seen/plain', { ...reporter, grant });
      expect(json).toEqual({ headers: false, handedOn: grant });
    });

    it('GR-43 are taken off a request that a guard looks at, refused and anonymous ones too', async () => {
      const grant = grantOf();
      const anonymous = await ask('/seen/open', { ...herald, grant, send: () => ({}) });
      expect(anonymous.json).toEqual({ headers: false });
      const known = await ask('/seen/open', { ...courier, grant });
      expect(seenOf(known.json)).toMatchObject({ headers: false, handedOn: grant });
      const refused = await ask('/seen/open', { ...courier, grant, ...none });
      expectRefused(refused, { code: 'grant_mismatch' });
    });

    it('GR-39 leave the token unused where they are refused', async () => {
      const service = await start({ replayStore: undefined });
      try {
        const claims = { jti: 'the-same-token-id-0123456789' };
        const grant = grantOf();
        expectRefused(await send(service.port, '/seen/plain', { ...courier, claims }), {
          code: 'grant_missing',
        });
        expectAccepted(await send(service.port, '/seen/plain', { ...courier, grant, claims }));
        expectRefused(await send(service.port, '/seen/plain', { ...courier, grant, claims }), {
          code: 'token_replayed',
        });
      } finally {
        await service.close();
      }
    });

    it('GR-02 come after what the route asks of the caller', async () => {
      const stranger = { ...courier, subject: undefined };
      expectRefused(await ask('/seen/plain', stranger), { code: 'subject_missing' });
      expectRefused(
        await ask('/seen/proved', { issuer: MAILER, key: mailerKey, subject: undefined }),
        {
          code: 'subject_missing',
        },
      );
    });

    describe('GR-41 a decorator', () => {
      const scoped = (scope: string, more: object = {}): string =>
        grantOf({ claims: { scope, ...more } });
      const aged = (age: number, more: object): string =>
        grantOf({ claims: { iat: NOW_SECONDS - age, exp: NOW_SECONDS + 300, ...more } });
      const read = { scope: 'user:read' };
      const both = { scope: 'user:read user:delete', acr: 'gold' };
      const silver = { ...read, acr: 'silver' };
      const ROWS: [what: string, target: string, good: string, bad: string, code: string][] = [
        ['on a class', 'alone', aged(60, read), grantOf(), 'scope_missing'],
        ['on a class, by its age', 'alone', aged(60, read), aged(66, read), 'grant_expired'],
        [
          'on a class and a method, its own scope',
          'both',
          aged(60, both),
          scoped('user:read', { acr: 'gold' }),
          'scope_missing',
        ],
        [
          'on a class and a method, the scope of the class',
          'both',
          aged(60, both),
          scoped('user:delete', { acr: 'gold' }),
          'scope_missing',
        ],
        [
          'on a class and a method, the smaller age',
          'both',
          aged(60, both),
          aged(66, both),
          'grant_expired',
        ],
        [
          'on a class and a method, its acr',
          'both',
          aged(60, both),
          scoped('user:read user:delete'),
          'authentication_insufficient',
        ],
        [
          'twice on a method, in both lists of acr',
          'several',
          aged(30, silver),
          aged(30, { ...read, acr: 'gold' }),
          'authentication_insufficient',
        ],
        [
          'twice on a method, in the other list',
          'several',
          aged(30, silver),
          aged(30, { ...read, acr: 'bronze' }),
          'authentication_insufficient',
        ],
        [
          'twice on a method, the smallest age',
          'several',
          aged(30, silver),
          aged(36, silver),
          'grant_expired',
        ],
        [
          'on a class, its originators',
          'several',
          aged(30, silver),
          grantOf({
            key: schedulerKey,
            originator: SCHEDULER,
            claims: { ...silver, scope: 'digest:send' },
          }),
          'originator_not_allowed',
        ],
      ];
      it.each(ROWS)('%s', async (_what, target, good, bad, code) => {
        for (const controller of ['class', 'heir']) {
          expectAccepted(await ask(`/${controller}/${target}`, { ...herald, grant: good }));
          const refused = await ask(`/${controller}/${target}`, { ...herald, grant: bad });
          expectRefused(refused, { code: code as 'scope_missing' });
          expectRefused(await ask(`/${controller}/${target}`, { ...herald }), {
            code: 'grant_missing',
          });
        }
      });

      it('with options that are not understood is an error at once', () => {
        const MISTAKES: [options: object, problem: RegExp][] = [
          [{ maxAgeSeconds: 0 }, /^maxAgeSeconds: /],
          [{ maxAgeSeconds: 604_801 }, /^maxAgeSeconds: /],
          [{ maxAgeSeconds: '60' }, /^maxAgeSeconds: /],
          [{ scope: 'a b' }, /^scope: /],
          [{ scope: ['a', ''] }, /^scope: /],
          [{ scope: [] }, /^scope: name at least one/],
          [{ acr: '' }, /^acr: /],
          [{ acr: [] }, /^acr: name at least one/],
          [{ originators: [] }, /^originators: name at least one/],
          [{ originators: ['edge'] }, /^originators\[0\]: /],
          [{ maxAge: 5 }, /^maxAge: unknown option/],
        ];
        for (const [options, problem] of MISTAKES) {
          let problems: readonly string[] = [];
          try {
            RequireSubjectProof(options);
          } catch (error) {
            if (error instanceof ServiceAuthConfigError) problems = error.problems;
          }
          expect({ options, problems }).toEqual({
            options,
            problems: [expect.stringMatching(problem)],
          });
        }
        RequireSubjectProof({ maxAgeSeconds: 604_800, scope: 'a', acr: 'b', originators: [EDGE] });
      });
    });

    if (adapter === 'express') {
      it('GR-42 are judged by a second route that asks for proof', async () => {
        const grant = grantOf();
        const { json } = await ask('/handed/on', { ...herald, grant });
        const { txn } = decodeClaims(grant);
        expect(json).toEqual({
          transaction: txn,
          inIdentity: txn,
          headers: false,
          handedOn: grant,
        });
        expectRefused(await ask('/handed/on', { ...herald }), { code: 'grant_missing' });
        expectRefused(await ask('/handed/on', { ...herald, grant, ...none }), {
          code: 'grant_mismatch',
        });
        const old = grantOf({ now: NOW_SECONDS - 3600 });
        expectRefused(await ask('/handed/on', { ...herald, grant: old }), {
          code: 'grant_expired',
        });
      });
    }

    it('GR-36 of callers in the original profile are never a proof', async () => {
      const original = {
        issuer: VETERAN_PROVING,
        header: { kid: undefined, typ: 'JWT' },
        claims: { iat: undefined, exp: undefined, jti: undefined, req: undefined, hdr: undefined },
      };
      const { json } = await ask('/seen/plain', { ...original, grant: grantOf() });
      expect(seenOf(json)).toMatchObject({ headers: false });
      expect(seenOf(json).transaction).toBeUndefined();
      expectRefused(await ask('/seen/proved', { ...original, grant: grantOf() }), {
        code: 'grant_mismatch',
      });
    });
  });

  it('names at start the issuers that need no proof, and no others', async () => {
    logs.entries.length = 0;
    const census = await start();
    await census.close();
    const warned = logs.texts('warn').filter((text) => text.includes('need no proof'));
    expect(warned).toHaveLength(1);
    expect(warned.join()).toContain(`Calls of ${HERALD}`);
    expect(warned.join()).not.toContain(COURIER);
  });

  it('GR-40 that fail are served where the service only reports, and told of', async () => {
    const census = await start({ enforcement: 'report', reportUntil: '2100-01-01' });
    try {
      for (const target of ['/seen/plain', '/seen/proved']) {
        const { status, json } = await send(census.port, target, {
          ...courier,
          grant: grantOf(),
          ...none,
        });
        expect({ status, json }).toEqual({ status: 200, json: { headers: false } });
      }
      const would = { type: 'request_would_be_refused', code: 'grant_mismatch', issuer: COURIER };
      expect(events.decisions).toMatchObject([would, would]);
      const good = await send(census.port, '/seen/proved', { ...courier, grant: grantOf() });
      expect(good.json).toMatchObject({ transaction: expect.any(String) as string });
    } finally {
      await census.close();
    }
  });

  it('GR-38 of an issuer found at run time that says nothing of proofs: subject_not_allowed', async () => {
    let found: object = {};
    const trustedIssuers = {
      find: () => ({ issuer: HERALD, publicKey: heraldKey.publicPem, ...found }),
    };
    const originators = [{ issuer: EDGE, publicKey: edgeKey.publicPem, subjects: [USER] }];
    const ask = async (parts: AttemptParts, says: object): Promise<Answer> => {
      found = says;
      const census = await start({ trustedIssuers, originators });
      try {
        return await send(census.port, '/seen/plain', { ...herald, ...parts });
      } finally {
        await census.close();
      }
    };
    const grant = grantOf();
    expectRefused(await ask({ grant }, {}), { code: 'subject_not_allowed' });
    expectAccepted(await ask({ grant, subject: undefined }, {}));
    expectAccepted(await ask({ grant }, { subjectProof: { mode: 'off' } }));
    const required = { subjectProof: { mode: 'required', withoutSubject: 'allowed' } };
    expectAccepted(await ask({ grant }, required));
    expectRefused(await ask({}, required), { code: 'grant_missing' });
  });

  describe('with keys that are fetched', () => {
    const other = createKey();
    let keys: KeyServer;
    let census: TestService;
    beforeEach(async () => {
      keys = await startKeyServer(serveKeys([jwkOf(edgeKey)], { 'cache-control': 'max-age=60' }));
      const originators = [
        { issuer: 'https://remote.service/', jwksUri: keys.url, subjects: [USER] },
      ];
      census = await start({ originators });
    });
    afterEach(async () => {
      await census.close();
      await keys.close();
    });

    const askWith = async (grant: string): Promise<Answer> =>
      await send(census.port, '/seen/plain', { ...courier, grant });

    /** The service fetches what is due once a second; a test asks until it has. */
    const refreshed = async (): Promise<void> => {
      const fetched = events.next('keys_refreshed');
      seconds += 61;
      await fetched;
    };

    it('GR-36 the key of a known grant is withdrawn: grant_invalid on the next request', async () => {
      const grant = grantOf({ originator: 'https://remote.service/' });
      expectAccepted(await askWith(grant));
      await refreshed(); // The same key: still known.
      expectAccepted(await askWith(grant));
      keys.respond = serveKeys([jwkOf(other)], { 'cache-control': 'max-age=60' });
      await refreshed();
      expectRefused(await askWith(grant), { code: 'grant_invalid' });
      keys.respond = serveKeys([jwkOf(edgeKey)], { 'cache-control': 'max-age=60' });
      await refreshed();
      expectAccepted(await askWith(grant));
    });

    it('GR-37 out of reach: key_unavailable, and accepted when they are back', async () => {
      await keys.down();
      const outOfReach = await start({
        originators: [{ issuer: 'https://remote.service/', jwksUri: keys.url, subjects: [USER] }],
      });
      try {
        const grant = grantOf({ originator: 'https://remote.service/' });
        const parts = { ...courier, grant };
        expectRefused(await send(outOfReach.port, '/seen/plain', parts), {
          code: 'key_unavailable',
        });
        // Nobody's keys are needed where there is no grant.
        expectRefused(await send(outOfReach.port, '/seen/plain', courier), {
          code: 'grant_missing',
        });
        const reported = await send(outOfReach.port, '/seen/plain', { ...reporter, grant });
        expectAccepted(reported);
        expect(events.of('request_accepted')).toMatchObject([{ proofRefusal: 'key_unavailable' }]);
      } finally {
        await outOfReach.close();
        await keys.resume();
      }
      await refreshed();
      expectAccepted(await askWith(grantOf({ originator: 'https://remote.service/' })));
    });
  });

  it('GR-43 are taken off a request that guards of two services look at', async () => {
    const grant = grantOf();
    const service = await startCensus({ adapter, options: {} });
    try {
      const parts = { ...courier, grant, target: '/api/twice' };
      const attempt = withParts(BASELINE, parts);
      expectAccepted(await call(service.port, toCall(attempt, tokenFor(attempt, NOW_SECONDS))));
      const bad = withParts(attempt, none);
      expectRefused(await call(service.port, toCall(bad, tokenFor(bad, NOW_SECONDS))), {
        code: 'grant_mismatch',
      });
    } finally {
      await service.close();
    }
  });

  it('GR-44 that are invented are each refused, and good ones among them are served', async () => {
    const census = await start();
    try {
      const invented = { ...createKey(), keyId: edgeKey.keyId };
      const codes = await Promise.all(
        Array.from({ length: 200 }, async (_each, at) => {
          const grant = at % 10 === 0 ? grantOf() : grantOf({ key: invented });
          const { status, code } = await send(census.port, '/seen/open', { ...courier, grant });
          return `${at % 10 === 0} ${status} ${String(code)}`;
        }),
      );
      expect(new Set(codes)).toEqual(new Set(['true 200 undefined', 'false 403 grant_invalid']));
    } finally {
      await census.close();
    }
  });
});
